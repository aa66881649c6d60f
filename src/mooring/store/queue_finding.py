"""Questions to `jobs` in `queue.db`, each of an index."""

from __future__ import annotations

import heapq
import json
from itertools import islice
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Answered, Backlog, Claim, JobState, Outcome, OutcomeKind, QueuedJob
from mooring.store.queue_schema import (
    ANSWERED,
    CALLING,
    OUTCOMES,
    POSTPONED,
    READY,
    Now,
    answers,
    bodies,
    boots,
    endpoints,
    is_postponed,
    jobs,
    waits,
)

_STATES = {READY: JobState.WAITING, POSTPONED: JobState.WAITING, CALLING: JobState.CALLING, ANSWERED: JobState.ANSWERED}
STATUSES: dict[str, tuple[int, ...]] = {
    JobState.WAITING.value: (READY, POSTPONED),
    JobState.CALLING.value: (CALLING,),
    JobState.ANSWERED.value: (ANSWERED,),
    JobState.DONE.value: tuple(OUTCOMES.values()),
    **{kind.value: (status,) for kind, status in OUTCOMES.items()},
}
"""What a filter by `QueuedJob.status`, or by state, looks for."""


_IN_ORDER = (
    select(jobs)
    .where(jobs.c.uid == bindparam("uid"), jobs.c.status == bindparam("status"), jobs.c.position > bindparam("after"))
    .order_by(jobs.c.position)
    .limit(bindparam("most"))
)
DUE = (
    select(jobs.c.position)
    .where(is_postponed, jobs.c.uid == bindparam("of"), jobs.c.not_before <= bindparam("uptime"))
    .order_by(jobs.c.not_before)
    .limit(bindparam("most"))
)
"""What was postponed and is ready now."""
_IS_ENDED = select(endpoints.c.ended).where(endpoints.c.uid == bindparam("uid"))


def waiting(conn: Connection, uid: str, after: int, limit: int) -> list[QueuedJob]:
    """Of an endpoint that is not ended, what is ready to be called."""
    return [] if is_ended(conn, uid) else _of_status(conn, uid, READY, after, limit)


def is_ended(conn: Connection, uid: str) -> bool:
    """Whether nothing of an endpoint is to be called any more."""
    return conn.execute(_IS_ENDED, {"uid": uid}).scalar_one_or_none() is not None


def is_ripe(conn: Connection, uid: str, uptime: float) -> bool:
    """Whether something that was postponed is ready now."""
    return conn.execute(DUE, {"of": uid, "uptime": uptime, "most": 1}).first() is not None


_BY_ID = select(jobs).where(jobs.c.id == bindparam("job_id"))
_BY_INFERENCE_ID = (
    select(jobs)
    .where(jobs.c.inference_id == bindparam("inference_id"), jobs.c.uid == bindparam("of"))
    .order_by(jobs.c.position.desc())
    .limit(bindparam("most"))
)
_BODY = (
    select(bodies.c.body)
    .select_from(bodies.join(jobs, jobs.c.position == bodies.c.position))
    .where(jobs.c.id == bindparam("job_id"))
)
_ANSWER = (
    select(answers.c.body)
    .select_from(answers.join(jobs, jobs.c.position == answers.c.position))
    .where(jobs.c.id == bindparam("job_id"))
)
_BOOTS = select(boots.c.number, boots.c.boot_id)
_EXPIRED_BY_UPTIME = (
    select(jobs)
    .where(waits, jobs.c.boot == bindparam("number"), jobs.c.expires_uptime <= bindparam("now"))
    .order_by(jobs.c.expires_uptime)
    .limit(bindparam("most"))
)
_EXPIRED_BY_WALL = (
    select(jobs)
    .where(waits, jobs.c.boot == bindparam("number"), jobs.c.expires_at <= bindparam("now"))
    .order_by(jobs.c.expires_at)
    .limit(bindparam("most"))
)
_ENDPOINTS = select(endpoints)
_OF_ENDPOINT = (
    select(jobs).where(jobs.c.uid == bindparam("uid"), jobs.c.status == bindparam("status")).order_by(jobs.c.position)
)


def unfinished(conn: Connection) -> list[QueuedJob]:
    """Everything between waiting and done."""
    uids = conn.execute(select(endpoints.c.uid).where(endpoints.c.in_process > 0)).scalars().all()
    found = [
        _job_of(row)
        for uid in uids
        for status in (CALLING, ANSWERED)
        for row in conn.execute(_OF_ENDPOINT, {"uid": uid, "status": status})
    ]
    return sorted(found, key=lambda each: each.position)


def expired(conn: Connection, now: Now, limit: int) -> list[QueuedJob]:
    """What has waited for too long: by uptime in the boot that accepted it, by the wall clock in any other."""
    found: list[QueuedJob] = []
    for number, boot_id in conn.execute(_BOOTS).all():
        here = boot_id == now.boot_id
        statement, at = (_EXPIRED_BY_UPTIME, now.uptime) if here else (_EXPIRED_BY_WALL, now.wall)
        rows = conn.execute(statement, {"number": number, "now": at, "most": limit - len(found)})
        found.extend(_job_of(row) for row in rows)
        if len(found) >= limit:
            break
    return found


def backlog(conn: Connection) -> dict[str, Backlog]:
    """Of every endpoint that has jobs which are not done."""
    has_some = (endpoints.c.waiting > 0) | (endpoints.c.in_process > 0)
    return {
        row.uid: Backlog(row.waiting, row.in_process, _oldest(conn, row.uid) if row.waiting else None)
        for row in conn.execute(_ENDPOINTS.where(has_some)).all()
    }


def _oldest(conn: Connection, uid: str) -> Job | None:
    first = next(iter(page(conn, uid, JobState.WAITING.value, 0, 1)), None)
    return None if first is None else first.job


def page(conn: Connection, uid: str, status: str | None, after: int, limit: int) -> list[QueuedJob]:
    """The jobs of an endpoint in order, of one status or state or of all. Raises KeyError for another."""
    wanted = range(len(_STATES) + len(OUTCOMES)) if status is None else STATUSES[status]
    each = [_of_status(conn, uid, number, after, limit) for number in wanted]
    return list(islice(heapq.merge(*each, key=lambda job: job.position), limit))


def _of_status(conn: Connection, uid: str, status: int, after: int, limit: int) -> list[QueuedJob]:
    values = {"uid": uid, "status": status, "after": after, "most": limit}
    return [_job_of(row) for row in conn.execute(_IN_ORDER, values)]


def by_id(conn: Connection, job_id: str) -> QueuedJob | None:
    """The job of this id."""
    row = conn.execute(_BY_ID, {"job_id": job_id}).first()
    return None if row is None else _job_of(row)


def find(conn: Connection, uid: str, wanted: str, limit: int) -> list[QueuedJob]:
    """The endpoint's job of this id; or those of this inference id, the newest first."""
    found = by_id(conn, wanted)
    if found is not None and found.job.uid == uid:
        return [found]
    values = {"of": uid, "inference_id": wanted, "most": limit}
    return [_job_of(row) for row in conn.execute(_BY_INFERENCE_ID, values)]


def body(conn: Connection, job_id: str) -> bytes | None:
    """Its inline input; None when it has none any more."""
    found = conn.execute(_BODY, {"job_id": job_id}).scalar_one_or_none()
    return None if found is None else bytes(found)


def answer(conn: Connection, job_id: str) -> bytes | None:
    """What its model answered, of a job that is not done; None where that is in a file."""
    found = conn.execute(_ANSWER, {"job_id": job_id}).scalar_one_or_none()
    return None if found is None else bytes(found)


def _job_of(row: Row[Any]) -> QueuedJob:
    outcome = None if row.outcome is None else json.loads(row.outcome)
    return QueuedJob(
        position=row.position,
        job=Job(id=row.id, uid=row.uid, body=None, **json.loads(row.document)),
        state=_STATES.get(row.status, JobState.DONE),
        attempts=row.attempts,
        claim=None if row.claim is None else Claim(**json.loads(row.claim)),
        answered=None if row.answered is None else Answered(**json.loads(row.answered)),
        outcome=None if outcome is None else Outcome(**{**outcome, "kind": OutcomeKind(outcome["kind"])}),
        finished_at=row.finished_at,
    )
