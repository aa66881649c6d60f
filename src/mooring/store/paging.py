"""A `Selection` as SQL: the filters, the order, and the place where the page begins."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Table, func, select, tuple_

from mooring.hosting.listing import Cursor, Selection
from mooring.hosting.naming import Scope

_COLUMNS = {"CreationTime": "created_at", "Name": "name", "Status": "status"}


def page(conn: Connection, table: Table, scope: Scope, wanted: Selection) -> tuple[list[Row[Any]], Cursor | None]:
    """The rows of one page, and the place of its last when more follow."""
    key = table.c[_COLUMNS[wanted.sort_by]]
    order = (key.desc(), table.c.name.desc()) if wanted.descending else (key, table.c.name)
    query = select(table).where(*_conditions(table, scope, wanted)).order_by(*order).limit(wanted.limit + 1)
    rows = list(conn.execute(query))
    if len(rows) <= wanted.limit:
        return rows, None
    last = rows[wanted.limit - 1]
    return rows[: wanted.limit], Cursor(getattr(last, key.name), last.name)


def count(conn: Connection, table: Table, scope: Scope) -> int:
    """How many rows a scope has."""
    here = (
        select(func.count()).select_from(table).where(table.c.account == scope.account, table.c.region == scope.region)
    )
    return int(conn.execute(here).scalar_one())


def _conditions(table: Table, scope: Scope, wanted: Selection) -> list[Any]:
    found = [table.c.account == scope.account, table.c.region == scope.region]
    if wanted.name_contains is not None:
        found.append(func.instr(table.c.name, wanted.name_contains) > 0)
    if wanted.created_before is not None:
        found.append(table.c.created_at < wanted.created_before)
    if wanted.created_after is not None:
        found.append(table.c.created_at >= wanted.created_after)
    if wanted.modified_before is not None:
        found.append(table.c.modified_at < wanted.modified_before)
    if wanted.modified_after is not None:
        found.append(table.c.modified_at >= wanted.modified_after)
    if wanted.status is not None:
        found.append(table.c.status == wanted.status)
    if wanted.after is not None:
        here = tuple_(table.c[_COLUMNS[wanted.sort_by]], table.c.name)
        there = tuple_(*wanted.after)
        found.append(here < there if wanted.descending else here > there)
    return found
