"""Rows for the tests of the metadata store: plain values, and the shortest ways to store them."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from chat_service.domain.ids import new_id
from chat_service.domain.models import (
    AccountState,
    Chat,
    ChatType,
    GlobalRole,
    MessageRow,
    Participant,
    Role,
    User,
)
from chat_service.services.ports.metadata import ChangedRows, MetadataStore, Span, Unit

NOW = datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC)


def a_user(name: str) -> User:
    return User(
        id=0,
        username=name,
        full_name=None,
        bio=None,
        avatar_url=None,
        is_bot=False,
        email=f"{name}@example.org",
        phone=None,
        role=GlobalRole.USER,
        state=AccountState.ACTIVE,
        created_at=NOW,
    )


async def add_user(unit: Unit, name: str, words: list[str]) -> User:
    user = a_user(name)
    return await unit.accounts.add_user(
        user, username_fold=name, email_fold=user.email, password_hash="x", words=words
    )


async def store_user(store: MetadataStore, name: str | None = None, words: list[str] | None = None) -> User:
    name = name or f"user{secrets.token_hex(4)}"
    return await store.transact(lambda unit: add_user(unit, name, words or []))


def a_chat(**changes: Any) -> Chat:
    chat = Chat(
        id=0,
        chat_type=ChatType.GROUP,
        name="Ä group 😀 ",
        created_by=1,
        created_at=NOW,
        version=1,
        settings_version=1,
        last_seq=0,
        last_activity_at=NOW,
        participant_count=1,
    )
    return replace(chat, **changes)


async def store_chat(
    store: MetadataStore, direct_key: str | None = None, creation_key: str | None = None, **changes: Any
) -> Chat:
    mac = None if creation_key is None else hashlib.sha256(creation_key.encode()).digest()
    return await store.transact(
        lambda unit: unit.chats.add_chat(
            a_chat(**changes), direct_key=direct_key, creation_key=creation_key, creation_mac=mac
        )
    )


def a_participant(chat: Chat, user: User, **changes: Any) -> Participant:
    one = Participant(
        chat_id=chat.id,
        user_id=user.id,
        username=user.username,
        full_name=user.full_name,
        role=Role.MEMBER,
        joined_at=NOW,
        left_at=None,
        version=1,
        read_seq=0,
        delivered_seq=0,
    )
    return replace(one, **changes)


async def join(store: MetadataStore, chat: Chat, *users: User, **changes: Any) -> list[Participant]:
    rows = [a_participant(chat, user, **changes) for user in users]
    await store.transact(lambda unit: unit.participants.put_participants(rows))
    return rows


def a_message(chat: Chat, user: User, seq: int, **changes: Any) -> MessageRow:
    message_id: UUID = new_id()
    row = MessageRow(
        id=message_id,
        chat_id=chat.id,
        seq=seq,
        version=seq + 1,
        revision=1,
        sender_id=user.id,
        sender_username=user.username,
        message_type="text",
        dedupe_key=f"~{message_id}",
        request_mac=hashlib.sha256(b"request").digest(),
        body_id=message_id,
        body_sha256=hashlib.sha256(b"body").digest(),
        created_at=NOW,
        edited_at=None,
        is_deleted=False,
        reply_to=None,
    )
    return row._replace(**changes)


async def store_messages(store: MetadataStore, chat: Chat, user: User, *seqs: int) -> list[MessageRow]:
    rows = [a_message(chat, user, seq) for seq in seqs]
    await store.transact(lambda unit: unit.sends.add(rows, []))
    return rows


def a_span(chat: Chat, **changes: Any) -> Span:
    span = Span(chat_id=chat.id, since=0, bound=99, hides_since=0, has_all_positions=True)
    return replace(span, **changes)


async def read_feed(
    unit: Unit, viewer_id: int, chat: Chat, *, limit: int = 99, **changes: Any
) -> ChangedRows:
    """Of one chat."""
    return (await unit.feed.read_spans(viewer_id, [a_span(chat, **changes)], limit=limit))[chat.id]
