"""Application Auto Scaling: targets, their policies and scheduled actions, and what was done to them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"

_KEYED = ("scalable_targets", "scaling_policies", "scheduled_actions")


def upgrade() -> None:
    """Four tables more."""
    for name in _KEYED:
        op.create_table(
            name,
            sa.Column("account", sa.String, primary_key=True),
            sa.Column("region", sa.String, primary_key=True),
            sa.Column("resource_id", sa.String, primary_key=True),
            sa.Column("dimension", sa.String, primary_key=True),
            sa.Column("name", sa.String, primary_key=True),
            sa.Column("endpoint", sa.String, nullable=False),
            sa.Column("document", sa.Text, nullable=False),
        )
        op.create_index(f"{name}_endpoint", name, ["account", "region", "endpoint"])
    op.create_table(
        "scaling_activities",
        sa.Column("position", sa.Integer, primary_key=True),
        sa.Column("id", sa.String, nullable=False),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("region", sa.String, nullable=False),
        sa.Column("resource_id", sa.String, nullable=False),
        sa.Column("dimension", sa.String, nullable=False),
        sa.Column("endpoint", sa.String, nullable=False),
        sa.Column("started_at", sa.Float, nullable=False),
        sa.Column("open", sa.Integer, nullable=False),
        sa.Column("scaled", sa.Integer, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
        sqlite_autoincrement=True,
    )
    op.create_index("scaling_activities_id", "scaling_activities", ["id"], unique=True)
    op.create_index(
        "scaling_activities_of", "scaling_activities", ["account", "region", "resource_id", "dimension", "position"]
    )
    op.create_index("scaling_activities_open", "scaling_activities", ["open"])
