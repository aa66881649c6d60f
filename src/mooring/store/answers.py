"""Queries of the table `answers`: what a mutating call was told, kept under the caller's invocation id.

It is written in the transaction of the call's own effect, so a call repeated after control died between the commit and
the reply finds both or neither.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import Connection, bindparam, delete, func, select
from sqlalchemy.dialects.sqlite import insert

from mooring.store.schema import answers as table

_GET = select(table).where(table.c.invocation_id == bindparam("invocation_id"))
_INSERT = insert(table)
_PUT = _INSERT.on_conflict_do_update(
    index_elements=["invocation_id"],
    set_={column.name: column for column in _INSERT.excluded if column.name != "invocation_id"},
)
KEPT_S = 3600.0
MOST_KEPT = 10_000


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, as it went over the wire. `digest` is of the call it answers: scope, operation, body."""

    invocation_id: str
    digest: str
    status: int
    content_type: str
    body: bytes
    answered_at: float


def get(conn: Connection, invocation_id: str) -> Answer | None:
    """The answer given under this id, or None."""
    row = conn.execute(_GET, {"invocation_id": invocation_id}).one_or_none()
    return None if row is None else Answer(*row)


def put(conn: Connection, answer: Answer) -> None:
    """Keep it, in place of an older one under the same id (of another call, or outlived)."""
    columns = {name: getattr(answer, name) for name in Answer.__slots__}
    conn.execute(_PUT, columns)


def prune(conn: Connection, now: float) -> None:
    """Forget what is older than `KEPT_S`, and the oldest beyond `MOST_KEPT`."""
    conn.execute(delete(table).where(table.c.answered_at < now - KEPT_S))
    excess = conn.execute(select(func.count()).select_from(table)).scalar_one() - MOST_KEPT
    if excess > 0:
        oldest = select(table.c.invocation_id).order_by(table.c.answered_at).limit(excess)
        conn.execute(delete(table).where(table.c.invocation_id.in_(oldest)))
