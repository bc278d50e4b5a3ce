"""The output of a WebSocket: straight to the transport under uvicorn, through ASGI under other servers.

Under uvicorn a push is one `transport.write` of a frame that was built once for all sockets. That needs a
few attributes of uvicorn's protocol class, so uvicorn is pinned exactly and a test notices when its file
changes. Neither way ever waits for a reader.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from starlette.websockets import WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.protocol import State

from chat_service.services.ports.socket import Batch, Socket

EXTENSION = "chat.protocol"
CLOSE_TIMEOUT_S = 5.0
"""A peer that does not answer our goodbye within this time is cut off."""
DRAIN_TIMEOUT_S = 30.0

Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class DirectProtocol(WebSocketsSansIOProtocol):
    """uvicorn's protocol, which the application can reach through its scope. Give it to uvicorn as `ws`."""

    async def run_asgi(self) -> None:
        self.scope["extensions"] = {**(self.scope["extensions"] or {}), EXTENSION: self}  # type: ignore[dict-item]
        await super().run_asgi()

    def handle_close(self, event: Frame) -> None:
        super().handle_close(event)
        self._cut_off_later()

    def handle_parser_exception(self) -> None:
        super().handle_parser_exception()
        self._cut_off_later()

    def keepalive_timeout(self) -> None:
        super().keepalive_timeout()
        self._cut_off_later()

    def shutdown(self) -> None:
        super().shutdown()
        self._cut_off_later()

    def _cut_off_later(self) -> None:
        """A transport that is closing first sends what waits; a peer that takes nothing must not hold it."""
        if self.transport.get_write_buffer_size() and not self.disconnected:
            if self.close_timer is not None:
                self.close_timer.cancel()
            self.close_timer = self.loop.call_later(CLOSE_TIMEOUT_S, self.transport.abort)


def open_socket(scope: MutableMapping[str, Any], send: Send, give_up: Callable[[], None]) -> Socket:
    """The output of a WebSocket that has been accepted. `give_up` ends its handler; it is called where the
    server itself cannot cut off a peer that takes nothing, not even our goodbye."""
    protocol = (scope.get("extensions") or {}).get(EXTENSION)
    return AsgiSocket(send, give_up) if protocol is None else DirectSocket(protocol)


class DirectSocket:
    """Writes finished frames to the transport."""

    def __init__(self, protocol: DirectProtocol) -> None:
        self._protocol = protocol
        self._transport = protocol.transport

    @property
    def unsent_bytes(self) -> int:
        return self._transport.get_write_buffer_size()

    @property
    def is_open(self) -> bool:
        protocol = self._protocol
        return (
            protocol.handshake_complete
            and not protocol.close_sent
            and not self._transport.is_closing()
            and protocol.conn.state is State.OPEN
        )

    def write(self, batch: Batch) -> None:
        if self.is_open:
            self._transport.write(batch.wire)

    def close(self, code: int, reason: str) -> None:
        protocol = self._protocol
        if protocol.close_sent or self._transport.is_closing():
            return
        protocol.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        if not self.is_open:
            self._transport.close()
            return
        protocol.conn.send_close(code, reason)
        self._transport.write(b"".join(protocol.conn.data_to_send()))
        protocol.close_sent = True
        if protocol.read_paused:
            protocol.read_paused = False
            self._transport.resume_reading()
        protocol.close_timer = protocol.loop.call_later(CLOSE_TIMEOUT_S, self._transport.abort)

    async def drained(self) -> None:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await self._protocol.writable.wait()

    def release(self) -> None:
        """Uvicorn ends the transport when the handler returns."""


class AsgiSocket:
    """Queues texts for a task that sends them one by one; the way for every other server."""

    def __init__(self, send: Send, give_up: Callable[[], None]) -> None:
        self._send = send
        self._give_up = give_up
        self._texts: deque[bytes] = deque()
        self._unsent = 0
        self._goodbye: tuple[int, str] | None = None
        self._wakeup = asyncio.Event()
        self._drained = asyncio.Event()
        self._drained.set()
        self._deadline: asyncio.TimerHandle | None = None
        self._writer = asyncio.create_task(self._run())

    @property
    def unsent_bytes(self) -> int:
        return self._unsent

    @property
    def is_open(self) -> bool:
        return self._goodbye is None and not self._writer.done()

    def write(self, batch: Batch) -> None:
        if self.is_open:
            self._texts.extend(batch.texts)
            self._unsent += sum(map(len, batch.texts))
            self._drained.clear()
            self._wakeup.set()

    def close(self, code: int, reason: str) -> None:
        if self._goodbye is None:
            self._goodbye = (code, reason)
            self._wakeup.set()
            self._deadline = asyncio.get_running_loop().call_later(CLOSE_TIMEOUT_S, self._give_up)

    def release(self) -> None:
        self._writer.cancel()
        if self._deadline is not None:
            self._deadline.cancel()

    async def drained(self) -> None:
        async with asyncio.timeout(DRAIN_TIMEOUT_S):
            await self._drained.wait()

    async def _run(self) -> None:
        try:
            await self._send_all()
        except (OSError, RuntimeError, WebSocketDisconnect):
            pass  # the peer has gone; `receive` tells the handler
        finally:
            self._texts.clear()
            self._unsent = 0
            self._drained.set()

    async def _send_all(self) -> None:
        while self._goodbye is None or self._texts:
            await self._wakeup.wait()
            self._wakeup.clear()
            while self._texts:
                text = self._texts.popleft()
                await self._send({"type": "websocket.send", "text": text.decode()})
                self._unsent -= len(text)
            self._drained.set()
        code, reason = self._goodbye
        await self._send({"type": "websocket.close", "code": code, "reason": reason})
