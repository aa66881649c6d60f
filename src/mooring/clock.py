"""The clocks, behind one seam.

`wall` is for what people and AWS see (creation times); `monotonic` is for every wait and deadline, because
the wall clock jumps. `uptime` is for deadlines that other processes made, or a later one keeps.
"""

from __future__ import annotations

import time
from typing import Protocol

_UPTIME = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""macOS's monotonic clock goes on during sleep by itself."""


class Clock(Protocol):
    """Seconds, as floats."""

    def wall(self) -> float:
        """Seconds since the epoch; may jump."""
        ...

    def monotonic(self) -> float:
        """Seconds that only grow, from an unspecified start."""
        ...

    def uptime(self) -> float:
        """Seconds since the machine's boot, its sleep too: the same for every process."""
        ...


class SystemClock:
    """The machine's clocks."""

    def wall(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def uptime(self) -> float:
        return time.clock_gettime(_UPTIME)
