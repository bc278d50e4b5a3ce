"""A metadata store behind a proxy that has no server to hand connections on to: it takes them, and closes."""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress

import uvloop

from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.domain.errors import Unavailable

CALLS = 100
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER on, for 0 s: to close is to reset."""


@contextmanager
def a_proxy_without_a_server() -> Iterator[int]:
    """Its port."""

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                connection.close()

    with closing(socket.create_server(("127.0.0.1", 0), backlog=CALLS)) as listener:
        thread = threading.Thread(target=accept, args=(listener,))
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


async def call_many(port: int) -> list[object]:
    store = SqlMetadataStore(f"mysql+asyncmy://root@127.0.0.1:{port}/chat")
    answers = await asyncio.gather(*(store.ping() for _ in range(CALLS)), return_exceptions=True)
    await store.close()
    return [type(answer) for answer in answers]


def test_every_call_is_unavailable() -> None:
    """On the loop of nodes, whose transports lose their sockets before asyncmy has looked at them."""
    with a_proxy_without_a_server() as port, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        assert set(runner.run(call_many(port))) == {Unavailable}
