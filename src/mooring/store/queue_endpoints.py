"""What `queue.db` remembers of endpoints, also of those that are gone and have jobs left."""

from __future__ import annotations

import json
from typing import Any

from sqlalchemy import Connection, bindparam, delete, select, update
from sqlalchemy.dialects import sqlite

from mooring.hosting.async_jobs import KnownEndpoint
from mooring.store.queue_schema import compact, endpoints, jobs

_ENDPOINTS = select(endpoints)
_KNOW = sqlite.insert(endpoints).values(uid=bindparam("uid"), facts=bindparam("facts"))
_KNOW = _KNOW.on_conflict_do_update(index_elements=["uid"], set_={"facts": _KNOW.excluded.facts})


def know(conn: Connection, uid: str, facts: dict[str, Any]) -> None:
    """Remember what outlives an endpoint."""
    conn.execute(_KNOW, {"uid": uid, "facts": compact(facts)})


def known(conn: Connection) -> dict[str, KnownEndpoint]:
    """Every endpoint that has, or had, jobs."""
    return {
        row.uid: KnownEndpoint(row.uid, json.loads(row.facts or "{}"), row.ended) for row in conn.execute(_ENDPOINTS)
    }


def end_endpoint(conn: Connection, uid: str, reason: str) -> None:
    """Nothing of it is called any more."""
    conn.execute(update(endpoints).where(endpoints.c.uid == uid, endpoints.c.ended.is_(None)).values(ended=reason))


def begin_endpoint(conn: Connection, uid: str) -> None:
    """What was ended may be called again."""
    conn.execute(update(endpoints).where(endpoints.c.uid == uid).values(ended=None))


def forget_endpoints(conn: Connection) -> None:
    """Of those that are ended and have no job left in the history, nothing stays."""
    has_job = select(jobs.c.position).where(jobs.c.uid == endpoints.c.uid).exists()
    conn.execute(delete(endpoints).where(endpoints.c.ended.is_not(None), ~has_job))
