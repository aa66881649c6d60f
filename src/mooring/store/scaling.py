"""Queries of the tables of Application Auto Scaling that hold what is registered: targets, policies, scheduled actions.

All three have one key: the target, and a name, which is empty for the target itself. They are listed in its order.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, Generic, NamedTuple, TypeVar

from sqlalchemy import Connection, Row, Table, delete, func, select, tuple_
from sqlalchemy.dialects import sqlite

from mooring.hosting.naming import Scope
from mooring.scaling.documents import Policy, ScalableTarget, ScheduledAction, Target
from mooring.scaling.naming import target_arn
from mooring.store import schema, tags

T = TypeVar("T", bound="ScalableTarget | Policy | ScheduledAction")
_KEY = ("account", "region", "resource_id", "dimension", "name")


class Place(NamedTuple):
    """Where a page ended."""

    resource_id: str
    dimension: str
    name: str


class Registered(Generic[T]):
    """The queries of one such table."""

    def __init__(self, table: Table, made: Callable[..., T], name: Callable[[T], str]) -> None:
        self._table = table
        self._made = made
        self._name = name

    def save(self, conn: Connection, item: T) -> None:
        """Make it, or replace the one of its target and name."""
        values = {**_key(item.target), "name": self._name(item), "document": _document(item)}
        put = sqlite.insert(self._table).values(**values, endpoint=item.target.endpoint)
        conn.execute(put.on_conflict_do_update(index_elements=_KEY, set_={"document": put.excluded.document}))

    def get(self, conn: Connection, target: Target, name: str = "") -> T | None:
        """The one of a target and name."""
        row = conn.execute(select(self._table).where(*self._of(target), self._table.c.name == name)).one_or_none()
        return None if row is None else self._item(row)

    def of(self, conn: Connection, target: Target) -> list[T]:
        """All of a target, by name."""
        found = conn.execute(select(self._table).where(*self._of(target)).order_by(self._table.c.name))
        return [self._item(row) for row in found]

    def of_endpoint(self, conn: Connection, scope: Scope, endpoint: str) -> list[T]:
        """All of an endpoint's targets."""
        columns = self._table.c
        mine = (columns.account == scope.account, columns.region == scope.region, columns.endpoint == endpoint)
        return [self._item(row) for row in conn.execute(select(self._table).where(*mine).order_by(*self._order()))]

    def all(self, conn: Connection) -> list[T]:
        """Those of every account and region."""
        return [self._item(row) for row in conn.execute(select(self._table))]

    def count(self, conn: Connection, scope: Scope) -> int:
        """How many an account has in a region."""
        columns = self._table.c
        here = select(func.count()).where(columns.account == scope.account, columns.region == scope.region)
        return int(conn.execute(here).scalar_one())

    def page(
        self,
        conn: Connection,
        scope: Scope,
        limit: int,
        after: Place | None = None,
        *,
        resource_ids: Sequence[str] = (),
        dimension: str | None = None,
        names: Sequence[str] = (),
    ) -> tuple[list[T], Place | None]:
        """One page of those that meet the conditions given, and the place of its last when more follow."""
        columns = self._table.c
        query = select(self._table).where(columns.account == scope.account, columns.region == scope.region)
        if resource_ids:
            query = query.where(columns.resource_id.in_(list(resource_ids)))
        if dimension is not None:
            query = query.where(columns.dimension == dimension)
        if names:
            query = query.where(columns.name.in_(list(names)))
        if after is not None:
            query = query.where(tuple_(columns.resource_id, columns.dimension, columns.name) > tuple_(*after))
        rows = list(conn.execute(query.order_by(*self._order()).limit(limit + 1)))
        shown = [self._item(row) for row in rows[:limit]]
        if len(rows) <= limit:
            return shown, None
        last = rows[limit - 1]
        return shown, Place(last.resource_id, last.dimension, last.name)

    def delete(self, conn: Connection, target: Target, name: str = "") -> bool:
        """Delete one; False when it is gone already."""
        found = conn.execute(delete(self._table).where(*self._of(target), self._table.c.name == name))
        return found.rowcount > 0

    def delete_all(self, conn: Connection, target: Target) -> None:
        """Delete all of a target."""
        conn.execute(delete(self._table).where(*self._of(target)))

    def _of(self, target: Target) -> list[Any]:
        return [self._table.c[name] == value for name, value in _key(target).items()]

    def _order(self) -> list[Any]:
        return [self._table.c[name] for name in _KEY[2:]]

    def _item(self, row: Row[Any]) -> T:
        members = json.loads(row.document)
        return self._made(**{**members, "target": target_of(members["target"])})


def target_of(document: dict[str, Any]) -> Target:
    """The inverse of `asdict`."""
    return Target(**{**document, "scope": Scope(**document["scope"])})


def _key(target: Target) -> dict[str, str]:
    scope = {"account": target.scope.account, "region": target.scope.region}
    return {**scope, "resource_id": target.resource_id, "dimension": target.dimension}


def _document(item: ScalableTarget | Policy | ScheduledAction) -> str:
    return json.dumps(asdict(item), separators=(",", ":"))


def _policy(**members: Any) -> Policy:
    return Policy(**{**members, "alarms": tuple(members["alarms"])})


targets = Registered(schema.scalable_targets, ScalableTarget, lambda _: "")
policies = Registered(schema.scaling_policies, _policy, lambda policy: policy.name)
actions = Registered(schema.scheduled_actions, ScheduledAction, lambda action: action.name)


def is_registered(conn: Connection, scope: Scope, target_id: str) -> bool:
    """Whether there is a target of this id."""
    found = (each for each in targets.all(conn) if each.target.scope == scope)
    return any(each.id == target_id for each in found)


def deregister(conn: Connection, held: ScalableTarget) -> None:
    """Delete a target with all that it has but its history."""
    targets.delete(conn, held.target)
    policies.delete_all(conn, held.target)
    actions.delete_all(conn, held.target)
    tags.delete_all(conn, target_arn(held.target.scope, held.id))
