"""Changes and queries of `jobs` in `queue.db`. Statements are made once: making one takes longer than running it."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from sqlalchemy import Connection, LargeBinary, Row, bindparam, delete, insert, select, update
from sqlalchemy.dialects import sqlite

from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import (
    Answered,
    Backlog,
    Claim,
    JobState,
    KnownEndpoint,
    Outcome,
    OutcomeKind,
    QueuedJob,
)
from mooring.store.queue_schema import (
    ANSWERED,
    CALLING,
    CANCELLED,
    COMPLETED,
    EXPIRED,
    FAILED,
    POSTPONED,
    READY,
    answers,
    bodies,
    boots,
    endpoints,
    is_done,
    is_postponed,
    jobs,
    waits,
)

KEPT_FOR_CERTAIN_S = 3600.0
"""How long a job that is done is kept whatever the wall clock says: its line may still lie in a gateway's segment."""

_OUTCOMES = {
    OutcomeKind.COMPLETED: COMPLETED,
    OutcomeKind.FAILED: FAILED,
    OutcomeKind.EXPIRED: EXPIRED,
    OutcomeKind.CANCELLED: CANCELLED,
}
_ENDS_FROM = {
    OutcomeKind.COMPLETED: (CALLING, ANSWERED),
    OutcomeKind.FAILED: (READY, POSTPONED, CALLING, ANSWERED),
    OutcomeKind.EXPIRED: (READY, POSTPONED),
    OutcomeKind.CANCELLED: (READY, POSTPONED),
}
_STATES = {READY: JobState.WAITING, POSTPONED: JobState.WAITING, CALLING: JobState.CALLING, ANSWERED: JobState.ANSWERED}
_STATUSES: dict[str, tuple[int, ...]] = {
    JobState.WAITING.value: (READY, POSTPONED),
    JobState.CALLING.value: (CALLING,),
    JobState.ANSWERED.value: (ANSWERED,),
    JobState.DONE.value: tuple(_OUTCOMES.values()),
    **{kind.value: (status,) for kind, status in _OUTCOMES.items()},
}
"""What a filter by `QueuedJob.status`, or by state, looks for."""


@dataclass(frozen=True, slots=True)
class Now:
    """The clocks at a change."""

    boot_id: str
    uptime: float
    wall: float


# Into the queue

_KNOWN = select(jobs.c.id).where(jobs.c.id.in_(bindparam("ids", expanding=True)))
_PLACES = select(jobs.c.id, jobs.c.position).where(jobs.c.id.in_(bindparam("ids", expanding=True)))
_BOOT = select(boots.c.number).where(boots.c.boot_id == bindparam("boot_id"))


def take_in(conn: Connection, taken: Sequence[Job]) -> int:
    """Add those that are not known; returns how many."""
    known = set(conn.execute(_KNOWN, {"ids": [job.id for job in taken]}).scalars())
    new = {job.id: job for job in taken if job.id not in known}
    if not new:
        return 0
    numbers = {boot: _number_of(conn, boot) for boot in {job.boot_id for job in new.values()}}
    conn.execute(insert(jobs), [_row(job, numbers[job.boot_id]) for job in new.values()])
    inline = {job.id: job.body for job in new.values() if job.body is not None}
    if inline:
        places = conn.execute(_PLACES, {"ids": list(inline)}).all()
        conn.execute(insert(bodies), [{"position": row.position, "body": inline[row.id]} for row in places])
    return len(new)


def _number_of(conn: Connection, boot_id: str) -> int:
    found = conn.execute(_BOOT, {"boot_id": boot_id}).scalar_one_or_none()
    if found is None:
        found = conn.execute(insert(boots).values(boot_id=boot_id).returning(boots.c.number)).scalar_one()
    return int(found)


def _row(job: Job, boot: int) -> dict[str, Any]:
    document = job.to_document()
    del document["body"], document["id"], document["uid"]
    return {
        "id": job.id,
        "uid": job.uid,
        "status": READY,
        "attempts": 0,
        "boot": boot,
        "expires_uptime": job.accepted_uptime + job.ttl_s,
        "expires_at": job.accepted_at + job.ttl_s,
        "inference_id": job.inference_id if job.inference_id != job.id else None,
        "document": _compact(document),
    }


# Along the queue

_IN_ORDER = (
    select(jobs)
    .where(jobs.c.uid == bindparam("uid"), jobs.c.status == bindparam("status"), jobs.c.position > bindparam("after"))
    .order_by(jobs.c.position)
    .limit(bindparam("most"))
)
_DUE = (
    select(jobs.c.position)
    .where(is_postponed, jobs.c.uid == bindparam("of"), jobs.c.not_before <= bindparam("uptime"))
    .order_by(jobs.c.not_before)
    .limit(bindparam("most"))
)
_RIPEN = update(jobs).where(jobs.c.position.in_(_DUE.scalar_subquery())).values(status=READY, not_before=None)
_IS_ENDED = select(endpoints.c.ended).where(endpoints.c.uid == bindparam("uid"))


def waiting(conn: Connection, uid: str, after: int, limit: int) -> list[QueuedJob]:
    """Of an endpoint that is not ended, what is ready to be called."""
    return [] if is_ended(conn, uid) else _of_status(conn, uid, READY, after, limit)


def is_ended(conn: Connection, uid: str) -> bool:
    """Whether nothing of an endpoint is to be called any more."""
    return conn.execute(_IS_ENDED, {"uid": uid}).scalar_one_or_none() is not None


def is_ripe(conn: Connection, uid: str, uptime: float) -> bool:
    """Whether something that was postponed is ready now."""
    return conn.execute(_DUE, {"of": uid, "uptime": uptime, "most": 1}).first() is not None


def ripen(conn: Connection, uid: str, uptime: float, limit: int) -> None:
    """Have it ready."""
    conn.execute(_RIPEN, {"of": uid, "uptime": uptime, "most": limit})


def ripen_all(conn: Connection) -> None:
    """Have everything ready that was postponed, as nobody remembers why."""
    conn.execute(update(jobs).where(is_postponed).values(status=READY, not_before=None))


_CLAIM = (
    update(jobs)
    .where(jobs.c.id == bindparam("job_id"), jobs.c.status.in_((READY, POSTPONED)))
    .values(status=CALLING, not_before=None, attempts=jobs.c.attempts + 1, claim=bindparam("by"))
)
_ANSWERED = (
    update(jobs)
    .where(jobs.c.id == bindparam("job_id"), jobs.c.status == CALLING)
    .values(status=ANSWERED, answered=bindparam("with"))
)
_KEEP_ANSWER = insert(answers).from_select(
    ["position", "body"],
    select(jobs.c.position, bindparam("answer", type_=LargeBinary)).where(jobs.c.id == bindparam("job_id")),
)
_RELEASE = (
    update(jobs)
    .where(jobs.c.id == bindparam("job_id"), jobs.c.status == CALLING)
    .values(status=POSTPONED, not_before=bindparam("at"))
)


def claim(conn: Connection, claims: Iterable[Claim]) -> set[str]:
    """The ids of the jobs that were still waiting."""
    return {
        each.job_id
        for each in claims
        if conn.execute(_CLAIM, {"job_id": each.job_id, "by": _compact(asdict(each))}).rowcount
    }


def answered(conn: Connection, job_id: str, with_: Answered, body: bytes | None) -> bool:
    """Whether it was being called. `body` is the answer's, where it is in no file."""
    was_called = bool(conn.execute(_ANSWERED, {"job_id": job_id, "with": _compact(asdict(with_))}).rowcount)
    if was_called and body is not None:
        conn.execute(_KEEP_ANSWER, {"job_id": job_id, "answer": body})
    return was_called


def release(conn: Connection, job_id: str, not_before: float) -> bool:
    """Whether it was being called; it waits again."""
    return bool(conn.execute(_RELEASE, {"job_id": job_id, "at": not_before}).rowcount)


_DONE = {
    kind: update(jobs)
    .where(jobs.c.id == bindparam("job_id"), jobs.c.status.in_(_ENDS_FROM[kind]))
    .values(
        status=_OUTCOMES[kind],
        not_before=None,
        outcome=bindparam("ended_as"),
        finished_at=bindparam("at"),
        finished_uptime=bindparam("up"),
    )
    for kind in OutcomeKind
}
_DROP_BODY = delete(bodies).where(
    bodies.c.position == select(jobs.c.position).where(jobs.c.id == bindparam("job_id")).scalar_subquery()
)


def done(conn: Connection, job_id: str, outcome: Outcome, now: Now) -> bool:
    """Whether the job could end so. The input of one that may be tried again is kept with it."""
    values = {"job_id": job_id, "ended_as": _compact(asdict(outcome)), "at": now.wall, "up": now.uptime}
    ended = bool(conn.execute(_DONE[outcome.kind], values).rowcount)
    if ended and outcome.kind in (OutcomeKind.COMPLETED, OutcomeKind.CANCELLED):
        conn.execute(_DROP_BODY, {"job_id": job_id})
    return ended


_RETRY = (
    update(jobs)
    .where(jobs.c.id == bindparam("job_id"), jobs.c.status.in_((FAILED, EXPIRED)))
    .values(
        status=READY,
        attempts=0,
        boot=bindparam("boot_number"),
        expires_uptime=bindparam("until"),
        expires_at=bindparam("until_wall"),
        claim=None,
        answered=None,
        outcome=None,
        finished_at=None,
        finished_uptime=None,
    )
)


def retry(conn: Connection, job: Job, now: Now) -> bool:
    """Whether it had failed or expired; it waits again, as long as it might the first time."""
    values = {"boot_number": _number_of(conn, now.boot_id), "until": now.uptime + job.ttl_s}
    return bool(conn.execute(_RETRY, {**values, "until_wall": now.wall + job.ttl_s, "job_id": job.id}).rowcount)


# Questions

_BY_ID = select(jobs).where(jobs.c.id == bindparam("job_id"))
_BY_INFERENCE_ID = (
    select(jobs)
    .where(jobs.c.inference_id == bindparam("inference_id"))
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
    wanted = range(len(_STATES) + len(_OUTCOMES)) if status is None else _STATUSES[status]
    each = [_of_status(conn, uid, number, after, limit) for number in wanted]
    return list(islice(heapq.merge(*each, key=lambda job: job.position), limit))


def _of_status(conn: Connection, uid: str, status: int, after: int, limit: int) -> list[QueuedJob]:
    values = {"uid": uid, "status": status, "after": after, "most": limit}
    return [_job_of(row) for row in conn.execute(_IN_ORDER, values)]


def find(conn: Connection, wanted: str, limit: int) -> list[QueuedJob]:
    """The job of this id; or those of this inference id, the newest first."""
    row = conn.execute(_BY_ID, {"job_id": wanted}).first()
    if row is not None:
        return [_job_of(row)]
    return [_job_of(row) for row in conn.execute(_BY_INFERENCE_ID, {"inference_id": wanted, "most": limit})]


def body(conn: Connection, job_id: str) -> bytes | None:
    """Its inline input; None when it has none any more."""
    found = conn.execute(_BODY, {"job_id": job_id}).scalar_one_or_none()
    return None if found is None else bytes(found)


def answer(conn: Connection, job_id: str) -> bytes | None:
    """What its model answered, of a job that is not done; None where that is in a file."""
    found = conn.execute(_ANSWER, {"job_id": job_id}).scalar_one_or_none()
    return None if found is None else bytes(found)


_FORGOTTEN = (
    select(jobs.c.position, jobs.c.id)
    .where(
        is_done,
        jobs.c.finished_at < bindparam("before"),
        ~jobs.c.finished_uptime.between(bindparam("since"), bindparam("until")),
    )
    .order_by(jobs.c.finished_at)
    .limit(bindparam("most"))
)


def forget(conn: Connection, before: float, now: Now, limit: int) -> int:
    """Remove what was done before a moment of the wall clock; returns how many."""
    values = {"before": before, "since": now.uptime - KEPT_FOR_CERTAIN_S, "until": now.uptime, "most": limit}
    gone = [row.position for row in conn.execute(_FORGOTTEN, values)]
    if gone:
        for table in (bodies, jobs):
            conn.execute(delete(table).where(table.c.position.in_(gone)))
    return len(gone)


# Endpoints

_KNOW = sqlite.insert(endpoints).values(uid=bindparam("uid"), facts=bindparam("facts"))
_KNOW = _KNOW.on_conflict_do_update(index_elements=["uid"], set_={"facts": _KNOW.excluded.facts})


def know(conn: Connection, uid: str, facts: dict[str, Any]) -> None:
    """Remember what outlives an endpoint."""
    conn.execute(_KNOW, {"uid": uid, "facts": _compact(facts)})


def known(conn: Connection) -> dict[str, KnownEndpoint]:
    """Every endpoint that has, or had, jobs."""
    return {
        row.uid: KnownEndpoint(row.uid, json.loads(row.facts or "{}"), row.ended) for row in conn.execute(_ENDPOINTS)
    }


def end_endpoint(conn: Connection, uid: str, reason: str) -> None:
    """Nothing of it is called any more."""
    conn.execute(update(endpoints).where(endpoints.c.uid == uid, endpoints.c.ended.is_(None)).values(ended=reason))


def forget_endpoints(conn: Connection) -> None:
    """Of those that are ended and have no job left in the history, nothing stays."""
    has_job = select(jobs.c.position).where(jobs.c.uid == endpoints.c.uid).exists()
    conn.execute(delete(endpoints).where(endpoints.c.ended.is_not(None), ~has_job))


# Rows


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


def _compact(document: dict[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))
