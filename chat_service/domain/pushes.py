"""The pushes of docs/protocol.md, section 3, encoded once for all sockets of all nodes."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import orjson

from chat_service.domain.models import Changes, Chat, Message, Participant
from chat_service.domain.views import changes_view, chat_view, iso, message_view, participant_view


def encode(frame: dict[str, Any]) -> bytes:
    """One frame as the JSON text that goes over the socket."""
    return orjson.dumps(frame)


def _message_push(kind: str, message: Message) -> bytes:
    row = message.row
    return encode(
        {"type": kind, "chat_id": row.chat_id, "version": row.version, "message": message_view(message)}
    )


def new_message(message: Message) -> bytes:
    return _message_push("new_message", message)


def message_edited(message: Message) -> bytes:
    return _message_push("message_edited", message)


def message_deleted(message: Message) -> bytes:
    return _message_push("message_deleted", message)


def chat_created(chat: Chat, epoch: str) -> bytes:
    return _chat_push("chat_created", chat, epoch)


def chat_updated(chat: Chat, epoch: str) -> bytes:
    return _chat_push("chat_updated", chat, epoch)


def _chat_push(kind: str, chat: Chat, epoch: str) -> bytes:
    return encode({"type": kind, "chat_id": chat.id, "version": chat.version, "chat": chat_view(chat, epoch)})


def user_joined(chat: Chat, joined: Sequence[Participant]) -> bytes:
    return _participants_push("user_joined", chat, joined)


def participant_updated(chat: Chat, changed: Sequence[Participant]) -> bytes:
    return _participants_push("participant_updated", chat, changed)


def _participants_push(kind: str, chat: Chat, participants: Sequence[Participant]) -> bytes:
    views = [participant_view(one) for one in participants]
    return encode({"type": kind, "chat_id": chat.id, "version": chat.version, "participants": views})


def user_left(chat_id: int, version: int, user_id: int) -> bytes:
    return encode({"type": "user_left", "chat_id": chat_id, "version": version, "user_id": user_id})


def position_moved(kind: str, chat_id: int, user_id: int, seq: int) -> bytes:
    """`kind` is `messages_read` or `messages_delivered`."""
    return encode({"type": kind, "chat_id": chat_id, "user_id": user_id, "seq": seq})


def message_hidden(chat_id: int, message_id: UUID, seq: int) -> bytes:
    return encode({"type": "message_hidden", "chat_id": chat_id, "message_id": str(message_id), "seq": seq})


def typing(chat_id: int, user_id: int, *, is_typing: bool) -> bytes:
    kind = "user_typing" if is_typing else "user_stopped_typing"
    return encode({"type": kind, "chat_id": chat_id, "user_id": user_id})


def user_online(user_id: int) -> bytes:
    return encode({"type": "user_online", "user_id": user_id})


def user_offline(user_id: int, last_seen: datetime) -> bytes:
    return encode({"type": "user_offline", "user_id": user_id, "last_seen": iso(last_seen)})


def changes(page: Changes, ref: str | None = None) -> bytes:
    """The feed as a frame: with `ref` the answer to a `resume`, without it the filling of a hole."""
    frame = {"type": "changes", **changes_view(page)}
    return encode(frame if ref is None else {**frame, "ref": ref})


def resync_required(chat_id: int, version: int, ref: str | None = None) -> bytes:
    frame = {"type": "resync_required", "chat_id": chat_id, "version": version}
    return encode(frame if ref is None else {**frame, "ref": ref})


def server_restarting(retry_after_ms: int) -> bytes:
    return encode({"type": "server_restarting", "retry_after_ms": retry_after_ms})


def token_expiring(expires_in_s: int) -> bytes:
    return encode({"type": "token_expiring", "expires_in": expires_in_s})
