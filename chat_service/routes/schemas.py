"""The shapes of every REST request and answer (docs/protocol.md, "REST").

Requests are parsed into the `…In` models. Answers are ready dicts that handlers encode themselves; the
`…Out` models describe them for OpenAPI and for the tests, and cost nothing at run time. No rule that needs
a store or a setting lives here: those raise `InvalidRequest` from the services.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from chat_service.domain.errors import every_error
from chat_service.domain.models import MAX_ID, ChatType, GlobalRole, Role

_UUID = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME = r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d{1,6})?Z$"


class Strict(BaseModel):
    """Unknown fields are refused and nothing is converted: `"5"`, `5.0` and `true` are not 5."""

    model_config = ConfigDict(extra="forbid", strict=True)


# --- Kinds of values ----------------------------------------------------------------------------------


def check_unicode(value: str) -> str:
    """Refuse what UTF-8 cannot hold. JSON bodies cannot bring it (orjson refuses them), code can."""
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError:
            raise PydanticCustomError("lone_surrogate", "text must not contain a lone surrogate") from None
    return value


def check_text(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError("null_character", "text must not contain U+0000")
    return check_unicode(value)


def check_content(value: str) -> str:
    """Refuse an empty or blank message. Its greatest length is a setting, which the service checks."""
    if not value or value.isspace():
        raise PydanticCustomError("blank", "text must not be empty or only white space")
    return check_text(value)


def _parse_uuid(value: object) -> object:
    """Only the form with hyphens, in either case; `uuid.UUID` alone takes braces, `urn:` and more."""
    if isinstance(value, str):
        if _UUID.fullmatch(value) is None:
            raise PydanticCustomError("uuid", f"input should be a UUID such as {_EXAMPLE}")
        return UUID(value)
    return value


def or_default(default: object, given: Any) -> BeforeValidator:
    """An optional field may be left out or null; both mean its default. `given` documents the input."""
    return BeforeValidator(lambda value: default if value is None else value, json_schema_input_type=given)


_EXAMPLE = "01936f5e-7c1a-7b3e-9a55-3f0e5a2b8c11"
_SURROGATE_FREE = AfterValidator(check_unicode)

Id = Annotated[int, Field(ge=1, le=MAX_ID)]
Seq = Annotated[int, Field(ge=0, le=MAX_ID)]
Text = Annotated[str, AfterValidator(check_text), Field(json_schema_extra={"pattern": r"^[^\u0000]*$"})]
Content = Annotated[
    str,
    AfterValidator(check_content),
    Field(json_schema_extra={"pattern": r"^[^\u0000]*[^\s\u0000][^\u0000]*$"}),
]
Uuid = Annotated[
    UUID,
    BeforeValidator(_parse_uuid),
    WithJsonSchema({"type": "string", "format": "uuid", "examples": [_EXAMPLE]}),
]
"""A UUID as JSON gives it, as text; yields `uuid.UUID`."""
ClientMessageId = Annotated[str, Field(pattern=r"^[A-Za-z0-9._:-]{1,64}$")]
MessageType = Annotated[Literal["text"], or_default("text", Literal["text"] | None)]
Name = Annotated[Content, Field(min_length=1, max_length=100)]
MAX_LOGIN_NAME_CHARS = 254
"""A username or an e-mail address."""
Email = Annotated[Text, Field(max_length=254, json_schema_extra={"format": "email"})]
NewPassword = Annotated[str, Field(min_length=8, max_length=128), _SURROGATE_FREE]
GivenPassword = Annotated[str, Field(min_length=1, max_length=1024), _SURROGATE_FREE]
"""A password to compare: one that could not have been set is wrong (401), not malformed."""
RoleName = Annotated[Role, Field(strict=False)]
ChatTypeName = Annotated[ChatType, Field(strict=False)]
GlobalRoleName = Annotated[GlobalRole, Field(strict=False)]
Time = Annotated[str, Field(pattern=_TIME, json_schema_extra={"format": "date-time"})]
"""A time of an answer: ISO 8601 in UTC with `Z`."""
ErrorCode = Annotated[str, Field(json_schema_extra={"enum": sorted(every_error())})]


# --- Requests -----------------------------------------------------------------------------------------


class RegisterIn(Strict):
    """Which usernames and addresses are good is said by `domain.names`."""

    username: Annotated[Text, Field(min_length=3, max_length=32)]
    email: Email
    password: NewPassword
    full_name: Annotated[Text, Field(max_length=100)] | None = None


class LoginIn(Strict):
    username: Annotated[Text, Field(min_length=1, max_length=MAX_LOGIN_NAME_CHARS)]
    password: GivenPassword


class RefreshIn(Strict):
    refresh_token: Annotated[Text, Field(min_length=1, max_length=4096)] | None = None


class ProfileIn(Strict):
    """Only the fields in `model_fields_set` change; null clears one."""

    full_name: Annotated[Text, Field(max_length=100)] | None = None
    bio: Annotated[Text, Field(max_length=500)] | None = None
    phone: Annotated[Text, Field(max_length=32)] | None = None
    avatar_url: Annotated[Text, Field(max_length=500)] | None = None


class PasswordIn(Strict):
    current_password: GivenPassword
    new_password: NewPassword


class CreateChatIn(Strict):
    chat_type: ChatTypeName
    name: Name | None = None
    participant_ids: list[Id]


class RenameChatIn(Strict):
    name: Name


class AddParticipantsIn(Strict):
    user_ids: Annotated[list[Id], Field(min_length=1)]


class RemoveParticipantIn(Strict):
    user_id: Id


class RoleIn(Strict):
    role: RoleName


class PositionIn(Strict):
    seq: Seq


class SendMessageIn(Strict):
    chat_id: Id
    content: Content
    client_message_id: ClientMessageId | None = None
    message_type: MessageType = "text"
    reply_to_id: Uuid | None = None


class EditMessageIn(Strict):
    content: Content


# --- Users and sessions -------------------------------------------------------------------------------


class UserOut(Strict):
    id: Id
    username: str
    full_name: str | None
    bio: str | None
    avatar_url: str | None
    is_bot: bool


class MeOut(UserOut):
    """What only the user sees of the account."""

    email: str
    phone: str | None
    role: GlobalRoleName
    created_at: Time


class UsersOut(Strict):
    items: list[UserOut]


class TokenOut(Strict):
    access_token: str
    token_type: Literal["bearer"]
    expires_in: Annotated[int, Field(ge=0, description="Seconds until the access token ends.")]
    refresh_token: Annotated[str | None, Field(description="Null when it went into the cookie.")]
    user: MeOut


class SessionOut(Strict):
    id: Uuid
    created_at: Time
    last_used_at: Time
    ip: str | None
    user_agent: str | None
    current: bool


class SessionsOut(Strict):
    items: list[SessionOut]


class TicketOut(Strict):
    ticket: str
    expires_in: Annotated[int, Field(ge=0, description="Seconds in which it can be used, once.")]


# --- Messages -----------------------------------------------------------------------------------------


class ReplyToOut(Strict):
    id: Uuid
    seq: Seq
    sender_id: Id


class MessageOut(Strict):
    id: Uuid
    chat_id: Id
    seq: Seq
    version: Seq
    revision: Seq
    sender_id: Id
    sender_username: str
    message_type: str
    content: Annotated[str, Field(description="Empty once the message is deleted.")]
    client_message_id: str | None
    timestamp: Time
    is_edited: bool
    edited_at: Time | None
    is_deleted: bool
    reply_to: ReplyToOut | None
    attachments: list[dict[str, Any]]
    mentions: list[dict[str, Any]]
    reactions: list[dict[str, Any]]
    is_pinned: bool


class HistoryOut(Strict):
    items: Annotated[list[MessageOut], Field(description="Ascending by seq.")]
    has_more: bool
    next_before: Seq | None
    next_after: Seq | None
    version: Seq
    epoch: str


class MessagePageOut(Strict):
    items: list[MessageOut]
    total: Seq
    page: Seq
    limit: Seq
    pages: Seq


class RevisionOut(Strict):
    revision: Seq
    content: str
    edited_at: Time


class RevisionsOut(Strict):
    items: list[RevisionOut]


# --- Chats --------------------------------------------------------------------------------------------


class ChatOut(Strict):
    id: Id
    chat_type: ChatTypeName
    name: str | None
    created_by: Id
    created_at: Time
    version: Seq
    epoch: str
    last_seq: Seq
    participant_count: Seq


class MyOut(Strict):
    """The caller's own membership."""

    role: RoleName
    read_seq: Seq
    delivered_seq: Seq
    muted_until: Time | None
    is_archived: bool


class ListedChatOut(ChatOut):
    last_message: MessageOut | None
    unread_count: Seq
    my: MyOut
    peer: Annotated[UserOut | None, Field(description="The other user of a direct chat.")]


class ChatPageOut(Strict):
    items: list[ListedChatOut]
    total: Seq
    page: Seq
    limit: Seq
    pages: Seq


class ChatCursorOut(Strict):
    items: list[ListedChatOut]
    next_cursor: str | None
    has_more: bool


class ParticipantOut(Strict):
    chat_id: Id
    user_id: Id
    username: str
    full_name: str | None
    role: RoleName
    joined_at: Time
    left_at: Time | None
    version: Seq
    read_seq: Seq
    delivered_seq: Seq


class ParticipantsOut(Strict):
    items: list[ParticipantOut]


class PositionOut(Strict):
    """The position that is held now, which may be ahead of the one that was sent."""

    chat_id: Id
    seq: Seq


class ChangedPositionOut(Strict):
    user_id: Id
    read_seq: Seq
    delivered_seq: Seq


class ChangesOut(Strict):
    chat_id: Id
    epoch: str
    since: Annotated[Seq, Field(alias="from")]
    to: Seq
    messages: list[MessageOut]
    participants: list[ParticipantOut]
    chat: ChatOut | None
    hidden: list[Seq]
    positions: list[ChangedPositionOut]
    has_more: bool


class OnlineOut(Strict):
    user_ids: list[Id]


# --- The service --------------------------------------------------------------------------------------


class LimitsOut(Strict):
    """Null is no limit (`CHAT_RATE_LIMITS_ENABLED=false`)."""

    frame_bytes: int
    frames_per_s: int | None
    connections_per_user: int | None
    outbound_bytes: int
    message_chars: int
    participants: int


class InfoOut(Strict):
    version: str
    limits: LimitsOut
    features: Annotated[list[str], Field(description="The names of those that are switched on.")]


class ChecksOut(Strict):
    metadata: Literal["ok", "down"]
    content: Literal["ok", "down"]
    bus: Literal["ok", "down"]


class HealthOut(Strict):
    status: Literal["ok", "degraded", "unavailable"]
    version: str
    environment: str
    websocket_connections: Annotated[int, Field(ge=0)]
    checks: ChecksOut
    timestamp: Time


class FieldErrorOut(Strict):
    field: str
    message: str


class ProblemOut(Strict):
    """RFC 9457, with the stable `code` that programs go by."""

    type: str
    title: str
    status: int
    detail: Annotated[str, Field(description="One sentence for people.")]
    status_code: int
    code: ErrorCode
    request_id: str | None
    errors: list[FieldErrorOut] | None = None
