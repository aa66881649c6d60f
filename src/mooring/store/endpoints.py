"""Queries of the table `endpoints`: one row is one `EndpointRecord`, found by scope and name or by its uid.

Whoever writes a row with another status also writes an event, in the same change: a history has no gaps.
"""

from __future__ import annotations

import functools
import json
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy.exc import IntegrityError

from mooring.errors import AlreadyExists, NotFound
from mooring.hosting.endpoints import EndpointRecord, EndpointStatus, Phase, Remnant, Rollout, Turn, VariantState
from mooring.hosting.events import EventKind, event
from mooring.hosting.listing import Cursor, Listed, Selection
from mooring.hosting.naming import Scope, already_exists, not_found
from mooring.store import events, paging, tags
from mooring.store.names import ByName
from mooring.store.schema import endpoints as table

RECORDS_REMEMBERED = 256
MOST_REGIONS = 5
"""That a message names."""
_NAMED = ByName(table)
_OF_UID = select(table).where(table.c.uid == bindparam("uid"))
_COLUMNS = ("uid", "name", "status", "created_at", "modified_at")


def insert(conn: Connection, record: EndpointRecord) -> None:
    """Raises `AlreadyExists` when the name is taken, in any case and whatever the status of its holder."""
    try:
        conn.execute(insert_into(table).values(_values(record)))
    except IntegrityError:
        raise AlreadyExists(already_exists("endpoint", record.arn)) from None
    _tell(conn, record, record.created_at)


def get(conn: Connection, scope: Scope, name: str) -> EndpointRecord | None:
    """The endpoint of exactly this name, or None."""
    row = _NAMED.one(conn, scope, name)
    return None if row is None else _record(row)


def require(conn: Connection, scope: Scope, name: str) -> EndpointRecord:
    """The endpoint of exactly this name. Raises `NotFound` in AWS's words."""
    found = get(conn, scope, name)
    if found is None:
        raise NotFound(not_found("endpoint", scope.arn("endpoint", name), _regions_of(conn, scope, name)))
    return found


def by_uid(conn: Connection, uid: str) -> EndpointRecord | None:
    """This creation, or None once it is gone, even when its name lives again."""
    row = conn.execute(_OF_UID, {"uid": uid}).one_or_none()
    return None if row is None else _record(row)


def all(conn: Connection) -> list[EndpointRecord]:  # noqa: A001 - read as `endpoints.all`
    """Every endpoint of every scope, oldest first."""
    return [_record(row) for row in conn.execute(select(table).order_by(table.c.created_at, table.c.uid))]


def count(conn: Connection, scope: Scope) -> int:
    """How many this scope has."""
    return paging.count(conn, table, scope)


def save(conn: Connection, record: EndpointRecord) -> bool:
    """Replace the row of this uid; False when it is gone. Read it in the same change, or another's is overwritten."""
    held = conn.execute(select(table.c.status).where(table.c.uid == record.uid)).scalar_one_or_none()
    if held is None:
        return False
    conn.execute(update(table).where(table.c.uid == record.uid).values(_values(record)))
    if held != record.status:
        _tell(conn, record, record.modified_at)
    return True


def delete(conn: Connection, uid: str) -> bool:
    """Delete the endpoint, its history and its tags; False when it is gone already."""
    record = by_uid(conn, uid)
    if record is None:
        return False
    conn.execute(delete_from(table).where(table.c.uid == uid))
    events.delete_all(conn, uid)
    tags.delete_all(conn, record.arn)
    return True


def page(conn: Connection, scope: Scope, wanted: Selection) -> tuple[list[Listed], Cursor | None]:
    """One page, and where the next begins when there is one."""
    return paging.page(conn, table, "endpoint", scope, wanted)


def _tell(conn: Connection, record: EndpointRecord, at: float) -> None:
    text = f"{record.status}: {record.failure_reason}" if record.failure_reason else str(record.status)
    events.add(conn, record.uid, [event(at, EventKind.STATUS, text)])


def _regions_of(conn: Connection, scope: Scope, name: str) -> list[str]:
    """Regions that have an endpoint of exactly this name; what is looked for in one is often in another."""
    wanted = select(table.c.region).where(table.c.account == scope.account, table.c.name == name)
    return list(conn.execute(wanted.order_by(table.c.region).limit(MOST_REGIONS)).scalars())


def _values(record: EndpointRecord) -> dict[str, Any]:
    members = asdict(record)
    scope = members.pop("scope")
    columns = {name: members.pop(name) for name in _COLUMNS}
    return {**columns, **scope, "document": json.dumps(members, separators=(",", ":"))}


def _record(row: Row[Any]) -> EndpointRecord:
    columns = {name: getattr(row, name) for name in _COLUMNS}
    columns["status"] = EndpointStatus(row.status)
    return EndpointRecord(**columns, **_members(row.document), scope=Scope(row.account, row.region))


@functools.lru_cache(maxsize=RECORDS_REMEMBERED)
def _members(document: str) -> dict[str, Any]:
    """Remembered, as an endpoint is read far more often than it changes. Nobody alters what a record holds."""
    members: dict[str, Any] = json.loads(document)
    members["variants"] = _variants(members["variants"])
    members["rollout"] = _rollout(members["rollout"])
    members["remnant"] = _remnant(members["remnant"])
    return members


def _variants(documents: list[dict[str, Any]]) -> tuple[VariantState, ...]:
    return tuple(VariantState(**document) for document in documents)


def _rollout(document: dict[str, Any] | None) -> Rollout | None:
    if document is None:
        return None
    turned = document["turned"]
    typed = {
        "variants": _variants(document["variants"]),
        "before": EndpointStatus(document["before"]),
        "phase": Phase(document["phase"]),
        "turned": None if turned is None else Turn(turned["step"], Phase(turned["phase"])),
    }
    return Rollout(**{**document, **typed})


def _remnant(document: dict[str, Any] | None) -> Remnant | None:
    return None if document is None else Remnant(**{**document, "variants": _variants(document["variants"])})
