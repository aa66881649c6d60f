"""Section `bodies`: requests from 200 B to 6 MB, with a replica that answers once it has read them to the end."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator

from gateways import gateway, route, variant
from ground import Ground, upstream
from loads import best_load, sized
from proxies import NGINX, proxy
from rounds import interleaved, table

SIZES = {"200 B": 200, "10 kB": 10_000, "1 MB": 1_000_000, "6 MB": 6_000_000}
SLOW_BYTES_PER_S = 300e6
"""What any gateway moves: a round is long enough for each connection to be answered three times at this rate."""
HELD_BYTES = 4 * 1024**3
"""512 connections with 6 MB each hold more than what a gateway takes by default (see the section `memory`)."""
FIGURES = ("requests_per_s", "mb_per_s", "p50_us", "p99_us", "cpu_us")


def run(ground: Ground) -> Iterator[str]:
    """nginx streams requests, or buffers them in memory; Mooring buffers, so that a call can be tried again."""
    environment = {"MOORING_GATEWAY_BUFFERED_LIMIT_BYTES": str(HELD_BYTES)}
    with contextlib.ExitStack() as stack:
        at = stack.enter_context(upstream(ground, whole_bodies=True))
        candidates = []
        if NGINX is not None:
            streaming = proxy(ground.directory, "nginx", at.tcp, buffering=False)
            candidates.append(stack.enter_context(streaming))
            candidates.append(stack.enter_context(proxy(ground.directory, "nginx, buffering", at.tcp)))
        for name, address in (("mooring", at.tcp), ("mooring, Unix socket", at.unix)):
            started = gateway(ground.place("bodies"), name, route(variant(address)), environment=environment)
            candidates.append(stack.enter_context(started))
        sizes = {"200 B": 200, "1 MB": 1_000_000} if ground.quick else SIZES
        for words, size in sizes.items():
            load = best_load(ground.directory, sized(size))
            for connections in ground.connections:
                seconds = max(ground.seconds, math.ceil(3 * connections * size / SLOW_BYTES_PER_S))
                rounds = ground.rounds if seconds <= 2 * ground.seconds else max(3, ground.rounds // 2)
                samples = interleaved([(each, load) for each in candidates], rounds, seconds, connections)
                many = "connection" if connections == 1 else "connections"
                yield f"{load.name}, {connections} {many}, bodies of {words}; {rounds} rounds of {seconds} s\n"
                yield table(samples, "gateway", "nginx", figures=FIGURES, beside=("mb_per_s", "cpu_us")) + "\n"
