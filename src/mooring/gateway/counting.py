"""Counters of each variant, which outlive the versions of its route: what CloudWatch's metrics of invocations are.

Counting a call is a few additions. Times are put into buckets `FOLD_AT` at a time, so that neither a call nor the
once-a-second `drain` is long. The names are AWS's: `InvocationModelErrors` are all calls that were not answered with
2xx, `Invocation4XXErrors` those that the model answered with 4xx, and `Invocation5XXErrors` those that it answered with
5xx or not at all, which to a caller's alarm is the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Iterator
from math import isfinite

from mooring.hosting.routes import Route
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Point, Series, dimensions
from mooring.upstream.call import Failure

NAMESPACE = "AWS/SageMaker"
FOLD_AT = 128
LONGEST_CALL_S = 900.0
"""Longer than any call takes."""
_MICROSECONDS = 1e6
_Key = tuple[str, str, str | None]
"""Route, variant, and the config of its fleet where an update has two."""


class VariantCounters:
    """What one gateway saw of one variant since it was last drained. Times are in seconds."""

    __slots__ = ("_latency", "_overhead", "errors", "errors_4xx", "errors_5xx", "explained_records", "instances",
                 "invocations", "latencies", "model_errors", "overheads", "provisioned", "spilled")  # fmt: skip

    def __init__(self) -> None:
        self.invocations = 0
        self.errors_4xx = 0
        self.errors_5xx = 0
        self.model_errors = 0
        self.provisioned = 0
        """Calls of a serverless variant with provisioned replicas that went to one of these."""
        self.spilled = 0
        """And those that did not."""
        self.explained_records = 0
        self.errors: list[float] = []
        """Estimates of the relative errors of their attributions."""
        self.instances = 0
        """Replicas that take its calls; set when a route is compiled."""
        self.latencies: list[float] = []
        self.overheads: list[float] = []
        self._latency = Distribution()
        self._overhead = Distribution()

    def answered(self, model: float, overhead: float) -> None:
        """A call succeeded: the replica took `model` seconds of it, and the gateway `overhead`."""
        self.invocations += 1
        self.latencies.append(model)
        overheads = self.overheads
        overheads.append(overhead)
        if len(overheads) >= FOLD_AT:
            self._fold()

    def failed(self, status: int, failure: Failure | None, model: float | None = None) -> None:
        """A call failed: with the replica's own `status`, or for want of an answer, `model` seconds later."""
        self.invocations += 1
        self.model_errors += 1
        if 400 <= status < 500:
            self.errors_4xx += 1
        elif status >= 500 or failure is not None:
            self.errors_5xx += 1
        if model is not None:
            self.latencies.append(model)

    def explained(self, records: int, errors: Iterable[float]) -> None:
        """So many records of a call were explained; `errors` are what is estimated of their attributions' errors."""
        self.explained_records += records
        self.errors.extend(error for error in errors if isfinite(error))

    def drain(self) -> Iterator[tuple[str, str, Distribution]]:
        """(metric, unit, what was seen) since the last time."""
        self._fold()
        invocations = self.invocations
        if invocations:
            yield "Invocations", "None", Distribution.repeated(1.0, invocations)
            if self.instances:
                yield "InvocationsPerInstance", "None", Distribution.repeated(1.0 / self.instances, invocations)
            for name, errors in (
                ("Invocation4XXErrors", self.errors_4xx),
                ("Invocation5XXErrors", self.errors_5xx),
                ("InvocationModelErrors", self.model_errors),
            ):
                # Each call is a value, 1 or 0, so that the average is the share of errors.
                yield name, "None", Distribution.weighted(((0.0, invocations - errors), (1.0, errors)))
            self.invocations = self.errors_4xx = self.errors_5xx = self.model_errors = 0
        served, self.provisioned = self.provisioned, 0
        spilled, self.spilled = self.spilled, 0
        for name, calls in (("Invocations", served), ("SpilloverInvocations", spilled)):
            if calls:
                yield f"ServerlessProvisionedConcurrency{name}", "Count", Distribution.repeated(1.0, calls)
        yield from self._explanations()
        for name, seen in (("ModelLatency", self._latency), ("OverheadLatency", self._overhead)):
            if seen.count:
                yield name, "Microseconds", seen
        self._latency, self._overhead = Distribution(), Distribution()

    def _explanations(self) -> Iterator[tuple[str, str, Distribution]]:
        records, self.explained_records = self.explained_records, 0
        errors, self.errors = self.errors, []
        if records and self.instances:
            yield "ExplanationsPerInstance", "None", Distribution.repeated(1.0 / self.instances, records)
        if errors:
            yield "ExplanationRelativeError", "None", Distribution.of(errors)

    def _fold(self) -> None:
        for seconds, seen in ((self.latencies, self._latency), (self.overheads, self._overhead)):
            if seconds:
                seen.add_all(seconds, _MICROSECONDS)
                seconds.clear()


class Counting:
    """The counters of all variants of one gateway."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._counters: dict[_Key, VariantCounters] = {}
        self._left: dict[_Key, float] = {}
        """What no route names any more, and since when: calls that are under way still count there."""

    def of(self, route_key: str, variant: str, config: str | None = None) -> VariantCounters:
        """The counters of a variant: the same for all its versions, and for all fleets that no config tells apart."""
        key = route_key, variant, config
        self._left.pop(key, None)
        counters = self._counters.get(key)
        if counters is None:
            counters = self._counters[key] = VariantCounters()
        return counters

    def follow(self, route: Route) -> None:
        """An endpoint has the variants, shadows and replicas of this route now, and no others."""
        replicas: dict[tuple[str, str | None], int] = {}
        for variant in route.variants:
            # A serverless variant has no instances that its calls could be counted by.
            of_name = sum(
                len(each.replicas) for each in route.variants if each.name == variant.name and each.serverless is None
            )
            replicas[variant.name, variant.config] = of_name
            if variant.shadow is not None:
                replicas[variant.shadow.name, None] = len(variant.shadow.replicas)
        for (name, config), count in replicas.items():
            self.of(route.key, name, config).instances = count
        self._leave(route.key, replicas)

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        self._leave(route_key, ())

    def _leave(self, route_key: str, kept: Container[tuple[str, str | None]]) -> None:
        for key in self._counters:
            if key[0] == route_key and key[1:] not in kept:
                self._left.setdefault(key, self._monotonic())

    def drain(self, at: int) -> Iterator[Point]:
        """What was counted since the last time, as points of the second `at`."""
        for (route_key, variant, config), counters in self._counters.items():
            account, region, endpoint = route_key.split("/", 2)
            of_variant = {"EndpointName": endpoint, "VariantName": variant}
            for name, unit, seen in counters.drain():
                yield Point(Series(account, region, NAMESPACE, name, dimensions(of_variant), unit), at, seen)
                if config is not None:
                    of_fleet = dimensions({**of_variant, "EndpointConfigName": config})
                    yield Point(Series(account, region, NAMESPACE, name, of_fleet, unit), at, seen.copy())
        over = self._monotonic() - LONGEST_CALL_S
        for key in [key for key, since in self._left.items() if since < over]:
            del self._counters[key], self._left[key]
