"""The relational schema: the one place that says which columns and indexes there are.

Migrations below `chat_service/migrations` lead to exactly this on every engine, which a test compares.
`messages` is clustered by `(chat_id, seq)`, so that a page of history is one range of its primary key.
There is no foreign key from messages to users: it would lock a user's row with every send.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Index, Integer, MetaData, String, Table, UniqueConstraint

from chat_service.adapters.sql.types import BigId, Digest, Key, Utc, UuidBytes

metadata = MetaData()

_MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
    "mysql_row_format": "DYNAMIC",
}

deployment = Table(
    "deployment",
    metadata,
    # `epoch`: see docs/protocol.md, section 5; `fold`: the version of the fold function of names;
    # `deployment_id`: written into the content store too, so that nobody sweeps another one's bodies.
    Column("name", Key(64), primary_key=True),
    Column("value", Key(255), nullable=False),
    **_MYSQL,
)

nodes = Table(
    "nodes",
    metadata,
    # The nodes that serve from this store, and when each last said that it lives.
    Column("id", UuidBytes, primary_key=True),
    Column("seen_at", Utc, nullable=False),
    **_MYSQL,
)

users = Table(
    "users",
    metadata,
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
    **_MYSQL,
)

user_words = Table(
    "user_words",
    metadata,
    # The folded words of a user's names; a search is a prefix range of the primary key.
    Column("word", Key(255), primary_key=True),
    Column("user_id", BigId, primary_key=True, autoincrement=False),
    Index("ix_user_words_user_id", "user_id"),
    **_MYSQL,
)

last_seen = Table(
    "last_seen",
    metadata,
    # Apart from `users`, because it is written at every disconnect.
    Column("user_id", BigId, primary_key=True, autoincrement=False),
    Column("seen_at", Utc, nullable=False),
    **_MYSQL,
)

sessions = Table(
    "sessions",
    metadata,
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
    **_MYSQL,
)

tickets = Table(
    "tickets",
    metadata,
    Column("hash", Digest, primary_key=True),
    Column("session_id", UuidBytes, nullable=False),
    Column("expires_at", Utc, nullable=False),
    Column("access_expires_at", Utc, nullable=False),
    Index("ix_tickets_expires_at", "expires_at"),
    **_MYSQL,
)

chats = Table(
    "chats",
    metadata,
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
    # `<smaller user id>:<larger user id>` of a direct chat: unique for its pair.
    Column("direct_key", Key(40)),
    # The `Idempotency-Key` of the creation, and what it was first used with.
    Column("creation_key", Key(64)),
    Column("creation_mac", Digest),
    UniqueConstraint("direct_key", name="uq_chats_direct_key"),
    UniqueConstraint("created_by", "creation_key", name="uq_chats_creation_key"),
    sqlite_autoincrement=True,
    **_MYSQL,
)

participants = Table(
    "participants",
    metadata,
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
    # A direct chat that its participant hid stays out of the list while `last_seq` is not above this.
    Column("hidden_until_seq", BigInteger),
    Index("ix_participants_user_id", "user_id", "left_at"),
    Index("ix_participants_version", "chat_id", "version"),
    # Who has lately joined any chat, for nodes that did not hear of it.
    Index("ix_participants_joined_at", "joined_at"),
    **_MYSQL,
)

messages = Table(
    "messages",
    metadata,
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
    # The newest message of one sender, which bounds what is unread for that sender.
    Index("ix_messages_sender", "chat_id", "sender_id", "seq"),
    # The page around a time; times of one chat never run backwards.
    Index("ix_messages_created_at", "chat_id", "created_at"),
    **_MYSQL,
)

revisions = Table(
    "revisions",
    metadata,
    # Every text of an edited message. The body of one that was never edited has the message's own id, so
    # whether anything names a body is told by two indexes: `messages.id` and `revisions.body_id`.
    Column("message_id", UuidBytes, primary_key=True),
    Column("revision", Integer, primary_key=True, autoincrement=False),
    Column("body_id", UuidBytes, nullable=False),
    Column("body_sha256", Digest, nullable=False),
    Column("edited_at", Utc, nullable=False),
    Index("ix_revisions_body_id", "body_id"),
    **_MYSQL,
)

hides = Table(
    "hides",
    metadata,
    # Messages deleted for oneself, and the chat's version when that was done.
    Column("user_id", BigId, primary_key=True, autoincrement=False),
    Column("chat_id", BigId, primary_key=True, autoincrement=False),
    Column("seq", BigId, primary_key=True, autoincrement=False),
    Column("chat_version", BigInteger, nullable=False),
    Index("ix_hides_version", "user_id", "chat_id", "chat_version"),
    **_MYSQL,
)

discarded_bodies = Table(
    "discarded_bodies",
    metadata,
    # Bodies of deleted messages, removed from the content store once `due_at` has passed.
    Column("body_id", UuidBytes, primary_key=True),
    Column("chat_id", BigInteger, nullable=False),
    Column("due_at", Utc, nullable=False),
    Index("ix_discarded_bodies_due_at", "due_at"),
    **_MYSQL,
)
