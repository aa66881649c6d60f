"""The reconciler of one endpoint: sequential inside, level-triggered, safe to run again at any time.

Each pass reads the wished state from the store and moves the fleet and the route a step towards it. A pass never
waits for a replica to load: that happens in the replica's own life, whose changes wake the worker. What a pass does
wait for (gateways acknowledging a route) is bounded.
"""

from __future__ import annotations

import asyncio
import dataclasses
import functools
import logging
from collections.abc import Callable
from dataclasses import dataclass

from mooring.clock import Clock
from mooring.control.fleet import Fleet
from mooring.control.publishing import RoutePublisher
from mooring.control.replica_life import ReplicaLife
from mooring.engines.process import ProcessEngine
from mooring.errors import Unavailable
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, VariantState
from mooring.hosting.events import Event, EventKind, event
from mooring.hosting.failures import failure_reason
from mooring.hosting.routes import Route, RouteReplica, RouteVariant, Version, route_key
from mooring.paths import Paths
from mooring.settings import Settings
from mooring.store import Connection, Store, endpoints, events

log = logging.getLogger("mooring.control")

ACKNOWLEDGEMENT_TIMEOUT_S = 5.0
RETRY_S = 1.0

Change = Callable[[EndpointRecord], EndpointRecord]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What every worker works with."""

    settings: Settings
    paths: Paths
    store: Store
    clock: Clock
    engine: ProcessEngine
    publisher: RoutePublisher


class EndpointWorker:
    """Owns the fleet and the route of one endpoint's uid, until the endpoint is deleted."""

    def __init__(self, uid: str, around: Surroundings) -> None:
        self.uid = uid
        self.looked = asyncio.Event()
        """Set after the first pass: the endpoint's route is out, if it should have one."""
        self.fleet = Fleet(
            uid, around.engine, around.settings.replicas, around.clock, around.paths.logs, self.wake, self.note
        )
        self.changed = asyncio.Event()
        """Set at the next change of the stored record, and then another one takes its place."""
        self._around = around
        self._wake = asyncio.Event()
        self._wake.set()
        self._next_look: float | None = None
        self._noted: list[Event] = []

    def note(self, kind: EventKind, text: str) -> None:
        """Something for the endpoint's history; it is written soon, and lost if control dies before."""
        self._noted.append(event(round(self._around.clock.wall(), 3), kind, text))
        self.wake()

    def wake(self) -> None:
        """Something changed: look again soon."""
        self._wake.set()

    async def run(self) -> None:
        """Reconcile until the endpoint is gone from the store."""
        while True:
            self._wake.clear()
            try:
                if await self._pass():
                    return
            except Exception:
                log.exception("a pass over endpoint %s failed; trying again", self.uid)
                self._next_look = RETRY_S
            self.looked.set()
            await self._write_noted()
            await self._sleep()

    async def _sleep(self) -> None:
        try:
            async with asyncio.timeout(self._next_look):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def _write_noted(self) -> None:
        """After the pass: what takes effect does not wait for what is told of it."""
        noted = self._take_noted()
        if not noted:
            return
        try:
            await self._around.store.write(lambda connection: events.add(connection, self.uid, noted))
        except Unavailable as error:
            log.warning("%d events of endpoint %s are lost: %s", len(noted), self.uid, error)

    def _take_noted(self) -> list[Event]:
        noted, self._noted = self._noted, []
        return noted

    async def _pass(self) -> bool:
        """One step. Returns whether the endpoint is gone."""
        self._next_look = None
        record = await self._around.store.read(lambda connection: endpoints.by_uid(connection, self.uid))
        if record is None:
            await self.fleet.stop(at_once=True)
            return True
        match record.status:
            case EndpointStatus.CREATING:
                await self._create(record)
            case EndpointStatus.IN_SERVICE:
                await self._keep(record)
            case EndpointStatus.UPDATING:
                await self._update(record)
            case EndpointStatus.DELETING:
                await self._delete(record)
                return True
            case EndpointStatus.FAILED:
                await self.fleet.stop(at_once=True)
        return False

    async def _create(self, record: EndpointRecord) -> None:
        attempts = self._around.settings.replicas.start_attempts
        for variant in self._running(record):
            if failure := self.fleet.failure(variant.name, attempts):
                await self._fail(record, failure)
                return
        if not self._grow(record):
            return
        followed = await self._in_effect(record, self._publish(record, EndpointStatus.IN_SERVICE))
        if followed and await self._settle(record):
            log.info("endpoint %s is InService", record.name)

    async def _keep(self, record: EndpointRecord) -> None:
        self._grow(record)
        self._publish(record, record.status)

    async def _update(self, record: EndpointRecord) -> None:
        """Weights take effect at once; capacity when the new replicas are healthy, and never below what serves."""
        attempts = self._around.settings.replicas.start_attempts
        self._publish(record, record.status)
        for variant in self._running(record):
            failure = self.fleet.failure(variant.name, attempts)
            if failure and variant.desired_count > variant.current_count:
                await self._undo(record, failure)
                return
        if not self._grow(record):
            return
        # Growing may have made replicas healthy since the route went out.
        version = self._publish(record, record.status)
        leaving = self._surplus(record)
        if not await self._in_effect(record, version):
            return
        for life in leaving:
            life.leave(functools.partial(self._idle, life))
        if await self._settle(record):
            log.info("endpoint %s is InService again", record.name)

    async def _delete(self, record: EndpointRecord) -> None:
        version = self._around.publisher.drop(route_key(record.scope, record.name))
        if not record.forced:
            await self._in_effect(record, version)
        drained = asyncio.create_task(
            self.fleet.stop(at_once=record.forced, idle=self._idle), name=f"end of {record.name}"
        )
        await self._wait_for_end(drained)
        await self._around.engine.artifacts.forget(self.uid)
        await self._around.store.write(lambda connection: endpoints.delete(connection, self.uid))
        self._tell()
        log.info("endpoint %s is deleted", record.name)

    async def _wait_for_end(self, drained: asyncio.Task[None]) -> None:
        """While replicas drain the deletion may become a forced one."""
        while not drained.done():
            waken = asyncio.create_task(self._wake.wait(), name="wake")
            await asyncio.wait({drained, waken}, return_when=asyncio.FIRST_COMPLETED)
            waken.cancel()
            self._wake.clear()
            record = await self._around.store.read(lambda connection: endpoints.by_uid(connection, self.uid))
            if record is not None and record.forced:
                for life in self.fleet.lives:
                    life.leave(None)
        await drained

    async def _fail(self, record: EndpointRecord, failure: str) -> None:
        log.warning("endpoint %s has failed: %s", record.name, failure)
        self._around.publisher.drop(route_key(record.scope, record.name))
        await self._change(
            record,
            lambda found: dataclasses.replace(
                found, status=EndpointStatus.FAILED, failure_reason=failure_reason(failure)
            ),
        )
        await self.fleet.stop(at_once=True)

    async def _undo(self, record: EndpointRecord, failure: str) -> None:
        """Capacity could not grow: back to the numbers that are in effect, as AWS does."""
        log.warning("endpoint %s keeps its capacity: %s", record.name, failure)
        self.fleet.forgive(variant.name for variant in record.variants)
        await self._change(
            record,
            lambda found: dataclasses.replace(
                found,
                status=EndpointStatus.IN_SERVICE,
                failure_reason=failure_reason(failure),
                variants=tuple(
                    dataclasses.replace(each, desired_weight=each.current_weight, desired_count=each.current_count)
                    for each in found.variants
                ),
            ),
        )
        self.wake()

    async def _settle(self, record: EndpointRecord) -> bool:
        """What was wished is in effect: InService. False when the wish changed meanwhile (a forced deletion)."""
        settled = await self._change(
            record,
            lambda found: dataclasses.replace(
                found,
                status=EndpointStatus.IN_SERVICE,
                failure_reason=None,
                variants=tuple(
                    dataclasses.replace(each, current_weight=each.desired_weight, current_count=each.desired_count)
                    for each in found.variants
                ),
            ),
        )
        self.wake()
        return settled

    async def _change(self, record: EndpointRecord, change: Change) -> bool:
        """Change the stored record, unless its status is no longer the one that this pass looked at."""
        now = round(self._around.clock.wall(), 3)  # as the API rounds it: what it shows can be asked for
        noted = self._take_noted()

        def write(connection: Connection) -> bool:
            events.add(connection, self.uid, noted)  # what led to a status stands before it
            found = endpoints.by_uid(connection, self.uid)
            if found is None or found.status is not record.status:
                return False
            return endpoints.save(connection, dataclasses.replace(change(found), modified_at=now))

        written = await self._around.store.write(write)
        self._tell()
        return written

    def _tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()

    def _running(self, record: EndpointRecord) -> list[VariantState]:
        return [variant for variant in record.variants if not variant.shadow]

    def _grow(self, record: EndpointRecord) -> bool:
        """Start what is missing; whether every variant has its desired number of healthy replicas."""
        complete = True
        for variant in self._running(record):
            wait = self.fleet.start_missing(variant, variant.desired_count, record.scope.region)
            if wait is not None:
                self._next_look = min(wait, self._next_look or wait)
            complete = complete and len(self.fleet.healthy(variant.name)) >= variant.desired_count
        return complete

    def _surplus(self, record: EndpointRecord) -> list[ReplicaLife]:
        return [
            life
            for variant in self._running(record)
            for life in self.fleet.surplus(variant.name, variant.desired_count)
        ]

    def _publish(self, record: EndpointRecord, status: EndpointStatus) -> Version:
        return self._around.publisher.publish(self._route(record, status))

    async def _in_effect(self, record: EndpointRecord, version: Version) -> bool:
        """Whether every live gateway follows `version`; if not, this endpoint is looked at again soon."""
        followed = await self._around.publisher.wait_in_effect(
            route_key(record.scope, record.name), version, ACKNOWLEDGEMENT_TIMEOUT_S
        )
        if not followed:
            log.warning("a gateway has not acknowledged the route of %s", record.name)
            self._next_look = RETRY_S
        return followed

    def _route(self, record: EndpointRecord, status: EndpointStatus) -> Route:
        gateway = self._around.settings.gateway
        return Route(
            scope=record.scope,
            endpoint=record.name,
            version=Version(0, 0),
            variants=tuple(self._route_variant(variant, record.status) for variant in self._running(record)),
            status=status,
            body_limit_bytes=gateway.body_limit_bytes,
            invocation_timeout_s=gateway.invocation_timeout_s,
        )

    def _route_variant(self, variant: VariantState, status: EndpointStatus) -> RouteVariant:
        lives = self.fleet.healthy(variant.name)
        if status is EndpointStatus.UPDATING and len(lives) > variant.desired_count:
            lives = lives[: variant.desired_count]
        asked = (variant.config.get("RoutingConfig") or {}).get("RoutingStrategy")
        return RouteVariant(
            name=variant.name,
            weight=variant.desired_weight,
            replicas=tuple(RouteReplica(life.id, life.replica.address) for life in lives if life.replica is not None),
            strategy="RANDOM" if asked == "RANDOM" else "LEAST_OUTSTANDING_REQUESTS",
        )

    async def _idle(self, life: ReplicaLife) -> None:
        """Until no gateway has a call outstanding on a replica that left, or the drain is over."""
        drain_s = self._around.settings.replicas.drain_s
        await self._around.publisher.wait_idle(life.id, drain_s)
