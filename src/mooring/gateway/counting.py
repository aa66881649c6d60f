"""Plain counters of each variant, which outlive the versions of its route.

Counting a call is a few additions; what is made of the numbers is made elsewhere, once a second.
"""

from __future__ import annotations

from mooring.upstream.call import Failure


class VariantCounters:
    """What one gateway saw of one variant since it started. Times are in seconds."""

    __slots__ = ("errors_4xx", "errors_5xx", "invocations", "latencies", "model_errors", "overheads")

    def __init__(self) -> None:
        self.invocations = 0
        self.errors_4xx = 0
        self.errors_5xx = 0
        self.model_errors = 0
        self.latencies: list[float] = []
        self.overheads: list[float] = []

    def answered(self, model: float, overhead: float) -> None:
        """A call succeeded: the replica took `model` seconds of it, and the gateway `overhead`."""
        self.invocations += 1
        self.latencies.append(model)
        self.overheads.append(overhead)

    def failed(self, status: int, failure: Failure | None) -> None:
        """A call failed: with the replica's own `status`, or for want of an answer."""
        self.invocations += 1
        self.model_errors += 1
        if 400 <= status < 500:
            self.errors_4xx += 1
        elif status >= 500 or failure is not None:
            self.errors_5xx += 1


class Counting:
    """The counters of all variants of one gateway."""

    def __init__(self) -> None:
        self._counters: dict[tuple[str, str], VariantCounters] = {}

    def of(self, route_key: str, variant: str) -> VariantCounters:
        """The counters of a variant; the same for all fleets and versions of it."""
        return self._counters.setdefault((route_key, variant), VariantCounters())

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        for key in [key for key in self._counters if key[0] == route_key]:
            del self._counters[key]
