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
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from candidates import Candidate, free_port, gateway, nginx_proxy, pinned, replica
from loads import INVOCATION, best_load
from rounds import interleaved, table


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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=int, default=1)
    parser.add_argument("--connections", type=int, default=32)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="mooring-bench-") as name:
        directory = Path(name)
        load = best_load(directory, INVOCATION)
        with everything(directory) as candidates:
            print(f"load: {load.name}, {given.connections} connections; {given.rounds} rounds of {given.seconds} s")
            samples = interleaved(candidates, load, given.rounds, given.seconds, given.connections)
            print(table(samples, "gateway", "nginx"))
            print(f"pinned to cores: {'yes' if pinned() else 'no'}")


if __name__ == "__main__":
    main()
