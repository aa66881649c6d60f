"""`Queue`: the jobs of asynchronous endpoints, in one control process.

What a method did survives a loss of power once it has returned. Nothing here takes longer because many jobs wait: every
question is one of an index, and what waits is counted as it comes and goes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine

from mooring.clock import Clock
from mooring.errors import NotFound, Refused, Unavailable
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import (
    Answered,
    Backlog,
    Claim,
    JobState,
    KnownEndpoint,
    Notification,
    Outcome,
    OutcomeKind,
    Owed,
    QueuedJob,
)
from mooring.processes import identity
from mooring.store import queue_endpoints, queue_finding, queue_jobs, queue_outbox
from mooring.store.queue_schema import Now, open_queue
from mooring.store.writer import Writer

T = TypeVar("T")

RIPENED_AT_ONCE = 1000
FORGOTTEN_AT_ONCE = 500
MOST_FOUND = 100
"""Jobs of one inference id that are looked at."""


class Queue:
    """Open with `Queue.open`, close once."""

    def __init__(self, engine: Engine, clock: Clock) -> None:
        self._engine = engine
        self._clock = clock
        self._boot_id = identity.boot_id()
        self._writer = Writer(engine)
        self._reading = engine.connect()
        self._closed = False

    @staticmethod
    async def open(path: Path, clock: Clock) -> Queue:
        """Open the file, made where it is not there; what was postponed is ready. Raises `DataDirectoryError`."""
        queue = Queue(await asyncio.to_thread(open_queue, path), clock)
        queue._writer.start()
        await queue._write(queue_jobs.ripen_all)
        await queue._write(queue_outbox.ripen_all)
        return queue

    async def close(self) -> None:
        """Write what is queued and close the file."""
        if self._closed:
            return
        self._closed = True
        await asyncio.to_thread(self._writer.close)
        self._reading.close()
        self._engine.dispose()

    # Jobs

    async def take_in(self, jobs: Sequence[Job]) -> int:
        """Add jobs; one that is known already is ignored. Returns how many were new."""
        return await self._write(partial(queue_jobs.take_in, taken=jobs))

    async def waiting(self, uid: str, after: int, limit: int) -> list[QueuedJob]:
        """Up to `limit` jobs that may be called now, behind the position `after`.

        A job that was released keeps its place: whoever looks for work begins at 0, and goes on only within one look.
        """
        uptime = self._clock.uptime()
        if self._read(partial(queue_finding.is_ripe, uid=uid, uptime=uptime)):
            await self._write(partial(queue_jobs.ripen, uid=uid, uptime=uptime, limit=RIPENED_AT_ONCE))
        return self._read(partial(queue_finding.waiting, uid=uid, after=after, limit=limit))

    async def body(self, job_id: str) -> bytes | None:
        """The input of a job that came inline."""
        return self._read(partial(queue_finding.body, job_id=job_id))

    async def claim(self, claims: Sequence[Claim]) -> set[str]:
        """Note who is going to be called; only the jobs whose ids are returned may be, as the others wait no more."""
        return await self._write(partial(queue_jobs.claim, claims=claims))

    async def answered(self, job_id: str, answered: Answered, body: bytes | None = None) -> bool:
        """The model's answer is on disk, and it is never called again for this job. False unless it was called.

        A small answer is kept here, until the job is done, and needs no file.
        """
        return await self._write(partial(queue_jobs.answered, job_id=job_id, with_=answered, body=body))

    async def answer(self, job_id: str) -> bytes | None:
        """The answer that is kept here."""
        return self._read(partial(queue_finding.answer, job_id=job_id))

    async def release(self, job_id: str, not_before: float = 0.0) -> bool:
        """A job that was claimed waits again, until `not_before` (uptime) at least."""
        return await self._write(partial(queue_jobs.release, job_id=job_id, not_before=not_before))

    async def done(self, job_id: str, outcome: Outcome, owed: Iterable[Notification] = ()) -> bool:
        """End a job, and owe what is to be told of it. False when it cannot end so (any more), and nothing was done.

        Only what waits can expire or be cancelled, and only what was called be completed.
        """
        return await self._write(partial(_done, job_id=job_id, outcome=outcome, owed=tuple(owed), now=self._now()))

    async def unfinished(self) -> list[QueuedJob]:
        """What was being called or had been answered when the last control ended."""
        return self._read(queue_finding.unfinished)

    async def expired(self, boot_id: str, uptime: float, wall: float, limit: int) -> list[QueuedJob]:
        """Up to `limit` jobs that wait, and have for too long; `done` ends them."""
        return self._read(partial(queue_finding.expired, now=Now(boot_id, uptime, wall), limit=limit))

    async def backlog(self) -> dict[str, Backlog]:
        """By uid, what every endpoint's queue holds."""
        return self._read(queue_finding.backlog)

    # For people

    async def page(self, uid: str, status: str | None, after: int, limit: int) -> list[QueuedJob]:
        """Jobs of an endpoint in order, behind the position `after`. Raises `Refused` for a status that is none."""
        try:
            return self._read(partial(queue_finding.page, uid=uid, status=status, after=after, limit=limit))
        except KeyError:
            known = ", ".join(queue_finding.STATUSES)
            raise Refused(f"{status} is no status of an asynchronous invocation: {known}") from None

    async def find(self, uid: str, wanted: str) -> list[QueuedJob]:
        """The endpoint's job of this id; or those of this InferenceId, the newest first."""
        return self._read(partial(queue_finding.find, uid=uid, wanted=wanted, limit=MOST_FOUND))

    async def retry(self, job_id: str) -> QueuedJob:
        """Have a job that failed or expired wait again. Raises `NotFound` or `Refused`."""
        return await self._write(partial(_retry, job_id=job_id, now=self._now()))

    async def cancel(self, job_id: str) -> QueuedJob:
        """End a job that waits. Raises `NotFound`, or `Refused` for one that cannot be cancelled any more."""
        return await self._write(partial(_cancel, job_id=job_id, now=self._now()))

    # Endpoints

    async def know(self, uid: str, facts: Mapping[str, Any]) -> None:
        """Remember what is to be known of an endpoint when it is gone, and its jobs are not."""
        await self._write(partial(queue_endpoints.know, uid=uid, facts=dict(facts)))

    async def known(self) -> dict[str, KnownEndpoint]:
        """Everything that is remembered, by uid; also of endpoints of which only their jobs are."""
        return self._read(queue_endpoints.known)

    async def end_endpoint(self, uid: str, reason: str, limit: int = 100) -> list[QueuedJob]:
        """Have nothing of an endpoint be called any more; returns up to `limit` of the jobs that `done` is to end.

        It is remembered, so what is taken in later is found by asking again.
        """
        await self._write(partial(queue_endpoints.end_endpoint, uid=uid, reason=reason))
        return await self.page(uid, JobState.WAITING.value, 0, limit)

    async def begin_endpoint(self, uid: str) -> bool:
        """Have the jobs of an endpoint be called again, if they were not any more; what was ended stays so."""
        was_ended = self._read(partial(queue_finding.is_ended, uid=uid))
        if was_ended:
            await self._write(partial(queue_endpoints.begin_endpoint, uid=uid))
        return was_ended

    async def forget(self, before: float) -> None:
        """Remove what was done, or given up, before a moment of the wall clock, a little at a time."""
        now = self._now()
        while await self._write(partial(queue_jobs.forget, before=before, now=now, limit=FORGOTTEN_AT_ONCE)):
            pass
        while await self._write(partial(queue_outbox.forget, before=before, limit=FORGOTTEN_AT_ONCE)):
            pass
        await self._write(queue_endpoints.forget_endpoints)

    # Notifications

    async def owed(self, limit: int, without: Iterable[str] = ()) -> list[Owed]:
        """Up to `limit` notifications to publish now, none of the topics `without`."""
        uptime = self._clock.uptime()
        return self._read(partial(queue_outbox.owed, uptime=uptime, limit=limit, without=without))

    async def told(self, ids: Sequence[int]) -> None:
        """Their topics have them."""
        await self._write(partial(queue_outbox.told, ids=ids))

    async def postponed(self, id_: int, not_before: float, problem: str) -> None:
        """It could not be published: it is owed again from `not_before` (uptime) on."""
        await self._write(partial(queue_outbox.postponed, id_=id_, not_before=not_before, problem=problem))

    async def given_up(self, id_: int, problem: str) -> None:
        """It never will be published."""
        await self._write(partial(queue_outbox.given_up, id_=id_, problem=problem, wall=self._clock.wall()))

    def _now(self) -> Now:
        return Now(self._boot_id, self._clock.uptime(), self._clock.wall())

    def _read(self, query: Callable[[Connection], T]) -> T:
        # In the loop's own thread, as in `Store`: no writer makes it wait.
        if self._closed:
            raise Unavailable("The queue is closed.")
        with self._reading.begin():
            return query(self._reading)

    async def _write(self, change: Callable[[Connection], T]) -> T:
        return await asyncio.wrap_future(self._writer.submit(change))


def _done(conn: Connection, *, job_id: str, outcome: Outcome, owed: tuple[Notification, ...], now: Now) -> bool:
    if not queue_jobs.done(conn, job_id, outcome, now):
        return False
    if owed:
        queue_outbox.owe(conn, job_id, _require(conn, job_id).job.uid, owed)
    return True


def _require(conn: Connection, job_id: str) -> QueuedJob:
    found = queue_finding.by_id(conn, job_id)
    if found is None:
        raise NotFound(f"there is no asynchronous invocation {job_id}")
    return found


def _retry(conn: Connection, *, job_id: str, now: Now) -> QueuedJob:
    found = _require(conn, job_id)
    if queue_finding.is_ended(conn, found.job.uid):
        raise Refused(f"{job_id} cannot be tried again: its endpoint is gone")
    if not queue_jobs.retry(conn, found.job, now):
        raise Refused(f"{job_id} is {found.status}: only what is Failed or Expired can be tried again")
    return _require(conn, job_id)


def _cancel(conn: Connection, *, job_id: str, now: Now) -> QueuedJob:
    found = _require(conn, job_id)
    if not queue_jobs.done(conn, job_id, Outcome(OutcomeKind.CANCELLED, "It was cancelled."), now):
        raise Refused(f"{job_id} is {found.status}: only what is Waiting can be cancelled")
    return _require(conn, job_id)
