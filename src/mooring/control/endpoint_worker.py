"""The reconciler of one endpoint: sequential inside, level-triggered, safe to run again at any time.

Each pass reads the wished state from the store and moves the fleet and the route a step towards it. A pass never
waits for a replica to load: that happens in the replica's own life, whose changes wake the worker. What a pass does
wait for (gateways acknowledging a route) is bounded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from mooring.control.alarms import AlarmWatch
from mooring.control.converging import RETRY_S, Convergence
from mooring.control.elasticity import Elasticity
from mooring.control.explainers import EndpointExplainers
from mooring.control.fleet import Fleet
from mooring.control.replica_life import Place
from mooring.control.rollout import RolloutDriver
from mooring.control.surroundings import Surroundings
from mooring.control.topic_trials import TopicTrials
from mooring.control.trials import NOTHING_TO_TRY, Trials, creation, scaling
from mooring.errors import Unavailable
from mooring.hosting import transitions
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Rollout, VariantState
from mooring.hosting.events import Event, EventKind, event
from mooring.hosting.failures import failure_reason
from mooring.hosting.rollout.progress import told
from mooring.hosting.routes import route_key
from mooring.hosting.serverless import Slots
from mooring.store import Connection, endpoints, events

log = logging.getLogger("mooring.control")


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
        self.elasticity = Elasticity(uid, self.fleet, around.settings, around.clock, around.publisher)
        self._explainers = EndpointExplainers(uid, around.baselines, around.clock, self.note)
        self._convergence = Convergence(self.fleet, self.elasticity, self._explainers, around)
        interval_s = around.settings.deployments.alarm_interval_s
        self._alarms = AlarmWatch(around.cloudwatch, around.clock, interval_s, self.wake)
        topics = TopicTrials(around.topics, around.clock)
        self._trials = Trials([topics.attempt, self._explainers.attempt], self.wake)
        self._rollouts = RolloutDriver(self.fleet, self._convergence, self._alarms, self._trials, around)
        self._wake = asyncio.Event()
        self._wake.set()
        self._next_look: float | None = None
        self._noted: list[Event] = []
        self._tidied: tuple[int, int] | None = None
        self._scaling: float | None = None
        """Which change of numbers was looked at last."""

    def note(self, kind: EventKind, text: str) -> None:
        """Something for the endpoint's history; it is written soon, and lost if control dies before."""
        self._noted.append(event(round(self._around.clock.wall(), 3), kind, text))
        self.wake()

    def wake(self) -> None:
        """Something changed: look again soon."""
        self._wake.set()

    def demand(self, slots: Slots) -> None:
        """A gateway holds calls for replicas of a serverless variant."""
        if self.elasticity.demand(slots):
            self.wake()

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
            await self._stop_all()
            return True
        match record.status:
            case EndpointStatus.CREATING:
                await self._create(record)
            case EndpointStatus.UPDATING | EndpointStatus.ROLLING_BACK if record.rollout is not None:
                await self._roll(record, record.rollout)
            case EndpointStatus.UPDATING | EndpointStatus.ROLLING_BACK:
                await self._scale(record)
            case EndpointStatus.DELETING if not (record.forced or self._around.publisher.is_settled):
                self._next_look = RETRY_S  # its gateways still send calls, and cannot be told yet
            case EndpointStatus.DELETING:
                await self._delete(record)
                return True
            case EndpointStatus.FAILED:
                await self._stop_all()
            case _:
                await self._keep(record)
        return False

    async def _create(self, record: EndpointRecord) -> None:
        grown = self._convergence.grow(record)
        trial = self._trials.of(creation(record))
        if failure := self._failure(record, record.variants) or trial.failure:
            await self._fail(record, failure)
            return
        self._next_look = grown.next_look_s
        if not (grown.whole and trial.over):
            return
        reached = await self._convergence.towards(self._settled(record), ask=True)
        self._next_look = reached.next_look_s
        if reached.in_effect and await self._replace(record, self._settled(record)):
            log.info("endpoint %s is InService", record.name)

    async def _keep(self, record: EndpointRecord) -> None:
        reached = await self._convergence.towards(record, ask=False)
        self._next_look = reached.next_look_s
        if reached.settled:
            await self._tidy(record)

    async def _scale(self, record: EndpointRecord) -> None:
        """Weights take effect at once; capacity when the new replicas are healthy, and never below what serves."""
        if self._scaling != record.modified_at:
            # What failed before is no reason against this change.
            self._scaling = record.modified_at
            self.fleet.forgive(Place(record.generation, each.name) for each in record.variants)
        undoing = record.status is EndpointStatus.ROLLING_BACK
        reached = await self._convergence.towards(record, ask=True, shrink_if_whole=not undoing)
        self._next_look = reached.next_look_s
        growing = [each for each in record.variants if transitions.grows(each)]
        trial = NOTHING_TO_TRY
        if not undoing:
            trial = self._trials.of(scaling(record))
        if failure := self._failure(record, growing) or trial.failure:
            log.warning("endpoint %s keeps its capacity: %s", record.name, failure)
            await self._replace(record, transitions.unchanged(record, failure_reason(failure), self._now()))
        elif (
            reached.in_effect
            and trial.over
            and (undoing or reached.grown.whole)
            and await self._replace(record, self._settled(record))
        ):
            log.info("endpoint %s is InService again", record.name)

    async def _roll(self, record: EndpointRecord, rollout: Rollout) -> None:
        """One move of an update."""
        advance = await self._rollouts.advance(record, rollout)
        self._next_look = advance.next_look_s
        if advance.moved is None:
            return
        if text := told(record, advance.moved):
            self._noted.append(event(self._now(), EventKind.DEPLOYMENT, text))
        if await self._replace(record, advance.moved):
            at = advance.moved.rollout
            log.info("endpoint %s: %s", record.name, f"{at.phase}, step {at.step}" if at else advance.moved.status)

    async def _tidy(self, record: EndpointRecord) -> None:
        """Give back what was prepared for generations that are over."""
        state = (record.generation, record.last_generation)
        if self._tidied == state:
            return
        self._trials.forget()  # of an update that was turned back meanwhile; it would bring what is removed here
        wanted = {record.generation, *([record.remnant.generation] if record.remnant is not None else [])}
        self.fleet.forget(wanted.__contains__)
        self.elasticity.forget(wanted.__contains__)
        for generation in set(range(1, record.last_generation + 1)) - wanted:
            await self._around.engine.artifacts.forget(f"{self.uid}/{generation}")
            await self._explainers.forget(generation)
        self._tidied = state

    async def _delete(self, record: EndpointRecord) -> None:
        self._trials.forget()
        version = self._around.publisher.drop(route_key(record.scope, record.name))
        if not record.forced:
            await self._convergence.in_effect(record, version)
        drained = asyncio.create_task(
            self.fleet.stop(at_once=record.forced, idle=self._convergence.idle), name=f"end of {record.name}"
        )
        self._alarms.forget()
        await self._wait_for_end(drained)
        await self._around.engine.artifacts.forget(self.uid)
        await self._explainers.forget()
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
        await self._replace(record, transitions.failed_at_once(record, failure_reason(failure), self._now()))
        await self._stop_all()

    async def _stop_all(self) -> None:
        self._alarms.forget()
        self._trials.forget()
        await self.fleet.stop(at_once=True)

    def _failure(self, record: EndpointRecord, variants: Iterable[VariantState]) -> str | None:
        """Why one of these variants of the endpoint's own fleet cannot come up."""
        attempts = self._around.settings.replicas.start_attempts
        places = [Place(record.generation, variant.name) for variant in variants]
        return next((failure for place in places if (failure := self.fleet.failure(place, attempts))), None)

    def _settled(self, record: EndpointRecord) -> EndpointRecord:
        return transitions.settled(record, self._now())

    def _now(self) -> float:
        return round(self._around.clock.wall(), 3)  # as the API rounds it: what it shows can be asked for

    async def _replace(self, record: EndpointRecord, wished: EndpointRecord) -> bool:
        """Store `wished`, unless the record is no longer the one that this pass looked at (a forced deletion)."""
        noted = self._take_noted()

        def write(connection: Connection) -> bool:
            events.add(connection, self.uid, noted)  # what led to a status stands before it
            return endpoints.by_uid(connection, self.uid) == record and endpoints.save(connection, wished)

        written = await self._around.store.write(write)
        self._tell()
        self.wake()
        return written

    def _tell(self) -> None:
        changed, self.changed = self.changed, asyncio.Event()
        changed.set()
