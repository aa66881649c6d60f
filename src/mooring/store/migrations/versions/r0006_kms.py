"""Keys of KMS: what they are, what they encrypt with (sealed), and their aliases."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    """Three tables more."""
    op.create_table(
        "kms_keys",
        sa.Column("id", sa.String, primary_key=True),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("region", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("delete_at", sa.Float, nullable=True),
        sa.Column("rotate_at", sa.Float, nullable=True),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("document", sa.Text, nullable=False),
    )
    op.create_index("kms_keys_of_account", "kms_keys", ["account", "region", "id"])
    op.create_table(
        "kms_materials",
        sa.Column("key_id", sa.String, primary_key=True),
        sa.Column("version", sa.Integer, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("reason", sa.String, nullable=False),
    )
    op.create_table(
        "kms_aliases",
        sa.Column("account", sa.String, primary_key=True),
        sa.Column("region", sa.String, primary_key=True),
        sa.Column("name", sa.String, primary_key=True),
        sa.Column("key_id", sa.String, nullable=False),
        sa.Column("created_at", sa.Float, nullable=False),
        sa.Column("updated_at", sa.Float, nullable=False),
    )
    op.create_index("kms_aliases_key", "kms_aliases", ["key_id"])
