"""What the gateway costs beside nginx, in interleaved rounds on one machine, section by section.

    python bench/gateway.py                                       # every section, as docs/benchmarks.md has them
    python bench/gateway.py --quick                               # `make bench`: some minutes, without peers
    python bench/gateway.py --sections small,latency --rounds 9 --seconds 2

    small      small invocations at 1, 32 and 512 connections
    latency    what the gateway adds to calling the replica itself, with one connection
    bodies     200 B, 10 kB, 1 MB and 6 MB, with a replica that reads a body to its end
    features   what each feature adds
    workers    two gateways on one port, and how they share the calls
    memory     512 slow clients that send 6 MB each
    peers      Ray Serve, MLServer, LitServe and BentoML beside the whole of Mooring, all serving the same echo

What is measured are real gateway processes, started as the supervisor starts them; a stand-in for control tells them
their route over the route channel. nginx is the limit: one worker, `proxy_pass`, kept connections; where it is not
installed no ratio is printed. Each round loads every candidate once, in turn, with wrk or a load maker of its own; the
gateway runs on core 0, load and replica on core 1, where nothing else is said. The figures to quote are the ratios:
each is taken within one round, and printed as the median of the rounds with the least and the most. Requests per second
move with the machine's mood, the ratio of CPU microseconds per request hardly. Any answer that is not 2xx, or not as
long as it should be, ends the run.

Peers are installed once from the package index, each in an environment of its own in `--environments`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import bodies
import features
import memory
import peers
import small
import workers
from candidates import pinned
from ground import Ground
from machine import busy, commit, described_machine, versions
from proxies import NGINX

SECTIONS: Mapping[str, tuple[str, Callable[[Ground], Iterator[str]]]] = {
    "small": ("Small invocations", small.run),
    "latency": ("Latency", small.latency),
    "bodies": ("Bodies", bodies.run),
    "features": ("Features", features.run),
    "workers": ("Two workers", workers.run),
    "memory": ("Memory", memory.run),
    "peers": ("Peers", peers.run),
}
QUICK = tuple(name for name in SECTIONS if name != "peers")
CONNECTIONS = (1, 32, 512)
QUICK_CONNECTIONS = (32,)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sections", type=lambda text: text.split(","), help="which, separated by commas")
    parser.add_argument("--quick", action="store_true", help="3 rounds, fewer sizes and connections, no peers")
    parser.add_argument("--rounds", type=int, help="default 7")
    parser.add_argument("--seconds", type=int, default=1, help="of one load in one round")
    parser.add_argument("--connections", type=int, nargs="+", help="default 1 32 512")
    parser.add_argument("--environments", type=Path, default=peers.ENVIRONMENTS, help="default %(default)s")
    given = parser.parse_args()
    given.sections = given.sections or list(QUICK if given.quick else SECTIONS)
    if unknown := set(given.sections) - SECTIONS.keys():
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    given.rounds = given.rounds or (3 if given.quick else 7)
    given.connections = given.connections or (QUICK_CONNECTIONS if given.quick else CONNECTIONS)
    return given


def main() -> None:
    given = arguments()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))  # with all that was started
    programs = [["wrk", "-v"], *([[NGINX, "-v"]] if NGINX else [])]
    print(f"{described_machine()}; {versions(('uvloop', 'httptools'), programs)}; commit {commit()}; {busy()}")
    print(f"pinned to cores: {'yes' if pinned() else 'no'}; {given.rounds} rounds of {given.seconds} s\n")
    for name in given.sections:
        title, section = SECTIONS[name]
        print(f"### {title}\n", flush=True)
        with tempfile.TemporaryDirectory(prefix="mooring-bench-") as directory:
            ground = Ground(
                Path(directory), given.rounds, given.seconds, tuple(given.connections), given.quick, given.environments
            )
            for text in section(ground):
                print(text, flush=True)


if __name__ == "__main__":
    main()
