"""The tables of `metrics.db`; a file that cannot be read is put aside, and a new one begun."""

from __future__ import annotations

import logging
import sqlite3
import time
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Column, Engine, Index, Integer, LargeBinary, MetaData, String, Table, create_engine, event
from sqlalchemy.exc import DatabaseError, OperationalError

from mooring.errors import DataDirectoryError

VERSION = 1
"""SQLite's `user_version` of the file."""

metadata = MetaData()

series = Table(
    "series",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account", String, nullable=False),
    Column("region", String, nullable=False),
    Column("namespace", String, nullable=False),
    Column("name", String, nullable=False),
    Column("dimensions", String, nullable=False),
    Column("unit", String, nullable=False),
    Column("last_at", Integer, nullable=False),
)

blocks = Table(
    "blocks",
    metadata,
    Column("series", Integer, primary_key=True),
    Column("level", Integer, primary_key=True),
    Column("start", Integer, primary_key=True),
    Column("points", LargeBinary, nullable=False),
    sqlite_with_rowid=False,
)
Index("blocks_by_age", blocks.c.level, blocks.c.start)

sources = Table(
    "sources",
    metadata,
    Column("name", String, primary_key=True),
    Column("sequence", Integer, nullable=False),
    Column("at", Integer, nullable=False),
)
"""Up to which message of each gateway everything is in `blocks`."""

_PRAGMAS = (
    "PRAGMA busy_timeout=5000",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=NORMAL",  # a commit waits for no disk: what a power cut takes is the last moments of metrics
    "PRAGMA journal_size_limit=16777216",
)
_log = logging.getLogger("mooring.store")


def open_metrics(path: Path) -> Engine:
    """An engine on the file, made where it is not there. Raises `DataDirectoryError`."""
    engine = _engine(path)
    try:
        _prepare(engine, path)
    except OperationalError as error:
        engine.dispose()
        raise DataDirectoryError(f"cannot open {path}: {error.orig}") from None
    except DatabaseError as error:
        engine.dispose()
        aside = path.with_name(f"{path.name}.broken-{int(time.time())}")
        _log.error("the metrics cannot be read (%s): %s is put aside as %s", error.orig, path, aside.name)
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        engine = _engine(path)
        _prepare(engine, path)
    return engine


def _prepare(engine: Engine, path: Path) -> None:
    with engine.connect() as connection:
        found = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
        if found > VERSION:
            raise DataDirectoryError(
                f"{path} was written by a newer Mooring (schema {found}; this one knows up to {VERSION}): start that "
                "version, or use another data directory"
            )
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        metadata.create_all(connection)
        connection.exec_driver_sql(f"PRAGMA user_version={VERSION}")
        connection.exec_driver_sql("COMMIT")


def _engine(path: Path) -> Engine:
    engine = create_engine(URL.create("sqlite", database=str(path)), isolation_level="AUTOCOMMIT")

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    return engine
