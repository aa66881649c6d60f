"""One asynchronous endpoint's jobs in hand: from the queue to a replica, and on to their end.

Each job is a task. What it did is on disk before the next step begins: claimed, then called; the answer spooled and
noted, then written to S3. So a death at any moment leaves a state from which the next control goes on, and a model that
has answered is never asked again.

What is in hand is bounded: `Dispatcher.room` for each variant, and `MOST_UNDELIVERED` whose model has answered. All
else stays in the queue, on disk.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from mooring.async_inference import failures
from mooring.async_inference.calling import InstanceFailed, Unsent, call_model
from mooring.async_inference.capturing import Capturing
from mooring.async_inference.counting import MICROSECONDS, MILLISECONDS, NONE
from mooring.async_inference.dispatching import Lane, Seat
from mooring.async_inference.ending import Ending
from mooring.async_inference.failures import Away, Problem
from mooring.async_inference.fetching import Input
from mooring.async_inference.hand import FIRST_PAUSE_S, LONGEST_PAUSE_S, Endpoint, InHand, Tools
from mooring.async_inference.inputs import Inputs
from mooring.async_inference.keeping import Keeping
from mooring.async_inference.orphans import is_gone
from mooring.async_inference.seating import LaneGone, Seating, refuse
from mooring.async_inference.spooling import SpoolFile
from mooring.errors import Unavailable
from mooring.hosting.async_inference import AsyncRoute
from mooring.hosting.async_jobs import Answered, Claim, JobState, OutcomeKind, QueuedJob
from mooring.hosting.routes import Route
from mooring.http1.streaming import StreamPool
from mooring.store.queue import Queue

log = logging.getLogger("mooring.control")

TAKEN_AT_ONCE = 64
MOST_UNDELIVERED = 256
AFTER_TROUBLE_S = 1.0
MOST_LOST = 5
"""Calls of one job that its instances did not survive."""


class EndpointWork:
    """Begin with `start`, `follow` every route of the endpoint, `close` once."""

    def __init__(self, route: Route, asynchronous: AsyncRoute, tools: Tools) -> None:
        self.uid = asynchronous.uid
        self.endpoint = Endpoint(route, asynchronous, tools)
        self.seating = Seating(tools.room)
        self._tools = tools
        self._ending = Ending(self.endpoint, tools)
        self._inputs = Inputs(self.endpoint, tools)
        self._capturing = Capturing(tools.shelf)
        self._keeping = Keeping(self.endpoint, tools)
        self._pools: dict[str, StreamPool] = {}
        self._in_hand: dict[str, InHand] = {}
        self._ended_elsewhere: set[str] = set()
        self._lost: dict[str, int] = {}
        """Calls that ended without an answer, of jobs that are tried again."""
        self._buffer: deque[QueuedJob] = deque()
        self._cursor = 0
        self._rescan = False
        self._wake = asyncio.Event()
        self._timers: set[asyncio.TimerHandle] = set()
        self._taking: asyncio.Task[None] | None = None
        self.follow(route, asynchronous)

    @property
    def queue(self) -> Queue:
        """Where its jobs are."""
        return self._tools.queue

    def start(self) -> None:
        """Take jobs from now on."""
        self._taking = asyncio.create_task(self._run(), name=f"queue of {self.endpoint.route.endpoint}")
        self.kick(rescan=True)

    def follow(self, route: Route, asynchronous: AsyncRoute) -> None:
        """Begin nothing on a replica that this route does not name."""
        self.endpoint.route, self.endpoint.asynchronous = route, asynchronous
        named = {replica.id for variant in route.variants for replica in variant.replicas}
        for replica_id in [each for each in self._pools if each not in named]:
            self._pools.pop(replica_id).close()
        self._capturing.follow(route)
        self.seating.follow(route.variants, asynchronous.concurrency)
        self.kick()

    def kick(self, *, rescan: bool = False) -> None:
        """Look for jobs. `rescan`: also for such as are not new."""
        self._rescan |= rescan
        self._wake.set()

    def roomy(self) -> None:
        """There is room on the disk again."""
        self.seating.fill()
        self.kick(rescan=True)

    def uses(self, replica_id: str) -> bool:
        """Whether it has a call."""
        return self.seating.dispatcher.busy(replica_id) > 0

    async def close(self) -> None:
        """Stop where things are: all that matters is on disk."""
        tasks = [each.task for each in self._in_hand.values() if each.task is not None]
        if self._taking is not None:
            tasks.append(self._taking)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        for timer in self._timers:
            timer.cancel()
        for pool in self._pools.values():
            pool.close()

    # Ending what waits.

    async def end(self, queued: QueuedJob, kind: OutcomeKind, reason: str) -> None:
        """End a job that waits, unless it is being called by now."""
        held = self._in_hand.get(queued.job.id)
        if held is not None:
            if held.claimed:
                return
            held.ending = True
            refuse(held)
        self._lost.pop(queued.job.id, None)
        self._ended_elsewhere.add(queued.job.id)
        try:
            await self._ending.fail(InHand(queued, self._variant()), reason, kind)
        finally:
            self._ended_elsewhere.discard(queued.job.id)

    async def finish(self, queued: QueuedJob) -> None:
        """Deliver what a model had answered, of an endpoint that takes no more jobs."""
        assert queued.answered is not None
        await self._ending.deliver(InHand(queued, self._variant()), queued.answered)

    # Taking jobs.

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            try:
                await self._fill()
            except Exception as error:
                log.warning("the queue of %s is not read: %s", self.endpoint.route.endpoint, error,
                            exc_info=not isinstance(error, Unavailable))  # fmt: skip
                self._later(AFTER_TROUBLE_S)

    async def _fill(self) -> None:
        dispatcher = self.seating.dispatcher
        while self._tools.room.is_there and len(self._in_hand) - dispatcher.assigned < MOST_UNDELIVERED:
            while self._buffer and self._is_taken(self._buffer[0]):
                self._buffer.popleft()
            if not dispatcher.may_draw() or not (self._buffer or await self._refill()):
                return
            if self._buffer and not self._is_taken(self._buffer[0]) and (lane := dispatcher.draw()) is not None:
                self._begin(self._buffer.popleft(), lane)

    async def _refill(self) -> bool:
        """Whether there may be more."""
        found = await self.queue.waiting(self.uid, self._cursor, TAKEN_AT_ONCE)
        if found:
            self._cursor = found[-1].position
        elif self._rescan:
            self._rescan, self._cursor = False, 0
            return True
        self._buffer.extend(found)
        return bool(found)

    def _is_taken(self, queued: QueuedJob) -> bool:
        return queued.job.id in self._in_hand or queued.job.id in self._ended_elsewhere

    def _begin(self, queued: QueuedJob, lane: Lane) -> None:
        self._hold(InHand(queued, lane.name, lane))

    def deliver(self, queued: QueuedJob) -> None:
        """Go on with a job that a former control had answered."""
        self._hold(InHand(queued, self._variant(), claimed=True, answered=True))

    def _hold(self, held: InHand) -> None:
        self._in_hand[held.queued.job.id] = held
        held.task = asyncio.create_task(self._work(held), name=f"job {held.queued.job.id}")

    # A job's task.

    async def _work(self, held: InHand) -> None:
        again_s: float | None = None
        try:
            if held.queued.answered is not None and held.answered:
                await self._ending.deliver(held, held.queued.answered)
            else:
                again_s = await self._called(held)
        except LaneGone:
            again_s = None if held.ending else FIRST_PAUSE_S
        except Exception:
            log.exception("job %s was not done; it is tried again", held.queued.job.id)
            again_s = await self._released(held, LONGEST_PAUSE_S)
            while held.answered and not await self._delivered(held):
                pass
        finally:
            if held.captured is not None:
                held.captured.close()
            self._leave(held)
            del self._in_hand[held.queued.job.id]
            if again_s is not None:
                self._later(again_s)
            self.kick()

    async def _delivered(self, held: InHand) -> bool:
        """Whether an answer whose end was not reached is at it now, after a pause: nobody else would look for it."""
        await asyncio.sleep(LONGEST_PAUSE_S)
        try:
            for each in await self.queue.find(held.queued.job.uid, held.queued.job.id):
                if each.state is JobState.ANSWERED and each.answered is not None:
                    await self._ending.deliver(held, each.answered)
        except Exception:
            log.exception("the answer of job %s waits again", held.queued.job.id)
            return False
        return True

    async def _called(self, held: InHand) -> float | None:
        """Bring a job to a model, and to its end. Returns when it is to be tried again, if it is."""
        given: Input | None = None
        try:
            if not self._inputs.is_wary and self.seating.take(held):
                given = await self._at_once(held)
            else:
                given = await self._in_line(held)
            if given is None:
                return None
            answered, file = await self._answered(held, given)
        except Problem as problem:
            self._leave(held)
            if held.claimed or await self._waits(held):
                await self._failed(held, str(problem))
            return None
        except Unsent:
            log.info("job %s waits again: its call was not taken", held.queued.job.id)
            return await self._released(held, FIRST_PAUSE_S)
        except Away as error:
            log.info("job %s waits again: %s", held.queued.job.id, error)
            return await self._released(held, AFTER_TROUBLE_S)
        except InstanceFailed as error:
            return await self._instance_failed(held, error)
        except OSError as error:
            return await self._not_kept(held, error)
        finally:
            if given is not None:
                given.close()
        self._leave(held)
        return await self._kept(held, answered, file)

    async def _at_once(self, held: InHand) -> Input | None:
        """The input of a job that has its place already: it is claimed meanwhile. None when it waits no more."""
        claiming = asyncio.create_task(self._claimed(held), name=f"claim of job {held.queued.job.id}")
        try:
            given = await self._inputs.now(held)
        except (Problem, Away):
            if await claiming:
                raise
            return None
        except BaseException:
            await asyncio.wait({claiming})
            raise
        try:
            if await claiming:
                return given
        except BaseException:
            given.close()
            raise
        given.close()
        return None

    async def _waits(self, held: InHand) -> bool:
        """Whether a job that was not claimed is still to be done: nothing is written of one that was cancelled."""
        found = await self.queue.find(held.queued.job.uid, held.queued.job.id)
        return not held.ending and any(each.state is JobState.WAITING for each in found)

    async def _in_line(self, held: InHand) -> Input | None:
        """The input of a job, once it has its place and is claimed. None when it waits no more."""
        given = await self._inputs.of(held)
        try:
            if not self.seating.take(held):
                given.rest()
                await self.seating.wait(held)
            if not given.is_at_hand:
                given.close()
                given = await self._inputs.of(held)
            if not held.ending and await self._claimed(held):
                return given
        except BaseException:
            given.close()
            raise
        given.close()
        return None

    async def _kept(self, held: InHand, answered: Answered, file: SpoolFile) -> float | None:
        """Have an answer on disk, and deliver it."""
        self._lost.pop(held.queued.job.id, None)
        try:
            answered, small = await self._keeping.keep(held, answered, file)
        except OSError as error:
            return await self._not_kept(held, error)
        await self._ending.deliver(held, answered, small)
        return None

    async def _failed(self, held: InHand, reason: str) -> None:
        if held.captured is not None:
            await held.captured.failed()
        await self._ending.fail(held, reason)

    async def _not_kept(self, held: InHand, error: OSError) -> float:
        """The disk has no room for an answer: the model is called again once there is."""
        self._tools.room.missing(f"answers cannot be kept ({error.strerror or error})")
        return await self._released(held, AFTER_TROUBLE_S)

    async def _claimed(self, held: InHand) -> bool:
        assert held.seat is not None
        held.claimed = True
        held.replica_id = held.seat.replica.id
        claim = Claim(held.queued.job.id, held.replica_id, self._tools.identify(held.replica_id))
        return claim.job_id in await self.queue.claim([claim])

    async def _answered(self, held: InHand, given: Input) -> tuple[Answered, SpoolFile]:
        await self.seating.begin(held)
        seat = held.seat
        if seat is None or seat.gone:
            raise Unsent
        pool = self._pools.get(seat.replica.id)
        if pool is None:
            pool = self._pools[seat.replica.id] = StreamPool(seat.replica.address)
        job, endpoint, tools = held.queued.job, self.endpoint, self._tools
        held.captured = self._capturing.begin(job, seat.replica.id, given)
        held.read = given.length
        endpoint.count(held, "TimeInBacklog", MILLISECONDS, endpoint.age_s(job) * 1e3)
        try:
            answered, file = await call_model(pool, job, given, tools.spool, tools.limit)
        except (Problem, InstanceFailed):
            self._count_call(held, 0, None)
            raise
        self.seating.end(held, answered.took_s)
        self._count_call(held, answered.status, answered.took_s)
        return answered, file

    async def _instance_failed(self, held: InHand, error: InstanceFailed) -> float | None:
        """The model's own doing is its answer; an instance that is gone has given none."""
        self._leave(held)
        job_id = held.queued.job.id
        gone = await is_gone(self._tools.identify(held.replica_id))
        lost = self._lost.pop(job_id, 0) + 1
        if not (gone or error.stale):
            await self._failed(held, error.reason)
        elif lost >= MOST_LOST:
            await self._failed(held, failures.lost(lost))
        else:
            self._lost[job_id] = lost
            log.warning(
                "job %s is called again: %s", job_id, "its instance ended" if gone else "its call was not taken"
            )
            return await self._released(held, FIRST_PAUSE_S)
        return None

    async def _released(self, held: InHand, pause_s: float) -> float:
        """Have a job wait again. Returns the pause."""
        self._leave(held)
        if held.claimed and not held.answered:
            until = self._tools.clock.uptime() + pause_s
            await self.endpoint.persisted(lambda: self.queue.release(held.queued.job.id, until))
        return pause_s

    def _leave(self, held: InHand) -> None:
        """The job has no place any more, and no lane; doing it twice does nothing."""
        had_lane = held.lane is not None
        if self.seating.leave(held):
            self._tools.idle()
        if had_lane:
            self.kick()

    def free(self, seat: Seat) -> None:
        """A call of a former control is over (`Dispatcher.occupy`)."""
        if self.seating.vacate(seat):
            self._tools.idle()
        self.seating.fill()
        self.kick(rescan=True)

    def _variant(self) -> str:
        """Whom something is counted for that no variant has."""
        variants = self.endpoint.route.variants
        return variants[0].name if variants else ""

    def _later(self, pause_s: float) -> None:
        def look() -> None:
            self._timers.discard(handle)
            self.kick(rescan=True)

        handle = asyncio.get_running_loop().call_later(pause_s + 0.01, look)
        self._timers.add(handle)

    def _count_call(self, held: InHand, status: int, took_s: float | None) -> None:
        """As a gateway counts: what was not answered is an error of the server's."""
        endpoint = self.endpoint
        endpoint.count(held, "Invocation4XXErrors", NONE, float(400 <= status < 500))
        endpoint.count(held, "Invocation5XXErrors", NONE, float(status == 0 or status >= 500))
        if took_s is not None:
            endpoint.count(held, "ModelLatency", MICROSECONDS, took_s * 1e6)
