"""Queries of the table `events`: the newest few of each endpoint's uid, in the order in which they came."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import Connection, delete, insert, select

from mooring.hosting.events import Event, EventKind
from mooring.store.schema import events as table

MOST_KEPT = 200
"""Of one endpoint; the oldest go first."""


def add(conn: Connection, uid: str, events: Iterable[Event]) -> None:
    """Append to the history of an endpoint."""
    rows = [{"endpoint_uid": uid, "at": each.at, "kind": str(each.kind), "text": each.text} for each in events]
    if not rows:
        return
    conn.execute(insert(table), rows)
    kept = select(table.c.id).where(table.c.endpoint_uid == uid).order_by(table.c.id.desc()).limit(MOST_KEPT)
    conn.execute(delete(table).where(table.c.endpoint_uid == uid, table.c.id.not_in(kept)))


def after(conn: Connection, uid: str, position: int = 0) -> list[tuple[int, Event]]:
    """The events behind `position`, oldest first, each with its own position."""
    rows = conn.execute(select(table).where(table.c.endpoint_uid == uid, table.c.id > position).order_by(table.c.id))
    return [(row.id, Event(row.at, EventKind(row.kind), row.text)) for row in rows]


def of_kind(conn: Connection, kind: EventKind) -> dict[str, list[str]]:
    """The texts of one kind, each once, by the uid of their endpoint."""
    found: dict[str, list[str]] = {}
    for row in conn.execute(select(table).where(table.c.kind == str(kind)).order_by(table.c.id)):
        found.setdefault(row.endpoint_uid, []).append(row.text)
    return {uid: list(dict.fromkeys(texts)) for uid, texts in found.items()}


def delete_all(conn: Connection, uid: str) -> None:
    """Forget an endpoint's history."""
    conn.execute(delete(table).where(table.c.endpoint_uid == uid))
