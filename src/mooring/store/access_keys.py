"""Queries of the table `access_keys`. Secrets come and go sealed: nothing here can open them."""

from __future__ import annotations

from dataclasses import dataclass, field

from sqlalchemy import Connection, delete, func, or_, select
from sqlalchemy import insert as insert_into
from sqlalchemy.exc import IntegrityError

from mooring.errors import AlreadyExists, NotFound
from mooring.store.schema import access_keys as table


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """One key as it is stored."""

    id: str
    name: str
    sealed: bytes = field(repr=False)
    policy: str | None
    """IAM's JSON; None may do everything."""
    created_at: float


def insert(conn: Connection, record: KeyRecord) -> None:
    """Raises `AlreadyExists` when the name is taken."""
    try:
        conn.execute(insert_into(table).values({name: getattr(record, name) for name in KeyRecord.__slots__}))
    except IntegrityError:
        raise AlreadyExists(
            f'there is an access key of the name "{record.name}" already: '
            f"`mooring keys revoke {record.name}` makes room, or take another name"
        ) from None


def all(conn: Connection) -> list[KeyRecord]:  # noqa: A001 - read as `access_keys.all`
    """Every key, oldest first."""
    return [KeyRecord(*row) for row in conn.execute(select(table).order_by(table.c.created_at, table.c.id))]


def count(conn: Connection) -> int:
    """How many there are."""
    return int(conn.execute(select(func.count()).select_from(table)).scalar_one())


def remove(conn: Connection, id_or_name: str) -> str:
    """Forget a key, by its id or its name; returns its id. Raises `NotFound`."""
    named = or_(table.c.id == id_or_name, table.c.name == id_or_name)
    found = conn.execute(select(table.c.id).where(named)).scalar()
    if found is None:
        raise NotFound(f'there is no access key "{id_or_name}": `mooring keys list` shows those that are')
    conn.execute(delete(table).where(table.c.id == found))
    return str(found)
