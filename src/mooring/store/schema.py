"""The tables of `state.db`, as SQLAlchemy knows them; `migrations` holds how older ones become these.

A column exists for what is searched or must be unique; the rest of a resource is one JSON text. Whatever changes,
a column or a member of those texts, gets a revision, so that an older Mooring refuses the file and does not guess.
"""

from __future__ import annotations

from sqlalchemy import Column, Float, Index, Integer, LargeBinary, MetaData, String, Table, Text, UniqueConstraint, func

HEAD = "0008"
"""The newest revision in `migrations/versions`."""

metadata = MetaData()

revision = Table("alembic_version", metadata, Column("version_num", String(32), primary_key=True))

meta = Table("meta", metadata, Column("name", String, primary_key=True), Column("value", Integer, nullable=False))
"""Single numbers: `epoch`, how often the file was opened."""


def _documents(name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("id", Integer, primary_key=True),
        Column("account", String, nullable=False),
        Column("region", String, nullable=False),
        Column("name", String, nullable=False),
        Column("created_at", Float, nullable=False),
        Column("document", Text, nullable=False),
    )
    Index(f"{name}_name", table.c.account, table.c.region, func.lower(table.c.name), unique=True)
    _in_order_of_creation(table)
    return table


def _in_order_of_creation(table: Table) -> None:
    Index(f"{table.name}_created", table.c.account, table.c.region, table.c.created_at, table.c.name)


models = _documents("models")
endpoint_configs = _documents("endpoint_configs")

endpoints = Table(
    "endpoints",
    metadata,
    Column("uid", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("region", String, nullable=False),
    Column("name", String, nullable=False),
    Column("status", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("modified_at", Float, nullable=False),
    Column("document", Text, nullable=False),
)
Index("endpoints_name", endpoints.c.account, endpoints.c.region, func.lower(endpoints.c.name), unique=True)
_in_order_of_creation(endpoints)

tags = Table(
    "tags",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("arn", String, nullable=False),
    Column("key", String, nullable=False),
    Column("value", String, nullable=False),
    UniqueConstraint("arn", "key", name="tags_key"),
)

answers = Table(
    "answers",
    metadata,
    Column("invocation_id", String, primary_key=True),
    Column("digest", String, nullable=False),
    Column("status", Integer, nullable=False),
    Column("content_type", String, nullable=False),
    Column("body", LargeBinary, nullable=False),
    Column("answered_at", Float, nullable=False),
)
Index("answers_answered_at", answers.c.answered_at)

events = Table(
    "events",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("endpoint_uid", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("kind", String, nullable=False),
    Column("text", Text, nullable=False),
    sqlite_autoincrement=True,  # an id is a position in a history, and is not given twice
)
Index("events_endpoint", events.c.endpoint_uid, events.c.id)

access_keys = Table(
    "access_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("name", String, nullable=False),
    Column("sealed", LargeBinary, nullable=False),
    Column("policy", Text, nullable=True),
    Column("created_at", Float, nullable=False),
)
Index("access_keys_name", access_keys.c.name, unique=True)

kms_keys = Table(
    "kms_keys",
    metadata,
    Column("id", String, primary_key=True),
    Column("account", String, nullable=False),
    Column("region", String, nullable=False),
    Column("state", String, nullable=False),
    Column("delete_at", Float, nullable=True),
    Column("rotate_at", Float, nullable=True),
    Column("created_at", Float, nullable=False),
    Column("document", Text, nullable=False),
)
Index("kms_keys_of_account", kms_keys.c.account, kms_keys.c.region, kms_keys.c.id)

kms_materials = Table(
    "kms_materials",
    metadata,
    Column("key_id", String, primary_key=True),
    Column("version", Integer, primary_key=True),
    Column("sealed", LargeBinary, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("reason", String, nullable=False),
)
"""What a key encrypts with, sealed: the newest version encrypts, all of them decrypt."""

kms_aliases = Table(
    "kms_aliases",
    metadata,
    Column("account", String, primary_key=True),
    Column("region", String, primary_key=True),
    Column("name", String, primary_key=True),
    Column("key_id", String, nullable=False),
    Column("created_at", Float, nullable=False),
    Column("updated_at", Float, nullable=False),
)
Index("kms_aliases_key", kms_aliases.c.key_id)

alarms = Table("alarms", metadata, Column("arn", String, primary_key=True), Column("document", Text, nullable=False))

alarm_history = Table(
    "alarm_history",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("account", String, nullable=False),
    Column("region", String, nullable=False),
    Column("name", String, nullable=False),
    Column("kind", String, nullable=False),
    Column("at", Float, nullable=False),
    Column("item", String, nullable=False),
    Column("summary", Text, nullable=False),
    Column("data", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("alarm_history_of", alarm_history.c.account, alarm_history.c.region, alarm_history.c.name, alarm_history.c.id)
"""What became of alarms, also of those that are gone."""


def _of_targets(name: str) -> Table:
    table = Table(
        name,
        metadata,
        Column("account", String, primary_key=True),
        Column("region", String, primary_key=True),
        Column("resource_id", String, primary_key=True),
        Column("dimension", String, primary_key=True),
        Column("name", String, primary_key=True),
        Column("endpoint", String, nullable=False),
        Column("document", Text, nullable=False),
    )
    Index(f"{name}_endpoint", table.c.account, table.c.region, table.c.endpoint)
    return table


scalable_targets = _of_targets("scalable_targets")
"""Their name is empty: there is one of a dimension."""
scaling_policies = _of_targets("scaling_policies")
scheduled_actions = _of_targets("scheduled_actions")

scaling_activities = Table(
    "scaling_activities",
    metadata,
    Column("position", Integer, primary_key=True),
    Column("id", String, nullable=False),
    Column("account", String, nullable=False),
    Column("region", String, nullable=False),
    Column("resource_id", String, nullable=False),
    Column("dimension", String, nullable=False),
    Column("endpoint", String, nullable=False),
    Column("started_at", Float, nullable=False),
    Column("open", Integer, nullable=False),
    Column("scaled", Integer, nullable=False),
    Column("document", Text, nullable=False),
    sqlite_autoincrement=True,  # a page begins behind a position
)
Index("scaling_activities_id", scaling_activities.c.id, unique=True)
Index(
    "scaling_activities_of",
    scaling_activities.c.account,
    scaling_activities.c.region,
    scaling_activities.c.resource_id,
    scaling_activities.c.dimension,
    scaling_activities.c.position,
)
Index("scaling_activities_open", scaling_activities.c.open)
"""What was done to targets, also to those that are gone; what is open is not over."""
