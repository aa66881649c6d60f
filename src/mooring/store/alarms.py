"""Queries of the tables `alarms` and `alarm_history`."""

from __future__ import annotations

import json

from sqlalchemy import Connection, bindparam, delete, insert, select
from sqlalchemy.dialects import sqlite

from mooring.metrics.alarms import Alarm, Entry
from mooring.store.schema import alarm_history, alarms

KEPT_ENTRIES = 200
"""Of the history of one alarm; older ones go."""
KEPT_S = 30 * 86_400
"""Longest that history is kept (CloudWatch: 30 days)."""


def all(conn: Connection) -> list[Alarm]:  # noqa: A001 - read as alarms.all
    """Every alarm of every account and region."""
    return [Alarm.from_document(json.loads(row.document)) for row in conn.execute(select(alarms.c.document))]


def save(conn: Connection, alarm: Alarm) -> None:
    """Make it, or replace the one of its ARN."""
    put = sqlite.insert(alarms).values(arn=alarm.arn, document=json.dumps(alarm.to_document(), separators=(",", ":")))
    conn.execute(put.on_conflict_do_update(index_elements=["arn"], set_={"document": put.excluded.document}))


def remove(conn: Connection, arn: str) -> None:
    """Its history stays, as on AWS."""
    conn.execute(delete(alarms).where(alarms.c.arn == arn))


def note(conn: Connection, alarm: Alarm, entry: Entry) -> None:
    """Add to the history of an alarm."""
    table = alarm_history
    values = {"kind": alarm.kind, "at": entry.at, "item": entry.kind, "summary": entry.summary}
    data = as_text(entry.data)
    conn.execute(
        insert(table), {**values, "account": alarm.account, "region": alarm.region, "name": alarm.name, "data": data}
    )
    same = (table.c.account == alarm.account, table.c.region == alarm.region, table.c.name == alarm.name)
    oldest = select(table.c.id).where(*same).order_by(table.c.id.desc()).offset(KEPT_ENTRIES)
    conn.execute(delete(table).where(table.c.id.in_(oldest)))
    conn.execute(delete(table).where(table.c.at < entry.at - KEPT_S))


def as_text(data: dict[str, object]) -> str:
    """HistoryData."""
    return json.dumps(data, separators=(",", ":"))


_HISTORY = (
    select(alarm_history)
    .where(alarm_history.c.account == bindparam("account"), alarm_history.c.region == bindparam("region"))
    .order_by(alarm_history.c.id)
)


def history(conn: Connection, account: str, region: str) -> list[tuple[int, str, str, Entry]]:
    """(position, name, kind of alarm, entry) of all alarms, the oldest first."""
    rows = conn.execute(_HISTORY, {"account": account, "region": region})
    return [(row.id, row.name, row.kind, Entry(row.at, row.item, row.summary, json.loads(row.data))) for row in rows]
