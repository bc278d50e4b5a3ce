"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from chat_service.migrations import ddl

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Set `HEAD` in chat_service/migrations/__init__.py to this revision."""
    ${upgrades if upgrades else "raise NotImplementedError"}


def downgrade() -> None:
    ${downgrades if downgrades else "raise NotImplementedError"}
