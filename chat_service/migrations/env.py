"""What Alembic runs around the steps. `adapters.sql.migrate` opens the connection, locks and commits."""

from __future__ import annotations

from alembic import context

from chat_service.adapters.sql.tables import metadata

connection = context.config.attributes.get("connection")
if connection is None:
    raise RuntimeError("migrations are run by `chat-service migrate`, which hands the connection over")
# SQLite alters most things only by copying the table, which is what batch mode does.
context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
