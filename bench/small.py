"""Sections `small` and `latency`: what a small invocation costs beside nginx, and what it waits."""

from __future__ import annotations

import contextlib
import statistics
from collections.abc import Iterator

from candidates import Candidate
from gateways import gateway, route, variant
from ground import Ground, Upstream, upstream
from loads import INVOCATION, best_load, sized
from proxies import NGINX, proxy
from rounds import Samples, interleaved, ratios, row, spread, table

NGINX_TCP, NGINX_UNIX, TCP, UNIX = "nginx", "nginx, Unix socket", "mooring", "mooring, Unix socket"
DIRECT = "the replica itself"
LATENCY_BYTES = 1000


@contextlib.contextmanager
def gateways(ground: Ground, at: Upstream) -> Iterator[list[Candidate]]:
    """nginx and Mooring before one replica, over TCP and over its Unix socket."""
    with contextlib.ExitStack() as stack:
        found = []
        if NGINX is not None:
            found.append(stack.enter_context(proxy(ground.directory, NGINX_TCP, at.tcp)))
            found.append(stack.enter_context(proxy(ground.directory, NGINX_UNIX, at.unix)))
        found.append(stack.enter_context(gateway(ground.place("tcp"), TCP, route(variant(at.tcp)))))
        found.append(stack.enter_context(gateway(ground.place("unix"), UNIX, route(variant(at.unix)))))
        yield found


def run(ground: Ground) -> Iterator[str]:
    """The gateway beside nginx, small bodies."""
    load = best_load(ground.directory, INVOCATION)
    with upstream(ground) as at, gateways(ground, at) as candidates:
        for connections in ground.connections:
            samples = interleaved([(each, load) for each in candidates], ground.rounds, ground.seconds, connections)
            many = "connection" if connections == 1 else "connections"
            yield f"{load.name}, {connections} {many}, bodies of {len(INVOCATION.body)} B, answers of 206 B\n"
            shown = ("requests_per_s", "p99_us", "cpu_us")
            yield table(samples, "gateway", NGINX_TCP, beside=shown) + "\n"
            if NGINX_UNIX in samples:
                yield both_over_unix(samples)


def both_over_unix(samples: Samples) -> str:
    """How the two do over Unix sockets, which the table's last column does not tell."""
    return f"CPU of {UNIX} × {NGINX_UNIX}: {spread(ratios(samples, UNIX, NGINX_UNIX, 'cpu_us'))}\n"


def latency(ground: Ground) -> Iterator[str]:
    """What stands between a client and its replica adds to the median, with one connection."""
    call = sized(LATENCY_BYTES)
    load = best_load(ground.directory, call)
    with upstream(ground) as at, gateways(ground, at) as candidates:
        direct = Candidate(DIRECT, at.port, ())
        loaded = [(each, load) for each in (direct, *candidates)]
        samples = interleaved(loaded, ground.rounds, ground.seconds, 1)
    yield f"{load.name}, 1 connection, bodies of {LATENCY_BYTES} B\n"
    yield added_table(samples)


def added_table(samples: Samples) -> str:
    """The medians of each, what each adds to the replica's own in its round, and that beside what nginx adds."""
    added = {
        name: [mine.p50_us - own.p50_us for mine, own in zip(found, samples[DIRECT], strict=True)]
        for name, found in samples.items()
    }
    lines = [row(["called", "p50 µs", "p99 µs", "added p50 µs", "added × nginx"]), row(["---"] * 5)]
    for name, found in samples.items():
        p50, p99 = (statistics.median(getattr(one, each) for one in found) for each in ("p50_us", "p99_us"))
        cells = [name, f"{p50:.0f}", f"{p99:.0f}"]
        if name != DIRECT:
            cells.append(f"{statistics.median(added[name]):.0f} ({min(added[name]):.0f} to {max(added[name]):.0f})")
            if NGINX_TCP in added:
                cells.append(spread([mine / its for mine, its in zip(added[name], added[NGINX_TCP], strict=True)]))
        lines.append(row(cells + [""] * (5 - len(cells))))
    return "\n".join(lines) + "\n"
