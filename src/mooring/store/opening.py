"""Opens `state.db`: creates it, brings it to the newest schema, refuses a newer one, and counts the opening.

A new file is made from `schema` at once, without Alembic, whose import costs as much as all of that; a test holds the
two ways equal. Everything happens in one transaction, so a start that is killed leaves the file as it was.
"""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, insert, inspect, select, update
from sqlalchemy.exc import DatabaseError

from mooring.errors import DataDirectoryError
from mooring.store import schema

BUSY_TIMEOUT_MS = 5000
MIGRATIONS = Path(__file__).parent / "migrations"
_PRAGMAS = (
    f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}",
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
)

_log = logging.getLogger("mooring.store")


def open_engine(path: Path) -> tuple[Engine, int]:
    """An engine on an up-to-date file, and the epoch of this opening. Raises `DataDirectoryError`."""
    engine = engine_on(path)
    try:
        with engine.connect().execution_options(begin="BEGIN IMMEDIATE") as connection, connection.begin():
            bring_up_to_date(connection, path)
            return engine, _count_opening(connection)
    except DatabaseError as error:
        engine.dispose()
        raise DataDirectoryError(f"cannot open {path}: {error.orig}") from None
    except DataDirectoryError:
        engine.dispose()
        raise


def bring_up_to_date(connection: Connection, path: Path) -> None:
    """Create or migrate, so that the file has the tables of `schema`."""
    if not inspect(connection).has_table(schema.revision.name):
        schema.metadata.create_all(connection, checkfirst=False)
        connection.execute(insert(schema.revision).values(version_num=schema.HEAD))
        return
    found = connection.execute(select(schema.revision.c.version_num)).scalar_one_or_none()
    if found != schema.HEAD:
        migrate(connection, path, found)


def migrate(connection: Connection, path: Path, found: str | None, wanted: str = "head") -> None:
    """Run the revisions after `found`, None for all, up to `wanted`. Raises `DataDirectoryError` for an unknown one."""
    from alembic import command
    from alembic.config import Config
    from alembic.script import ScriptDirectory

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    known = {script.revision for script in ScriptDirectory.from_config(config).walk_revisions()}
    if found is not None and found not in known:
        raise DataDirectoryError(
            f"{path} was written by a newer Mooring (schema {found}; this one knows up to {schema.HEAD}): "
            "start that version, or use another data directory"
        )
    _log.info("migrating %s from schema %s to %s", path, found, schema.HEAD)
    command.upgrade(config, wanted)


def engine_on(path: Path) -> Engine:
    """An engine whose commits survive a loss of power; its connections begin as their option `begin` says."""
    engine = create_engine(URL.create("sqlite", database=str(path)))

    @event.listens_for(engine, "connect")
    def configure(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # the driver must not begin by itself: it would not for reads and DDL
        for pragma in _PRAGMAS:
            connection.execute(pragma)

    @event.listens_for(engine, "begin")
    def begin(connection: Connection) -> None:
        connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))

    return engine


def _count_opening(connection: Connection) -> int:
    epoch = schema.meta.c.name == "epoch"
    held = connection.execute(select(schema.meta.c.value).where(epoch)).scalar_one_or_none()
    if held is None:
        connection.execute(insert(schema.meta).values(name="epoch", value=1))
        return 1
    connection.execute(update(schema.meta).where(epoch).values(value=held + 1))
    return int(held) + 1
