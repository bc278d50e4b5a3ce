"""Accounts, sessions, chats, participants and messages."""

from __future__ import annotations

import secrets

from alembic import op
from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    Index,
    Integer,
    String,
    UniqueConstraint,
    column,
    select,
    table,
)

from chat_service.adapters.sql.types import BigId, Digest, Key, Utc, UuidBytes
from chat_service.migrations.ddl import create_table, drop_table

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

FOLD_VERSION = "1"


def upgrade() -> None:
    create_deployment()
    create_accounts()
    create_sessions()
    create_chats()
    create_messages()


def downgrade() -> None:
    for name in (
        "discarded_bodies",
        "hides",
        "revisions",
        "messages",
        "participants",
        "chats",
        "tickets",
        "sessions",
        "last_seen",
        "user_words",
        "users",
        "deployment",
    ):
        drop_table(name)


def create_deployment() -> None:
    create_table(
        "deployment",
        Column("name", Key(64), primary_key=True),
        Column("value", Key(255), nullable=False),
    )
    deployment = table("deployment", column("name", Key(64)), column("value", Key(255)))
    held = set(op.get_bind().execute(select(deployment.c.name)).scalars())
    values = (
        ("epoch", secrets.token_hex(8)),
        ("fold", FOLD_VERSION),
        ("deployment_id", secrets.token_hex(16)),
    )
    for name, value in values:
        if name not in held:
            op.bulk_insert(deployment, [{"name": name, "value": value}])


def create_accounts() -> None:
    create_table(
        "users",
        Column("id", BigId, primary_key=True, autoincrement=True),
        Column("username", String(32), nullable=False),
        Column("username_fold", Key(255), nullable=False),
        Column("email", String(254), nullable=False),
        Column("email_fold", Key(1024), nullable=False),
        Column("password_hash", Key(255), nullable=False),
        Column("full_name", String(100)),
        Column("bio", String(500)),
        Column("phone", String(32)),
        Column("avatar_url", String(500)),
        Column("is_bot", Boolean(create_constraint=False), nullable=False),
        Column("role", Key(16), nullable=False),
        Column("state", Key(16), nullable=False),
        Column("created_at", Utc, nullable=False),
        UniqueConstraint("username_fold", name="uq_users_username_fold"),
        UniqueConstraint("email_fold", name="uq_users_email_fold"),
        sqlite_autoincrement=True,
    )
    create_table(
        "user_words",
        Column("word", Key(255), primary_key=True),
        Column("user_id", BigId, primary_key=True, autoincrement=False),
        Index("ix_user_words_user_id", "user_id"),
    )
    create_table(
        "last_seen",
        Column("user_id", BigId, primary_key=True, autoincrement=False),
        Column("seen_at", Utc, nullable=False),
    )


def create_sessions() -> None:
    create_table(
        "sessions",
        Column("id", UuidBytes, primary_key=True),
        Column("user_id", BigId, nullable=False),
        Column("created_at", Utc, nullable=False),
        Column("last_used_at", Utc, nullable=False),
        Column("expires_at", Utc, nullable=False),
        Column("ip", String(45)),
        Column("user_agent", String(255)),
        Column("refresh_hash", Digest, nullable=False),
        Column("previous_hash", Digest),
        Column("rotated_at", Utc, nullable=False),
        Column("revoked_at", Utc),
        Index("ix_sessions_user_id", "user_id", "revoked_at"),
        Index("ix_sessions_expires_at", "expires_at"),
    )
    create_table(
        "tickets",
        Column("hash", Digest, primary_key=True),
        Column("session_id", UuidBytes, nullable=False),
        Column("expires_at", Utc, nullable=False),
        Column("access_expires_at", Utc, nullable=False),
        Index("ix_tickets_expires_at", "expires_at"),
    )


def create_chats() -> None:
    create_table(
        "chats",
        Column("id", BigId, primary_key=True, autoincrement=True),
        Column("chat_type", Key(16), nullable=False),
        Column("name", String(100)),
        Column("created_by", BigInteger, nullable=False),
        Column("created_at", Utc, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("settings_version", BigInteger, nullable=False),
        Column("last_seq", BigInteger, nullable=False),
        Column("last_activity_at", Utc, nullable=False),
        Column("participant_count", Integer, nullable=False),
        Column("direct_key", Key(40)),
        Column("creation_key", Key(64)),
        Column("creation_mac", Digest),
        UniqueConstraint("direct_key", name="uq_chats_direct_key"),
        UniqueConstraint("created_by", "creation_key", name="uq_chats_creation_key"),
        sqlite_autoincrement=True,
    )
    create_table(
        "participants",
        Column("chat_id", BigId, primary_key=True, autoincrement=False),
        Column("user_id", BigId, primary_key=True, autoincrement=False),
        Column("role", Key(16), nullable=False),
        Column("joined_at", Utc, nullable=False),
        Column("left_at", Utc),
        Column("version", BigInteger, nullable=False),
        Column("read_seq", BigInteger, nullable=False),
        Column("delivered_seq", BigInteger, nullable=False),
        Column("muted_until", Utc),
        Column("is_archived", Boolean(create_constraint=False), nullable=False),
        Column("hidden_until_seq", BigInteger),
        Index("ix_participants_user_id", "user_id", "left_at"),
        Index("ix_participants_version", "chat_id", "version"),
    )


def create_messages() -> None:
    create_table(
        "messages",
        Column("chat_id", BigId, primary_key=True, autoincrement=False),
        Column("seq", BigId, primary_key=True, autoincrement=False),
        Column("id", UuidBytes, nullable=False),
        Column("version", BigInteger, nullable=False),
        Column("revision", Integer, nullable=False),
        Column("sender_id", BigInteger, nullable=False),
        Column("message_type", Key(16), nullable=False),
        Column("dedupe_key", Key(64), nullable=False),
        Column("request_mac", Digest, nullable=False),
        Column("body_id", UuidBytes),
        Column("body_sha256", Digest),
        Column("created_at", Utc, nullable=False),
        Column("edited_at", Utc),
        Column("is_deleted", Boolean(create_constraint=False), nullable=False),
        Column("reply_to_id", UuidBytes),
        Column("reply_to_seq", BigInteger),
        Column("reply_to_sender_id", BigInteger),
        UniqueConstraint("id", name="uq_messages_id"),
        UniqueConstraint("chat_id", "sender_id", "dedupe_key", name="uq_messages_dedupe_key"),
        Index("ix_messages_version", "chat_id", "version"),
        Index("ix_messages_sender", "chat_id", "sender_id", "seq"),
        Index("ix_messages_created_at", "chat_id", "created_at"),
    )
    create_table(
        "revisions",
        Column("message_id", UuidBytes, primary_key=True),
        Column("revision", Integer, primary_key=True, autoincrement=False),
        Column("body_id", UuidBytes, nullable=False),
        Column("body_sha256", Digest, nullable=False),
        Column("edited_at", Utc, nullable=False),
        Index("ix_revisions_body_id", "body_id"),
    )
    create_table(
        "hides",
        Column("user_id", BigId, primary_key=True, autoincrement=False),
        Column("chat_id", BigId, primary_key=True, autoincrement=False),
        Column("seq", BigId, primary_key=True, autoincrement=False),
        Column("chat_version", BigInteger, nullable=False),
        Index("ix_hides_version", "user_id", "chat_id", "chat_version"),
    )
    create_table(
        "discarded_bodies",
        Column("body_id", UuidBytes, primary_key=True),
        Column("chat_id", BigInteger, nullable=False),
        Column("due_at", Utc, nullable=False),
        Index("ix_discarded_bodies_due_at", "due_at"),
    )
