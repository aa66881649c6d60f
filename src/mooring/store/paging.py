"""A `Selection` as SQL: the filters, the order, and the place where the page begins.

Only what a list shows is read: the documents stay where they are. Statements are made once for each form of selection,
since to make one takes longer than to run it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, func, select, tuple_

from mooring.hosting.listing import Cursor, Listed, Selection, SortKey
from mooring.hosting.naming import Kind, Scope

_COLUMNS: dict[SortKey, str] = {"CreationTime": "created_at", "Name": "name", "Status": "status"}
_FILTERS: dict[str, Callable[[Table], Any]] = {
    "name_contains": lambda table: func.instr(table.c.name, bindparam("name_contains")) > 0,
    "created_before": lambda table: table.c.created_at < bindparam("created_before"),
    "created_after": lambda table: table.c.created_at >= bindparam("created_after"),
    "modified_before": lambda table: table.c.modified_at < bindparam("modified_before"),
    "modified_after": lambda table: table.c.modified_at >= bindparam("modified_after"),
    "status": lambda table: table.c.status == bindparam("status"),
}
"""By the name of a selection's member, which is the name of its parameter too."""


def page(
    conn: Connection, table: Table, kind: Kind, scope: Scope, wanted: Selection
) -> tuple[list[Listed], Cursor | None]:
    """The rows of one page, and the place of its last when more follow."""
    given = {name: value for name in _FILTERS if (value := getattr(wanted, name)) is not None}
    query = _query(table, wanted.sort_by, wanted.descending, tuple(given), wanted.after is not None)
    values = {**given, "account": scope.account, "region": scope.region, "most": wanted.limit + 1}
    if wanted.after is not None:
        values["after_key"], values["after_name"] = wanted.after
    rows = list(conn.execute(query, values).mappings())
    shown = [Listed(arn=scope.arn(kind, row["name"]), **row) for row in rows[: wanted.limit]]
    if len(rows) <= wanted.limit:
        return shown, None
    last = rows[wanted.limit - 1]
    return shown, Cursor(last[_COLUMNS[wanted.sort_by]], last["name"])


def count(conn: Connection, table: Table, scope: Scope) -> int:
    """How many rows a scope has."""
    here = (
        select(func.count()).select_from(table).where(table.c.account == scope.account, table.c.region == scope.region)
    )
    return int(conn.execute(here).scalar_one())


@functools.lru_cache(maxsize=256)
def _query(
    table: Table, sort_by: SortKey, descending: bool, filters: tuple[str, ...], goes_on: bool
) -> Select[tuple[Any, ...]]:
    shown = [table.c[name] for name in ("name", "created_at", "modified_at", "status") if name in table.c]
    key = table.c[_COLUMNS[sort_by]]
    order = (key.desc(), table.c.name.desc()) if descending else (key, table.c.name)
    conditions = [table.c.account == bindparam("account"), table.c.region == bindparam("region")]
    conditions += [_FILTERS[name](table) for name in filters]
    if goes_on:
        here, there = tuple_(key, table.c.name), tuple_(bindparam("after_key"), bindparam("after_name"))
        conditions.append(here < there if descending else here > there)
    return select(*shown).where(*conditions).order_by(*order).limit(bindparam("most"))
