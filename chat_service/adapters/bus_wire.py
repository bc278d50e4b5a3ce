"""What travels between nodes: which channels an event goes to, and its bytes.

A message is a version byte pair, the id of the node that sent it, and the events of one channel. Each event
is a head (JSON, an array that begins with its kind) and up to two pushes as they go over the sockets, which
nobody parses on the way. A message without events is a sign of life.

    b"C" 0x01 | node id, 16 bytes | event …
    event: lengths of head, push and joined push, 4 bytes each, big-endian | head | push | joined push

A change of this format takes another version byte: nodes of two versions then ignore each other's messages,
and hear each other through the store until all are of one version.
"""

from __future__ import annotations

import struct
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import orjson

from chat_service.domain.events import (
    ChatChanged,
    ChatSignalled,
    Event,
    JoinDoubted,
    SessionsEnded,
    TypingChanged,
    UserNotified,
)

_MAGIC = b"C\x01"
_LENGTHS = struct.Struct(">III")
_PREFIX_BYTES = len(_MAGIC) + 16
MESSAGE_BYTES = 1024 * 1024
"""The events of one channel are split into messages of about this size."""
SINGLE_USERS = 64
"""What is addressed to more users than this goes to every node instead."""


class NotOurs(ValueError):
    """Bytes that no node of this version has sent; the text says what is wrong with them."""


class Channels:
    """The names of the channels of one deployment, so that two on one Redis never mix."""

    def __init__(self, deployment_id: str) -> None:
        self._prefix = f"chat-service:{deployment_id}:"
        self.nodes = self._name("nodes")
        """Heard by every node."""

    def _name(self, rest: str) -> bytes:
        return (self._prefix + rest).encode()

    def of_chat(self, chat_id: int) -> bytes:
        return self._name(f"chat:{chat_id}")

    def of_user(self, user_id: int) -> bytes:
        return self._name(f"user:{user_id}")

    def find_chat_id(self, channel: bytes) -> int | None:
        """The chat whose channel this is."""
        chat_id = channel.decode().removeprefix(self._prefix + "chat:")
        return int(chat_id) if chat_id.isdigit() else None

    def sort(self, events: Sequence[Event]) -> dict[bytes, list[Event]]:
        """The channels that these events go to, each with its events in order."""
        sorted_events: defaultdict[bytes, list[Event]] = defaultdict(list)
        for event in events:
            match event:
                case ChatChanged():
                    sorted_events[self.of_chat(event.chat_id)].append(event)
                    for channel in self._of_users(event.joined):
                        sorted_events[channel].append(event)
                case ChatSignalled() | TypingChanged():
                    sorted_events[self.of_chat(event.chat_id)].append(event)
                case JoinDoubted():
                    for channel in self._of_users(event.user_ids):
                        sorted_events[channel].append(event)
                case UserNotified(user_ids=user_ids) if len(user_ids) <= SINGLE_USERS:
                    for user_id in user_ids:  # a node with several of them must not tell each one twice
                        sorted_events[self.of_user(user_id)].append(replace(event, user_ids=(user_id,)))
                case _:
                    sorted_events[self.nodes].append(event)
        return sorted_events

    def _of_users(self, user_ids: Sequence[int]) -> list[bytes]:
        if len(user_ids) > SINGLE_USERS:
            return [self.nodes]
        return [self.of_user(user_id) for user_id in user_ids]


def encode(node_id: UUID, events: Iterable[Event]) -> list[bytes]:
    """The messages that carry these events, at least one."""
    prefix = _MAGIC + node_id.bytes
    messages, parts, size = [], [prefix], len(prefix)
    for event in events:
        part = _encode_event(event)
        if size + len(part) > MESSAGE_BYTES and len(parts) > 1:
            messages.append(b"".join(parts))
            parts, size = [prefix], len(prefix)
        parts.append(part)
        size += len(part)
    return [*messages, b"".join(parts)]


def _encode_event(event: Event) -> bytes:
    push, joined_push = b"", b""
    head: list[Any]
    match event:
        case ChatChanged():
            push, joined_push = event.push, event.joined_push or b""
            head = ["c", event.chat_id, event.version, event.joined, event.left, event.ends_typing_of]
        case JoinDoubted():
            head = ["j", event.chat_id, event.user_ids]
        case ChatSignalled():
            push, head = event.push, ["s", event.chat_id]
        case TypingChanged():
            head = ["t", event.chat_id, event.user_id, event.is_typing]
        case UserNotified():
            push = event.push
            head = ["u", event.user_ids, sorted(event.chat_ids), event.is_ephemeral]
        case SessionsEnded():
            head = ["e", [str(one) for one in event.session_ids], event.reason]
    text = orjson.dumps(head)
    return b"".join((_LENGTHS.pack(len(text), len(push), len(joined_push)), text, push, joined_push))


def decode(message: bytes) -> tuple[UUID, list[Event]]:
    """The node that sent a message, and its events in order. Raises `NotOurs`."""
    if message[:1] != _MAGIC[:1] or len(message) < _PREFIX_BYTES:
        raise NotOurs("not a message of a node")
    if message[1] != _MAGIC[1]:
        raise NotOurs(f"version {message[1]} of the format, this node speaks {_MAGIC[1]}")
    node_id, at, events = UUID(bytes=message[len(_MAGIC) : _PREFIX_BYTES]), _PREFIX_BYTES, list[Event]()
    while at < len(message):
        if len(message) - at < _LENGTHS.size:
            raise NotOurs("cut off")
        lengths = _LENGTHS.unpack_from(message, at)
        at += _LENGTHS.size
        texts = []
        for length in lengths:
            texts.append(message[at : at + length])
            at += length
        if at > len(message):
            raise NotOurs("cut off")
        events.append(_decode_event(*texts))
    return node_id, events


def _decode_event(text: bytes, push: bytes, joined_push: bytes) -> Event:
    try:
        kind, *fields = orjson.loads(text)
        make = _KINDS[kind]
    except (ValueError, TypeError, KeyError) as error:
        raise NotOurs("an event of no known kind") from error
    try:
        return make(fields, push, joined_push)
    except (ValueError, TypeError) as error:
        raise NotOurs(f"an event of kind {kind} with wrong fields") from error


def _chat_changed(fields: list[Any], push: bytes, joined_push: bytes) -> Event:
    chat_id, version, joined, left, ends_typing_of = fields
    who = None if ends_typing_of is None else _id(ends_typing_of)
    return ChatChanged(
        _id(chat_id), _id(version), _push(push), _ids(joined), _ids(left), joined_push or None, who
    )


def _join_doubted(fields: list[Any], _push_text: bytes, _joined_push: bytes) -> Event:
    chat_id, user_ids = fields
    return JoinDoubted(_id(chat_id), _ids(user_ids))


def _chat_signalled(fields: list[Any], push: bytes, _joined_push: bytes) -> Event:
    (chat_id,) = fields
    return ChatSignalled(_id(chat_id), _push(push))


def _typing_changed(fields: list[Any], _push_text: bytes, _joined_push: bytes) -> Event:
    chat_id, user_id, is_typing = fields
    return TypingChanged(_id(chat_id), _id(user_id), _truth(is_typing))


def _user_notified(fields: list[Any], push: bytes, _joined_push: bytes) -> Event:
    user_ids, chat_ids, is_ephemeral = fields
    return UserNotified(_ids(user_ids), _push(push), frozenset(_ids(chat_ids)), _truth(is_ephemeral))


def _sessions_ended(fields: list[Any], _push_text: bytes, _joined_push: bytes) -> Event:
    session_ids, reason = fields
    if not isinstance(session_ids, list) or not isinstance(reason, str):
        raise TypeError
    return SessionsEnded(tuple(UUID(hex=one) for one in session_ids if _is_text(one)), reason)


_KINDS: dict[str, Callable[[list[Any], bytes, bytes], Event]] = {
    "c": _chat_changed,
    "j": _join_doubted,
    "s": _chat_signalled,
    "t": _typing_changed,
    "u": _user_notified,
    "e": _sessions_ended,
}


def _id(value: object) -> int:
    if type(value) is not int or value < 1:
        raise TypeError
    return value


def _ids(values: object) -> tuple[int, ...]:
    if not isinstance(values, list):
        raise TypeError
    return tuple(_id(value) for value in values)


def _truth(value: object) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _is_text(value: object) -> bool:
    if not isinstance(value, str):
        raise TypeError
    return True


def _push(text: bytes) -> bytes:
    if not text.startswith(b"{"):
        raise ValueError
    return text
