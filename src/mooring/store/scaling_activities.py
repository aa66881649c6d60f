"""Queries of the table `scaling_activities`: what was done to targets lately, also to those that are gone."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from mooring.hosting.naming import Scope
from mooring.scaling.documents import Activity, Target
from mooring.store.scaling import target_of
from mooring.store.schema import scaling_activities as table

KEPT_S = 42 * 86_400
"""Longest that one is kept (AWS: six weeks)."""
MOST_KEPT = 500
"""Of one target that are over and scaled, and as many that did not scale."""
MOST_OF_ALL = 20_000


def add(conn: Connection, activity: Activity) -> None:
    """Begin one; what is too old or too much goes."""
    target = activity.target
    conn.execute(
        insert(table).values(
            id=activity.id,
            account=target.scope.account,
            region=target.scope.region,
            resource_id=target.resource_id,
            dimension=target.dimension,
            endpoint=target.endpoint,
            started_at=activity.started_at,
            **_changing(activity),
        )
    )
    _prune(conn, activity)


def save(conn: Connection, activity: Activity) -> None:
    """Replace the one of its id."""
    conn.execute(update(table).where(table.c.id == activity.id).values(**_changing(activity)))


def last(conn: Connection, target: Target) -> Activity | None:
    """The newest of a target."""
    row = conn.execute(select(table).where(*_of(target)).order_by(table.c.position.desc()).limit(1)).one_or_none()
    return None if row is None else _activity(row)


def get(conn: Connection, activity_id: str) -> Activity | None:
    """The one of an id."""
    row = conn.execute(select(table).where(table.c.id == activity_id)).one_or_none()
    return None if row is None else _activity(row)


def open_ones(conn: Connection, target: Target | None = None) -> list[Activity]:
    """Those that are not over, of a target or of all, the oldest first."""
    query = select(table).where(table.c.open == 1).order_by(table.c.position)
    return [_activity(row) for row in conn.execute(query if target is None else query.where(*_of(target)))]


def page(
    conn: Connection,
    scope: Scope,
    limit: int,
    since: float,
    before: int | None = None,
    *,
    resource_id: str | None = None,
    dimension: str | None = None,
    not_scaled: bool = False,
) -> tuple[list[Activity], int | None]:
    """One page, the newest first, and the position of its last when more follow."""
    query = select(table).where(
        table.c.account == scope.account, table.c.region == scope.region, table.c.started_at >= since
    )
    if resource_id is not None:
        query = query.where(table.c.resource_id == resource_id)
    if dimension is not None:
        query = query.where(table.c.dimension == dimension)
    if not not_scaled:
        query = query.where(table.c.scaled == 1)
    if before is not None:
        query = query.where(table.c.position < before)
    rows = list(conn.execute(query.order_by(table.c.position.desc()).limit(limit + 1)))
    return [_activity(row) for row in rows[:limit]], rows[limit - 1].position if len(rows) > limit else None


def _prune(conn: Connection, newest: Activity) -> None:
    over = table.c.open == 0
    scaled = table.c.scaled == _is_scaled(newest)
    of_target = select(table.c.position).where(*_of(newest.target), scaled, over).order_by(table.c.position.desc())
    conn.execute(delete(table).where(table.c.position.in_(of_target.offset(MOST_KEPT))))
    conn.execute(delete(table).where(table.c.started_at < newest.started_at - KEPT_S, over))
    if conn.execute(select(func.count()).select_from(table)).scalar_one() > MOST_OF_ALL:
        of_all = select(table.c.position).where(over).order_by(table.c.position.desc()).offset(MOST_OF_ALL)
        conn.execute(delete(table).where(table.c.position.in_(of_all)))


def _of(target: Target) -> Iterable[Any]:
    return (
        table.c.account == target.scope.account,
        table.c.region == target.scope.region,
        table.c.resource_id == target.resource_id,
        table.c.dimension == target.dimension,
    )


def _changing(activity: Activity) -> dict[str, Any]:
    document = json.dumps(asdict(activity), separators=(",", ":"))
    return {"open": int(activity.open), "scaled": _is_scaled(activity), "document": document}


def _is_scaled(activity: Activity) -> int:
    return int(not activity.not_scaled)


def _activity(row: Row[Any]) -> Activity:
    members = json.loads(row.document)
    typed = {"target": target_of(members["target"]), "not_scaled": tuple(members["not_scaled"])}
    return Activity(**{**members, **typed, "policies": tuple(members["policies"])})
