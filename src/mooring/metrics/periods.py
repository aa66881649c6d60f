"""Points put together into periods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mooring.metrics.distributions import Distribution
from mooring.metrics.statistics import Statistic

LONGEST_AT_ONCE = 100_800
"""Datapoints that one call may ask for, as on AWS."""


def in_periods(points: Iterable[Mapping[int, Distribution]], origin: int, period: int) -> dict[int, Distribution]:
    """What was seen in each period that has anything, by its start; a period begins at `origin`."""
    found: dict[int, Distribution] = {}
    for each in points:
        for at, seen in each.items():
            start = at - (at - origin) % period
            if start in found:
                found[start].merge(seen)
            else:
                found[start] = seen.copy()
    return dict(sorted(found.items()))


def told(periods: Mapping[int, Distribution], statistic: Statistic) -> dict[int, float]:
    """A statistic of each period that it can be told of."""
    found = ((at, statistic(seen)) for at, seen in periods.items())
    return {at: value for at, value in found if value is not None}
