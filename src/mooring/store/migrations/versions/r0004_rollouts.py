"""Endpoints have generations of replicas, and may be in a rollout."""

from __future__ import annotations

import json

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"

_NEW_MEMBERS = {"generation": 1, "last_generation": 1, "rollout": None, "remnant": None, "starting": False}


def upgrade() -> None:
    """No table changes: the documents of endpoints have more members."""
    connection = op.get_bind()
    endpoints = sa.table("endpoints", sa.column("uid", sa.String), sa.column("document", sa.Text))
    for uid, document in connection.execute(sa.select(endpoints.c.uid, endpoints.c.document)).all():
        members = {**_NEW_MEMBERS, **json.loads(document)}
        text = json.dumps(members, separators=(",", ":"))
        connection.execute(sa.update(endpoints).where(endpoints.c.uid == uid).values(document=text))
