"""Asynchronous inference as control does it: follow routes, take jobs from the queue, and see every one to its end.

Control calls the models itself, and follows routes as a gateway does: what it has outstanding on a replica that leaves
holds that replica. A control that starts goes on where the last one ended: answers that are on disk are delivered, and
calls that may still run at their replicas are waited for before their jobs are called again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any

from mooring.async_inference import failures, orphans
from mooring.async_inference.capturing import Shelf
from mooring.async_inference.counting import COUNT, Counters, backlog_points
from mooring.async_inference.data_log import data_logs
from mooring.async_inference.delivering import Delivering
from mooring.async_inference.fetching import Budget, Fetching
from mooring.async_inference.hand import Tools
from mooring.async_inference.room import Room
from mooring.async_inference.spooling import Spool
from mooring.async_inference.working import EndpointWork
from mooring.clock import Clock
from mooring.control.async_outbox import AsyncOutbox
from mooring.control.metering import Metering
from mooring.control.publishing import RoutePublisher
from mooring.control.topics import Topics
from mooring.data_capture.observing import Capture
from mooring.errors import MooringError, Unavailable
from mooring.hosting.async_inference import AsyncRoute
from mooring.hosting.async_jobs import JobState, OutcomeKind, Owed, QueuedJob
from mooring.hosting.events import EventKind, event
from mooring.hosting.routes import Route
from mooring.metrics.series import Point
from mooring.objects.async_client import open_async_s3
from mooring.paths import Paths
from mooring.processes import identity
from mooring.processes.identity import ProcessIdentity
from mooring.settings import Settings
from mooring.store import Connection, Store, events
from mooring.store.queue import Queue

log = logging.getLogger("mooring.control")

LOOK_S = 1.0
BACKLOG_S = 5.0
"""Between two tellings of how long the queues are; alarms and scaling stand on them."""
EXPIRED_AT_ONCE = 200
ENDED_AT_ONCE = 100
IDENTITIES = 1000
"""Of replicas, that are kept at hand."""


class AsyncWork:
    """Of all asynchronous endpoints. `start` once, `close` once."""

    def __init__(
        self,
        settings: Settings,
        paths: Paths,
        store: Store,
        queue: Queue,
        clock: Clock,
        publisher: RoutePublisher,
        metering: Metering,
        topics: Topics,
        capture: Capture,
    ) -> None:
        self._paths = paths
        self._store = store
        self._queue = queue
        self._clock = clock
        self._publisher = publisher
        self._metering = metering
        self._s3 = open_async_s3(settings, paths)
        self._spool = Spool(paths.async_spool)
        self._capture = capture
        self._counters = Counters()
        self._data_logs = data_logs(paths.logs, settings.replicas.log_limit_bytes)
        self._outbox = AsyncOutbox(queue, topics, clock, self._not_told)
        limit = settings.async_inference.payload_limit_bytes
        self._room = Room(self._spool, lambda text: self._note(list(self._works), text))
        self._room.there_is = self._roomy
        self._tools = Tools(
            queue=queue,
            fetching=Fetching(self._s3, limit, Budget()),
            delivering=Delivering(self._s3),
            spool=self._spool,
            room=self._room,
            counters=self._counters,
            data_logs=self._data_logs,
            clock=clock,
            limit=limit,
            identify=self._identify,
            owed=self._outbox.owed,
            note=lambda uid, text: self._note([uid], text),
            shelf=Shelf(capture, self._spool, settings.capture.payload_limit_bytes),
            idle=self._idle,
        )
        self._works: dict[str, EndpointWork] = {}
        self._by_key: dict[str, str] = {}
        self._unfinished: dict[str, list[QueuedJob]] = {}
        self._ending: set[str] = set()
        self._expiring: set[str] = set()
        self._identities: dict[str, Mapping[str, Any]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Take over what the last control left, and begin. Raises `DataDirectoryError`."""
        found = await self._queue.unfinished()
        kept = {each.answered.spool for each in found if each.answered is not None and _is_answered(each)}
        await asyncio.to_thread(self._spool.open, kept)
        for each in found:
            self._unfinished.setdefault(each.job.uid, []).append(each)
        self._publisher.follow(self)
        self._begin(self._outbox.run(), "notifications of jobs")
        self._begin(self._room.run(), "room for answers")
        self._begin(self._keep(), "queues of jobs")

    async def close(self) -> None:
        """Stop where things are."""
        for task in self._tasks:
            task.cancel()
        for work in list(self._works.values()):
            await work.close()
        if self._tasks:
            await asyncio.wait(self._tasks)
        self._metering.record(list(self._counters.drain(self._clock.wall())))
        self._s3.close()
        await self._data_logs.flush()
        await asyncio.to_thread(self._spool.close)
        self._capture.close()
        await self._queue.close()

    def arrived(self, uids: set[str]) -> None:
        """Jobs of these endpoints were taken into the queue, or may be done once more."""
        for uid in uids:
            if (work := self._works.get(uid)) is not None:
                work.kick(rescan=True)

    # The publisher's follower.

    def routed(self, route: Route) -> None:
        """Begin nothing on a replica that this route does not name."""
        asynchronous = route.async_inference
        uid = None if asynchronous is None else asynchronous.uid
        former = self._by_key.get(route.key)
        if former is not None and former != uid:
            self._drop(route.key)
        if asynchronous is None:
            return
        work = self._works.get(asynchronous.uid)
        if work is not None:
            work.follow(route, asynchronous)
            return
        work = self._works[asynchronous.uid] = EndpointWork(route, asynchronous, self._tools)
        self._by_key[route.key] = asynchronous.uid
        for queued in self._unfinished.pop(asynchronous.uid, []):
            self._go_on(work, queued)
        if asynchronous.uid not in self._ending:
            self._begin(self._start(work), f"start of the queue of {route.key}")

    def dropped(self, key: str) -> None:
        """The endpoint is gone: what it was called for is not done any more."""
        self._drop(key)

    def uses(self, replica_id: str) -> bool:
        """Whether a call is outstanding there."""
        return any(work.uses(replica_id) for work in self._works.values())

    async def _start(self, work: EndpointWork) -> None:
        """Its queue may have ended, as updates may make an endpoint asynchronous again."""
        await work.endpoint.persisted(lambda: self._queue.begin_endpoint(work.uid))
        if self._works.get(work.uid) is work:
            work.start()

    def _drop(self, key: str) -> None:
        uid = self._by_key.pop(key, None)
        if uid is not None:
            self._ending.add(uid)
            self._begin(self._end_endpoint(self._works.pop(uid)), f"end of the queue of {key}")

    def _idle(self) -> None:
        self._begin(self._publisher.idle_again(), "a replica is idle")

    # What a former control left.

    def _go_on(self, work: EndpointWork, queued: QueuedJob) -> None:
        if _is_answered(queued):
            work.deliver(queued)
        else:
            self._begin(self._wait_for_orphan(work, queued), f"orphan of job {queued.job.id}")

    async def _wait_for_orphan(self, work: EndpointWork, queued: QueuedJob) -> None:
        """The call has its place at the replica until it has ended."""
        replica_id = "" if queued.claim is None else queued.claim.replica_id
        seat = work.seating.dispatcher.occupy(replica_id)
        try:
            await orphans.wait_for_end(queued, self._paths.replica_socket(replica_id))
            await work.endpoint.persisted(lambda: self._queue.release(queued.job.id))
        finally:
            work.free(seat)

    # Ends of endpoints.

    async def _end_endpoint(self, work: EndpointWork) -> None:
        """What runs is given up, and everything is ended that was not done."""
        try:
            await work.close()
            await self._publisher.idle_again()
            await self._end_jobs(work)
        finally:
            self._ending.discard(work.uid)
            if (returned := self._works.get(work.uid)) is not None:
                self._begin(self._start(returned), f"start of the queue of {returned.endpoint.route.key}")

    async def end_gone(self, route: Route, asynchronous: AsyncRoute) -> None:
        """End what an endpoint has left that no route names any more."""
        if asynchronous.uid not in self._works and asynchronous.uid not in self._ending:
            self._unfinished.pop(asynchronous.uid, None)
            self._ending.add(asynchronous.uid)
            work = EndpointWork(route, asynchronous, self._tools)
            self._begin(self._end_endpoint(work), f"end of the queue of {route.key}")

    async def _end_jobs(self, work: EndpointWork) -> None:
        """Of an endpoint that is gone: what its models answered is delivered, all else fails; until it is back."""
        await self._each(work.uid, JobState.ANSWERED, work.finish)
        await self._each(work.uid, JobState.CALLING, lambda job: work.end(job, OutcomeKind.FAILED, failures.ENDED))
        while work.uid not in self._works and (
            found := await self._queue.end_endpoint(work.uid, failures.ENDED, ENDED_AT_ONCE)
        ):
            await _together(work.end(each, OutcomeKind.FAILED, failures.ENDED) for each in found)

    async def _each(self, uid: str, state: JobState, end: Callable[[QueuedJob], Awaitable[None]]) -> None:
        after = 0
        while found := await self._queue.page(uid, state.value, after, ENDED_AT_ONCE):
            await _together(end(each) for each in found)
            after = found[-1].position

    # By the clock.

    async def _keep(self) -> None:
        looks = 0
        while True:
            try:
                await self._expire()
                self._metering.record(list(self._counters.drain(self._clock.wall())))
                if not looks % int(BACKLOG_S / LOOK_S):
                    await self._tell_backlog()
            except MooringError as error:
                log.warning("the queues of asynchronous endpoints are not looked at: %s", error)
            except Exception:
                log.exception("the queues of asynchronous endpoints are not looked at")
            looks += 1
            await asyncio.sleep(LOOK_S)

    async def _expire(self) -> None:
        clock = self._clock
        for each in await self._queue.expired(identity.boot_id(), clock.uptime(), clock.wall(), EXPIRED_AT_ONCE):
            work = self._works.get(each.job.uid)
            if work is not None and each.job.id not in self._expiring:
                # A task each, since S3 may be away.
                self._expiring.add(each.job.id)
                self._begin(self._end_expired(work, each), f"expiry of job {each.job.id}")

    async def _end_expired(self, work: EndpointWork, queued: QueuedJob) -> None:
        try:
            await work.end(queued, OutcomeKind.EXPIRED, failures.expired(queued.job.ttl_s))
        finally:
            self._expiring.discard(queued.job.id)

    async def _tell_backlog(self) -> None:
        backlogs, now = await self._queue.backlog(), self._clock.wall()
        points: list[Point] = []
        for uid, work in self._works.items():
            backlog, route = backlogs.get(uid), work.endpoint.route
            oldest = None if backlog is None else backlog.oldest
            points += backlog_points(
                route.scope,
                route.endpoint,
                size=0 if backlog is None else backlog.waiting + backlog.in_process,
                oldest_s=0.0 if oldest is None else work.endpoint.age_s(oldest),
                waiting=0 if backlog is None else backlog.waiting,
                replicas=work.seating.dispatcher.replicas,
                at=now,
            )
        self._metering.record(points)

    # Small things.

    def _identify(self, replica_id: str) -> Mapping[str, Any] | None:
        found = self._identities.get(replica_id)
        if found is None:
            process = ProcessIdentity.read(self._paths.replicas / replica_id / "identity.json")
            if process is None:
                return None
            if len(self._identities) >= IDENTITIES:
                self._identities.clear()
            found = self._identities[replica_id] = process.to_document()
        return found

    def _roomy(self) -> None:
        for work in self._works.values():
            work.roomy()

    def _not_told(self, owed: Owed) -> None:
        work = self._works.get(owed.uid)
        if work is not None:
            route = work.endpoint.route
            variant = route.variants[0].name if route.variants else ""
            self._counters.add(route.scope, route.endpoint, variant, "NotificationFailures", COUNT, 1.0)

    def _note(self, uids: list[str], text: str) -> None:
        """Have the histories of endpoints say something."""
        told = event(round(self._clock.wall(), 3), EventKind.QUEUE, text)

        def write(connection: Connection) -> None:
            for uid in uids:
                events.add(connection, uid, [told])

        async def tell() -> None:
            try:
                await self._store.write(write)
            except Unavailable as error:
                log.warning("an event of the queues is lost: %s", error)

        self._begin(tell(), "event of the queues")

    def _begin(self, work: Any, name: str) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("%s ended: %r", task.get_name(), error, exc_info=error)


def _is_answered(queued: QueuedJob) -> bool:
    return queued.state is JobState.ANSWERED and queued.answered is not None


async def _together(ends: Iterable[Awaitable[None]]) -> None:
    """A page at a time, so that they share what the disk and S3 take. What one raises is raised after all of them."""
    for outcome in await asyncio.gather(*ends, return_exceptions=True):
        if isinstance(outcome, BaseException):
            raise outcome
