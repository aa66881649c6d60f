"""Finds a row by the name of its resource, in one search of the index however many rows there are.

The statement is made once for each table: to make it takes longer than to run it. The index holds `lower(name)`, by
which names are unique. Whether the name is the very one is asked here and not in SQL: SQLite would put a constant that
`name` equals into `lower(name)` too, and then search the index for account and region alone.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, Row, Table, bindparam, func, select

from mooring.hosting.naming import Scope, folded


class ByName:
    """The search of one table that has the columns account, region and name."""

    def __init__(self, table: Table) -> None:
        columns = table.c
        self._statement = select(table).where(
            columns.account == bindparam("account"),
            columns.region == bindparam("region"),
            func.lower(columns.name) == bindparam("folded"),
        )

    def one(self, conn: Connection, scope: Scope, name: str) -> Row[Any] | None:
        """The row of exactly this name, or None."""
        wanted = {"account": scope.account, "region": scope.region, "folded": folded(name)}
        row = conn.execute(self._statement, wanted).one_or_none()
        return row if row is not None and row.name == name else None
