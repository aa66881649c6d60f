"""Memory for bodies: reserved before a body is read, first come first served.

A body that there is no room for waits: its connection is not read meanwhile, so it costs what the kernel holds of it. A
large one that waits is not overtaken by small ones, which otherwise could keep it waiting for ever.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Protocol


class Holder(Protocol):
    """Who waits for room."""

    def room_given(self) -> None:
        """The bytes that were asked for are reserved now."""
        ...


class Budget:
    """How many bytes may be reserved at a time, and who waits for some."""

    __slots__ = ("_waiting", "held", "limit")

    def __init__(self, limit: float = math.inf) -> None:
        self.limit = limit
        self.held = 0
        self._waiting: deque[tuple[Holder, int]] = deque()

    def take(self, size: int, holder: Holder) -> bool:
        """Reserve `size` bytes, which are at most `limit`. False when `holder` must wait: `room_given` follows."""
        if self._waiting or self.held + size > self.limit:
            self._waiting.append((holder, size))
            return False
        self.held += size
        return True

    def give_back(self, size: int) -> None:
        """`size` bytes are not needed any more."""
        self.held -= size
        self._grant()

    def withdraw(self, holder: Holder) -> None:
        """`holder` does not wait any more."""
        self._waiting = deque(each for each in self._waiting if each[0] is not holder)
        self._grant()  # the next may be smaller

    def _grant(self) -> None:
        while self._waiting and self.held + self._waiting[0][1] <= self.limit:
            holder, size = self._waiting.popleft()
            self.held += size
            holder.room_given()
