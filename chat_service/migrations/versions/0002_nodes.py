"""The nodes that serve from this store, and an index by which they find who has lately joined a chat."""

from __future__ import annotations

from alembic import op
from sqlalchemy import Column, inspect

from chat_service.adapters.sql.types import Utc, UuidBytes
from chat_service.migrations.ddl import create_table, drop_table

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

INDEX = "ix_participants_joined_at"


def upgrade() -> None:
    create_table(
        "nodes",
        Column("id", UuidBytes, primary_key=True),
        Column("seen_at", Utc, nullable=False),
    )
    if not _has_index():
        op.create_index(INDEX, "participants", ["joined_at"])


def downgrade() -> None:
    if _has_index():
        op.drop_index(INDEX, "participants")
    drop_table("nodes")


def _has_index() -> bool:
    return INDEX in {index["name"] for index in inspect(op.get_bind()).get_indexes("participants")}
