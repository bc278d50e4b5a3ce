"""The objects of the contract as plain JSON values: the only place that says which fields people see."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import orjson

from chat_service.domain.models import (
    Changes,
    Chat,
    ListedChat,
    Message,
    Participant,
    Position,
    Session,
    User,
)

View = dict[str, Any]


def iso(at: datetime) -> str:
    """ISO 8601 in UTC, always with six decimals and `Z`, so that times sort as text."""
    text = at.isoformat(timespec="microseconds")
    return f"{text[:-6]}Z" if text.endswith("+00:00") else iso(at.astimezone(UTC))


def user_view(user: User) -> View:
    """What everybody may see of an account."""
    return {
        "id": user.id,
        "username": user.username,
        "full_name": user.full_name,
        "bio": user.bio,
        "avatar_url": user.avatar_url,
        "is_bot": user.is_bot,
    }


def me_view(user: User) -> View:
    """What only the user may see."""
    private = {"email": user.email, "phone": user.phone, "role": user.role.value}
    return {**user_view(user), **private, "created_at": iso(user.created_at)}


def session_view(session: Session, current_id: UUID) -> View:
    """One signed-in device; `current` marks the one that asks."""
    return {
        "id": str(session.id),
        "created_at": iso(session.created_at),
        "last_used_at": iso(session.last_used_at),
        "ip": session.ip,
        "user_agent": session.user_agent,
        "current": session.id == current_id,
    }


def chat_view(chat: Chat, epoch: str) -> View:
    return {
        "id": chat.id,
        "chat_type": chat.chat_type,
        "name": chat.name,
        "created_by": chat.created_by,
        "created_at": iso(chat.created_at),
        "version": chat.version,
        "epoch": epoch,
        "last_seq": chat.last_seq,
        "participant_count": chat.participant_count,
    }


def listed_chat_view(listed: ListedChat, epoch: str) -> View:
    me = listed.me
    return {
        **chat_view(listed.chat, epoch),
        "last_message": message_view(listed.last_message) if listed.last_message else None,
        "unread_count": listed.unread_count,
        "my": {
            "role": me.role,
            "read_seq": me.read_seq,
            "delivered_seq": me.delivered_seq,
            "muted_until": iso(me.muted_until) if me.muted_until else None,
            "is_archived": me.is_archived,
        },
        "peer": user_view(listed.peer) if listed.peer else None,
    }


def participant_view(participant: Participant) -> View:
    return {
        "chat_id": participant.chat_id,
        "user_id": participant.user_id,
        "username": participant.username,
        "full_name": participant.full_name,
        "role": participant.role,
        "joined_at": iso(participant.joined_at),
        "left_at": iso(participant.left_at) if participant.left_at else None,
        "version": participant.version,
        "read_seq": participant.read_seq,
        "delivered_seq": participant.delivered_seq,
    }


def message_view(message: Message) -> View:
    row, reply = message.row, message.row.reply_to
    return {
        "id": str(row.id),
        "chat_id": row.chat_id,
        "seq": row.seq,
        "version": row.version,
        "revision": row.revision,
        "sender_id": row.sender_id,
        "sender_username": row.sender_username,
        "message_type": row.message_type,
        "content": message.content,
        "client_message_id": row.client_message_id,
        "timestamp": iso(row.created_at),
        "is_edited": row.edited_at is not None,
        "edited_at": iso(row.edited_at) if row.edited_at else None,
        "is_deleted": row.is_deleted,
        "reply_to": {"id": str(reply.id), "seq": reply.seq, "sender_id": reply.sender_id} if reply else None,
        "attachments": [],
        "mentions": [],
        "reactions": [],
        "is_pinned": False,
    }


def changes_view(changes: Changes) -> View:
    return {
        "chat_id": changes.chat_id,
        "epoch": changes.epoch,
        "from": changes.since,
        "to": changes.to,
        "messages": [message_view(message) for message in changes.messages]
        if changes.told is None
        else [orjson.Fragment(message.json) for message in changes.told],
        "participants": [participant_view(one) for one in changes.participants],
        "chat": chat_view(changes.chat, changes.epoch) if changes.chat else None,
        "hidden": changes.hidden,
        "positions": [position_view(position) for position in changes.positions],
        "has_more": changes.has_more,
    }


def position_view(position: Position) -> View:
    return {
        "user_id": position.user_id,
        "read_seq": position.read_seq,
        "delivered_seq": position.delivered_seq,
    }


def revision_view(revision: int, content: str, edited_at: datetime) -> View:
    return {"revision": revision, "content": content, "edited_at": iso(edited_at)}
