"""Queries of the table `tags`: key and value, by the ARN of what they are on; they die with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects.sqlite import insert

from mooring.store.schema import tags as table


def put(conn: Connection, arn: str, added: Mapping[str, str]) -> None:
    """Add, or overwrite by key."""
    for key, value in added.items():
        row = insert(table).values(arn=arn, key=key, value=value)
        conn.execute(row.on_conflict_do_update(index_elements=["arn", "key"], set_={"value": value}))


def of(conn: Connection, arn: str) -> dict[str, str]:
    """All tags, in the order in which their keys were first added."""
    rows = conn.execute(select(table.c.key, table.c.value).where(table.c.arn == arn).order_by(table.c.id))
    return {row.key: row.value for row in rows}


def remove(conn: Connection, arn: str, keys: Iterable[str]) -> None:
    """Delete these keys; those that are absent are ignored."""
    conn.execute(delete(table).where(table.c.arn == arn, table.c.key.in_(list(keys))))


def delete_all(conn: Connection, arn: str) -> None:
    """Delete them all, for a resource that goes away."""
    conn.execute(delete(table).where(table.c.arn == arn))
