"""Pages in the order of creation, which is how they are asked for, without sorting all there is."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """An index more for each kind of resource."""
    for table in ("models", "endpoint_configs", "endpoints"):
        op.create_index(f"{table}_created", table, ["account", "region", "created_at", "name"])
