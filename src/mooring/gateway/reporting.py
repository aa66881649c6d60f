"""What a gateway counted, on its way to control: each second a message, held until control has it on disk.

Messages are numbered, and control takes each number of a gateway once. So a message that is sent again, after control
was killed or the connection broke, counts once; what was counted while control was away comes when it is back, older
than `EXACT_S` by the minute. A gateway that is killed takes its last second with it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

from mooring.metrics.distributions import Distribution
from mooring.metrics.registry import Registry
from mooring.metrics.series import Point, Series

log = logging.getLogger("mooring.gateway")

REPORT_S = 1.0
EXACT_S = 120
POINTS_A_MESSAGE = 1000
MOST_HELD = 50_000
"""Points that wait for control; above it those of the oldest minutes go, and are counted."""

Source = Callable[[int], Iterable[Point]]
"""What was seen since the last time, as points of a second; called once a second, from the loop's thread."""
Tell = Callable[[dict[str, Any]], bool]
"""Sends a message to control; False when it is away."""


class Ledger:
    """Messages that control may not have yet."""

    def __init__(self) -> None:
        self.dropped = 0
        self._sequence = 0
        self._sent: dict[int, list[Point]] = {}
        self._waiting: dict[tuple[Series, int], Distribution] = {}
        self._held = 0  # points in `_sent`

    def add(self, points: Iterable[Point]) -> None:
        """Hold points that were counted."""
        for series, at, seen in points:
            held = self._waiting.setdefault((series, at), seen)
            if held is not seen:
                held.merge(seen)

    def acknowledged(self, sequence: int) -> None:
        """Control has every message up to this one on disk."""
        for number in [number for number in self._sent if number <= sequence]:
            self._held -= len(self._sent.pop(number))

    def send(self, tell: Tell, now: int) -> None:
        """Send what waits, as far as there is somebody to take it; what there is not grows coarse."""
        while self._waiting and self._held < MOST_HELD:
            keys = list(self._waiting)[:POINTS_A_MESSAGE]
            points = [Point(series, at, self._waiting[series, at]) for series, at in keys]
            if not tell(_message(self._sequence + 1, points)):
                break
            self._sequence += 1
            self._sent[self._sequence] = points
            self._held += len(points)
            for key in keys:
                del self._waiting[key]
        if self._waiting:
            self._coarsen(now)

    def send_again(self, tell: Tell) -> None:
        """To a control that has only just come."""
        for sequence, points in self._sent.items():
            if not tell(_message(sequence, points)):
                return

    def _coarsen(self, now: int) -> None:
        for series, at in [key for key in self._waiting if key[1] < now - EXACT_S and key[1] % 60]:
            seen = self._waiting.pop((series, at))
            self.add([Point(series, at - at % 60, seen)])
        if len(self._waiting) > MOST_HELD:
            for key in sorted(self._waiting, key=lambda key: key[1])[: len(self._waiting) - MOST_HELD]:
                del self._waiting[key]
                self.dropped += 1


class Reporter:
    """Asks its sources each second, and sends what they say; `run` is the one task."""

    def __init__(self, registry: Registry, tell: Tell, sources: Iterable[Source] = ()) -> None:
        self.ledger = Ledger()
        self._registry = registry
        self._tell = tell
        self._sources = list(sources)

    def add(self, source: Source) -> None:
        """Ask this one too."""
        self._sources.append(source)

    async def run(self) -> None:
        """Report until cancelled."""
        while True:
            await asyncio.sleep(REPORT_S)
            self.report()

    def report(self) -> None:
        """Report now; also once more at the end."""
        now = int(time.time())
        for source in self._sources:
            try:  # one source's defect must not silence the others
                self.ledger.add(source(now))
            except Exception:
                log.exception("a source of metrics failed")
        self.ledger.send(self._tell, now)
        told = self._registry.told()
        if told:
            self._tell({"gauges": told})

    def greet(self) -> None:
        """Control has only just come."""
        self.ledger.send_again(self._tell)
        self.ledger.send(self._tell, int(time.time()))


def _message(sequence: int, points: list[Point]) -> dict[str, Any]:
    return {"counted": {"sequence": sequence, "points": [point.to_document() for point in points]}}
