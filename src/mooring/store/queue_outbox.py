"""Changes and queries of `outbox` in `queue.db`: notifications that are owed, until a topic has taken them.

A row is made in the transaction that ends its job, so none is forgotten and none is told of a job that is not done.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mooring.hosting.async_jobs import Notification, Owed
from mooring.store.queue_schema import is_owed, outbox

_OWED = (
    select(outbox)
    .where(
        is_owed,
        outbox.c.not_before <= bindparam("uptime"),
        outbox.c.topic.not_in(bindparam("without", expanding=True)),
    )
    .order_by(outbox.c.not_before, outbox.c.id)
    .limit(bindparam("most"))
)
_POSTPONED = (
    update(outbox)
    .where(outbox.c.id == bindparam("of"))
    .values(attempts=outbox.c.attempts + 1, not_before=bindparam("at"), problem=bindparam("why"))
)
_GIVEN_UP = (
    update(outbox).where(outbox.c.id == bindparam("of")).values(given_up_at=bindparam("at"), problem=bindparam("why"))
)
_LONG_GONE = (
    select(outbox.c.id)
    .where(outbox.c.given_up_at < bindparam("before"))
    .order_by(outbox.c.given_up_at)
    .limit(bindparam("most"))
)


def owe(conn: Connection, job_id: str, uid: str, notifications: Iterable[Notification]) -> None:
    """Add what is to be told of a job."""
    for each in notifications:
        conn.execute(insert(outbox), {"job_id": job_id, "uid": uid, "topic": each.topic, "message": each.message})


def owed(conn: Connection, uptime: float, limit: int, without: Iterable[str] = ()) -> list[Owed]:
    """What is to be told now to other topics than these, the oldest first."""
    rows = conn.execute(_OWED, {"uptime": uptime, "most": limit, "without": list(without)})
    return [Owed(row.id, row.job_id, row.uid, Notification(row.topic, row.message), row.attempts) for row in rows]


def told(conn: Connection, ids: Sequence[int]) -> None:
    """The topics have them."""
    conn.execute(delete(outbox).where(outbox.c.id.in_(ids)))


def postponed(conn: Connection, id_: int, not_before: float, problem: str) -> None:
    """A try failed; the next one comes later."""
    conn.execute(_POSTPONED, {"of": id_, "at": not_before, "why": problem})


def given_up(conn: Connection, id_: int, problem: str, wall: float) -> None:
    """No further try is made."""
    conn.execute(_GIVEN_UP, {"of": id_, "at": wall, "why": problem})


def ripen_all(conn: Connection) -> None:
    """Have everything owed now, as uptime may have begun again."""
    conn.execute(update(outbox).where(is_owed, outbox.c.not_before > 0).values(not_before=0))


def forget(conn: Connection, before: float, limit: int) -> int:
    """Remove what was given up before a moment of the wall clock; returns how many."""
    gone = list(conn.execute(_LONG_GONE, {"before": before, "most": limit}).scalars())
    told(conn, gone)
    return len(gone)
