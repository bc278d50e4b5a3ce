"""What clients did and saw, and what is stored at the end; `tests.history` judges it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class Request:
    """Something that was asked for, in as many attempts as it took."""

    user_id: int
    chat_id: int
    acks: list[Json] = field(default_factory=list)
    """The message of each acknowledgement, over the socket or REST."""
    refusal: str | None = None
    """The error code that ended it; never `unavailable`."""
    is_unknown: bool = False
    """At least one attempt had no answer, or `unavailable`: it may have been carried out all the same."""

    @property
    def may_have_happened(self) -> bool:
        return bool(self.acks) or self.is_unknown


@dataclass
class Send(Request):
    key: str = ""
    content: str = ""


@dataclass
class Edit(Request):
    message_id: str = ""
    content: str = ""


@dataclass
class Deletion(Request):
    message_id: str = ""


@dataclass
class Stay:
    """A participant is in the chat from the version that let them in to the one that ended it (None: to the
    end)."""

    chat_id: int
    user_id: int
    since: int
    until: int | None = None


@dataclass
class Connection:
    """One life of one socket: a client that comes back has another one."""

    name: str
    user_id: int
    frames: list[Json] = field(default_factory=list)
    """Every frame received, in order."""
    sends: list[tuple[str, int]] = field(default_factory=list)
    """`ref` and chat id of every `send_message`, in the order of the frames."""


@dataclass
class Held:
    """What a client holds of a chat at the end."""

    device: str
    user_id: int
    chat_id: int
    cursor: int
    messages: dict[int, Json]
    """By seq."""


@dataclass
class Stored:
    """The final read of a chat."""

    chat_id: int
    version: int
    last_seq: int
    messages: list[Json]
    revisions: dict[str, list[Json]] = field(default_factory=dict)
    """By message id the earlier and present texts of what has been edited and not deleted."""
    other_versions: list[int] = field(default_factory=list)
    """The versions of participants, those who have left included, and of the chat's settings."""


@dataclass
class Look:
    """A message that was read over REST, from any node, the moment after somebody had heard of it."""

    where: str
    message: Json
    """As it was heard."""
    found: Json | None
    """As it was read; None: there is no such message."""


@dataclass
class Compared:
    """What a device shows at the end, and what a fresh read over REST shows (a `View` each)."""

    device: str
    held: dict[int, Json]
    fresh: dict[int, Json]


@dataclass
class History:
    sends: list[Send] = field(default_factory=list)
    edits: list[Edit] = field(default_factory=list)
    deletions: list[Deletion] = field(default_factory=list)
    stays: list[Stay] = field(default_factory=list)
    connections: list[Connection] = field(default_factory=list)
    held: list[Held] = field(default_factory=list)
    stored: list[Stored] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    compared: list[Compared] = field(default_factory=list)
    logs: dict[str, str] = field(default_factory=dict)
    """What each process wrote, by its name."""
    secrets: set[str] = field(default_factory=set)
    """Tokens, passwords, keys, and what people wrote."""
    damage: list[str] = field(default_factory=list)
    """What `chat-service fsck` found at the end."""
