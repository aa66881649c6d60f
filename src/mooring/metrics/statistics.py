"""CloudWatch's statistics, of one distribution.

`Average`, `Sum`, `Minimum`, `Maximum` and `SampleCount` are exact. Percentiles (`p99`), trimmed and winsorized means
(`tm90`, `TM(10%:90%)`, `wm98`, `IQM`), counts, sums and ranks (`tc90`, `ts90`, `PR(:300)`) follow from the buckets.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import lru_cache, partial

from mooring.errors import Refused
from mooring.metrics.distributions import Distribution

Statistic = Callable[[Distribution], float | None]
"""None where the distribution does not tell it."""

_SIMPLE: dict[str, Statistic] = {
    "SampleCount": lambda seen: seen.count,
    "Sum": lambda seen: seen.total,
    "Average": lambda seen: seen.total / seen.count,
    "Minimum": lambda seen: seen.least,
    "Maximum": lambda seen: seen.most,
}
_NUMBER = r"(?:[0-9]{1,15}(?:\.[0-9]{1,10})?)"
_SHORT = re.compile(rf"(p|tm|wm|tc|ts)({_NUMBER})", re.IGNORECASE)
_RANGE = re.compile(rf"(TM|WM|TC|TS|PR)\(({_NUMBER}%?)?:({_NUMBER}%?)?\)", re.IGNORECASE)


def is_percentile(name: str) -> bool:
    """Whether a statistic is one of those that few samples say little about."""
    return name not in _SIMPLE


@lru_cache(maxsize=1024)
def statistic(name: str) -> Statistic:
    """The function of a statistic's name. Raises `Refused` for what is none."""
    if name in _SIMPLE:
        return _SIMPLE[name]
    if (short := _SHORT.fullmatch(name)) and 0 <= (percent := float(short[2])) <= 100:
        if short[1].lower() == "p":
            return partial(_percentile, percent)
        return partial(_ranged, short[1].lower(), 0.0, percent)
    if name.upper() == "IQM":
        return partial(_ranged, "tm", 25.0, 75.0)
    if found := _RANGE.fullmatch(name):
        kind, low, high = found[1].lower(), found[2], found[3]
        bounds = [each for each in (low, high) if each]
        in_percent = [each.endswith("%") for each in bounds]
        if bounds and len(set(in_percent)) == 1 and not (kind == "pr" and in_percent[0]):
            least, most = (float(each.rstrip("%")) if each else None for each in (low, high))
            if in_percent[0] and max(least or 0.0, most or 0.0) <= 100 and (least or 0.0) <= (most or 100.0):
                return partial(_ranged, kind, least or 0.0, 100.0 if most is None else most)
            if not in_percent[0]:
                infinite = -math.inf if least is None else least, math.inf if most is None else most
                return partial(_between, kind, *infinite)
    raise Refused(
        f"The statistic {name!r} is none: take SampleCount, Sum, Average, Minimum, Maximum, or one such as p99, tm90, "
        "wm90, tc90, ts90, IQM, TM(10%:90%) or PR(0:100)."
    )


def _percentile(percent: float, seen: Distribution) -> float | None:
    values = seen.values()
    if not values:
        return None
    if percent <= 0:
        return seen.least
    if percent >= 100:
        return seen.most
    rank, passed = percent / 100 * seen.count, 0.0
    for value, times in values:
        passed += times
        if passed >= rank - 1e-9:
            return min(max(value, seen.least), seen.most)
    return seen.most


def _ranged(kind: str, low: float, high: float, seen: Distribution) -> float | None:
    """Of the values whose ranks are between two percentiles."""
    values = seen.values()
    if not values:
        return None
    first, last, passed = low / 100 * seen.count, high / 100 * seen.count, 0.0
    kept: list[tuple[float, float]] = []
    for value, times in values:
        inside = min(passed + times, last) - max(passed, first)
        if inside > 1e-9:
            kept.append((value, inside))
        passed += times
    return _told(kind, kept, first, seen.count - last)


def _between(kind: str, low: float, high: float, seen: Distribution) -> float | None:
    """Of the values above one bound and up to another."""
    values = seen.values()
    if not values:
        return None
    kept = [(value, times) for value, times in values if low < value <= high or value == low == high]
    if kind == "pr":
        return 100 * sum(times for _, times in kept) / seen.count
    below = sum(times for value, times in values if value <= low)
    above = sum(times for value, times in values if value > high)
    return _told(kind, kept, below, above)


def _told(kind: str, kept: list[tuple[float, float]], below: float, above: float) -> float | None:
    count = sum(times for _, times in kept)
    if kind == "tc":
        return count
    total = sum(value * times for value, times in kept)
    if kind == "ts":
        return total
    if not count:
        return None
    if kind == "tm":
        return total / count
    return (total + kept[0][0] * below + kept[-1][0] * above) / (count + below + above)
