"""The routes that a gateway serves from: newest version each, compiled, and kept on disk for its successor.

A route is on disk before it is acknowledged; what a gateway acknowledged, its successor starts with. Routes hold no
secrets. Replicas that left a route stay known until their last call has ended, because only then may control stop them.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

from mooring.gateway.instruments import Instruments
from mooring.gateway.pipeline import Pipeline
from mooring.hosting.routes import Route, RouteReplica, Version
from mooring.processes.files import write_atomically
from mooring.upstream.replica import Replica

log = logging.getLogger("mooring.gateway")


class Acknowledgement(NamedTuple):
    """What a gateway says about one route: the version that it holds now, and who is still busy with older ones."""

    key: str
    version: Version
    busy: list[str]


class RouteTable:
    """All routes of one account, and the replicas that they name."""

    def __init__(
        self,
        directory: Path,
        account: str,
        new_replica: Callable[[RouteReplica], Replica],
        on_idle: Callable[[str], None],
        instruments: Instruments,
    ) -> None:
        self.by_target: dict[tuple[bytes, bytes], Pipeline] = {}
        """(region, raw target of an InvokeEndpoint) → pipeline: one look-up, no parsing of the path."""
        self._directory = directory
        self._account = account
        self._new_replica = new_replica
        self._on_idle = on_idle
        self._instruments = instruments
        self._held: dict[str, Pipeline] = {}
        self._by_name: dict[tuple[bytes, bytes], Pipeline] = {}
        self._replicas: dict[str, Replica] = {}
        self._leaving: dict[str, set[str]] = {}  # key → replicas that left its route and are still busy

    @staticmethod
    def store(directory: Path, route: Route) -> None:
        """Put `route` on disk, where the next `load` finds it."""
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        document: dict[str, Any] = route.to_document()
        write_atomically(_path(directory, route.key), json.dumps(document, separators=(",", ":")).encode())

    def load(self) -> None:
        """Take over what the last gateway of this place acknowledged."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in sorted(self._directory.glob("*.json")):
            try:
                self._take(Route.from_document(json.loads(path.read_bytes())))
            except (OSError, ValueError, KeyError, TypeError) as error:
                log.warning("route %s cannot be read and is ignored: %s", path.name, error)

    def versions(self) -> dict[str, Version]:
        """The version held of each route, by key."""
        return {key: pipeline.route.version for key, pipeline in self._held.items()}

    def find(self, region: bytes, name: bytes) -> Pipeline | None:
        """An endpoint by its name, whose case must match; None when invocations do not know it."""
        return self._by_name.get((region, name))

    def replica_ids(self) -> frozenset[str]:
        """The replicas of all routes, and those that left theirs and are still busy."""
        return frozenset(self._replicas)

    def outstanding(self) -> dict[tuple[str, str], int]:
        """Calls that are with replicas, by route and variant; without those that have none."""
        found: dict[tuple[str, str], int] = {}
        for key, pipeline in self._held.items():
            for variant in pipeline.variants:
                count = sum(replica.outstanding for replica in variant.replicas)
                if count:
                    found[key, variant.name] = found.get((key, variant.name), 0) + count
        return found

    def regions_of(self, name: bytes) -> list[str]:
        """Where an endpoint of that name is; for the message of a call that did not find it."""
        return sorted(region.decode() for region, known in self._by_name if known == name)

    def replica(self, replica_id: str) -> Replica:
        """One that a route which is held names. Raises KeyError."""
        return self._replicas[replica_id]

    def apply(self, route: Route) -> Acknowledgement:
        """Serve `route` from now on, unless a newer version is held."""
        held = self._held.get(route.key)
        if held is None or held.route.version < route.version:
            self.store(self._directory, route)
            self._take(route)
        return self._acknowledgement(route.key, self._held[route.key].route.version)

    def drop(self, key: str, version: Version) -> Acknowledgement:
        """Forget an endpoint, unless a newer version is held."""
        held = self._held.get(key)
        if held is None:
            return self._acknowledgement(key, version)
        if held.route.version > version:
            return self._acknowledgement(key, held.route.version)
        _path(self._directory, key).unlink(missing_ok=True)
        del self._held[key]
        self._index(held, None)
        self._retire(key, {replica.id for replica in held.route.replicas()})
        self._instruments.forget(key)
        return self._acknowledgement(key, version)

    def _take(self, route: Route) -> None:
        held = self._held.get(route.key)
        wanted = {replica.id: replica for replica in route.replicas()}
        before = {replica.id for replica in held.route.replicas()} if held is not None else set()
        for replica in wanted.values():
            self._keep(route.key, replica)
        pipeline = Pipeline(route, self._replicas, self._instruments)
        self._held[route.key] = pipeline
        self._index(held, pipeline)
        if self._instruments.admission is not None:
            self._instruments.admission.follow(route, self._replicas, pipeline)
        self._retire(route.key, before - wanted.keys())

    def _keep(self, key: str, replica: RouteReplica) -> None:
        known = self._replicas.get(replica.id)
        if known is None:
            self._replicas[replica.id] = self._new_replica(replica)
        elif replica.id in self._leaving.get(key, ()):
            self._leaving[key].discard(replica.id)
            known.reinstate()

    def _index(self, held: Pipeline | None, pipeline: Pipeline | None) -> None:
        """Let invocations find `pipeline` where they found `held`, between two requests."""
        if held is not None:
            for target in _targets(held.route):
                self.by_target.pop(target, None)
            self._by_name.pop(_name(held.route), None)
        if pipeline is not None and pipeline.serves and pipeline.route.scope.account == self._account:
            for target in _targets(pipeline.route):
                self.by_target[target] = pipeline
            self._by_name[_name(pipeline.route)] = pipeline

    def _retire(self, key: str, ids: set[str]) -> None:
        for replica_id in sorted(ids):
            busy = self._leaving.setdefault(key, set())
            busy.add(replica_id)
            if not self._replicas[replica_id].retire(lambda replica: self._left(key, replica.id)):
                self._forget(key, replica_id)

    def _left(self, key: str, replica_id: str) -> None:
        self._forget(key, replica_id)
        self._on_idle(replica_id)

    def _forget(self, key: str, replica_id: str) -> None:
        self._replicas.pop(replica_id, None)
        leaving = self._leaving.get(key)
        if leaving is not None:
            leaving.discard(replica_id)
            if not leaving:
                del self._leaving[key]

    def _acknowledgement(self, key: str, version: Version) -> Acknowledgement:
        return Acknowledgement(key, version, sorted(self._leaving.get(key, ())))

    def close(self) -> None:
        """Close the idle connections to replicas."""
        for replica in self._replicas.values():
            replica.close()


def _path(directory: Path, key: str) -> Path:
    return directory / f"{quote(key, safe='')}.json"


def _targets(route: Route) -> list[tuple[bytes, bytes]]:
    if route.async_inference is not None:
        return []  # what is not answered at once goes the long way
    return [(route.scope.region.encode(), f"/endpoints/{route.endpoint}/invocations".encode())]


def _name(route: Route) -> tuple[bytes, bytes]:
    return route.scope.region.encode(), route.endpoint.encode()
