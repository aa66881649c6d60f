from __future__ import annotations

import json
import re
from pathlib import Path

from sqlalchemy import Connection, create_engine, text

from mooring.hosting.endpoints import EndpointStatus
from mooring.store import endpoints, opening, schema
from tests.store.making import an_endpoint


def tables_of(connection: Connection) -> list[tuple[str, str, str]]:
    rows = connection.execute(text("SELECT type, name, coalesce(sql, '') FROM sqlite_master ORDER BY type, name"))
    return [(kind, name, re.sub(r"\s+", " ", sql)) for kind, name, sql in rows]


def test_a_new_file_equals_a_migrated_one(tmp_path: Path) -> None:
    made, migrated = create_engine("sqlite://"), create_engine("sqlite://")
    with made.begin() as connection:
        opening.bring_up_to_date(connection, tmp_path / "state.db")
        new = tables_of(connection)
        stamped = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    with migrated.begin() as connection:
        opening.migrate(connection, tmp_path / "state.db", None)
        old = tables_of(connection)
        reached = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    made.dispose()
    migrated.dispose()
    assert stamped == reached == schema.HEAD
    # Alembic makes its own table, with a named primary key.
    assert [row for row in new if "alembic" not in row[1]] == [row for row in old if "alembic" not in row[1]]


def test_every_table_of_the_schema_is_made(tmp_path: Path) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        opening.bring_up_to_date(connection, tmp_path / "state.db")
        tables = {name for kind, name, _ in tables_of(connection) if kind == "table"}
        names = {name for name in tables if not name.startswith("sqlite_")}  # its own
    engine.dispose()
    assert names == set(schema.metadata.tables)


def test_endpoints_of_an_older_file_have_one_generation_and_no_rollout(tmp_path: Path) -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        opening.migrate(connection, tmp_path / "state.db", None, "0003")
        record = an_endpoint("old", status=EndpointStatus.IN_SERVICE)
        endpoints.insert(connection, record)
        stored = json.loads(connection.execute(text("SELECT document FROM endpoints")).scalar_one())
        for member in ("generation", "last_generation", "rollout", "remnant", "starting"):
            del stored[member]
        connection.execute(text("UPDATE endpoints SET document = :it"), {"it": json.dumps(stored)})
        opening.bring_up_to_date(connection, tmp_path / "state.db")
        assert endpoints.by_uid(connection, record.uid) == record
        assert connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one() == schema.HEAD
    engine.dispose()
