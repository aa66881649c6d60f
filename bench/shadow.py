"""What a shadow does to callers: their latency with a shadow at 100 %, beside that without, open loop.

    python bench/shadow.py [--rounds 9] [--seconds 3] [--share 0.3]

One gateway without a shadow and one each with a healthy shadow, a slow one (100 ms) and one that crashes on each call.
Calls come at random times at a share of the capacity, which is measured first, and whether or not earlier ones were
answered (`open_loop`). Each round loads every gateway once, in turn. The figure is the ratio of the latencies within a
round: the gateways run on core 0; load, replica and shadow share core 1 with each other.
"""

from __future__ import annotations

import argparse
import contextlib
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from candidates import LOAD_CORE, Candidate, on_core
from gateways import gateway, route, variant
from ground import Ground, Upstream, upstream
from loads import INVOCATION, best_load
from open_loop import Latencies, load
from proxies import PREDICTION
from rounds import row, spread

from mooring.hosting.routes import Route, RouteReplica, RouteShadow

OFF = "no shadow"
CONNECTIONS = 32
"""While the capacity is measured."""
SHADOWS = ("healthy", "slow", "crashing")


@contextlib.contextmanager
def shadow_at(directory: Path, kind: str, healthy: str) -> Iterator[str]:
    """The address of a shadow's replica."""
    if kind == "healthy":
        yield healthy
        return
    path = directory / f"{kind}.sock"
    script = Path(__file__).with_name("shadow_replica.py")
    process = subprocess.Popen([*on_core(LOAD_CORE), sys.executable, script, kind, path, PREDICTION])
    try:
        while not path.exists():
            time.sleep(0.02)
        yield str(path)
    finally:
        process.kill()
        process.wait()


def mirrored(at: Upstream, address: str) -> Route:
    """A route whose calls are all copied to `address`."""
    shadow = RouteShadow("shadow", 1.0, "bench/1", (RouteReplica("shadow-1", address),))
    return route(variant(at.unix, shadow=shadow))


@contextlib.contextmanager
def gateways(ground: Ground) -> Iterator[list[Candidate]]:
    """The candidates, started."""
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(upstream(ground))
        other = stack.enter_context(upstream(ground))
        found = [stack.enter_context(gateway(ground.place("off"), OFF, route(variant(at.unix))))]
        for kind in SHADOWS:
            address = stack.enter_context(shadow_at(ground.directory, kind, other.unix))
            found.append(stack.enter_context(gateway(ground.place("shadow"), kind, mirrored(at, address))))
        yield found


def measured(candidate: Candidate, rate: float, seconds: float) -> tuple[Latencies, float]:
    """Latencies, and the CPU per call in microseconds."""
    before = candidate.cpu_seconds()
    found = load(candidate.port, INVOCATION.message(candidate.port), rate, seconds)
    if found.failures:
        raise SystemExit(f"{candidate.name}: {found.failures} of {len(found.values)} calls failed")
    return found, (candidate.cpu_seconds() - before) / len(found.values) * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--share", type=float, default=0.3)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mooring-bench-") as name:
        ground = Ground(Path(name), given.rounds, 1, (CONNECTIONS,), quick=False, environments=Path(name))
        with gateways(ground) as candidates:
            closed = best_load(ground.directory, INVOCATION)
            result = closed.run(candidates[0].port, 2, CONNECTIONS)
            capacity = result.requests / result.seconds
            rate = capacity * given.share
            print(f"capacity without a shadow: {capacity:.0f} calls/s; open loop at {rate:.0f} calls/s")
            for candidate in candidates:
                measured(candidate, rate, 1)
            samples: dict[str, list[tuple[float, float, float]]] = {each.name: [] for each in candidates}
            for _ in range(given.rounds):
                for candidate in candidates:
                    found, cpu = measured(candidate, rate, given.seconds)
                    samples[candidate.name].append((found.percentile(50), found.percentile(99), cpu))
        print(table(samples))


def table(samples: dict[str, list[tuple[float, float, float]]]) -> str:
    """Medians, and the ratios of each round's pairs."""
    heads = ["shadow", "p50 µs", "p99 µs", "CPU µs/call", f"p50 × {OFF}", f"p99 × {OFF}"]
    lines = [row(heads), row(["---"] * len(heads))]
    for name, rounds in samples.items():
        middle = [f"{statistics.median(each):.0f}" for each in zip(*rounds, strict=True)]
        pairs = list(zip(rounds, samples[OFF], strict=True))
        ratios = [spread([mine[at] / theirs[at] for mine, theirs in pairs]) for at in (0, 1)]
        lines.append(row([name, *middle, *ratios]))
    return "\n".join(lines)


if __name__ == "__main__":
    main()
