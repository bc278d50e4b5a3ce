"""The nouns of the service as plain values, the way every layer hands them to the next.

Times are aware and in UTC. `seq` numbers the messages of one chat, `version` its durable changes; both
start at 1 and have no gap (docs/protocol.md, "Order, loss, duplicates").
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

MAX_ID = 2**53 - 1
"""The largest id, seq or version that a JavaScript client can hold exactly."""


class ChatType(StrEnum):
    DIRECT = "direct"
    GROUP = "group"


class Role(StrEnum):
    """What a participant may do in one chat."""

    OWNER = "owner"
    ADMIN = "admin"
    MEMBER = "member"


class GlobalRole(StrEnum):
    """What an account may do in the whole deployment."""

    ADMIN = "admin"
    MODERATOR = "moderator"
    USER = "user"


class AccountState(StrEnum):
    ACTIVE = "active"
    DEACTIVATED = "deactivated"
    DELETED = "deleted"


class DeleteScope(StrEnum):
    EVERYONE = "everyone"
    ME = "me"


@dataclass(frozen=True, slots=True)
class User:
    id: int
    username: str
    full_name: str | None
    bio: str | None
    avatar_url: str | None
    is_bot: bool
    email: str
    phone: str | None
    role: GlobalRole
    state: AccountState
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-in device: a family of refresh tokens and the access tokens made from them.

    `refresh_hash` is the SHA-256 of the token that is valid now, `previous_hash` of the one before it,
    which is still answered for ten seconds after `rotated_at`.
    """

    id: UUID
    user_id: int
    created_at: datetime
    last_used_at: datetime
    expires_at: datetime
    ip: str | None
    user_agent: str | None
    refresh_hash: bytes
    previous_hash: bytes | None
    rotated_at: datetime
    revoked_at: datetime | None


@dataclass(frozen=True, slots=True)
class Caller:
    """Who is asking: the user of a live session, as its row stood at most a second ago."""

    user: User
    session_id: UUID
    expires_at: datetime
    """When the access token ends."""

    @property
    def id(self) -> int:
        return self.user.id


@dataclass(frozen=True, slots=True)
class Chat:
    id: int
    chat_type: ChatType
    name: str | None
    created_by: int
    created_at: datetime
    version: int
    settings_version: int
    """The version of the last change to the chat itself (its creation, its name)."""
    last_seq: int
    last_activity_at: datetime
    participant_count: int


@dataclass(frozen=True, slots=True)
class Participant:
    """A user's membership in a chat; `left_at` is set when it has ended."""

    chat_id: int
    user_id: int
    username: str
    full_name: str | None
    role: Role
    joined_at: datetime
    left_at: datetime | None
    version: int
    read_seq: int
    delivered_seq: int
    muted_until: datetime | None = None
    is_archived: bool = False

    @property
    def is_present(self) -> bool:
        return self.left_at is None


@dataclass(frozen=True, slots=True)
class Position:
    """How far a participant has got; both seqs only grow."""

    user_id: int
    read_seq: int
    delivered_seq: int


@dataclass(frozen=True, slots=True)
class ReplyTo:
    """The message that another one answers: only what can never change."""

    id: UUID
    seq: int
    sender_id: int


class MessageRow(NamedTuple):
    """The metadata of a message; its text lies in the content store under `body_id`.

    `dedupe_key` is the client's `client_message_id`, or `~` and the message's id where it gave none.
    `body_id` is None once the message is deleted for everyone. A tuple, because a page of history makes
    fifty of them and a frozen dataclass takes four times as long.
    """

    id: UUID
    chat_id: int
    seq: int
    version: int
    revision: int
    sender_id: int
    sender_username: str
    message_type: str
    dedupe_key: str
    request_mac: bytes
    body_id: UUID | None
    body_sha256: bytes | None
    created_at: datetime
    edited_at: datetime | None
    is_deleted: bool
    reply_to: ReplyTo | None

    @property
    def client_message_id(self) -> str | None:
        return None if self.dedupe_key.startswith("~") else self.dedupe_key


@dataclass(frozen=True, slots=True)
class Message:
    """A message as people see it: its row and its text (empty once deleted)."""

    row: MessageRow
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Body:
    """An immutable text in the content store, written before any row names it."""

    id: UUID
    chat_id: int
    content: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Revision:
    """One text that a message has had. `edited_at` of the first is the message's own time."""

    revision: int
    body_id: UUID
    body_sha256: bytes
    edited_at: datetime


@dataclass(frozen=True, slots=True)
class OwnMembership:
    """What a user's list of chats says of their own membership."""

    role: Role
    read_seq: int
    delivered_seq: int
    muted_until: datetime | None
    is_archived: bool


@dataclass(frozen=True, slots=True)
class ListedChat:
    """A chat as its participant's list shows it."""

    chat: Chat
    me: OwnMembership
    unread_count: int
    last_message: Message | None
    peer: User | None


@dataclass(frozen=True, slots=True)
class ToldMessage:
    """A message as it was pushed: its JSON, and what must be known to put it on a page."""

    id: str
    seq: int
    version: int
    is_first: bool
    """Neither edited nor deleted."""
    chars: int
    json: bytes


@dataclass(frozen=True, slots=True)
class Changes:
    """One page of a chat's change feed; see `GET /chats/{id}/changes` in docs/protocol.md."""

    chat_id: int
    epoch: str
    since: int
    to: int
    messages: list[Message]
    participants: list[Participant]
    chat: Chat | None
    hidden: list[int]
    positions: list[Position]
    has_more: bool
    told: list[ToldMessage] | None = None
    """In place of `messages`: the same as they were pushed."""
