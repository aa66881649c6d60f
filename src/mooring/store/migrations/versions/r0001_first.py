"""The first tables."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    """From an empty file."""
    op.create_table(
        "meta", sa.Column("name", sa.String, primary_key=True), sa.Column("value", sa.Integer, nullable=False)
    )
    for name in ("models", "endpoint_configs"):
        op.create_table(
            name,
            sa.Column("id", sa.Integer, primary_key=True),
            sa.Column("account", sa.String, nullable=False),
            sa.Column("region", sa.String, nullable=False),
            sa.Column("name", sa.String, nullable=False),
            sa.Column("created_at", sa.Float, nullable=False),
            sa.Column("document", sa.Text, nullable=False),
        )
    op.create_table(
        "endpoints",
        sa.Column("uid", sa.String, primary_key=True),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("region", sa.String, nullable=False),
        sa.Column("name", sa.String, nullable=False),
        sa.Column("status", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("modified_at", sa.Float, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    for name in ("models", "endpoint_configs", "endpoints"):
        op.create_index(f"{name}_name", name, ["account", "region", sa.text("lower(name)")], unique=True)
    op.create_table(
        "tags",
        sa.Column("id", sa.Integer, primary_key=True),
        sa.Column("arn", sa.String, nullable=False),
        sa.Column("key", sa.String, nullable=False),
        sa.Column("value", sa.String, nullable=False),
        sa.UniqueConstraint("arn", "key", name="tags_key"),
    )
    op.create_table(
        "answers",
        sa.Column("invocation_id", sa.String, primary_key=True),
        sa.Column("digest", sa.String, nullable=False),
        sa.Column("status", sa.Integer, nullable=False),
        sa.Column("content_type", sa.String, nullable=False),
        sa.Column("body", sa.LargeBinary, nullable=False),
        sa.Column("answered_at", sa.Float, nullable=False),
    )
    op.create_index("answers_answered_at", "answers", ["answered_at"])
