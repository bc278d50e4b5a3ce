"""Commands, replies and pushes of open sockets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import update
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from chat_service.adapters.bus_memory import MemoryBus
from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.adapters.sql.tables import deployment
from chat_service.domain.clock import system_clock
from chat_service.domain.errors import Unavailable
from chat_service.domain.models import AccountState
from chat_service.services.accounts import AccountService
from chat_service.services.connections import TYPING_LASTS_S
from chat_service.services.passwords import Passwords, make_argon2
from chat_service.services.resume import BUDGET
from chat_service.services.sending import Send
from chat_service.services.sessions import SessionService
from chat_service.services.tokens import Tokens
from tests.builders import TestUser, a_direct_chat, a_group, a_user, sockets
from tests.client import ChatClient, Frame
from tests.integration.people import a_crowd, in_service, people
from tests.node import Node, Watch, make_settings

GONE_WITHIN_S = 2.0
"""The promise is one second; the tests' machine may be busy."""


def about(client: ChatClient, chat_id: int) -> list[Frame]:
    """The pushes of one chat so far."""
    return [frame for frame in client.frames if frame.get("chat_id") == chat_id and "ref" not in frame]


async def login(user: TestUser) -> str:
    """A token in another session of the user."""
    account = {"username": user.username, "password": user.password}
    return str((await user.http.post("/users/login", json=account)).json()["access_token"])


async def refused(url: str, user: TestUser) -> tuple[int | None, str | None]:
    """How a socket is closed that is never connected."""
    async with connect(f"{url}?token={user.token}", proxy=None, compression=None) as socket:
        with contextlib.suppress(ConnectionClosed):
            await socket.recv()
        return socket.close_code, socket.close_reason


async def takes_s(work: Awaitable[Any]) -> float:
    began = time.perf_counter()
    await work
    return time.perf_counter() - began


@pytest.fixture
def limited(tmp_path: Path) -> Iterator[Node]:
    with Node(make_settings(data_dir=tmp_path, rate_limits_enabled=True)) as node:
        yield node


# --- Sending ------------------------------------------------------------------------------------------


async def test_pipelined_sends_are_numbered_and_acknowledged_in_their_order(server: Node) -> None:
    (ann,) = await people(server, 1)
    chat_id = await a_direct_chat(ann, await a_user(server))
    async with sockets(ann) as (client,):
        refs = [await client.send("send_message", chat_id=chat_id, content=f"{n}") for n in range(100)]
        await client.reply(refs[-1])
        await client.expect("new_message", version=101)
        acks = [frame for frame in client.frames if frame["type"] == "ack"]
        assert [ack["ref"] for ack in acks] == refs
        assert [ack["message"]["seq"] for ack in acks] == list(range(1, 101))
        assert [ack["message"]["content"] for ack in acks] == [f"{n}" for n in range(100)]
        assert [push["version"] for push in client.pushes("new_message")] == list(range(2, 102))
        for ack in acks:
            push = {"type": "new_message", "chat_id": chat_id, "version": ack["message"]["version"]}
            assert client.frames.index(ack) < client.frames.index({**push, "message": ack["message"]})
            assert ack["duplicate"] is False


async def test_acks_keep_the_order_of_frames_among_duplicates_and_refusals(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id, foreign = await a_group(ann), await a_group(ben)
    async with sockets(ann) as (client,):
        for number in range(10):
            await client.say(chat_id, f"{number}", client_message_id=f"key-{number}")
        refs = []
        for number in range(10):
            key = {"client_message_id": f"key-{number}"}
            refs.append(await client.send("send_message", chat_id=chat_id, content=f"{number}", **key))
            refs.append(await client.send("send_message", chat_id=chat_id, content="new"))
            refs.append(await client.send("send_message", chat_id=chat_id, content="other", **key))
            refs.append(await client.send("send_message", chat_id=foreign, content="new"))
        answers = [await client.reply(ref) for ref in refs]
        ended = [frame["ref"] for frame in client.frames if frame["type"] in ("ack", "error")][10:]
        assert ended == refs
        assert [one.get("code") or one["duplicate"] for one in answers[:4]] == [
            True, False, "client_message_id_conflict", "not_found"
        ]  # fmt: skip


async def test_message_is_another_name_of_send_message(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_direct_chat(ann, ben)
    async with sockets(ann, ben) as (client, other):
        first = await client.say(chat_id, "Question")
        answer = await client.call(
            "message", chat_id=chat_id, content="Answer", message_type="text", reply_to_id=first["id"]
        )
        assert (answer["type"], answer["duplicate"]) == ("ack", False)
        reply = {"id": first["id"], "seq": first["seq"], "sender_id": ann.id}
        assert (await other.expect("new_message", chat_id=chat_id, version=answer["message"]["version"]))[
            "message"
        ]["reply_to"] == reply


async def test_a_repeated_send_answers_the_first_message_and_pushes_nothing(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other):
        key = {"client_message_id": "phone-1"}
        first = await client.say(chat_id, "Once", **key)
        refs = [await client.send("send_message", chat_id=chat_id, content="Once", **key) for _ in range(5)]
        again = [await client.reply(ref) for ref in refs]
        assert [(one["duplicate"], one["message"]) for one in again] == [(True, first)] * 5
        conflict = await client.call("send_message", chat_id=chat_id, content="Twice", **key)
        assert conflict["code"] == "client_message_id_conflict"
        theirs = await other.say(chat_id, "Mine", **key)
        assert theirs["seq"] == 2
        await client.settle()
        assert [push["version"] for push in client.pushes("new_message")] == [2, 3]


async def test_edits_and_deletions_are_acknowledged_and_pushed(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other):
        sent = await client.say(chat_id, "Helo")
        edited = await client.call("edit_message", message_id=sent["id"], content="Hello")
        assert edited["message"]["content"] == "Hello"
        assert (await other.expect("message_edited"))["message"] == edited["message"]
        assert (await client.expect("message_edited"))["version"] == edited["message"]["version"] == 3
        assert (await other.call("edit_message", message_id=sent["id"], content="x"))["code"] == "forbidden"
        assert (await other.call("delete_message", message_id=sent["id"]))["code"] == "forbidden"
        deleted = await client.call("delete_message", message_id=sent["id"])
        assert (deleted["message"]["is_deleted"], deleted["message"]["content"]) == (True, "")
        assert (await other.expect("message_deleted"))["message"] == deleted["message"]
        again = await client.call("delete_message", message_id=sent["id"], scope="everyone")
        assert again["message"] == deleted["message"]
        assert (await client.call("edit_message", message_id=sent["id"], content="x"))["code"] == "conflict"
        await client.settle()
        assert [frame["version"] for frame in about(client, chat_id)] == [2, 3, 4]


async def test_a_hidden_message_is_told_only_to_the_own_connections(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id, other_chat = await a_group(ann, ben), await a_group(ann)
    async with sockets(ann, ben) as (client, other), ann.socket() as second:
        async with ann.socket(f"/{chat_id}") as third, ann.socket(f"/{other_chat}") as unrelated:
            sent = await other.say(chat_id, "Look away")
            hidden = await client.call("delete_message", message_id=sent["id"], scope="me")
            assert hidden["message"] == sent
            for own in (client, second, third):
                push = await own.expect("message_hidden")
                expected = {"chat_id": chat_id, "message_id": sent["id"], "seq": sent["seq"]}
                assert push == {"type": "message_hidden", **expected}
            for foreign in (other, unrelated):
                await foreign.settle()
                assert foreign.pushes("message_hidden") == []
        assert (await ann.get(f"/messages/{sent['id']}", 404))["code"] == "not_found"


async def test_two_readers_see_the_same_order_while_eight_people_send_at_once(server: Node) -> None:
    senders = await people(server, 8)
    chat_id = await a_group(*senders)
    async with sockets(*senders) as clients:

        async def send_all(client: ChatClient, who: int) -> None:
            refs = [
                await client.send("send_message", chat_id=chat_id, content=f"{who} {n}") for n in range(25)
            ]
            for ref in refs:
                assert (await client.reply(ref))["type"] == "ack"

        await asyncio.gather(*(send_all(client, number) for number, client in enumerate(clients)))
        for client in clients:
            await client.expect("new_message", version=201)
        seen = [[push["message"]["id"] for push in client.pushes("new_message")] for client in clients]
        assert all(one == seen[0] for one in seen)
        seqs = [push["message"]["seq"] for push in clients[0].pushes("new_message")]
        assert seqs == list(range(1, 201))
        contents = [push["message"]["content"] for push in clients[0].pushes("new_message")]
        for who in range(8):
            assert [one for one in contents if one.startswith(f"{who} ")] == [f"{who} {n}" for n in range(25)]


async def test_what_is_sent_over_rest_reaches_all_devices(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ann, ben) as clients:
        sent = await ann.say(chat_id, "From a script")
        for client in clients:
            assert (await client.expect("new_message", chat_id=chat_id))["message"] == sent


# --- What is refused ----------------------------------------------------------------------------------


async def test_every_refused_frame_gets_one_error_with_its_ref(server: Node) -> None:
    ann, ben = await people(server, 2)
    own, foreign = await a_group(ann), await a_group(ben)
    theirs = await ben.say(foreign, "Not for Ann")
    refused: list[tuple[str, str, dict[str, Any]]] = [
        ("invalid_request", "send_message", {"content": "No chat"}),
        ("invalid_request", "send_message", {"chat_id": own}),
        ("invalid_request", "send_message", {"chat_id": str(own), "content": "x"}),
        ("invalid_request", "send_message", {"chat_id": own, "content": "x", "colour": "red"}),
        ("invalid_request", "send_message", {"chat_id": own, "content": " \n\u3000"}),
        ("invalid_request", "send_message", {"chat_id": own, "content": "x" * 10_001}),
        ("invalid_request", "send_message", {"chat_id": own, "content": "a\x00b"}),
        ("invalid_request", "send_message", {"chat_id": own, "content": "x", "message_type": "image"}),
        ("invalid_request", "send_message", {"chat_id": own, "content": "x", "client_message_id": "a b"}),
        ("not_found", "send_message", {"chat_id": foreign, "content": "x"}),
        ("not_found", "send_message", {"chat_id": 2**53 - 1, "content": "x"}),
        ("not_found", "send_message", {"chat_id": own, "content": "x", "reply_to_id": theirs["id"]}),
        ("not_found", "edit_message", {"message_id": theirs["id"], "content": "x"}),
        ("not_found", "edit_message", {"message_id": str(uuid4()), "content": "x"}),
        ("invalid_request", "edit_message", {"message_id": "7", "content": "x"}),
        ("not_found", "delete_message", {"message_id": theirs["id"]}),
        ("not_found", "delete_message", {"message_id": theirs["id"], "scope": "me"}),
        ("invalid_request", "delete_message", {"message_id": theirs["id"], "scope": "all"}),
        ("not_found", "typing", {"chat_id": foreign, "is_typing": True}),
        ("invalid_request", "typing", {"chat_id": own}),
        ("invalid_request", "typing", {"chat_id": own, "is_typing": True, "content": "stop"}),
        ("not_found", "mark_as_read", {"chat_id": foreign, "seq": 1}),
        ("not_found", "mark_as_delivered", {"chat_id": 2**53 - 1, "seq": 1}),
        ("invalid_request", "mark_as_read", {"chat_id": own, "seq": -1}),
        ("invalid_request", "mark_as_read", {"chat_id": own, "seq": 1.0}),
        ("invalid_request", "resume", {}),
        ("invalid_request", "resume", {"cursors": {"x": 1}}),
        ("invalid_request", "resume", {"cursors": {str(n): 1 for n in range(1, 2002)}}),
        ("unauthenticated", "authenticate", {"token": "abc"}),
        ("invalid_frame", "shout", {}),
    ]
    async with sockets(ann) as (client,):
        for code, kind, fields in refused:
            answer = await client.call(kind, **fields)
            assert (answer["type"], answer["code"]) == ("error", code), (kind, fields, answer)
            assert answer["detail"].endswith(".")
        await client.settle()
        assert len(client.pushes("error")) == len(refused)
        assert client.pushes("ack") == []
        assert about(client, own) == []


async def test_frames_that_are_no_commands_are_answered_and_the_socket_lives(server: Node) -> None:
    (ann,) = await people(server, 1)
    texts = [
        "",
        "{",
        "null",
        "7",
        "[]",
        '[{"type":"ping"}]',
        '"ping"',
        "{}",
        '{"type":7,"ref":"a"}',
        "\ud7ff",
    ]
    async with sockets(ann) as (client,):
        for text in texts:
            await client.send_raw(text)
            error = await client.expect("error")
            assert error["code"] == "invalid_frame"
            assert error["ref"] == ("a" if '"a"' in text else None)
        for ref in (7, None, ["x"], "r" * 257):
            await client.send_raw(json.dumps({"type": "ping", "ref": ref}))
            answer = await client.expect("pong" if ref is None else "error")
            assert answer["ref"] is None
        await client.settle()


async def test_a_binary_message_closes_with_1003(server: Node) -> None:
    async with (await people(server, 1))[0].socket() as client:
        await client.send_raw(b'{"type":"ping"}')
        assert (await client.closed())[0] == 1003


async def test_a_frame_of_256_kib_is_read_and_a_longer_one_closes_with_1009(server: Node) -> None:
    async with (await people(server, 1))[0].socket() as client:
        frame = json.dumps({"type": "ping", "ref": "big"})
        await client.send_raw(frame + " " * (262_144 - len(frame)))
        assert (await client.expect("pong"))["ref"] == "big"
        await client.send_raw(frame + " " * (262_145 - len(frame)))
        assert (await client.closed())[0] == 1009


async def test_ten_thousand_characters_pass_even_when_each_is_escaped(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other):
        content = "😀" * 10_000
        escaped = json.dumps({"type": "send_message", "ref": "1", "chat_id": chat_id, "content": content})
        assert len(escaped) > 120_000
        await client.send_raw(escaped)
        assert (await other.expect("new_message", chat_id=chat_id))["message"]["content"] == content


async def test_text_that_is_not_utf_8_closes_with_1007(server: Node) -> None:
    async with (await people(server, 1))[0].socket() as client:
        assert client.socket is not None
        await client.socket.send(b'{"type":"ping","ref":"\xff"}', text=True)
        assert (await client.closed())[0] == 1007


async def test_a_flood_of_frames_is_slowed_down_and_then_closed(limited: Node) -> None:
    user = await a_user(limited)
    async with user.socket() as client:
        for _ in range(260):
            await client.send("ping")
        await client.wait_for(lambda: bool(client.pushes("error")), "an error")
        error = client.pushes("error")[0]
        assert error["code"] == "rate_limited"
        assert 1 <= error["retry_after_ms"] <= 1000
        assert len(client.pushes("pong")) >= 200
        await asyncio.sleep(0.5)
        await client.settle()
        with contextlib.suppress(ConnectionClosed):
            for _ in range(2000):
                await client.send("ping")
        assert await client.closed() == (1008, "flooding")


async def test_an_outage_of_the_server_is_no_flood_of_the_client(
    limited: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everything that waits for a store is refused at once when it fails."""
    ann = await a_user(limited)
    chat_id = await a_group(ann)

    def refuse(_send: Send) -> None:
        raise Unavailable

    async with ann.socket() as client:
        with monkeypatch.context() as patch:
            patch.setattr(limited.services.sender, "submit", refuse)
            for _ in range(150):
                await client.send("send_message", chat_id=chat_id, content="text")
            await client.settle()
        assert [error["code"] for error in client.pushes("error")] == ["unavailable"] * 150
        await client.say(chat_id, "text")


async def test_a_flood_of_malformed_frames_is_closed(limited: Node) -> None:
    async with (await a_user(limited)).socket() as client:
        for _ in range(101):
            await client.send_raw("{")
        assert await client.closed() == (1008, "flooding")
        assert len(client.pushes("error")) >= 100


async def test_nothing_by_rate_is_limited_where_limits_are_off(server: Node) -> None:
    async with (await people(server, 1))[0].socket() as client:
        for _ in range(300):
            await client.send_raw("{")
        for _ in range(300):
            await client.send("ping")
        await client.settle()
        assert (len(client.pushes("error")), len(client.pushes("pong"))) == (300, 301)


# --- Typing -------------------------------------------------------------------------------------------


async def test_typing_is_told_to_the_others_until_it_is_stopped(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ann, ben) as (client, own, other):
        await client.send("typing", chat_id=chat_id, is_typing=True)
        assert await other.expect("user_typing") == {
            "type": "user_typing", "chat_id": chat_id, "user_id": ann.id
        }  # fmt: skip
        await client.send("typing", chat_id=chat_id, content="start")
        await client.send("typing", chat_id=chat_id, content="stop")
        assert (await other.expect("user_stopped_typing"))["user_id"] == ann.id
        await client.send("typing", chat_id=chat_id, is_typing=False)
        for one in (client, own, other):
            await one.settle()
        assert [frame["type"] for frame in about(other, chat_id)] == ["user_typing", "user_stopped_typing"]
        assert about(client, chat_id) == about(own, chat_id) == []


async def test_typing_ends_by_a_send_before_the_message_comes(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other):
        await client.send("typing", chat_id=chat_id, is_typing=True)
        await client.say(chat_id, "There")
        await other.expect("new_message", chat_id=chat_id)
        await client.expect("new_message", chat_id=chat_id)
        kinds = [frame["type"] for frame in about(other, chat_id)]
        assert kinds == ["user_typing", "user_stopped_typing", "new_message"]
        assert [frame["type"] for frame in about(client, chat_id)] == ["new_message"]


async def test_typing_ends_by_a_disconnect(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ben) as (other,):
        async with ann.socket() as client:
            await client.send("typing", chat_id=chat_id, is_typing=True)
            await other.expect("user_typing", chat_id=chat_id)
        await other.expect("user_stopped_typing", chat_id=chat_id, user_id=ann.id)


async def test_typing_that_a_send_ended_does_not_hide_the_end_on_another_device(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ben, ann) as (other, laptop):
        await laptop.send("typing", chat_id=chat_id, is_typing=True)
        await laptop.say(chat_id, "Hello")
        await other.expect("user_stopped_typing", chat_id=chat_id)
        async with ann.socket() as phone:
            await phone.send("typing", chat_id=chat_id, is_typing=True)
            await other.expect("user_typing", chat_id=chat_id)
        async with asyncio.timeout(TYPING_LASTS_S / 2):
            await other.expect("user_stopped_typing", chat_id=chat_id)


async def test_typing_ends_by_leaving(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (other, client):
        await client.send("typing", chat_id=chat_id, is_typing=True)
        await other.expect("user_typing", chat_id=chat_id)
        await ben.delete(f"/chats/{chat_id}")
        await other.expect("user_stopped_typing", chat_id=chat_id, user_id=ben.id)
        assert (await client.call("typing", chat_id=chat_id, is_typing=True))["code"] == "not_found"
        assert about(client, chat_id)[-1]["type"] == "user_left"


async def test_typing_ends_by_itself_after_ten_seconds_without_a_renewal(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    typing = server.services.manager._typing

    async def age(seconds: float) -> None:
        typing[chat_id, ann.id] -= seconds

    async with sockets(ann, ben) as (client, other):
        await client.send("typing", chat_id=chat_id, is_typing=True)
        await other.expect("user_typing", chat_id=chat_id)
        await in_service(server, age(8))
        await client.send("typing", chat_id=chat_id, is_typing=True)
        await client.settle()
        await in_service(server, age(8))
        await asyncio.sleep(1.2)
        await other.settle()
        assert [frame["type"] for frame in about(other, chat_id)] == ["user_typing"]
        await in_service(server, age(2))
        await other.expect("user_stopped_typing", chat_id=chat_id)
        assert (chat_id, ann.id) not in typing


# --- Positions ----------------------------------------------------------------------------------------


async def test_positions_move_forward_up_to_the_last_seq_and_never_back(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other):
        for number in range(5):
            await client.say(chat_id, f"{number}")
        for seq, held in ((3, 3), (1, 3), (0, 3), (2**53 - 1, 5), (4, 5)):
            answer = await other.call("mark_as_read", chat_id=chat_id, seq=seq)
            assert answer == {"type": "ack", "ref": answer["ref"], "chat_id": chat_id, "seq": held}
        assert (await other.call("mark_as_delivered", chat_id=chat_id, seq=2))["seq"] == 2
        assert (await client.expect("messages_delivered", chat_id=chat_id))["seq"] == 2
        await client.expect("messages_read", chat_id=chat_id, user_id=ben.id, seq=5)
        told = [push["seq"] for push in client.pushes("messages_read") if push["chat_id"] == chat_id]
        assert told == [3, 5]
    found = {one["user_id"]: one for one in (await ann.get(f"/chats/{chat_id}/participants"))["items"]}
    assert (found[ben.id]["read_seq"], found[ben.id]["delivered_seq"]) == (5, 2)


async def test_a_position_is_pushed_at_most_once_a_second_and_the_last_one_always(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    for number in range(40):
        await ann.say(chat_id, f"{number}")
    times: list[tuple[float, int]] = []

    def note(frame: Frame) -> None:
        if frame["type"] == "messages_read" and frame["chat_id"] == chat_id:
            times.append((time.perf_counter(), frame["seq"]))

    async with sockets(ann, ben) as (client, other):
        client.listeners.append(note)
        for seq in range(1, 41):
            await other.call("mark_as_read", chat_id=chat_id, seq=seq)
            await asyncio.sleep(0.04)
        await client.expect("messages_read", chat_id=chat_id, seq=40)
        gaps = [later[0] - earlier[0] for earlier, later in pairwise(times)]
        assert min(gaps) > 0.8
        assert [seq for _, seq in times] == sorted({seq for _, seq in times})
        assert 2 <= len(times) <= 6


async def test_pipelined_positions_are_all_answered_with_the_one_held(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    for number in range(30):
        await ann.say(chat_id, f"{number}")
    async with sockets(ben) as (client,):
        refs = [await client.send("mark_as_read", chat_id=chat_id, seq=seq) for seq in range(1, 31)]
        held = [(await client.reply(ref))["seq"] for ref in refs]
        assert held == sorted(held)
        assert held[-1] == 30
        assert all(seq >= number for number, seq in enumerate(held, 1))


async def test_positions_above_one_hundred_participants_are_stored_but_not_pushed(server: Node) -> None:
    ann, ben = await people(server, 2)
    crowd = await a_crowd(server, 99)
    chat = await ann.post(
        "/chats", {"chat_type": "group", "name": "Crowd", "participant_ids": [ben.id, *crowd[:98]]}
    )
    chat_id = chat["id"]
    async with sockets(ann, ben) as (client, other):
        await client.say(chat_id, "One hundred")
        await other.call("mark_as_read", chat_id=chat_id, seq=1)
        await client.expect("messages_read", chat_id=chat_id)
        await ann.post(f"/chats/{chat_id}/participants", {"user_ids": [crowd[98]]}, 200)
        await client.say(chat_id, "One hundred and one")
        assert (await other.call("mark_as_read", chat_id=chat_id, seq=2))["seq"] == 2
        await asyncio.sleep(1.3)
        await client.settle()
        assert [frame["seq"] for frame in about(client, chat_id) if frame["type"] == "messages_read"] == [1]
        mine = (await ben.get(f"/chats/{chat_id}/changes", since=0))["positions"]
        assert mine == [{"user_id": ben.id, "read_seq": 2, "delivered_seq": 0}]


# --- Presence -----------------------------------------------------------------------------------------


async def test_presence_goes_to_direct_peers_at_once_and_within_three_seconds(server: Node) -> None:
    ann, ben, eve = [await a_user(server) for _ in range(3)]
    chat_id = await a_direct_chat(ann, ben)
    group = await a_group(ann, ben, eve)
    async with sockets(ben, eve) as (peer, stranger), ben.socket(f"/{chat_id}") as of_chat:
        client = ann.socket()
        await client.open()
        for one in (peer, of_chat):
            assert await one.expect("user_online") == {"type": "user_online", "user_id": ann.id}
        async with ann.socket() as second:
            await second.settle()
            online = await ben.get(f"/chats/{group}/online")
            assert sorted(online["user_ids"]) == sorted([ann.id, ben.id, eve.id])
            await client.close()
        took = await takes_s(peer.expect("user_offline", user_id=ann.id))
        assert 1.5 < took < 3
        offline = await of_chat.expect("user_offline", user_id=ann.id)
        assert offline["last_seen"].endswith("Z")
        assert (await ben.get(f"/chats/{chat_id}/online"))["user_ids"] == [ben.id]
        await stranger.settle()
        assert stranger.pushes("user_online", "user_offline") == []
        assert len(peer.pushes("user_online")) == len(peer.pushes("user_offline")) == 1
    assert (await eve.get(f"/chats/{chat_id}/online", 404))["code"] == "not_found"


async def test_reloading_a_page_again_and_again_is_not_told(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    await a_direct_chat(ann, ben)
    async with sockets(ben) as (peer,):
        for _ in range(4):
            async with ann.socket() as client:
                await client.settle()
            await asyncio.sleep(0.9)
        await peer.settle()
        assert len(peer.pushes("user_online")) == 1
        assert peer.pushes("user_offline") == []
        await peer.expect("user_offline")


async def test_refused_handshakes_do_not_keep_anybody_online(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    await a_direct_chat(ann, ben)
    async with sockets(ben) as (peer,):
        async with ann.socket() as client:
            await peer.expect("user_online", user_id=ann.id)

        is_over = asyncio.Event()

        async def knock() -> None:
            while not is_over.is_set():
                await refused(f"{server.ws_url}/{2**53 - 1}", ann)

        knocking = [asyncio.create_task(knock()) for _ in range(3)]
        took = await takes_s(peer.expect("user_offline", user_id=ann.id))
        assert took < 3
        await asyncio.sleep(0.3)
        is_over.set()
        await asyncio.gather(*knocking)
        await peer.settle()
        assert len(peer.pushes("user_online")) == 1
        assert client.frames


# --- Memberships --------------------------------------------------------------------------------------


async def test_user_left_is_the_last_frame_of_a_chat_until_one_is_added_again(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other), ben.socket(f"/{chat_id}") as of_chat:
        await client.say(chat_id, "Before")
        await ann.delete(f"/chats/{chat_id}/participants/{ben.id}")
        assert await of_chat.closed() == (4003, "not_found")
        assert await client.expect("user_left", chat_id=chat_id) == {
            "type": "user_left", "chat_id": chat_id, "version": 3, "user_id": ben.id
        }  # fmt: skip
        await client.say(chat_id, "Behind his back")
        await other.settle()
        for one in (other, of_chat):
            assert [frame["type"] for frame in about(one, chat_id)] == ["new_message", "user_left"]
        assert (await other.call("send_message", chat_id=chat_id, content="x"))["code"] == "not_found"
        await ann.post(f"/chats/{chat_id}/participants", {"user_ids": [ben.id]}, 200)
        created = await other.expect("chat_created", chat_id=chat_id)
        assert (created["version"], created["chat"]["participant_count"]) == (5, 2)
        assert (await client.expect("user_joined", chat_id=chat_id))["participants"][0]["user_id"] == ben.id
        sent = await other.say(chat_id, "Back")
        assert (await other.expect("new_message", chat_id=chat_id))["message"] == sent


async def test_settings_and_roles_are_pushed(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as clients:
        renamed = await ann.put(f"/chats/{chat_id}", {"name": "New name"})
        await ann.put(f"/chats/{chat_id}/participants/{ben.id}", {"role": "owner"})
        for client in clients:
            assert (await client.expect("chat_updated", chat_id=chat_id))["chat"] == renamed
            updated = await client.expect("participant_updated", chat_id=chat_id)
            roles = {one["user_id"]: one["role"] for one in updated["participants"]}
            assert roles == {ann.id: "admin", ben.id: "owner"}
            assert updated["version"] == 3


async def test_a_new_chat_is_told_to_everybody_in_it(server: Node) -> None:
    ann, ben, eve = await people(server, 3)
    async with sockets(ann, ben, eve) as (client, other, outsider):
        chat_id = await a_group(ann, ben)
        for one in (client, other):
            created = await one.expect("chat_created", chat_id=chat_id)
            assert (created["version"], created["chat"]["id"]) == (1, chat_id)
        await outsider.settle()
        assert about(outsider, chat_id) == []


async def test_a_socket_of_one_chat_gets_that_chat_alone(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id, other_id = await a_group(ann, ben), await a_group(ann, ben)
    async with sockets(ben) as (other,), ann.socket(f"/{chat_id}") as client:
        await other.say(other_id, "Elsewhere")
        await other.send("typing", chat_id=other_id, is_typing=True)
        new_id = await a_group(ben, ann)
        sent = await other.say(chat_id, "Here")
        assert (await client.expect("new_message"))["message"] == sent
        own = await client.call("send_message", content="No id needed")
        assert own["message"]["chat_id"] == chat_id
        assert (await client.call("mark_as_read", seq=1, chat_id=chat_id))["seq"] == 1
        await client.send("typing", is_typing=True)
        await other.expect("user_typing", chat_id=chat_id)
        for kind, fields in (
            ("send_message", {"content": "x"}),
            ("mark_as_read", {"seq": 1}),
            ("typing", {"is_typing": True}),
        ):
            answer = await client.call(kind, chat_id=other_id, **fields)
            assert answer["code"] == "invalid_request"
        assert (await client.call("resume", cursors={str(other_id): 1}))["code"] == "invalid_request"
        resumed = await client.call("resume", cursors={str(chat_id): 1}, complete=True)
        assert resumed["type"] == "ack"
        await client.settle()
        assert {frame["chat_id"] for frame in client.frames if "chat_id" in frame} == {chat_id}
        assert about(client, new_id) == []


# --- Resume -------------------------------------------------------------------------------------------


async def resume(client: ChatClient, **fields: Any) -> list[Frame]:
    """What a `resume` brings, its ack left out."""
    ref = await client.send("resume", **fields)
    end = await client.reply(ref)
    assert end == {"type": "ack", "ref": ref}
    found = [frame for frame in client.frames if frame.get("ref") == ref]
    assert found[-1] == end
    return found[:-1]


async def test_a_resume_with_nothing_newer_still_answers_every_chat(server: Node) -> None:
    ann, ben = await people(server, 2)
    one, two = await a_group(ann, ben), await a_group(ann)
    async with sockets(ann) as (client,):
        found = await resume(client, cursors={str(one): 1, str(two): 1})
        assert [(frame["type"], frame["chat_id"], frame["from"], frame["to"]) for frame in found] == [
            ("changes", one, 1, 1),
            ("changes", two, 1, 1),
        ]
        assert all(frame["messages"] == frame["participants"] == [] for frame in found)
        assert not any(frame["has_more"] for frame in found)
        assert await resume(client, cursors={}) == []


async def test_a_resume_brings_what_a_fresh_read_shows(server: Node) -> None:
    ann, ben, eve = await people(server, 3)
    chat_id = await a_group(ann, ben)
    sent = [await ann.say(chat_id, f"{number}") for number in range(4)]
    await ann.put(f"/messages/{sent[0]['id']}", {"content": "edited"})
    await ann.delete(f"/messages/{sent[1]['id']}", 200)
    await ben.delete(f"/messages/{sent[2]['id']}", scope="me")
    await ann.post(f"/chats/{chat_id}/participants", {"user_ids": [eve.id]}, 200)
    await ann.put(f"/chats/{chat_id}", {"name": "Renamed"})
    await ann.put(f"/chats/{chat_id}/read", {"seq": 4})
    async with sockets(ben) as (client,):
        (page,) = await resume(client, cursors={str(chat_id): 1})
        rest = await ben.get(f"/chats/{chat_id}/changes", since=1)
        assert {key: page[key] for key in rest} == rest
        assert page["hidden"] == [3]
        assert {one["seq"]: one["content"] for one in page["messages"]} == {1: "edited", 2: "", 4: "3"}
        (page,) = await resume(client, cursors={str(chat_id): 5}, epoch=page["epoch"])
        assert (page["from"], page["to"]) == (5, 9)


async def test_a_resume_is_paged_in_order(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other):
        for number in range(250):
            await client.send("send_message", chat_id=chat_id, content=f"{number}")
        await other.expect("new_message", version=251)
        pages = await resume(other, cursors={str(chat_id): 1})
        assert [page["from"] for page in pages] == [1, *(page["to"] for page in pages[:-1])]
        assert [page["has_more"] for page in pages] == [*([True] * (len(pages) - 1)), False]
        contents = [one["content"] for page in pages for one in page["messages"]]
        assert contents == [f"{number}" for number in range(250)]
        assert len(pages) >= 3


async def test_a_resume_tells_chats_that_are_gone(server: Node) -> None:
    ann, ben = await people(server, 2)
    left, foreign, own = await a_group(ann, ben), await a_group(ann), await a_group(ben)
    await ben.delete(f"/chats/{left}")
    async with sockets(ben) as (client,):
        found = await resume(client, cursors={str(left): 1, str(own): 1, str(foreign): 1, str(2**53 - 1): 3})
        kinds = {frame["chat_id"]: frame["type"] for frame in found}
        gone = {left: "chat_gone", foreign: "chat_gone", 2**53 - 1: "chat_gone"}
        assert kinds == {own: "changes", **gone}


async def test_a_resume_that_cannot_be_continued_says_so(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id, far = await a_group(ann, ben), await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other):
        refs = [await client.send("send_message", chat_id=far, content="x") for _ in range(BUDGET + 1)]
        for ref in refs:
            await client.reply(ref)
        expected = {"type": "resync_required", "chat_id": chat_id, "version": 1}
        for fields in ({"cursors": {str(chat_id): 2}}, {"cursors": {str(chat_id): 1}, "epoch": "another"}):
            (frame,) = await resume(other, **fields)
            assert {**frame, "ref": None} == {**expected, "ref": None}
        (frame,) = await resume(other, cursors={str(far): 1})
        assert (frame["type"], frame["version"]) == ("resync_required", BUDGET + 2)
        pages = await resume(other, cursors={str(far): 2})
        assert sum(len(page["messages"]) for page in pages) == BUDGET
        everything = await ben.get(f"/chats/{far}/changes", since=0, limit=1)
        assert everything["has_more"]


async def test_a_complete_resume_lists_the_chats_that_the_client_does_not_know(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    chats = [await a_group(ann, ben) for _ in range(4)]
    async with sockets(ann) as (client,):
        assert len(await resume(client, cursors={str(chats[0]): 1})) == 1
        ref = await client.send("resume", cursors={str(chats[1]): 1}, complete=True)
        await client.reply(ref)
        created = client.pushes("chat_created")
        assert [one["chat_id"] for one in created] == chats[2:]
        assert created[0]["chat"] == await ann.get(f"/chats/{chats[2]}")
        ends = [frame for frame in client.frames if frame["type"] == "ack" or frame in created]
        assert ends[-1]["ref"] == ref
        await client.reply(await client.send("resume", cursors={}, complete=True))
        assert [one["chat_id"] for one in client.pushes("chat_created")[2:]] == chats


async def test_nothing_of_a_chat_comes_after_user_left_even_during_a_resume(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (client, other):
        refs = [await client.send("send_message", chat_id=chat_id, content="x" * 3000) for _ in range(300)]
        for ref in refs:
            await client.reply(ref)
        for number in range(12):
            await other.send("resume", cursors={str(chat_id): 1})
            await asyncio.sleep(number * 0.004)
            await ann.delete(f"/chats/{chat_id}/participants/{ben.id}")
            await other.expect("user_left", chat_id=chat_id)
            place = other.taken - 1
            await other.settle()
            after = [frame["type"] for frame in other.frames[place:] if frame.get("chat_id") == chat_id]
            assert set(after[after.index("user_left") + 1 :] if "user_left" in after else after) <= {
                "chat_gone"
            }
            await ann.post(f"/chats/{chat_id}/participants", {"user_ids": [ben.id]}, 200)
            await other.expect("chat_created", chat_id=chat_id)


# --- Tokens and sessions ------------------------------------------------------------------------------


async def test_authenticate_moves_the_connection_into_the_session_of_the_token(server: Node) -> None:
    ann = await a_user(server)
    token = await login(ann)
    async with sockets(ann) as (client,):
        answer = await client.call("authenticate", token=token)
        assert answer["type"] == "ack"
        assert 890 <= answer["expires_in"] <= 900
        await ann.post("/auth/logout", status=204)
        await asyncio.sleep(1.5)
        await client.settle()
        ann.http.headers["Authorization"] = f"Bearer {token}"
        await ann.post("/auth/logout", status=204)
        assert await client.closed() == (4001, "session_revoked")


async def test_authenticate_as_somebody_else_closes_with_4003(server: Node) -> None:
    ann, ben = await people(server, 2)
    async with sockets(ann) as (client,):
        await client.send("authenticate", token=ben.token)
        assert await client.closed() == (4003, "forbidden")


async def test_authenticate_with_a_bad_token_is_refused_and_the_socket_lives(server: Node) -> None:
    ann = await a_user(server)
    token = await login(ann)
    revoked = {"Authorization": f"Bearer {token}"}
    assert (await ann.http.post("/auth/logout", headers=revoked)).status_code == 204
    async with sockets(ann) as (client,):
        for bad, code in ((ann.refresh_token, "unauthenticated"), (token, "session_revoked")):
            assert (await client.call("authenticate", token=bad))["code"] == code
        await client.settle()


async def test_a_token_that_ends_is_told_and_then_closes_unless_it_is_renewed(tmp_path: Path) -> None:
    watch = Watch()
    with Node(make_settings(data_dir=tmp_path, access_token_minutes=5), clock=watch) as node:
        ann, ben = await a_user(node), await a_user(node)
        async with sockets(ann, ben) as (client, other):
            watch.turn(seconds=200)
            await asyncio.sleep(1.2)
            await client.settle()
            assert client.pushes("token_expiring") == []
            watch.turn(seconds=45)
            for one in (client, other):
                assert 40 <= (await one.expect("token_expiring"))["expires_in"] <= 60
            answer = await client.call("authenticate", token=await login(ann))
            assert 290 <= answer["expires_in"] <= 300
            watch.turn(seconds=60)
            assert await other.closed() == (4001, "token_expired")
            await client.settle()
            assert len(client.pushes("token_expiring")) == 1
            expired = await client.call("authenticate", token=ann.token)
            assert expired["code"] == "token_expired"
            watch.turn(seconds=190)
            await client.expect("token_expiring")


async def _end_by_logout(user: TestUser) -> None:
    await user.post("/auth/logout", status=204)


async def _end_by_logout_all(user: TestUser) -> None:
    headers = {"Authorization": f"Bearer {await login(user)}"}
    assert (await user.http.post("/auth/logout-all", headers=headers)).status_code == 204


async def _end_by_deletion(user: TestUser) -> None:
    items = (await user.get("/auth/sessions"))["items"]
    current = next(item["id"] for item in items if item["current"])
    headers = {"Authorization": f"Bearer {await login(user)}"}
    assert (await user.http.delete(f"/auth/sessions/{current}", headers=headers)).status_code == 204


async def _end_by_password(user: TestUser) -> None:
    headers = {"Authorization": f"Bearer {await login(user)}"}
    passwords = {"current_password": user.password, "new_password": "another password"}
    assert (await user.http.put("/users/me/password", json=passwords, headers=headers)).status_code == 204


@pytest.mark.parametrize("end", [_end_by_logout, _end_by_logout_all, _end_by_deletion, _end_by_password])
async def test_a_session_that_ends_closes_its_sockets(
    server: Node, end: Callable[[TestUser], Awaitable[None]]
) -> None:
    user, other = await a_user(server), await a_user(server)
    chat_id = await a_direct_chat(user, other)
    async with sockets(user, other) as (client, bystander), user.socket(f"/{chat_id}") as of_chat:
        await end(user)
        took = await takes_s(asyncio.gather(client.closed(), of_chat.closed()))
        assert await client.closed() == await of_chat.closed() == (4001, "session_revoked")
        assert took < GONE_WITHIN_S
        assert (await user.get("/users/me", 401))["code"] == "session_revoked"
        await bystander.settle()


async def test_a_password_change_keeps_the_session_that_made_it(server: Node) -> None:
    user = await a_user(server)
    async with sockets(user) as (client,), ChatClient(server.ws_url, token=await login(user)) as other:
        passwords = {"current_password": user.password, "new_password": "another password"}
        await user.put("/users/me/password", passwords, 204)
        assert await other.closed() == (4001, "session_revoked")
        await asyncio.sleep(1.2)
        await client.settle()


@asynccontextmanager
async def second_process(server: Node) -> AsyncIterator[AccountService]:
    """What the command line uses: the same database, and a bus that no node hears."""
    store = SqlMetadataStore(server.settings.metadata_url)
    passwords = Passwords(make_argon2(server.settings.password_memory_mib))
    tokens = Tokens(b"", access_lifetime=timedelta(), refresh_lifetime=timedelta(), clock=system_clock)
    sessions = SessionService(store, MemoryBus(), tokens, system_clock)
    try:
        yield AccountService(store, sessions, passwords, system_clock, registration_open=True)
    finally:
        passwords.close()
        await store.close()


async def test_a_password_set_by_the_command_line_ends_the_sockets_within_a_second(server: Node) -> None:
    user = await a_user(server)
    async with sockets(user) as (client,), second_process(server) as accounts:
        await accounts.set_password(user.username, "another password")
        took = await takes_s(client.closed())
        print(f"\na new password by the command line closed the socket after {took:.2f} s")
        assert await client.closed() == (4001, "session_revoked")
        assert took < GONE_WITHIN_S
        assert (await user.get("/users/me", 401))["code"] == "session_revoked"


@pytest.mark.parametrize("state", [AccountState.DEACTIVATED, AccountState.DELETED])
async def test_an_account_that_the_command_line_disables_is_out_within_a_second(
    server: Node, state: AccountState
) -> None:
    user = await a_user(server)
    async with sockets(user) as (client,), second_process(server) as accounts:
        await accounts.set_user(user.username, state, None)
        took = await takes_s(client.closed())
        print(f"\n{state} by the command line closed the socket after {took:.2f} s")
        assert await client.closed() == (4003, "account_disabled")
        assert took < GONE_WITHIN_S
        assert (await user.get("/users/me", 403))["code"] == "account_disabled"
        assert await refused(server.ws_url, user) == (4003, "account_disabled")


async def test_another_epoch_sends_all_clients_away_to_read_afresh(tmp_path: Path) -> None:
    with Node(make_settings(data_dir=tmp_path)) as node:
        user = await a_user(node)
        async with sockets(user) as (client,):
            store = SqlMetadataStore(node.settings.metadata_url)
            async with store._writes.begin() as connection:
                await connection.execute(update(deployment).values(value="other"))
            await store.close()
            assert await client.closed() == (1012, "epoch_changed")
        async with user.socket() as client:
            assert client.frames[0]["epoch"] == "other"
