"""Changes of `jobs` in `queue.db`. Statements are made once: making one takes longer than running it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, LargeBinary, bindparam, delete, insert, select, update

from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Answered, Claim, Outcome, OutcomeKind
from mooring.store.queue_finding import DUE
from mooring.store.queue_schema import (
    ANSWERED,
    CALLING,
    EXPIRED,
    FAILED,
    OUTCOMES,
    POSTPONED,
    READY,
    Now,
    answers,
    bodies,
    boots,
    compact,
    is_done,
    is_postponed,
    jobs,
)

KEPT_FOR_CERTAIN_S = 3600.0
"""How long a job that is done is kept whatever the wall clock says: its line may still lie in a gateway's segment."""

_ENDS_FROM = {
    OutcomeKind.COMPLETED: (CALLING, ANSWERED),
    OutcomeKind.FAILED: (READY, POSTPONED, CALLING, ANSWERED),
    OutcomeKind.EXPIRED: (READY, POSTPONED),
    OutcomeKind.CANCELLED: (READY, POSTPONED),
}
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
        "document": compact(document),
    }


# Along the queue

_RIPEN = update(jobs).where(jobs.c.position.in_(DUE.scalar_subquery())).values(status=READY, not_before=None)


def ripen(conn: Connection, uid: str, uptime: float, limit: int) -> None:
    """Have ready what was postponed until now."""
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
        if conn.execute(_CLAIM, {"job_id": each.job_id, "by": compact(asdict(each))}).rowcount
    }


def answered(conn: Connection, job_id: str, with_: Answered, body: bytes | None) -> bool:
    """Whether it was being called. `body` is the answer's, where it is in no file."""
    was_called = bool(conn.execute(_ANSWERED, {"job_id": job_id, "with": compact(asdict(with_))}).rowcount)
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
        status=OUTCOMES[kind],
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
    values = {"job_id": job_id, "ended_as": compact(asdict(outcome)), "at": now.wall, "up": now.uptime}
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
