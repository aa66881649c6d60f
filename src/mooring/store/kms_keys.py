"""Queries of the tables `kms_keys`, `kms_materials` and `kms_aliases`. Material comes and goes sealed."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, or_, select, update
from sqlalchemy import insert as insert_into
from sqlalchemy.exc import IntegrityError

from mooring.hosting.naming import Scope
from mooring.store.schema import kms_aliases as alias_table
from mooring.store.schema import kms_keys as table
from mooring.store.schema import kms_materials as material_table

ENABLED, DISABLED, PENDING_DELETION = "Enabled", "Disabled", "PendingDeletion"
_BY_ID = select(table).where(table.c.id == bindparam("key_id"))
_COLUMNS = ("id", "account", "region", "state", "delete_at", "rotate_at", "created_at")


@dataclass(frozen=True, slots=True)
class KmsKey:
    """One symmetric key, without its material."""

    id: str
    account: str
    region: str
    state: str
    delete_at: float | None
    """When its material is destroyed; None unless that is scheduled."""
    rotate_at: float | None
    """When it gets new material; None while it is not rotated by itself."""
    created_at: float
    policy: str
    """JSON, as it was given."""
    description: str = ""
    by_aws: bool = False
    """Whether it is a service's own, which nobody administers."""
    version: int = 1
    """Of the material that it encrypts with."""
    rotation_days: int = 365
    pending_days: int | None = None

    @property
    def scope(self) -> Scope:
        return Scope(self.account, self.region)


@dataclass(frozen=True, slots=True)
class Material:
    """One version of what a key encrypts with."""

    key_id: str
    version: int
    sealed: bytes = field(repr=False)
    created_at: float
    reason: str
    """`CREATED`, `AUTOMATIC` or `ON_DEMAND`."""


@dataclass(frozen=True, slots=True)
class Alias:
    """Another name of a key."""

    account: str
    region: str
    name: str
    key_id: str
    created_at: float
    updated_at: float


def insert(conn: Connection, key: KmsKey) -> None:
    """A new key."""
    conn.execute(insert_into(table).values(**_row(key)))


def save(conn: Connection, key: KmsKey) -> None:
    """What a key is from now on."""
    conn.execute(update(table).where(table.c.id == key.id).values(**_row(key)))


def get(conn: Connection, key_id: str) -> KmsKey | None:
    """The key of this id, whosever it is."""
    row = conn.execute(_BY_ID, {"key_id": key_id}).mappings().first()
    return None if row is None else _key(row)


def page(conn: Connection, scope: Scope, after: str, most: int) -> list[KmsKey]:
    """Keys by id, behind `after`."""
    mine = (table.c.account == scope.account) & (table.c.region == scope.region) & (table.c.id > after)
    return [_key(row) for row in conn.execute(select(table).where(mine).order_by(table.c.id).limit(most)).mappings()]


def count(conn: Connection, scope: Scope) -> int:
    """How many keys a scope has."""
    mine = (table.c.account == scope.account) & (table.c.region == scope.region)
    return int(conn.execute(select(func.count()).select_from(table).where(mine)).scalar_one())


def due(conn: Connection, now: float) -> list[KmsKey]:
    """Keys that are to be destroyed or rotated by now."""
    wanted = or_(table.c.delete_at <= now, table.c.rotate_at <= now)
    return [_key(row) for row in conn.execute(select(table).where(wanted)).mappings()]


def destroy(conn: Connection, key_id: str) -> None:
    """Forget a key, its material and its aliases; what SQLite frees is overwritten with zeros."""
    conn.exec_driver_sql("PRAGMA secure_delete=ON")
    for each in (material_table.c.key_id, alias_table.c.key_id):
        conn.execute(delete(each.table).where(each == key_id))
    conn.execute(delete(table).where(table.c.id == key_id))


def _row(key: KmsKey) -> dict[str, Any]:
    document = dataclasses.asdict(key)
    columns = {name: document.pop(name) for name in _COLUMNS}
    return {**columns, "document": json.dumps(document, separators=(",", ":"))}


def _key(row: Any) -> KmsKey:
    return KmsKey(**{name: row[name] for name in _COLUMNS}, **json.loads(row["document"]))


# Material


def add_material(conn: Connection, material: Material) -> None:
    """A further version."""
    conn.execute(insert_into(material_table).values(**dataclasses.asdict(material)))


def materials(conn: Connection, key_id: str) -> list[Material]:
    """Every version of a key, oldest first."""
    mine = material_table.c.key_id == key_id
    rows = conn.execute(select(material_table).where(mine).order_by(material_table.c.version))
    return [Material(*row) for row in rows]


def material(conn: Connection, key_id: str, version: int) -> Material | None:
    """One version."""
    mine = (material_table.c.key_id == key_id) & (material_table.c.version == version)
    row = conn.execute(select(material_table).where(mine)).first()
    return None if row is None else Material(*row)


# Aliases


def add_alias(conn: Connection, alias: Alias) -> bool:
    """A new alias; False when the name is taken."""
    try:
        with conn.begin_nested():
            conn.execute(insert_into(alias_table).values(**dataclasses.asdict(alias)))
    except IntegrityError:
        return False
    return True


def alias(conn: Connection, scope: Scope, name: str) -> Alias | None:
    """The alias of this name."""
    row = conn.execute(select(alias_table).where(_named(scope, name))).first()
    return None if row is None else Alias(*row)


def point_alias(conn: Connection, scope: Scope, name: str, key_id: str, now: float) -> None:
    """Have an alias stand for another key."""
    conn.execute(update(alias_table).where(_named(scope, name)).values(key_id=key_id, updated_at=now))


def remove_alias(conn: Connection, scope: Scope, name: str) -> None:
    """Forget an alias."""
    conn.execute(delete(alias_table).where(_named(scope, name)))


def aliases(conn: Connection, scope: Scope, key_id: str | None = None) -> list[Alias]:
    """Aliases by name, of one key or of all."""
    wanted = (alias_table.c.account == scope.account) & (alias_table.c.region == scope.region)
    if key_id is not None:
        wanted &= alias_table.c.key_id == key_id
    return [Alias(*row) for row in conn.execute(select(alias_table).where(wanted).order_by(alias_table.c.name))]


def _named(scope: Scope, name: str) -> Any:
    return (
        (alias_table.c.account == scope.account) & (alias_table.c.region == scope.region) & (alias_table.c.name == name)
    )
