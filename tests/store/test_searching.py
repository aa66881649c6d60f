"""That a search costs the same however many rows there are: SQLite's own plan of the statements that really run."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import Connection, create_engine, event

from mooring.hosting.listing import Cursor, Selection
from mooring.store import endpoint_configs, endpoints, models, schema
from tests.store.making import HERE, a_model, an_endpoint


def plans(query: Callable[[Connection], Any]) -> list[str]:
    """SQLite's plan for each statement of a query."""
    engine = create_engine("sqlite://")
    told: list[str] = []
    with engine.begin() as conn:
        schema.metadata.create_all(conn)

        @event.listens_for(engine, "before_cursor_execute")
        def explain(_: Any, cursor: Any, statement: str, parameters: Any, *__: Any) -> None:
            told.extend(row[3] for row in cursor.execute(f"EXPLAIN QUERY PLAN {statement}", parameters).fetchall())

        query(conn)
    engine.dispose()
    return told


@pytest.mark.parametrize("table", [models, endpoint_configs, endpoints])
def test_a_name_is_found_by_the_index_of_names(table: Any) -> None:
    (told,) = plans(lambda conn: table.get(conn, HERE, "n"))
    assert f"{table.__name__.rpartition('.')[2]}_name (account=? AND region=? AND <expr>=?)" in told


@pytest.mark.parametrize("table", [models, endpoint_configs, endpoints])
@pytest.mark.parametrize("after", [None, Cursor(1.5, "n")])
@pytest.mark.parametrize("descending", [True, False])
def test_a_page_in_order_of_creation_sorts_nothing(table: Any, after: Cursor | None, descending: bool) -> None:
    (told,) = plans(lambda conn: table.page(conn, HERE, Selection(after=after, descending=descending)))
    assert f"{table.__name__.rpartition('.')[2]}_created (account=? AND region=?" in told


def test_a_name_is_found_in_its_own_case_only() -> None:
    engine = create_engine("sqlite://")
    with engine.begin() as conn:
        schema.metadata.create_all(conn)
        models.insert(conn, a_model("Model"))
        endpoints.insert(conn, an_endpoint("Endpoint"))
        assert models.get(conn, HERE, "model") is None
        assert models.get(conn, HERE, "Model") is not None
        assert endpoints.get(conn, HERE, "ENDPOINT") is None
        assert endpoints.get(conn, HERE, "Endpoint") is not None
    engine.dispose()
