"""Section `workers`: two gateways on one port beside one, and how the calls are shared."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator
from pathlib import Path

from candidates import Candidate
from gateways import gateway, route, variant
from ground import Ground, upstream
from loads import INVOCATION, best_load
from rounds import WARM_UP_S, Sample, measured, table

CONNECTIONS = 128
"""The kernel deals connections, not calls, by a hash: with few of them the shares are luck."""
ONE, TWO = "1 worker", "2 workers"


def run(ground: Ground) -> Iterator[str]:
    """Nothing is pinned: two workers, the load and the replica take what they get."""
    load = best_load(ground.directory, INVOCATION, core=None)
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(upstream(ground))
        told = route(variant(at.unix))
        one = stack.enter_context(gateway(ground.place("one"), ONE, told, core=None))
        two = stack.enter_context(gateway(ground.place("two"), TWO, told, workers=2, core=None))
        samples: dict[str, list[Sample]] = {ONE: [], TWO: []}
        shares = list[float]()
        for turn in range(ground.rounds + 1):
            for candidate in (one, two):
                before = read_bytes(candidate)
                sample = measured(candidate, load, ground.seconds if turn else WARM_UP_S, CONNECTIONS)
                if turn:
                    samples[candidate.name].append(sample)
                    if candidate is two:
                        parts = [after - had for after, had in zip(read_bytes(two), before, strict=True)]
                        shares += [part / sum(parts) for part in parts]
    yield f"{load.name}, {CONNECTIONS} connections; nothing pinned\n"
    yield table(samples, "gateways", ONE, beside=("requests_per_s", "cpu_us")) + "\n"
    yield (
        f"Each worker's share of the calls (by the bytes that it read, which all calls have alike): "
        f"{min(shares):.0%} to {max(shares):.0%}, half of them within "
        f"{statistics.quantiles(shares, n=4)[0]:.0%} and {statistics.quantiles(shares, n=4)[2]:.0%}\n"
    )


def read_bytes(candidate: Candidate) -> list[int]:
    """What each process has read so far."""
    lines = [Path(f"/proc/{pid}/io").read_text().splitlines()[0] for pid in candidate.pids]
    return [int(line.removeprefix("rchar: ")) for line in lines]
