"""One coarse timer for every deadline of a process.

A timer per request costs more than the request's own bookkeeping; so deadlines are attributes, and one sweep
every `interval` seconds looks at those who may have one. Times read from `now` are up to one interval old:
whoever compares with it adds `interval`, so that nothing is ever cut short. The Date header is renewed on the way.
"""

from __future__ import annotations

import asyncio
import time
from email.utils import formatdate
from typing import Protocol

INTERVAL_S = 0.25


class Sweepable(Protocol):
    """Something with deadlines."""

    def sweep(self, now: float) -> None:
        """Act on the deadlines that have passed at `now`."""
        ...


class Ticker:
    """Coarse monotonic time, the Date header, and the sweeps."""

    __slots__ = ("_handle", "_loop", "_targets", "_wall_second", "date_header", "interval", "now")

    def __init__(self, interval: float = INTERVAL_S) -> None:
        self.interval = interval
        self.now = 0.0
        self.date_header = b""
        self._wall_second = 0
        self._targets: set[Sweepable] = set()
        self._handle: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Tick from now on, in the running loop."""
        self._loop = asyncio.get_running_loop()
        self._tick()

    def stop(self) -> None:
        if self._handle is not None:
            self._handle.cancel()

    def add(self, target: Sweepable) -> None:
        self._targets.add(target)

    def discard(self, target: Sweepable) -> None:
        self._targets.discard(target)

    def _tick(self) -> None:
        assert self._loop is not None
        self._handle = self._loop.call_later(self.interval, self._tick)
        self.now = self._loop.time()
        second = int(time.time())
        if second != self._wall_second:
            self._wall_second = second
            self.date_header = b"Date: %b\r\n" % formatdate(second, usegmt=True).encode()
        for target in tuple(self._targets):
            target.sweep(self.now)
