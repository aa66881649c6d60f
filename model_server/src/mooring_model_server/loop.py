"""A replica's event loop: readiness, timers, and a way to wake it from anywhere.

asyncio's loop belongs to one thread for as long as it runs, and to enter and leave it costs more than a call. This one
is turned, once at a time, by whichever thread leads (see `leading`); only `tell` may be called by others.
"""

from __future__ import annotations

import contextlib
import heapq
import itertools
import selectors
import socket
import time
from typing import Callable

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
NOTHING = b"\0"


class Loop:
    """Calls back when a descriptor is ready, when time has passed and when it was told something."""

    def __init__(self, heed: Callable[[bytes], None] = lambda _: None) -> None:
        self.turns = 0
        """How often it was turned: a loop that stands still is one that waits, or one that nobody turns."""
        self._selector = selectors.DefaultSelector()
        self._timers: list[tuple[float, int, Callable[[], None]]] = []
        self._numbers = itertools.count()  # timers of one moment keep their order
        self._heed = heed
        self._ears, self._mouth = socket.socketpair()
        for end in (self._ears, self._mouth):
            end.setblocking(False)
        self.watch(self._ears.fileno(), READ, self._listen)

    @property
    def mouth(self) -> int:
        """A descriptor that wakes the loop when something is written to it: fit for `signal.set_wakeup_fd`."""
        return self._mouth.fileno()

    def descriptors(self) -> tuple[int, ...]:
        """What the loop cannot do without."""
        own = (self._ears.fileno(), self._mouth.fileno())
        fileno = getattr(self._selector, "fileno", None)  # poll and select have none
        return own if fileno is None else (*own, fileno())

    def close(self) -> None:
        """Give the descriptors back; whatever is watched stays as it is."""
        for part in (self._selector, self._ears, self._mouth):
            part.close()

    def tell(self, data: bytes = NOTHING) -> None:
        """Wake the loop, from any thread or signal handler; what it is told arrives at `heed`."""
        with contextlib.suppress(OSError):  # so full that it will wake; or closed by a script, which the guard sees
            self._mouth.send(data)

    def watch(self, descriptor: int, events: int, ready: Callable[[], None]) -> None:
        """Call `ready` while one of these events is there, instead of what was watched for before."""
        if descriptor in self._selector.get_map():
            self._selector.modify(descriptor, events, ready)
        else:
            self._selector.register(descriptor, events, ready)

    def unwatch(self, descriptor: int) -> None:
        """Look at this descriptor no longer."""
        if descriptor in self._selector.get_map():
            self._selector.unregister(descriptor)

    def later(self, delay_s: float, due: Callable[[], None]) -> None:
        """Call `due` once, after `delay_s` seconds."""
        heapq.heappush(self._timers, (time.monotonic() + delay_s, next(self._numbers), due))

    def turn(self) -> None:
        """Wait for what happens next, and act on it."""
        timeout = max(0.0, self._timers[0][0] - time.monotonic()) if self._timers else None
        ready = self._selector.select(timeout)
        self.turns += 1
        for key, _ in ready:
            key.data()
        while self._timers and self._timers[0][0] <= time.monotonic():
            heapq.heappop(self._timers)[2]()

    def _listen(self) -> None:
        self._heed(self._ears.recv(4096))
