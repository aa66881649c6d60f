"""The tables of `queue.db`: no step of a job, and no question of how many wait, looks at more rows than it needs.

Every index is one of a question that is asked, and holds only the rows that the question is about. What waits and is
in process is counted by triggers, in the transaction that changes it, so the counts are exact after any death.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Float,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    literal_column,
    text,
)
from sqlalchemy.exc import DatabaseError

from mooring.errors import DataDirectoryError
from mooring.hosting.async_jobs import OutcomeKind
from mooring.store.opening import engine_on

VERSION = 1
"""SQLite's `user_version` of the file."""

READY, POSTPONED, CALLING, ANSWERED, COMPLETED, FAILED, EXPIRED, CANCELLED = range(8)
"""`jobs.status`. The first two wait; those from the fifth on are done."""

metadata = MetaData()

jobs = Table(
    "jobs",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("id", String, nullable=False),
    Column("uid", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("boot", Integer, nullable=False),
    Column("expires_uptime", Float, nullable=False),
    Column("expires_at", Float, nullable=False),
    Column("not_before", Float),
    Column("finished_at", Float),
    Column("finished_uptime", Float),
    Column("inference_id", String),
    Column("document", Text, nullable=False),
    Column("claim", Text),
    Column("answered", Text),
    Column("outcome", Text),
    sqlite_autoincrement=True,
)
"""`not_before` is uptime, and of those that are postponed only. `inference_id` is set where the caller gave one."""

waits = literal_column("status") < literal_column("2")
is_postponed = literal_column("status") == literal_column("1")
is_done = literal_column("status") > literal_column("3")
"""As SQLite must see them in a statement to use the indexes below."""

Index("jobs_id", jobs.c.id, unique=True)
Index("jobs_in_order", jobs.c.uid, jobs.c.status, jobs.c.position)
Index("jobs_postponed", jobs.c.uid, jobs.c.not_before, sqlite_where=is_postponed)
Index("jobs_expiring", jobs.c.boot, jobs.c.expires_uptime, sqlite_where=waits)
Index("jobs_expiring_later", jobs.c.boot, jobs.c.expires_at, sqlite_where=waits)
Index("jobs_finished", jobs.c.finished_at, sqlite_where=is_done)
Index("jobs_inference_id", jobs.c.inference_id, jobs.c.uid, sqlite_where=text("inference_id IS NOT NULL"))

bodies = Table(
    "bodies",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""Inline inputs."""

answers = Table(
    "answers",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("body", LargeBinary, nullable=False),
)
"""What models answered, where that is small; of jobs that are not done."""

boots = Table(
    "boots",
    metadata,
    Column("number", Integer, primary_key=True),
    Column("boot_id", String, nullable=False, unique=True),
)

endpoints = Table(
    "endpoints",
    metadata,
    Column("uid", String, primary_key=True),
    Column("waiting", Integer, nullable=False, server_default="0"),
    Column("in_process", Integer, nullable=False, server_default="0"),
    Column("facts", Text),
    Column("ended", Text),
)

outbox = Table(
    "outbox",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("job_id", String, nullable=False),
    Column("uid", String, nullable=False),
    Column("topic", String, nullable=False),
    Column("message", Text, nullable=False),
    Column("attempts", Integer, nullable=False, server_default="0"),
    Column("not_before", Float, nullable=False, server_default="0"),
    Column("problem", Text),
    Column("given_up_at", Float),
    sqlite_autoincrement=True,
)
"""Notifications that are owed; of those that were given up, why."""
is_owed = text("given_up_at IS NULL")
Index("outbox_in_order", outbox.c.not_before, outbox.c.id, sqlite_where=is_owed)
Index("outbox_given_up", outbox.c.given_up_at, sqlite_where=text("given_up_at IS NOT NULL"))

_TRIGGERS = (
    """CREATE TRIGGER jobs_taken_in AFTER INSERT ON jobs BEGIN
    INSERT INTO endpoints (uid, waiting) VALUES (NEW.uid, 1) ON CONFLICT (uid) DO UPDATE SET waiting = waiting + 1;
    END""",
    """CREATE TRIGGER jobs_moved AFTER UPDATE OF status ON jobs BEGIN
    UPDATE endpoints SET waiting = waiting + (NEW.status < 2) - (OLD.status < 2),
    in_process = in_process + (NEW.status IN (2, 3)) - (OLD.status IN (2, 3)) WHERE uid = NEW.uid;
    END""",
    """CREATE TRIGGER jobs_done AFTER UPDATE OF status ON jobs WHEN NEW.status > 3 BEGIN
    DELETE FROM answers WHERE position = NEW.position;
    END""",
)


def open_queue(path: Path) -> Engine:
    """An engine on the file, made where it is not there. Raises `DataDirectoryError`."""
    engine = engine_on(path)
    try:
        with engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection, connection.begin():
            _prepare(connection, path)
    except DatabaseError as error:
        engine.dispose()
        raise DataDirectoryError(f"cannot open {path}: {error.orig}") from None
    except DataDirectoryError:
        engine.dispose()
        raise
    return engine


def _prepare(connection: Connection, path: Path) -> None:
    found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
    if found > VERSION:
        raise DataDirectoryError(
            f"{path} was written by a newer Mooring (schema {found}; this one knows up to {VERSION}): start that "
            "version, or use another data directory"
        )
    if not found:
        metadata.create_all(connection, checkfirst=False)
        for trigger in _TRIGGERS:
            connection.exec_driver_sql(trigger)
        connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")


OUTCOMES = {
    OutcomeKind.COMPLETED: COMPLETED,
    OutcomeKind.FAILED: FAILED,
    OutcomeKind.EXPIRED: EXPIRED,
    OutcomeKind.CANCELLED: CANCELLED,
}


@dataclass(frozen=True, slots=True)
class Now:
    """The clocks at a change."""

    boot_id: str
    uptime: float
    wall: float


def compact(document: dict[str, Any]) -> str:
    """A document as its column has it."""
    return json.dumps(document, separators=(",", ":"))
