"""ConcurrentRequestsPerModel: the calls that a variant has at a time, in all gateways, by its instances.

Gateways say each second what they have outstanding, in flight and queued at replicas; each second that is added up, and
every ten seconds it is one point. A variant that serves and has no call has points of 0, so that an alarm which waits
for quiet hears it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from mooring.clock import Clock
from mooring.control.publishing import GatewayLink, RoutePublisher
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus
from mooring.hosting.routes import route_key
from mooring.metrics.distributions import Distribution
from mooring.metrics.series import Point, Series, dimensions
from mooring.store import Store, endpoints

log = logging.getLogger("mooring.control")

NAMESPACE, NAME, UNIT = "AWS/SageMaker", "ConcurrentRequestsPerModel", "Count"
SAMPLE_S = 1.0
PERIOD_S = 10
STALE_S = 5.0
"""What a gateway said so long ago does not count: it is stuck, or away."""
_WITHOUT = (
    EndpointStatus.CREATING,
    EndpointStatus.FAILED,
    EndpointStatus.DELETING,
    EndpointStatus.OUT_OF_SERVICE,
)
_Key = tuple[str, str]
"""Route and variant."""


class ConcurrentRequests:
    """`run` is the one task."""

    def __init__(
        self, store: Store, publisher: RoutePublisher, record: Callable[[Iterable[Point]], None], clock: Clock
    ) -> None:
        self._store = store
        self._record = record
        self._clock = clock
        self._said: dict[GatewayLink, tuple[float, dict[_Key, int]]] = {}
        self._samples: list[dict[_Key, int]] = []
        publisher.heeded["outstanding"] = self._heard
        publisher.left.append(self._left)

    def _heard(self, link: GatewayLink, message: dict[str, Any]) -> None:
        counts = {(str(route), str(variant)): int(count) for route, variant, count in message["outstanding"]}
        self._said[link] = (self._clock.monotonic(), counts)

    def _left(self, link: GatewayLink) -> None:
        self._said.pop(link, None)

    async def run(self) -> None:
        """Look until cancelled."""
        period = int(self._clock.wall()) // PERIOD_S
        while True:
            await asyncio.sleep(SAMPLE_S)
            self._samples.append(self._outstanding())
            now = int(self._clock.wall()) // PERIOD_S
            if now != period:
                period = now
                try:
                    self._record(self.points(await self._store.read(endpoints.all), now * PERIOD_S - 1))
                except Exception:
                    log.exception("the calls of variants cannot be told")

    def _outstanding(self) -> dict[_Key, int]:
        """What all gateways have now."""
        found: dict[_Key, int] = {}
        fresh = self._clock.monotonic() - STALE_S
        for at, counts in self._said.values():
            for key, count in counts.items() if at >= fresh else ():
                found[key] = found.get(key, 0) + count
        return found

    def points(self, records: Iterable[EndpointRecord], at: int) -> list[Point]:
        """What was seen since the last time, of every variant that serves."""
        samples, self._samples = self._samples, []
        if not samples:
            return []
        return [
            Point(series, at, Distribution.of([sample.get(key, 0) / instances for sample in samples]))
            for record in records
            for key, series, instances in _variants(record)
        ]


def _variants(record: EndpointRecord) -> Iterator[tuple[_Key, Series, int]]:
    """Those that answer calls on instances, with how many there are."""
    if record.status in _WITHOUT or "AsyncInferenceConfig" in record.config:
        return
    scope = record.scope
    for variant in record.variants:
        if variant.shadow or "ServerlessConfig" in variant.config or not variant.current_count:
            continue
        named = dimensions({"EndpointName": record.name, "VariantName": variant.name})
        series = Series(scope.account, scope.region, NAMESPACE, NAME, named, UNIT)
        yield (route_key(scope, record.name), variant.name), series, variant.current_count
