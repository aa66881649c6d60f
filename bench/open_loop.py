"""A load maker that is open: calls begin when they are due, whether or not earlier ones were answered.

Their times are random (a Poisson process), and a call's latency counts from when it was due, so that a stall is felt by
every call that would have come in it. One thread and `select`, whose timeout is the only one finer than a millisecond.
"""

from __future__ import annotations

import random
import select
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass

MOST_CONNECTIONS = 256
LAST_ANSWERS_S = 5.0


@dataclass(frozen=True)
class Latencies:
    """Of the calls that were answered with 2xx, sorted, in microseconds."""

    values: Sequence[float]
    failures: int

    def percentile(self, percent: float) -> float:
        return self.values[min(len(self.values) - 1, int(len(self.values) * percent / 100))]


class _Connection:
    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.due = 0.0
        self.held = b""

    def fileno(self) -> int:
        return self.socket.fileno()

    def answer(self) -> bool | None:
        """Whether it was a 2xx; None while it is not whole."""
        self.held += self.socket.recv(65536)
        head, end, body = self.held.partition(b"\r\n\r\n")
        if not end:
            return None
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        if len(body) < length:
            return None
        good = self.held.startswith(b"HTTP/1.1 2")
        self.held = b""
        return good


def load(port: int, message: bytes, rate: float, seconds: float) -> Latencies:
    """Send `message` `rate` times a second on average, for so long."""
    idle, busy = [_Connection(port) for _ in range(8)], set[_Connection]()
    latencies, failures = list[float](), 0
    began = due = time.perf_counter()
    until = began + seconds
    try:
        while True:
            now = time.perf_counter()
            while due <= now and due < until and (idle or len(busy) < MOST_CONNECTIONS):
                connection = idle.pop() if idle else _Connection(port)
                connection.due = due
                connection.socket.send(message)
                busy.add(connection)
                due += random.expovariate(rate)
            if (due >= until and not busy) or now > until + LAST_ANSWERS_S:
                break
            wait = max(0.0, due - time.perf_counter()) if due < until else 0.1
            for connection in select.select(busy, (), (), wait)[0]:
                if (good := connection.answer()) is None:
                    continue
                latencies.append((time.perf_counter() - connection.due) * 1e6)
                failures += not good
                busy.discard(connection)
                idle.append(connection)
    finally:
        for connection in (*idle, *busy):
            connection.socket.close()
    return Latencies(sorted(latencies), failures + len(busy))
