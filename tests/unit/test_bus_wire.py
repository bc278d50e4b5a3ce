"""What travels between nodes comes out as it went in, and nothing else does."""

from __future__ import annotations

import random
from uuid import UUID

import pytest

from chat_service.adapters.bus_wire import MESSAGE_BYTES, SINGLE_USERS, Channels, NotOurs, decode, encode
from chat_service.domain.events import (
    ChatChanged,
    ChatSignalled,
    Event,
    JoinDoubted,
    SessionsEnded,
    TypingChanged,
    UserNotified,
)
from chat_service.domain.ids import new_id

NODE = UUID("01935b1e-0000-7000-8000-000000000001")
EVENTS: list[Event] = [
    ChatChanged(7, 12, b'{"type":"new_message"}', ends_typing_of=3),
    ChatChanged(7, 13, b'{"a":"\xc3\xa9"}', joined=(1, 2), left=(3,), joined_push=b'{"b":1}'),
    JoinDoubted(7, (1, 2)),
    ChatSignalled(2**53 - 1, b"{}"),
    TypingChanged(7, 3, is_typing=True),
    UserNotified((5,), b"{}", frozenset({1, 2}), is_ephemeral=False),
    SessionsEnded((UUID(int=1), UUID(int=2)), "session_revoked"),
]


def test_events_come_out_as_they_went_in() -> None:
    (message,) = encode(NODE, EVENTS)
    assert decode(message) == (NODE, EVENTS)


def test_a_message_without_events_is_a_sign_of_life() -> None:
    (message,) = encode(NODE, [])
    assert decode(message) == (NODE, [])
    assert len(message) == 18


def test_what_is_long_goes_in_several_messages() -> None:
    events = [ChatChanged(1, version, b"{" + b"x" * 200_000) for version in range(1, 21)]
    messages = encode(NODE, events)
    assert 4 <= len(messages) <= 6
    assert max(map(len, messages)) < MESSAGE_BYTES + 1_000
    assert [event for message in messages for event in decode(message)[1]] == events


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"C",
        b"hello, is anybody there?",
        b"C\x02" + bytes(16),
        b"C\x01" + bytes(16) + b"\x00",
        b"C\x01" + bytes(16) + b"\xff" * 12,
        b"C\x01" + bytes(16) + b"\x00\x00\x00\x02" + bytes(8) + b"{}",
        b"C\x01" + bytes(16) + b"\x00\x00\x00\x05" + bytes(8) + b'["q"]',
        b"C\x01" + bytes(16) + b"\x00\x00\x00\x0b" + bytes(8) + b'["t",1,2,3]',
        b"C\x01" + bytes(16) + b"\x00\x00\x00\x05" + bytes(8) + b"[[1]]",
    ],
)
def test_foreign_bytes_are_told_apart(message: bytes) -> None:
    with pytest.raises(NotOurs):
        decode(message)


def test_damaged_messages_are_refused_or_read_and_never_raise_anything_else() -> None:
    chance = random.Random(5)
    (message,) = encode(NODE, EVENTS)
    for _ in range(3_000):
        damaged = bytearray(message)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        try:
            decode(bytes(damaged[: chance.randint(0, len(damaged))]))
        except NotOurs:
            continue


def test_what_concerns_a_chat_goes_to_its_channel_and_to_who_joins() -> None:
    channels = Channels("d")
    joined = ChatChanged(7, 2, b"{}", joined=(1, 2), joined_push=b"{}")
    plain = ChatChanged(7, 3, b"{}")
    assert channels.sort([joined, plain]) == {
        channels.of_chat(7): [joined, plain],
        channels.of_user(1): [joined],
        channels.of_user(2): [joined],
    }


def test_what_is_addressed_to_many_goes_to_every_node_once() -> None:
    channels = Channels("d")
    few, many = tuple(range(1, SINGLE_USERS + 1)), tuple(range(1, SINGLE_USERS + 2))
    to_few, to_many = (UserNotified(ids, b"{}", frozenset()) for ids in (few, many))
    assert list(channels.sort([to_few])) == [channels.of_user(user_id) for user_id in few]
    assert channels.sort([to_many]) == {channels.nodes: [to_many]}
    assert channels.sort([JoinDoubted(1, many)]) == {channels.nodes: [JoinDoubted(1, many)]}


def test_a_user_of_several_is_addressed_alone_so_that_nobody_is_told_twice() -> None:
    channels = Channels("d")
    notice = UserNotified((1, 2), b"{}", frozenset({3}))
    assert channels.sort([notice]) == {
        channels.of_user(1): [UserNotified((1,), b"{}", frozenset({3}))],
        channels.of_user(2): [UserNotified((2,), b"{}", frozenset({3}))],
    }


def test_deployments_share_no_channel() -> None:
    one, other = Channels(str(new_id())), Channels(str(new_id()))
    assert not {one.nodes, one.of_chat(1), one.of_user(1)} & {other.nodes, other.of_chat(1), other.of_user(1)}
    assert one.find_chat_id(one.of_chat(12)) == 12
    assert one.find_chat_id(one.of_user(12)) is None
    assert one.find_chat_id(other.of_chat(12)) is None
