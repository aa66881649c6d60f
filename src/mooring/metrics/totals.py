"""Running totals of series, as Prometheus reads them: they only grow, until the process that keeps them ends."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Point, Series

MOST = 20_000
FORGOTTEN_AFTER_S = 86_400
"""A series of which nothing came for this long is not told any more."""


class Totals:
    """What was seen of each series altogether."""

    def __init__(self) -> None:
        self._totals: dict[Series, tuple[Distribution, Point]] = {}

    def add(self, points: Iterable[Point]) -> None:
        """See more; beyond `MOST` series those that were silent longest go."""
        for point in points:
            held = self._totals.pop(point.series, None)
            total = Distribution() if held is None else held[0]
            total.merge(point.seen)
            self._totals[point.series] = (total, point)
        while len(self._totals) > MOST:
            del self._totals[next(iter(self._totals))]

    def recent(self, now: float) -> Iterator[tuple[Series, Distribution, Point]]:
        """(series, everything, the last point) of what was told lately."""
        for series, (total, last) in self._totals.items():
            if last.at > now - FORGOTTEN_AFTER_S:
                yield series, total, last
