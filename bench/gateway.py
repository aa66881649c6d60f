"""What the gateway costs: CPU per request beside nginx, in interleaved rounds on one machine.

    python bench/gateway.py [--rounds 7] [--seconds 1] [--connections 32]

Starts a trivial replica (nginx's `return 200`, or a small server of its own), one real gateway process with a route on
disk, and nginx as a proxy where it is installed. Each round loads every candidate once, in turn, with wrk or a load
maker of its own. The gateway runs on core 0; load and replica on core 1. The figure to quote is the ratio of CPU
microseconds per request, taken within each round: requests per second move with the machine's mood, the ratio hardly.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from candidates import Candidate, free_port, gateway, nginx_proxy, pinned, replica
from loads import Load, best_load


@dataclass(frozen=True)
class Sample:
    """One candidate in one round."""

    requests_per_s: float
    p50_us: float
    p99_us: float
    cpu_us: float


def measure(candidate: Candidate, load: Load, seconds: int, connections: int) -> Sample:
    """Load `candidate` once; anything but 2xx ends the benchmark."""
    before = candidate.cpu_seconds()
    result = load.run(candidate.port, seconds, connections)
    spent = candidate.cpu_seconds() - before
    if result.failures or not result.requests:
        raise SystemExit(f"{candidate.name}: {result.failures} of {result.requests} answers were not 2xx")
    return Sample(result.requests / result.seconds, result.p50_us, result.p99_us, spent / result.requests * 1e6)


@contextlib.contextmanager
def everything(directory: Path) -> Iterator[list[Candidate]]:
    """The candidates, started; whatever happens, their processes are ended."""
    with contextlib.ExitStack() as stack:
        replica_port = free_port()
        socket_path = directory / "replica.sock"
        stack.enter_context(replica(directory, replica_port, socket_path))
        found = []
        if shutil.which("nginx", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"):
            found.append(stack.enter_context(nginx_proxy(directory, replica_port)))
        found.append(stack.enter_context(gateway(directory / "tcp", "mooring", f"127.0.0.1:{replica_port}")))
        found.append(stack.enter_context(gateway(directory / "unix", "mooring, Unix socket", str(socket_path))))
        yield found


def table(samples: dict[str, list[Sample]]) -> str:
    """Medians over the rounds, and the ratios of the rounds' pairs."""
    lines = [f"{'gateway':<22}{'req/s':>9}{'p50 us':>9}{'p99 us':>9}{'CPU us/req':>12}{'CPU x nginx':>22}"]
    nginx = samples.get("nginx")
    for name, rounds in samples.items():
        middle = [statistics.median(values) for values in zip(*(vars(s).values() for s in rounds), strict=True)]
        line = f"{name:<22}{middle[0]:>9.0f}{middle[1]:>9.0f}{middle[2]:>9.0f}{middle[3]:>12.1f}"
        if nginx is not None:
            ratios = [mine.cpu_us / theirs.cpu_us for mine, theirs in zip(rounds, nginx, strict=True)]
            line += f"{statistics.median(ratios):>8.2f} [{min(ratios):.2f} to {max(ratios):.2f}]"
        lines.append(line)
    if nginx is None:
        lines.append("nginx is not installed here: no ratio")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mooring-bench-") as name:
        directory = Path(name)
        load = best_load(directory)
        with everything(directory) as candidates:
            print(f"load: {load.name}, {given.connections} connections; {given.rounds} rounds of {given.seconds} s")
            for candidate in candidates:
                measure(candidate, load, 1, given.connections)  # warm-up
            samples: dict[str, list[Sample]] = {candidate.name: [] for candidate in candidates}
            for _ in range(given.rounds):
                for candidate in candidates:
                    samples[candidate.name].append(measure(candidate, load, given.seconds, given.connections))
            print(table(samples))
            print(f"pinned to cores: {'yes' if pinned() else 'no'}")


if __name__ == "__main__":
    main()
