"""Clients that do not read what they asked for over HTTP."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from chat_service import server as service
from tests.eventually import eventually
from tests.node import Node

LONG = "/assets/swagger-ui/swagger-ui-bundle.js"
REQUEST = f"GET {LONG} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


@contextmanager
def a_client(node: Node) -> Iterator[socket.socket]:
    """Whose machine takes next to nothing before it is read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", node.port))
        yield client


def count_connections(node: Node) -> int:
    return len(node._server.server_state.connections)


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "UNREAD_CHECK_S", 0.5)


async def test_who_does_not_read_an_answer_is_cut_off(server: Node) -> None:
    before = count_connections(server)
    with a_client(server) as client:
        client.sendall(REQUEST * 20)  # more than the kernel keeps for us
        await eventually(lambda: count_connections(server) == before + 1)
        await eventually(lambda: count_connections(server) == before)


async def test_who_reads_slowly_gets_all_of_it(server: Node) -> None:
    with a_client(server) as client:
        client.sendall(REQUEST)
        got = b""
        while b"\r\n\r\n" not in got:
            got += await asyncio.to_thread(client.recv, 4096)
        head, _, body = got.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200 ")
        (length,) = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        missing = int(length.partition(b":")[2]) - len(body)
        while missing > 0:
            chunk = await asyncio.to_thread(client.recv, 65_536)
            assert chunk, f"cut off {missing} bytes before the end"
            missing -= len(chunk)
            await asyncio.sleep(0.01)
