"""Memory for bodies: reserved before a body is read, first come first served.

A body that there is no room for waits: its connection is not read meanwhile, so it costs what the kernel holds of it,
and what came together with its head. That is counted too, and when there is too much of it nobody else can wait. A
large body that waits is not overtaken by small ones, which otherwise could keep it waiting for ever.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol

WAITING_BYTES = 32 * 1024 * 1024
"""Beyond the limit: what may be here already of bodies that wait."""


class Holder(Protocol):
    """Who waits for room."""

    def room_given(self) -> None:
        """The bytes that were asked for are reserved now."""
        ...


class Budget:
    """How many bytes may be reserved at a time, and who waits for some."""

    __slots__ = ("_read", "_waiting", "_waiting_limit", "held", "limit")

    def __init__(self, limit: float = math.inf, waiting_limit: int = WAITING_BYTES) -> None:
        self.limit = limit
        self._waiting_limit = waiting_limit
        self.held = 0
        self._waiting: deque[tuple[Holder, int, int]] = deque()
        self._read = 0  # of those that wait

    def is_crowded(self, size: int, read: int) -> bool:
        """Whether a body of `size` bytes cannot be taken, and not wait either, of which `read` bytes are here."""
        return self._must_wait(size) and self._read + read > self._waiting_limit

    def take(self, size: int, holder: Holder, read: int = 0) -> bool:
        """Reserve `size` bytes, which are at most `limit`. False when `holder` must wait: `room_given` follows."""
        if self._must_wait(size):
            self._waiting.append((holder, size, read))
            self._read += read
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """`size` bytes are not needed any more."""
        self.held -= size
        self._grant()

    def withdraw(self, holder: Holder) -> None:
        """`holder` does not wait any more."""
        self._read -= sum(read for each, _, read in self._waiting if each is holder)
        self._waiting = deque(each for each in self._waiting if each[0] is not holder)
        self._grant()  # the next may be smaller

    def _grant(self) -> None:
        while self._waiting and self.held + self._waiting[0][1] <= self.limit:
            holder, size, read = self._waiting.popleft()
            self._read -= read
            self.held += size
            holder.room_given()

    def _must_wait(self, size: int) -> bool:
        return bool(self._waiting) or self.held + size > self.limit
