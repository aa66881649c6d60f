"""All metrics of this server, at control: what gateways count, what is measured here, what callers publish.

A gateway's message is recorded once and acknowledged when it is on disk (`mooring.gateway.reporting`). Whoever has a
metric to publish calls `record`, from control's loop: it can be read at once, by alarms too.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from mooring.clock import Clock
from mooring.control.publishing import GatewayLink, RoutePublisher
from mooring.metrics.exposition import exposition
from mooring.metrics.registry import Registry, Told
from mooring.metrics.series import Point
from mooring.metrics.totals import Totals
from mooring.paths import Paths
from mooring.settings import MetricsSettings
from mooring.store.metric_data import MetricData, Retention
from mooring.store.metric_store import MetricStore

T = TypeVar("T")

SHORTEST_FLUSH_S = 0.1
LOOKS_MISSED = 3
"""A variant that was not found for so many looks at replicas is gone: its gauges are not told any more."""


class Metering:
    """Open with `Metering.open`, close once."""

    def __init__(
        self,
        settings: MetricsSettings,
        store: MetricStore,
        sources: dict[str, int],
        publisher: RoutePublisher,
        clock: Clock,
    ) -> None:
        self.totals = Totals()
        """Everything since this control began, for Prometheus."""
        self.registry = Registry()
        """What control tells of itself."""
        self._store = store
        self._sequences = sources
        self._publisher = publisher
        self._clock = clock
        self._gauges_last_s = LOOKS_MISSED * settings.instances_interval_s
        self._gauges: dict[GatewayLink, list[Told]] = {}
        publisher.heeded["counted"] = self._counted
        publisher.heeded["gauges"] = self._told
        publisher.left.append(self._left)
        self._flushing = asyncio.create_task(
            store.run(max(settings.flush_s, SHORTEST_FLUSH_S), self._flushed), name="metrics to disk"
        )

    @staticmethod
    async def open(settings: MetricsSettings, paths: Paths, publisher: RoutePublisher, clock: Clock) -> Metering:
        """Raises `DataDirectoryError`."""
        kept = {
            1: settings.seconds_kept_s,
            60: settings.minutes_kept_s,
            300: settings.five_minutes_kept_s,
            3600: settings.hours_kept_s,
        }
        store = await MetricStore.open(paths.metrics_db, Retention(kept, settings.most_series), clock.wall)
        return Metering(settings, store, await store.read(MetricData.sources), publisher, clock)

    def record(self, points: Iterable[Point]) -> None:
        """Publish metrics of Mooring's own."""
        held = list(points)
        self.totals.add(held)
        self._store.record(held)

    def publish(self, points: Iterable[Point]) -> None:
        """Publish a caller's metrics, whatever they are called: `/metrics` does not tell them."""
        self._store.record(list(points))

    async def read(self, query: Callable[[MetricData], T]) -> T:
        """What `query` finds in the metrics, on their own thread."""
        return await self._store.read(query)

    def exposition(self) -> bytes:
        """What `/metrics` says."""
        told = {f"gateway {link.index}": told for link, told in self._gauges.items()}
        told["control"] = self.registry.told()
        now = self._clock.wall()
        return exposition(self.totals.recent(now), told, now - self._gauges_last_s)

    async def close(self) -> None:
        """Write what is not on disk yet."""
        self._flushing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._flushing
        await self._store.close()

    def _counted(self, link: GatewayLink, message: dict[str, Any]) -> None:
        counted = message["counted"]
        sequence = int(counted["sequence"])
        if sequence <= self._sequences.get(link.incarnation, 0):
            return
        points = [Point.from_document(each) for each in counted["points"]]
        self._sequences[link.incarnation] = sequence
        self.totals.add(points)
        self._store.receive(link.incarnation, sequence, points)

    def _told(self, link: GatewayLink, message: dict[str, Any]) -> None:
        self._gauges[link] = Registry.told_by(message["gauges"])

    def _left(self, link: GatewayLink) -> None:
        self._gauges.pop(link, None)

    def _flushed(self, sequences: dict[str, int]) -> None:
        def message(link: GatewayLink) -> dict[str, Any] | None:
            on_disk = sequences.get(link.incarnation, 0)
            if on_disk <= link.counted:
                return None
            link.counted = on_disk
            return {"counted": on_disk}

        self._publisher.tell_each(message)
