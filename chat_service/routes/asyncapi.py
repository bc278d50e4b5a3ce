"""The AsyncAPI 3.0 document of the WebSocket, built from the frame models and served at `/asyncapi.json`.

Directions are the server's: it receives commands and sends replies and pushes.
"""

from __future__ import annotations

import copy
from functools import cache
from typing import Any

from fastapi import APIRouter
from pydantic.json_schema import models_json_schema

from chat_service import __version__
from chat_service.domain.models import MAX_ID
from chat_service.routes import frames
from chat_service.routes.schemas import Strict
from chat_service.routes.strict import JsonResponse, encode_json

_TIME = "2026-11-20T09:30:00.125000Z"
_ID = "01936f5e-7c1a-7b3e-9a55-3f0e5a2b8c11"
_EPOCH = "b7c1f0a2"
_MESSAGE: dict[str, Any] = {
    "id": _ID,
    "chat_id": 7,
    "seq": 42,
    "version": 45,
    "revision": 1,
    "sender_id": 1,
    "sender_username": "mai",
    "message_type": "text",
    "content": "Xin chào!",
    "client_message_id": "phone-1-0042",
    "timestamp": _TIME,
    "is_edited": False,
    "edited_at": None,
    "is_deleted": False,
    "reply_to": None,
    "attachments": [],
    "mentions": [],
    "reactions": [],
    "is_pinned": False,
}
_EDITED = _MESSAGE | {
    "version": 46,
    "revision": 2,
    "content": "Xin chào mọi người!",
    "is_edited": True,
    "edited_at": _TIME,
}
_TOMBSTONE = _EDITED | {"version": 47, "content": "", "is_deleted": True}
_CHAT: dict[str, Any] = {
    "id": 7,
    "chat_type": "group",
    "name": "Hà Nội",
    "created_by": 1,
    "created_at": _TIME,
    "version": 45,
    "epoch": _EPOCH,
    "last_seq": 42,
    "participant_count": 3,
}
_PARTICIPANT: dict[str, Any] = {
    "chat_id": 7,
    "user_id": 3,
    "username": "an",
    "full_name": "Nguyễn An",
    "role": "member",
    "joined_at": _TIME,
    "left_at": None,
    "version": 48,
    "read_seq": 42,
    "delivered_seq": 42,
}
_LIMITS: dict[str, Any] = {
    "frame_bytes": 262144,
    "frames_per_s": 50,
    "connections_per_user": 20,
    "outbound_bytes": 1048576,
    "message_chars": 10000,
    "participants": 5000,
}

EXAMPLES: dict[type[Strict], dict[str, Any]] = {
    frames.SendMessage: {
        "type": "send_message",
        "ref": "1",
        "chat_id": 7,
        "content": "Xin chào!",
        "client_message_id": "phone-1-0042",
    },
    frames.EditMessage: {
        "type": "edit_message",
        "ref": "2",
        "message_id": _ID,
        "content": "Xin chào mọi người!",
    },
    frames.DeleteMessage: {"type": "delete_message", "ref": "3", "message_id": _ID, "scope": "everyone"},
    frames.Typing: {"type": "typing", "chat_id": 7, "is_typing": True},
    frames.MarkAsRead: {"type": "mark_as_read", "ref": "4", "chat_id": 7, "seq": 42},
    frames.MarkAsDelivered: {"type": "mark_as_delivered", "ref": "5", "chat_id": 7, "seq": 42},
    frames.Resume: {
        "type": "resume",
        "ref": "6",
        "cursors": {"7": 44, "9": 12},
        "epoch": _EPOCH,
        "complete": True,
    },
    frames.Authenticate: {"type": "authenticate", "ref": "7", "token": "<access token>"},
    frames.Ping: {"type": "ping", "ref": "8"},
    frames.MessageSent: {"type": "ack", "ref": "1", "message": _MESSAGE, "duplicate": False},
    frames.MessageChanged: {"type": "ack", "ref": "2", "message": _EDITED},
    frames.PositionMoved: {"type": "ack", "ref": "4", "chat_id": 7, "seq": 42},
    frames.Reauthenticated: {"type": "ack", "ref": "7", "expires_in": 900},
    frames.Done: {"type": "ack", "ref": "6"},
    frames.Error: {
        "type": "error",
        "ref": "1",
        "code": "rate_limited",
        "detail": "Too many requests; wait and try again.",
        "retry_after_ms": 800,
    },
    frames.Pong: {"type": "pong", "ref": "8", "server_time": _TIME},
    frames.ChatGone: {"type": "chat_gone", "ref": "6", "chat_id": 9},
    frames.Connected: {
        "type": "connected",
        "connection_id": "5f0c2a9e",
        "user_id": 1,
        "server_time": _TIME,
        "heartbeat_s": 20,
        "epoch": _EPOCH,
        "limits": _LIMITS,
    },
    frames.NewMessage: {"type": "new_message", "chat_id": 7, "version": 45, "message": _MESSAGE},
    frames.MessageEdited: {"type": "message_edited", "chat_id": 7, "version": 46, "message": _EDITED},
    frames.MessageDeleted: {"type": "message_deleted", "chat_id": 7, "version": 47, "message": _TOMBSTONE},
    frames.ChatCreated: {"type": "chat_created", "chat_id": 7, "version": 45, "chat": _CHAT},
    frames.ChatUpdated: {"type": "chat_updated", "chat_id": 7, "version": 45, "chat": _CHAT},
    frames.UserJoined: {"type": "user_joined", "chat_id": 7, "version": 48, "participants": [_PARTICIPANT]},
    frames.UserLeft: {"type": "user_left", "chat_id": 7, "version": 49, "user_id": 3},
    frames.ParticipantUpdated: {
        "type": "participant_updated",
        "chat_id": 7,
        "version": 50,
        "participants": [_PARTICIPANT | {"role": "admin", "version": 50}],
    },
    frames.MessagesRead: {"type": "messages_read", "chat_id": 7, "user_id": 3, "seq": 42},
    frames.MessagesDelivered: {"type": "messages_delivered", "chat_id": 7, "user_id": 3, "seq": 42},
    frames.MessageHidden: {"type": "message_hidden", "chat_id": 7, "message_id": _ID, "seq": 42},
    frames.UserTyping: {"type": "user_typing", "chat_id": 7, "user_id": 3},
    frames.UserStoppedTyping: {"type": "user_stopped_typing", "chat_id": 7, "user_id": 3},
    frames.UserOnline: {"type": "user_online", "user_id": 3},
    frames.UserOffline: {"type": "user_offline", "user_id": 3, "last_seen": _TIME},
    frames.Changes: {
        "type": "changes",
        "ref": "6",
        "chat_id": 7,
        "epoch": _EPOCH,
        "from": 44,
        "to": 45,
        "messages": [_MESSAGE],
        "participants": [],
        "chat": None,
        "hidden": [],
        "positions": [{"user_id": 3, "read_seq": 41, "delivered_seq": 42}],
        "has_more": False,
    },
    frames.ResyncRequired: {"type": "resync_required", "chat_id": 7, "version": 45},
    frames.ServerRestarting: {"type": "server_restarting", "retry_after_ms": 2500},
    frames.TokenExpiring: {"type": "token_expiring", "expires_in": 60},
}
"""One frame of every model, valid for it."""

router = APIRouter()


@router.get("/asyncapi.json", include_in_schema=False)
async def get_asyncapi() -> JsonResponse:
    return JsonResponse(_encoded_document())


@cache
def _encoded_document() -> bytes:
    return encode_json(build_document())


def build_document() -> dict[str, Any]:
    """The whole document, with the schemas of all frames as components."""
    models = (*frames.COMMANDS, *frames.REPLIES, *frames.PUSHES)
    _, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/components/schemas/{model}"
    )
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Chat service: WebSocket",
            "version": __version__,
            "description": "One JSON object a text frame. Meaning, order and promises: docs/protocol.md.",
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {
                "host": "127.0.0.1:8000",
                "protocol": "ws",
                "security": _refs("securitySchemes", _SECURITY),
            }
        },
        "channels": {
            "user": _channel("/api/v1/ws", "All chats of the caller."),
            "chat": _channel("/api/v1/ws/{chat_id}", "One chat, and the presence of its people.")
            | {"parameters": {"chat_id": {"description": f"The chat's id, from 1 to {MAX_ID}."}}},
        },
        "operations": {
            f"{action}_{channel}": {
                "action": action,
                "channel": {"$ref": f"#/channels/{channel}"},
                "summary": summary,
                "messages": [
                    {"$ref": f"#/channels/{channel}/messages/{model.__name__}"} for model in models_of_action
                ],
            }
            for channel in ("user", "chat")
            for action, summary, models_of_action in (
                ("receive", "Commands of the client.", frames.COMMANDS),
                ("send", "Replies and pushes of the server.", (*frames.REPLIES, *frames.PUSHES)),
            )
        },
        "components": {
            "messages": {model.__name__: _message(model) for model in models},
            "schemas": definitions["$defs"],
            "securitySchemes": _SECURITY,
        },
    }


_SECURITY: dict[str, Any] = {
    "bearer": {
        "type": "http",
        "scheme": "bearer",
        "description": "An access token, in the header or in the subprotocol pair `chat.v1, bearer.<token>`.",
    },
    "token": {"type": "httpApiKey", "in": "query", "name": "token", "description": "An access token."},
    "ticket": {
        "type": "httpApiKey",
        "in": "query",
        "name": "ticket",
        "description": "From POST /api/v1/auth/ws-ticket: one use, 30 seconds.",
    },
}


def _refs(section: str, names: dict[str, Any]) -> list[dict[str, str]]:
    return [{"$ref": f"#/components/{section}/{name}"} for name in names]


def _channel(address: str, description: str) -> dict[str, Any]:
    models = (*frames.COMMANDS, *frames.REPLIES, *frames.PUSHES)
    return {
        "address": address,
        "description": description,
        "messages": {model.__name__: {"$ref": f"#/components/messages/{model.__name__}"} for model in models},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _message(model: type[Strict]) -> dict[str, Any]:
    message: dict[str, Any] = {
        "name": frames.types_of(model)[0],
        "title": model.__name__,
        "contentType": "application/json",
        "payload": {"$ref": f"#/components/schemas/{model.__name__}"},
        "examples": [{"payload": copy.deepcopy(EXAMPLES[model])}],
    }
    if "ref" in model.model_fields:
        message["correlationId"] = {"location": "$message.payload#/ref"}
    if model.__doc__:
        message["summary"] = " ".join(model.__doc__.split())
    return message
