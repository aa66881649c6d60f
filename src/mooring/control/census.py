"""Which replicas there are, of all endpoints: what is measured of them, and what `/metrics` tells of control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping

from mooring import __version__
from mooring.control.alarm_book import AlarmBook
from mooring.control.endpoint_worker import EndpointWorker
from mooring.control.instance_metrics import Living
from mooring.control.replica_life import ReplicaLife
from mooring.hosting.endpoints import EndpointRecord
from mooring.metrics.registry import Labels, Registry
from mooring.store import Store, endpoints


class Census:
    """Looks at the workers of endpoints, whose records it reads anew at each `living`."""

    def __init__(self, store: Store, workers: Mapping[str, EndpointWorker], book: AlarmBook) -> None:
        self._store = store
        self._workers = workers
        self._book = book
        self._records: dict[str, EndpointRecord] = {}

    async def living(self) -> list[Living]:
        """Every replica that has a process."""
        self._records = {record.uid: record for record in await self._store.read(endpoints.all)}
        return [
            Living(
                record.scope, record.name, life.variant, life.id, life.replica.identity.pid, _is_enhanced(record, life)
            )
            for record, life in self._lives()
            if life.replica is not None
        ]

    def tell(self, registry: Registry, started_at: float) -> None:
        """Have `/metrics` say what control is and has."""
        version: dict[Labels, float] = {(("version", __version__),): 1.0}
        registry.add("info", "gauge", "Which Mooring this is.", lambda: version)
        registry.add("start_time_seconds", "gauge", "When control began.", lambda: started_at)
        registry.add("replicas", "gauge", "Replicas of each variant, by their state.", self._replicas_by_state)
        registry.add("alarms", "gauge", "Alarms, by their state.", self._alarms_by_state)

    def _lives(self) -> Iterator[tuple[EndpointRecord, ReplicaLife]]:
        for uid, worker in self._workers.items():
            if (record := self._records.get(uid)) is not None:
                for life in worker.fleet.lives:
                    yield record, life

    def _replicas_by_state(self) -> dict[Labels, float]:
        found = Counter[Labels](
            (
                ("region", record.scope.region),
                ("endpoint", record.name),
                ("variant", life.variant),
                ("state", str(life.state)),
            )
            for record, life in self._lives()
        )
        return {labels: float(count) for labels, count in found.items()}

    def _alarms_by_state(self) -> dict[Labels, float]:
        found = Counter(str(alarm.state) for alarm in self._book.all())
        return {(("state", state),): float(count) for state, count in found.items()}


def _is_enhanced(record: EndpointRecord, life: ReplicaLife) -> bool:
    """Whether the config of a replica's fleet asks for metrics of each instance."""
    rollout = record.rollout
    new = rollout is not None and rollout.generation == life.place.generation
    config = rollout.config if rollout is not None and new else record.config
    return bool(config.get("MetricsConfig", {}).get("EnableEnhancedMetrics"))
