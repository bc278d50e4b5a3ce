"""Every frame of the WebSocket as a model, and the parser of those that clients send.

Only commands are parsed at run time. Replies and pushes are encoded elsewhere, once for all sockets; their
models serve the AsyncAPI document and the tests. Names and meaning: docs/protocol.md, "WebSocket".
"""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal, Self

import orjson
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError, WithJsonSchema, model_validator
from pydantic_core import PydanticCustomError

from chat_service.domain.errors import ChatError, InvalidFrame, InvalidRequest
from chat_service.domain.models import MAX_ID, DeleteScope
from chat_service.domain.names import is_encodable
from chat_service.routes.parameters import parse_digits
from chat_service.routes.problems import invalid_request
from chat_service.routes.schemas import (
    ChangesOut,
    ChatOut,
    ClientMessageId,
    Content,
    ErrorCode,
    Id,
    LimitsOut,
    MessageOut,
    MessageType,
    ParticipantOut,
    Seq,
    Strict,
    Text,
    Time,
    Uuid,
    or_default,
)

MAX_REF_CHARS = 256
MAX_CURSORS = 2_000

Ref = Annotated[str, Field(max_length=MAX_REF_CHARS)]
Scope = Annotated[
    DeleteScope, Field(strict=False), or_default(DeleteScope.EVERYONE, Literal["everyone", "me"] | None)
]
Cursors = Annotated[
    dict[Annotated[int, BeforeValidator(parse_digits), Field(ge=1, le=MAX_ID)], Seq],
    Field(max_length=MAX_CURSORS),
    WithJsonSchema(
        {
            "type": "object",
            "description": "The version held of each chat, by chat id.",
            "propertyNames": {"pattern": "^[1-9][0-9]{0,15}$"},
            "additionalProperties": {"type": "integer", "minimum": 0, "maximum": MAX_ID},
            "maxProperties": MAX_CURSORS,
        }
    ),
]


# --- Commands: client → server ------------------------------------------------------------------------


class CommandFrame(Strict):
    ref: Ref | None = None


class SendMessage(CommandFrame):
    """Post a message; the `ack` comes after both stores have committed."""

    type: Literal["send_message", "message"]
    chat_id: Id | None = None
    content: Content
    client_message_id: ClientMessageId | None = None
    message_type: MessageType = "text"
    reply_to_id: Uuid | None = None


class EditMessage(CommandFrame):
    """Replace the text of a message of one's own."""

    type: Literal["edit_message"]
    message_id: Uuid
    content: Content


class DeleteMessage(CommandFrame):
    """Delete a message for everyone, or hide it for oneself."""

    type: Literal["delete_message"]
    message_id: Uuid
    scope: Scope = DeleteScope.EVERYONE


class Typing(CommandFrame):
    """Say that one is typing, or has stopped; not answered when accepted."""

    type: Literal["typing"]
    chat_id: Id | None = None
    is_typing: bool | None = None
    content: Literal["start", "stop"] | None = None

    @model_validator(mode="after")
    def _check_one(self) -> Self:
        if self.is_typing is None and self.content is None:
            raise PydanticCustomError("typing", "it needs is_typing or content")
        if None not in {self.is_typing, self.content} and self.is_typing is not (self.content == "start"):
            raise PydanticCustomError("typing", "is_typing and content contradict each other")
        return self

    @property
    def has_started(self) -> bool:
        """The meaning of whichever of the two fields was given."""
        return self.content == "start" if self.is_typing is None else self.is_typing


class MarkAsRead(CommandFrame):
    """Move one's read position forward."""

    type: Literal["mark_as_read"]
    chat_id: Id | None = None
    seq: Seq


class MarkAsDelivered(CommandFrame):
    """Move one's delivered position forward."""

    type: Literal["mark_as_delivered"]
    chat_id: Id | None = None
    seq: Seq


class Resume(CommandFrame):
    """Ask for everything that changed since the versions held."""

    type: Literal["resume"]
    cursors: Cursors
    epoch: Annotated[Text, Field(max_length=64)] | None = None
    complete: Annotated[bool, or_default(False, bool | None)] = False


class Authenticate(CommandFrame):
    """Go on with a fresh access token of the same user."""

    type: Literal["authenticate"]
    token: Annotated[Text, Field(min_length=1, max_length=4096)]


class Ping(CommandFrame):
    """Ask for a sign of life."""

    type: Literal["ping"]


Command = (
    SendMessage
    | EditMessage
    | DeleteMessage
    | Typing
    | MarkAsRead
    | MarkAsDelivered
    | Resume
    | Authenticate
    | Ping
)
COMMANDS: tuple[type[Command], ...] = (
    SendMessage,
    EditMessage,
    DeleteMessage,
    Typing,
    MarkAsRead,
    MarkAsDelivered,
    Resume,
    Authenticate,
    Ping,
)


# --- Replies: they end a command by repeating its `ref` -----------------------------------------------


class ReplyFrame(Strict):
    ref: str | None


class MessageSent(ReplyFrame):
    """To `send_message`: stored in both stores."""

    type: Literal["ack"]
    message: MessageOut
    duplicate: Annotated[bool, Field(description="The same client_message_id had been sent before.")]


class MessageChanged(ReplyFrame):
    """To `edit_message` and `delete_message`: the message as it is now."""

    type: Literal["ack"]
    message: MessageOut


class PositionMoved(ReplyFrame):
    """To `mark_as_read` and `mark_as_delivered`: the position that is held now."""

    type: Literal["ack"]
    chat_id: Id
    seq: Seq


class Reauthenticated(ReplyFrame):
    """To `authenticate`: seconds until the new token ends."""

    type: Literal["ack"]
    expires_in: Annotated[int, Field(ge=0)]


class Done(ReplyFrame):
    """To `resume`, after everything that it brought."""

    type: Literal["ack"]


class Error(ReplyFrame):
    """The command was refused."""

    type: Literal["error"]
    code: ErrorCode
    detail: str
    retry_after_ms: Annotated[int, Field(ge=1)] | None = None


class Pong(ReplyFrame):
    type: Literal["pong"]
    server_time: Time


class ChatGone(Strict):
    """During a `resume`: the caller is not in this chat any more."""

    type: Literal["chat_gone"]
    ref: str | None
    chat_id: Id


ACKS: tuple[type[ReplyFrame], ...] = (MessageSent, MessageChanged, PositionMoved, Reauthenticated, Done)
REPLIES: tuple[type[Strict], ...] = (*ACKS, Error, Pong, ChatGone)


# --- Pushes: server → client --------------------------------------------------------------------------


class Connected(Strict):
    """The first frame of every connection."""

    type: Literal["connected"]
    connection_id: str
    user_id: Id
    server_time: Time
    heartbeat_s: Annotated[float, Field(gt=0, strict=False)]
    epoch: str
    limits: LimitsOut


class ChangeFrame(Strict):
    """A durable change: the chat's version moved by one."""

    chat_id: Id
    version: Annotated[int, Field(ge=1, le=MAX_ID)]


class NewMessage(ChangeFrame):
    type: Literal["new_message"]
    message: MessageOut


class MessageEdited(ChangeFrame):
    type: Literal["message_edited"]
    message: MessageOut


class MessageDeleted(ChangeFrame):
    """The tombstone takes the place of the message."""

    type: Literal["message_deleted"]
    message: MessageOut


class ChatCreated(ChangeFrame):
    """The receiver has become a participant, by creation or by being added."""

    type: Literal["chat_created"]
    chat: ChatOut


class ChatUpdated(ChangeFrame):
    type: Literal["chat_updated"]
    chat: ChatOut


class UserJoined(ChangeFrame):
    type: Literal["user_joined"]
    participants: list[ParticipantOut]


class UserLeft(ChangeFrame):
    """Somebody left or was removed; to that user it is the chat's last frame."""

    type: Literal["user_left"]
    user_id: Id


class ParticipantUpdated(ChangeFrame):
    """Roles have changed; a hand-over changes two of them."""

    type: Literal["participant_updated"]
    participants: list[ParticipantOut]


class PositionFrame(Strict):
    chat_id: Id
    user_id: Id
    seq: Seq


class MessagesRead(PositionFrame):
    type: Literal["messages_read"]


class MessagesDelivered(PositionFrame):
    type: Literal["messages_delivered"]


class MessageHidden(Strict):
    """The caller has hidden a message, here or on another device."""

    type: Literal["message_hidden"]
    chat_id: Id
    message_id: Uuid
    seq: Seq


class UserTyping(Strict):
    type: Literal["user_typing"]
    chat_id: Id
    user_id: Id


class UserStoppedTyping(Strict):
    type: Literal["user_stopped_typing"]
    chat_id: Id
    user_id: Id


class UserOnline(Strict):
    type: Literal["user_online"]
    user_id: Id


class UserOffline(Strict):
    type: Literal["user_offline"]
    user_id: Id
    last_seen: Time | None = None


class Changes(ChangesOut):
    """A page of the change feed: with `ref` for a `resume`, without one to fill a hole."""

    type: Literal["changes"]
    ref: str | None = None


class ResyncRequired(Strict):
    """The changes of a chat cannot be continued; read it afresh."""

    type: Literal["resync_required"]
    ref: str | None = None
    chat_id: Id
    version: Seq


class ServerRestarting(Strict):
    type: Literal["server_restarting"]
    retry_after_ms: Annotated[int, Field(ge=0)]


class TokenExpiring(Strict):
    """The access token of this connection ends soon; send `authenticate`."""

    type: Literal["token_expiring"]
    expires_in: Annotated[int, Field(ge=0)]


PUSHES: tuple[type[Strict], ...] = (
    Connected,
    NewMessage,
    MessageEdited,
    MessageDeleted,
    ChatCreated,
    ChatUpdated,
    UserJoined,
    UserLeft,
    ParticipantUpdated,
    MessagesRead,
    MessagesDelivered,
    MessageHidden,
    UserTyping,
    UserStoppedTyping,
    UserOnline,
    UserOffline,
    Changes,
    ResyncRequired,
    ServerRestarting,
    TokenExpiring,
)


def types_of(model: type[Strict]) -> tuple[str, ...]:
    """The values of `type` that a frame of this model may have, the proper one first."""
    found: tuple[str, ...] = model.model_fields["type"].annotation.__args__  # type: ignore[union-attr]
    return found


# --- Parsing ------------------------------------------------------------------------------------------


class RefusedFrame(Exception):
    """A frame that is no command; `error_frame(refused.error, refused.ref)` answers it.

    `ref` is the command's, where it could be read.
    """

    def __init__(self, error: ChatError, ref: str | None) -> None:
        self.error = error
        self.ref = ref
        super().__init__(error.detail)


_PARSERS: dict[str, TypeAdapter[Command]] = {
    name: TypeAdapter(model) for model in COMMANDS for name in types_of(model)
}


def parse_command(text: str | bytes) -> Command:
    """The command in a text frame. Raises `RefusedFrame` and nothing else, whatever the text is.

    What is no JSON object with a known `type` is `invalid_frame`; a known command with wrong fields is
    `invalid_request`. `chat_id` is None where the client left it out, which only a socket of one chat allows.
    """
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError:
        raise _refuse_unreadable(text) from None
    if not isinstance(fields, dict):
        raise RefusedFrame(InvalidFrame("The frame is not a JSON object."), None)
    kind = fields.get("type")
    parser = _PARSERS.get(kind) if isinstance(kind, str) else None
    if parser is None:
        said = "The frame has no type." if kind is None else "The type of the frame is not known."
        raise RefusedFrame(InvalidFrame(said), _find_ref(fields))
    try:
        return parser.validate_python(fields)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_context=False, include_input=False)
        raise RefusedFrame(invalid_request(errors, whole="frame"), _find_ref(fields)) from None


def _find_ref(fields: dict[str, Any]) -> str | None:
    ref = fields.get("ref")
    is_repeatable = isinstance(ref, str) and len(ref) <= MAX_REF_CHARS and is_encodable(ref)
    return ref if is_repeatable else None


def _refuse_unreadable(text: str | bytes) -> RefusedFrame:
    """JavaScript writes half of a character that was cut in two as an escape, which is JSON and no text."""
    fields: Any = None
    try:
        fields = json.loads(text if isinstance(text, str) else text.decode())
        is_cut = isinstance(fields, dict) and not is_encodable(json.dumps(fields, ensure_ascii=False))
    except (ValueError, RecursionError):
        is_cut = False
    if not is_cut:
        return RefusedFrame(InvalidFrame("The frame is not valid JSON."), None)
    detail = "The frame holds half of a character (a lone surrogate)."
    return RefusedFrame(InvalidRequest(detail), _find_ref(fields))
