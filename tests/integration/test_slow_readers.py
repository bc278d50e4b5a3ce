"""Peers that do not read, and what sockets leave behind; with and without the fast path to the transport."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.protocols.websockets.wsproto_impl import WSProtocol
from websockets.frames import Frame, Opcode

from chat_service.adapters.sockets import AsgiSocket, DirectProtocol, DirectSocket
from chat_service.services.connections import EPHEMERAL_UP_TO_BYTES, OUTBOUND_BYTES, Connection
from tests.builders import TestUser, a_direct_chat, a_group, a_user, sockets
from tests.client import ChatClient
from tests.integration.people import in_service, people
from tests.integration.test_sockets import (  # noqa: F401 - run here under other protocols
    test_a_binary_message_closes_with_1003,
    test_a_frame_of_256_kib_is_read_and_a_longer_one_closes_with_1009,
    test_a_hidden_message_is_told_only_to_the_own_connections,
    test_a_resume_is_paged_in_order,
    test_a_session_that_ends_closes_its_sockets,
    test_a_socket_of_one_chat_gets_that_chat_alone,
    test_every_refused_frame_gets_one_error_with_its_ref,
    test_frames_that_are_no_commands_are_answered_and_the_socket_lives,
    test_pipelined_sends_are_numbered_and_acknowledged_in_their_order,
    test_presence_goes_to_direct_peers_at_once_and_within_three_seconds,
    test_ten_thousand_characters_pass_even_when_each_is_escaped,
    test_two_readers_see_the_same_order_while_eight_people_send_at_once,
    test_typing_ends_by_a_disconnect,
    test_user_left_is_the_last_frame_of_a_chat_until_one_is_added_again,
)
from tests.node import Node, make_settings

PROTOCOLS: dict[str, dict[str, Any]] = {
    "direct": {},
    "asgi": {"ws": WebSocketsSansIOProtocol},
    "wsproto": {"ws": WSProtocol},
}
TEXT = "x" * 10_000
WAIT_S = 15.0


@pytest.fixture(scope="module", params=PROTOCOLS)
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    settings = make_settings(data_dir=tmp_path_factory.mktemp("node"))
    with Node(settings, **PROTOCOLS[request.param]) as node:
        yield node


DIRECT_ONLY = pytest.mark.parametrize("server", ["direct"], indirect=True)
"""For what only our own protocol class sees to: another server's transport and pongs are its own."""


def is_direct(server: Node) -> bool:
    return server._config.ws is DirectProtocol


class StalledReader:
    """A WebSocket client that reads `connected` and then nothing more, with as small a window as there is."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self._socket.settimeout(WAIT_S)

    def connect(self, server: Node, token: str) -> None:
        self._socket.connect(("127.0.0.1", server.port))
        self._socket.sendall(
            f"GET /api/v1/ws?token={token} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        seen = b""
        while b'"connected"' not in seen:
            seen += self._socket.recv(512)

    def send(self, opcode: Opcode, data: bytes) -> None:
        self._socket.sendall(Frame(opcode, data).serialize(mask=True))

    def read_to_the_end(self) -> bytes:
        """Everything that still comes; the end may be a reset."""
        found = b""
        with contextlib.suppress(ConnectionError):
            while data := self._socket.recv(65536):
                found += data
        return found

    def close(self) -> None:
        self._socket.close()


@asynccontextmanager
async def stalled(server: Node, user: TestUser) -> AsyncIterator[tuple[StalledReader, Connection]]:
    """A stalled reader, and the server's side of it."""
    reader = StalledReader()
    before = set(server.services.manager.list_of_user(user.id))
    await asyncio.to_thread(reader.connect, server, user.token)
    (connection,) = set(server.services.manager.list_of_user(user.id)) - before
    try:
        yield reader, connection
    finally:
        reader.close()


async def until(is_met: Callable[[], bool], timeout_s: float = WAIT_S) -> float:
    """Wait, and tell how long it took."""
    began = time.perf_counter()
    async with asyncio.timeout(timeout_s):
        while not is_met():  # noqa: ASYNC110 - the node lives on another loop
            await asyncio.sleep(0.01)
    return time.perf_counter() - began


async def fill(client: ChatClient, chat_id: int, is_full: Callable[[], bool]) -> int:
    """Send texts one after the other until the server's side of some socket is as full as asked."""
    for count in range(3000):
        if is_full():
            return count
        await client.say(chat_id, TEXT)
    raise AssertionError("the socket never filled")


def resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


# --- Slow readers -------------------------------------------------------------------------------------


async def test_a_reader_that_stops_gets_nothing_ephemeral_and_is_then_cut_off_while_others_read_on(
    server: Node,
) -> None:
    ann, ben = await people(server, 2)
    slow = await a_user(server)
    chat_id = await a_group(ann, ben, slow)
    async with sockets(ann, ben) as (client, other), stalled(server, slow) as (reader, connection):
        unsent = lambda: connection.socket.unsent_bytes  # noqa: E731 - read again and again
        sent = await fill(client, chat_id, lambda: unsent() > EPHEMERAL_UP_TO_BYTES)
        full = unsent()
        for number in range(50):
            await client.send("typing", chat_id=chat_id, is_typing=number % 2 == 0)
        await client.settle()
        assert unsent() <= full
        assert not connection.is_closed
        sent += await fill(client, chat_id, lambda: connection.is_closed)
        assert unsent() < OUTBOUND_BYTES + 100_000
        took = await until(lambda: connection not in server.services.manager.list_all(), 8)
        print(f"\n{sent} texts until the slow reader was closed, gone from the node after {took:.1f} s")
        wire = await asyncio.to_thread(reader.read_to_the_end)
        assert b'"user_typing"' not in wire
        last = await client.say(chat_id, "The others read on")
        for one in (client, other):
            await one.expect("new_message", chat_id=chat_id, version=last["version"])
        versions = [push["version"] for push in other.pushes("new_message")]
        assert versions == list(range(2, last["version"] + 1))
        await until(lambda: len(server._server.server_state.connections) <= 8)


async def test_a_reader_that_comes_back_in_time_is_told_4008(server: Node) -> None:
    (ann,) = await people(server, 1)
    slow = await a_user(server)
    chat_id = await a_group(ann, slow)
    async with sockets(ann) as (client,), stalled(server, slow) as (reader, connection):
        await fill(client, chat_id, lambda: connection.is_closed)
        wire = await asyncio.to_thread(reader.read_to_the_end)
        assert wire.endswith(b"\x88\x0f\x0f\xa8slow_consumer")
        assert wire.count(b'"new_message"') >= 100


async def test_many_stalled_readers_hold_a_bounded_amount_of_memory(server: Node) -> None:
    (ann,) = await people(server, 1)
    slow = await a_user(server)
    chat_id = await a_group(ann, slow)
    async with contextlib.AsyncExitStack() as stack:
        client = await stack.enter_async_context(ann.socket())
        readers = [await stack.enter_async_context(stalled(server, slow)) for _ in range(10)]
        gc.collect()
        before = resident_bytes()
        await fill(client, chat_id, lambda: all(connection.is_closed for _, connection in readers))
        grown = resident_bytes() - before
        print(f"\n10 stalled readers: {grown / 2**20:.0f} MiB more")
        assert grown < 100 * 2**20
        for _, connection in readers:
            await until(lambda one=connection: one not in server.services.manager.list_all(), 8)


@DIRECT_ONLY
async def test_a_peer_that_says_goodbye_without_reading_holds_no_memory(server: Node) -> None:
    (ann,) = await people(server, 1)
    slow = await a_user(server)
    chat_id = await a_group(ann, slow)
    async with sockets(ann) as (client,), stalled(server, slow) as (reader, connection):
        await fill(client, chat_id, lambda: connection.socket.unsent_bytes > EPHEMERAL_UP_TO_BYTES)
        assert isinstance(connection.socket, DirectSocket)
        protocol = connection.socket._protocol
        reader.send(Opcode.CLOSE, b"\x03\xe8")
        await until(lambda: connection not in server.services.manager.list_all(), 2)
        await until(lambda: protocol.disconnected, 8)
        assert protocol not in server._server.server_state.connections


@DIRECT_ONLY
async def test_a_peer_that_pings_without_reading_is_cut_off(server: Node) -> None:
    slow = await a_user(server)
    async with stalled(server, slow) as (reader, connection):

        def flood() -> None:
            with contextlib.suppress(OSError):
                for _ in range(100_000):
                    reader.send(Opcode.PING, b"p" * 125)

        reader._socket.settimeout(3)
        flooding = asyncio.create_task(asyncio.to_thread(flood))
        await until(lambda: connection not in server.services.manager.list_all())
        assert connection.is_closed
        reader.close()
        await flooding


async def test_who_pipelines_long_texts_and_reads_is_no_slow_consumer(server: Node) -> None:
    (ann,) = await people(server, 1)
    chat_id = await a_group(ann)
    async with sockets(ann) as (client,):
        refs = [await client.send("send_message", chat_id=chat_id, content=TEXT) for _ in range(300)]
        assert [(await client.reply(ref))["message"]["seq"] for ref in refs] == list(range(1, 301))
        await client.expect("new_message", chat_id=chat_id, version=301)


async def test_a_resume_waits_for_its_reader_instead_of_filling_memory(server: Node) -> None:
    (ann,) = await people(server, 1)
    slow = await a_user(server)
    chat_id = await a_group(ann, slow)
    async with sockets(ann) as (client,):
        refs = [await client.send("send_message", chat_id=chat_id, content=TEXT) for _ in range(900)]
        for ref in refs:
            await client.reply(ref)
    async with stalled(server, slow) as (reader, connection):
        command = {"type": "resume", "ref": "1", "cursors": {str(chat_id): 1}}
        reader.send(Opcode.TEXT, json.dumps(command).encode())
        await until(lambda: connection.socket.unsent_bytes > 0)
        await asyncio.sleep(0.5)
        assert connection.socket.unsent_bytes < OUTBOUND_BYTES
        assert not connection.is_closed
        reader.close()
        took = await until(lambda: connection not in server.services.manager.list_all())
        assert took < 3


# --- What a socket leaves behind ----------------------------------------------------------------------


async def _count_tasks() -> int:
    return len(asyncio.all_tasks())


async def test_sockets_leave_no_task_and_no_entry_behind(server: Node) -> None:
    users = await people(server, 4)
    chat_id = await a_group(*users)
    services = server.services
    await until(lambda: services.manager.count() == 0)
    await asyncio.sleep(2.5)  # the presence of earlier tests
    before = await in_service(server, _count_tasks())
    for round_ in range(3):
        async with contextlib.AsyncExitStack() as stack:
            clients = [await stack.enter_async_context(user.socket()) for user in users * 5]
            only = [await stack.enter_async_context(user.socket(f"/{chat_id}")) for user in users]
            for client in (*clients, *only):
                await client.send("typing", chat_id=chat_id, is_typing=True)
                await client.send("send_message", chat_id=chat_id, content=f"{round_}")
                await client.send("mark_as_read", chat_id=chat_id, seq=3)
                await client.send("resume", cursors={str(chat_id): 1})
            for client in clients[:10]:
                assert client.socket is not None
                client.socket.transport.abort()  # no goodbye
    await until(lambda: services.manager.count() == 0)
    manager = services.manager
    assert (manager._users, manager._connections, manager._opening) == ({}, {}, set())
    assert services.streams._streams == {}
    await until(lambda: manager._typing == {})
    await asyncio.sleep(2.5)
    async with asyncio.timeout(WAIT_S):  # the look at a store that comes each second is a task too
        while await in_service(server, _count_tasks()) > before:  # noqa: ASYNC110 - another loop
            await asyncio.sleep(0.1)
    assert (services.presence._online, services.presence._leaving, services.presence._tasks) == (
        set(),
        {},
        {},
    )
    await until(lambda: services.receipts._pushes._newest == {})


async def test_a_client_that_disconnects_in_mid_send_cancels_nothing(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ben) as (other,):
        client = ann.socket()
        await client.open()
        for number in range(20):
            await client.send("send_message", chat_id=chat_id, content=f"{number}")
        assert client.socket is not None
        client.socket.transport.abort()
        first = await other.expect("new_message", chat_id=chat_id)
        assert first["message"]["content"] == "0"
        await client.close()
        await asyncio.sleep(0.5)
        await other.settle()
        contents = [push["message"]["content"] for push in other.pushes("new_message")]
        assert contents == [f"{number}" for number in range(len(contents))]
        page = await ben.get(f"/messages/chat/{chat_id}", limit=100)
        assert [one["content"] for one in page["items"]] == contents


async def test_the_sockets_are_of_the_kind_that_the_server_has(server: Node) -> None:
    (ann,) = await people(server, 1)
    async with sockets(ann):
        (connection,) = server.services.manager.list_of_user(ann.id)
        assert isinstance(connection.socket, DirectSocket if is_direct(server) else AsgiSocket)
        chat_id = await a_direct_chat(ann, await a_user(server))
        assert chat_id
