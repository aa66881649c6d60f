"""What is counted of one shadow and of the calls that are copied to it, since the copier started."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

from mooring.hosting.comparisons import AGREEMENT, DROPPED, MOST_EXAMPLES, SIDE, bucket
from mooring.upstream.call import Failure

_OF_FAILURE = {Failure.TIMED_OUT: "timeouts"}


class Side:
    """One of the two variants."""

    __slots__ = ("counts", "latencies")

    def __init__(self) -> None:
        self.counts = dict.fromkeys(SIDE, 0)
        self.latencies: dict[int, int] = {}

    def answered(self, status: int, seconds: float) -> None:
        """The replica has answered, with whichever status."""
        number = bucket(seconds)
        self.latencies[number] = self.latencies.get(number, 0) + 1
        if 200 <= status < 300:
            self.counts["answers"] += 1
        else:
            self.counts["errors_4xx" if 400 <= status < 500 else "errors_5xx"] += 1

    def failed(self, failure: Failure) -> None:
        """The replica has not answered."""
        self.counts[_OF_FAILURE.get(failure, "broken")] += 1

    def to_document(self) -> dict[str, Any]:
        """Plain JSON types."""
        return {**self.counts, "latencies": {str(number): count for number, count in self.latencies.items()}}


class Metrics:
    """What its variant's metrics count of a shadow (`mooring.gateway.counting`), as long as it was not taken."""

    def __init__(self) -> None:
        self._answered: list[tuple[float, float]] = []
        self._failed: list[tuple[int, str | None]] = []

    def answered(self, model: float, overhead: float) -> None:
        self._answered.append((model, overhead))

    def failed(self, status: int, failure: Failure | None) -> None:
        self._failed.append((status, None if failure is None else failure.name))

    def take(self) -> dict[str, Any]:
        """What has come since this was asked before; empty when nothing has."""
        if not self._answered and not self._failed:
            return {}
        taken = {"answered": self._answered, "failed": self._failed}
        self._answered, self._failed = [], []
        return taken


class Tally:
    """Of one shadow under one endpoint config."""

    def __init__(self) -> None:
        self.copied = 0
        """Calls of which a copy was to be sent."""
        self.dropped = dict.fromkeys(DROPPED, 0)
        self.agreement = dict.fromkeys(AGREEMENT, 0)
        self.production = Side()
        self.shadow = Side()
        self.metrics = Metrics()
        self._examples: deque[dict[str, Any]] = deque(maxlen=MOST_EXAMPLES)

    def differs(self, inference_id: str | None, request_id: str, what: str) -> None:
        """Two answers differ in `what`."""
        self.agreement["different"] += 1
        found = {"at": round(time.time(), 3), "request_id": request_id, "what": what}
        self._examples.append(found if inference_id is None else {**found, "inference_id": inference_id})

    def to_document(self) -> dict[str, Any]:
        """As `mooring.hosting.comparisons` has it."""
        return {
            "copied": self.copied,
            "dropped": dict(self.dropped),
            "agreement": dict(self.agreement),
            "production": self.production.to_document(),
            "shadow": self.shadow.to_document(),
            "examples": list(self._examples),
        }
