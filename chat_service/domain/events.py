"""Facts that have been committed, on their way to the sockets that must hear of them.

An event carries its push already encoded as JSON, so that it is encoded once for all sockets of all nodes.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from uuid import UUID


@dataclass(frozen=True, slots=True)
class ChatChanged:
    """One durable change of a chat: one request, one version, one push.

    `push` goes to those who were participants before and after; whoever is in `joined` gets
    `joined_push` in its place, and whoever is in `left` gets `push` as the chat's last frame.
    """

    chat_id: int
    version: int
    push: bytes
    joined: tuple[int, ...] = ()
    left: tuple[int, ...] = ()
    joined_push: bytes | None = None
    ends_typing_of: int | None = None
    """Whoever has sent a message has stopped typing it."""
    committed_at_s: float = field(default_factory=time.monotonic, compare=False)
    """When the node that made the change heard of its commit, by that node's monotonic clock."""


@dataclass(frozen=True, slots=True)
class JoinDoubted:
    """People may have joined a chat by a change whose outcome is unknown or was told to nobody: for those
    of them whose sockets do not hear the chat, the store is asked."""

    chat_id: int
    user_ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ChatSignalled:
    """Something ephemeral in a chat: a position that has moved. No version, and lost without harm."""

    chat_id: int
    push: bytes


@dataclass(frozen=True, slots=True)
class TypingChanged:
    """A participant began or stopped typing."""

    chat_id: int
    user_id: int
    is_typing: bool


@dataclass(frozen=True, slots=True)
class UserNotified:
    """A push for every connection of some users; a socket of one chat gets it only when that chat is among
    `chat_ids`."""

    user_ids: tuple[int, ...]
    push: bytes
    chat_ids: frozenset[int]
    is_ephemeral: bool = True
    """Whether it may be dropped where a reader is slow: presence may, a hidden message may not, because
    the feed does not tell of it again."""


@dataclass(frozen=True, slots=True)
class SessionsEnded:
    """Sessions that live no more: their sockets close, their cached rows are dropped."""

    session_ids: tuple[UUID, ...]
    reason: str
    """The error code that the close reason gives."""


Event = ChatChanged | JoinDoubted | ChatSignalled | TypingChanged | UserNotified | SessionsEnded


def is_durable(event: Event) -> bool:
    """Whether it is worth telling later, and harmless to tell twice; a moment's typing is neither."""
    match event:
        case ChatChanged() | JoinDoubted() | SessionsEnded():
            return True
        case UserNotified():
            return not event.is_ephemeral
        case _:
            return False
