"""Which slots of a serverless variant should have a replica: what is asked for, what is in use, what is provisioned.

Pure; every time is of a monotonic clock. A demand is level-triggered: gateways repeat it while a call is held for it,
and it is over when they do not. A replica that came up stays until nobody has used it for `idle_s`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

DEMAND_LASTS_S = 1.0
"""Gateways repeat a demand four times as often."""


class Wanting:
    """Of one variant of one fleet."""

    __slots__ = ("_demanded", "_idle_s", "_used")

    def __init__(self, idle_s: float) -> None:
        self._idle_s = idle_s
        self._demanded: dict[int, float] = {}
        self._used: dict[int, float] = {}

    def demand(self, slots: Iterable[int], now: float) -> None:
        """Calls are held for replicas in these slots."""
        for slot in slots:
            self._demanded[slot] = now

    def refuse(self, slots: Iterable[int]) -> None:
        """Who waits for these slots was told not to."""
        for slot in slots:
            self._demanded.pop(slot, None)

    def use(self, slots: Iterable[int], now: float) -> None:
        """These slots have calls, or had since the last time; or their replicas have just come up."""
        for slot in slots:
            self._used[slot] = now

    def demanded(self, now: float) -> set[int]:
        """For which slots calls are held at this moment."""
        self._demanded = {slot: at for slot, at in self._demanded.items() if now - at < DEMAND_LASTS_S}
        return set(self._demanded)

    def started(self, least: int, most: int, now: float) -> set[int]:
        """The slots that a replica is started in, where there is none: `least` of `most` are provisioned."""
        return {slot for slot in (*range(least), *self.demanded(now)) if slot < most}

    def kept(self, healthy: Collection[int], least: int, most: int, now: float) -> set[int]:
        """Of the slots with a replica that serves, those whose replica stays."""
        return {slot for slot in healthy if slot < most and (slot < least or self._idle_at(slot, now) > now)}

    def next_end(self, kept: Iterable[int], least: int, now: float) -> float | None:
        """The seconds until one of these slots will have been idle for too long, if nobody uses it."""
        ends = [self._idle_at(slot, now) - now for slot in kept if slot >= least]
        return max(min(ends), 0.0) if ends else None

    def _idle_at(self, slot: int, now: float) -> float:
        return self._used.setdefault(slot, now) + self._idle_s
