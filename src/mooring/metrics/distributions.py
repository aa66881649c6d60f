"""What is kept of many values: their count, sum, extremes, and how many fell into each of many narrow buckets.

Bucket `i` holds the values in `(GAMMA**(i-1), GAMMA**i]` (as in DDSketch, Masson et al., VLDB 2019), so whatever is
told from the buckets alone is off by less than the width of a bucket, 4.1 %, and whole numbers up to 24 are told as
they are. Merging distributions loses nothing: it does not matter in how many processes or seconds values were seen.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

GAMMA = 1.02 / 0.98
_PER_LOG = 1 / math.log(GAMMA)
_OFFSET = 20_000
"""Larger than any bucket's index of a double, so that keys of positive values are positive: keys sort as values do."""
_SHIFT = _OFFSET + 1 - 1e-9
"""The sum is positive, so `int` is the floor; and a bound, whose logarithm may come out a little large, is in its own
bucket."""


def key_of(value: float) -> int:
    """The bucket that a finite value falls into."""
    if value > 0:
        return int(math.log(value) * _PER_LOG + _SHIFT)
    return 0 if value == 0 else -key_of(-value)


def upper_bound(key: int) -> float:
    """The largest value of a bucket of positive values, which may be infinite."""
    try:
        return math.exp((key - _OFFSET) / _PER_LOG)
    except OverflowError:
        return math.inf


def value_of(key: int) -> float:
    """What stands for the values of a bucket: the whole number in it, where there is one, and else the middle."""
    if key <= 0:
        return -value_of(-key) if key else 0.0
    bound = upper_bound(key)
    whole = math.floor(bound + 1e-9) if bound < _OFFSET else 0
    if whole >= 1 and whole - bound / GAMMA > 1e-9:
        return float(whole)
    return min(bound * 2 / (1 + GAMMA), 1.7e308)


@dataclass(slots=True)
class Distribution:
    """Values that were seen. `buckets` is None where only their count, sum and extremes are known."""

    count: float = 0.0
    total: float = 0.0
    least: float = math.inf
    most: float = -math.inf
    buckets: dict[int, float] | None = field(default_factory=dict)

    @staticmethod
    def of(values: Iterable[float]) -> Distribution:
        """Of finite values, each seen once."""
        made = Distribution()
        made.add_all(list(values))
        return made

    @staticmethod
    def repeated(value: float, times: float) -> Distribution:
        """Of one finite value, seen some times."""
        return Distribution(times, value * times, value, value, {key_of(value): times})

    @staticmethod
    def weighted(pairs: Iterable[tuple[float, float]]) -> Distribution:
        """Of finite values, and how often each was seen."""
        made = Distribution()
        for value, times in pairs:
            if times > 0:
                made.merge(Distribution.repeated(value, times))
        return made

    @staticmethod
    def summarized(count: float, total: float, least: float, most: float) -> Distribution:
        """Of values that only a summary tells of; of equal ones all is known."""
        known = least == most or count == 1
        return Distribution(count, total, least, most, {key_of(total / count): count} if known and count > 0 else None)

    def add_all(self, values: list[float], scale: float = 1.0) -> None:
        """See more values, each times `scale`, which is positive. This is what every invocation is counted with."""
        if not values:
            return
        least = min(values)
        self.count += len(values)
        self.total += sum(values) * scale
        self.least = min(self.least, least * scale)
        self.most = max(self.most, max(values) * scale)
        buckets = self.buckets
        if buckets is None:
            return
        if least > 0:
            log, per_log, shift = math.log, _PER_LOG, _SHIFT + math.log(scale) * _PER_LOG
            keys = Counter([int(log(value) * per_log + shift) for value in values])
        else:
            keys = Counter([key_of(value * scale) for value in values])
        for key, times in keys.items():
            buckets[key] = buckets.get(key, 0.0) + times

    def merge(self, other: Distribution) -> None:
        """See all that `other` has seen."""
        if not other.count:
            return
        if not self.count:
            self.buckets = {}
        self.count += other.count
        self.total += other.total
        self.least = min(self.least, other.least)
        self.most = max(self.most, other.most)
        if self.buckets is None or other.buckets is None:
            self.buckets = None
            return
        for key, times in other.buckets.items():
            self.buckets[key] = self.buckets.get(key, 0.0) + times

    def copy(self) -> Distribution:
        """One that can be merged into without changing this."""
        buckets = None if self.buckets is None else dict(self.buckets)
        return Distribution(self.count, self.total, self.least, self.most, buckets)

    def values(self) -> list[tuple[float, float]]:
        """(value, how often) in order, as far as the buckets tell."""
        if not self.buckets:
            return []
        return [(min(max(value_of(key), self.least), self.most), self.buckets[key]) for key in sorted(self.buckets)]

    def values_of_sum(self) -> list[tuple[float, float]]:
        """The same, moved a little so that they sum up to what the values did."""
        told = self.values()
        whole = sum(value * times for value, times in told)
        factor = self.total / whole if whole else 1.0
        return [(value * factor, times) for value, times in told] if 0.9 < factor < 1.1 else told

    def to_document(self) -> list[Any]:
        """`[count, sum, least, most, {bucket: times}]`, for JSON."""
        return [self.count, self.total, self.least, self.most, self.buckets]

    @staticmethod
    def from_document(document: Any) -> Distribution:
        """The inverse of `to_document`. Raises ValueError or TypeError for what is none."""
        count, total, least, most, buckets = document
        known = None if buckets is None else {int(key): float(times) for key, times in buckets.items()}
        made = Distribution(float(count), float(total), float(least), float(most), known)
        if not all(map(math.isfinite, (made.count, made.total, made.least, made.most))) or made.count <= 0:
            raise ValueError("a distribution has numbers that are none")
        return made


def merged(distributions: Iterable[Distribution]) -> Distribution:
    """All of them as one."""
    whole = Distribution()
    for each in distributions:
        whole.merge(each)
    return whole


def at_most(buckets: Mapping[int, float], bounds: Iterable[int]) -> Iterator[float]:
    """How many values there are up to each of some buckets, whose keys ascend."""
    keys = sorted(buckets)
    seen, position = 0.0, 0
    for bound in bounds:
        while position < len(keys) and keys[position] <= bound:
            seen += buckets[keys[position]]
            position += 1
        yield seen
