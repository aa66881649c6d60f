"""What a metric is called, and a point of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from mooring.metrics.distributions import Distribution

Dimensions = tuple[tuple[str, str], ...]
"""Names and values, by name."""


def dimensions(pairs: Mapping[str, str] | Iterable[tuple[str, str]]) -> Dimensions:
    """Dimensions in the order in which they are compared."""
    return tuple(sorted(pairs.items() if isinstance(pairs, Mapping) else pairs))


class Metric(NamedTuple):
    """One metric of one account and region."""

    account: str
    region: str
    namespace: str
    name: str
    dimensions: Dimensions


class Series(NamedTuple):
    """The values of one metric that were told in one unit."""

    account: str
    region: str
    namespace: str
    name: str
    dimensions: Dimensions
    unit: str

    @property
    def metric(self) -> Metric:
        """What it is a series of, in whatever unit."""
        return Metric(*self[:-1])

    def to_document(self) -> list[Any]:
        """For JSON."""
        return [*self]

    @staticmethod
    def from_document(document: Any) -> Series:
        """The inverse of `to_document`. Raises ValueError or TypeError for what is none."""
        *texts, unit = document
        account, region, namespace, name, pairs = texts
        return Series(str(account), str(region), str(namespace), str(name), _dimensions(pairs), str(unit))


def _dimensions(pairs: Any) -> Dimensions:
    return dimensions([(str(name), str(value)) for name, value in pairs])


class Point(NamedTuple):
    """What was seen of a series in one second."""

    series: Series
    at: int
    """Whole seconds since the epoch."""
    seen: Distribution

    def to_document(self) -> list[Any]:
        """For JSON."""
        return [self.series.to_document(), self.at, self.seen.to_document()]

    @staticmethod
    def from_document(document: Any) -> Point:
        """The inverse of `to_document`. Raises ValueError or TypeError for what is none."""
        series, at, seen = document
        return Point(Series.from_document(series), int(at), Distribution.from_document(seen))
