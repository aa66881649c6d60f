"""What is counted of jobs, in AWS's metrics of asynchronous endpoints, until it is recorded.

`Invocations`, `InvocationsPerInstance` and `OverheadLatency` are not told of such endpoints, as on AWS.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mooring.hosting.naming import Scope
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Point, Series, dimensions

NAMESPACE = "AWS/SageMaker"
PROCESSED = "InvocationsProcesssed"
"""As AWS's guide spells it."""
MICROSECONDS, MILLISECONDS, SECONDS, COUNT, NONE = "Microseconds", "Milliseconds", "Seconds", "Count", "None"
_Key = tuple[Scope, str, str, str, str]


class Counters:
    """Values of all variants since they were last drained."""

    def __init__(self) -> None:
        self._seen: dict[_Key, list[float]] = {}

    def add(self, scope: Scope, endpoint: str, variant: str, name: str, unit: str, value: float) -> None:
        """See a value."""
        self._seen.setdefault((scope, endpoint, variant, name, unit), []).append(value)

    def drain(self, at: float) -> Iterator[Point]:
        """What was seen, as points of the second `at`."""
        seen, self._seen = self._seen, {}
        for (scope, endpoint, variant, name, unit), values in seen.items():
            of = {"EndpointName": endpoint, "VariantName": variant}
            yield point(scope, of, name, unit, at, Distribution.of(values))


def backlog_points(
    scope: Scope, endpoint: str, *, size: int, oldest_s: float, waiting: int, replicas: int, at: float
) -> Iterator[Point]:
    """The gauges of one endpoint's queue; alarms and scaling stand on them, so they are told when they are zero too."""
    of = {"EndpointName": endpoint}
    values = (
        ("ApproximateBacklogSize", COUNT, float(size)),
        ("ApproximateBacklogSizePerInstance", COUNT, size / max(1, replicas)),
        ("ApproximateAgeOfOldestRequest", SECONDS, oldest_s),
        ("HasBacklogWithoutCapacity", COUNT, float(waiting > 0 and not replicas)),
    )
    for name, unit, value in values:
        yield point(scope, of, name, unit, at, Distribution.repeated(value, 1))


def point(scope: Scope, of: Mapping[str, str], name: str, unit: str, at: float, seen: Distribution) -> Point:
    """A point of one metric."""
    return Point(Series(scope.account, scope.region, NAMESPACE, name, dimensions(of), unit), int(at), seen)
