"""A TCP proxy with a bad network in it: connections are cut, delayed, silenced, or open on one side only.

Job: stand between clients and one server, on a loopback port of its own, and do to the connections what a
test asks for. It runs in a thread with its own event loop, so that neither the test nor a node under test is
held up by it, and changes no byte. Calls come from any thread and return once they are done.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from typing import Self, TypeVar, cast

T = TypeVar("T")


class Network:
    """`with Network(port) as network:`, then connect to `network.port`. Until asked otherwise it forwards.

    `target` is where the server is, and `address` where clients find the network."""

    def __init__(self, target_port: int, target: str = "127.0.0.1", address: str = "127.0.0.1") -> None:
        self.port = 0
        self.delay_s = 0.0
        """Added to everything that is forwarded, each way; may be set at any time."""
        self.is_silent = False
        self.accepted = 0
        """Connections so far."""
        self.address = address
        self._target = (target, target_port)
        self._pairs: set[_Pair] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="network", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        opening = asyncio.run_coroutine_threadsafe(self._open(), self._loop)
        self._server = opening.result()
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_: object) -> None:
        self._call(self._close)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def count(self) -> int:
        """Connections that are open now."""
        return len(self._pairs)

    def cut(self) -> int:
        """Reset every connection on both sides; how many there were. New ones are taken."""
        return self._call(self._cut)

    def silence(self) -> None:
        """Nothing passes any more, in either direction; new connections are accepted and hear nothing.
        Nothing is lost: what waits goes on after `speak`, as after a long pause of the network."""
        self._call(lambda: self._set_silent(True))

    def speak(self) -> None:
        """Undo `silence`."""
        self._call(lambda: self._set_silent(False))

    def open_half(self) -> int:
        """The server sees each connection reset; the client sees it open, and silent for ever. How many."""
        return self._call(self._open_half)

    # --- On the loop of its thread ----------------------------------------------------------------

    def _call(self, work: Callable[[], T]) -> T:
        async def run() -> T:
            return work()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result()

    async def _open(self) -> asyncio.Server:
        return await self._loop.create_server(lambda: _Pair(self).client, self.address, 0, backlog=4096)

    def _close(self) -> None:
        self._server.close()
        self._cut()

    def _cut(self) -> int:
        pairs = list(self._pairs)
        for pair in pairs:
            pair.abort()
        return len(pairs)

    def _set_silent(self, is_silent: bool) -> None:
        self.is_silent = is_silent
        for pair in list(self._pairs):
            pair.set_reading()

    def _open_half(self) -> int:
        pairs = [pair for pair in self._pairs if not pair.is_half]
        for pair in pairs:
            pair.open_half()
        return len(pairs)


class _Pair:
    """One client's connection and the one to the server that stands for it."""

    def __init__(self, network: Network) -> None:
        self.network = network
        self.is_half = False
        self.client = _Side(self)
        self.server = _Side(self)
        self.client.other, self.server.other = self.server, self.client

    def begin(self) -> None:
        self.network._pairs.add(self)
        self.network.accepted += 1
        self._connecting = asyncio.ensure_future(self._connect())

    async def _connect(self) -> None:
        try:
            await self.network._loop.create_connection(lambda: self.server, *self.network._target)
        except OSError:
            self.abort()
        else:
            self.set_reading()

    def set_reading(self) -> None:
        for side in (self.client, self.server):
            side.set_reading(not self.network.is_silent and not self.is_half)

    def open_half(self) -> None:
        self.is_half = True
        self.set_reading()
        if self.server.transport is not None:
            self.server.transport.abort()

    def abort(self) -> None:
        self.network._pairs.discard(self)
        for side in (self.client, self.server):
            if side.transport is not None:
                side.transport.abort()

    def end(self, side: _Side) -> None:
        """One side is gone: the other one goes too, once it has all that was said, unless it is to be left
        in the dark."""
        if self.is_half and side is self.server:
            return
        self.network._pairs.discard(self)
        other = side.other
        if other.transport is not None:
            self.network._loop.call_later(self.network.delay_s, other.transport.close)


class _Side(asyncio.Protocol):
    other: _Side

    def __init__(self, pair: _Pair) -> None:
        self._pair = pair
        self.transport: asyncio.Transport | None = None
        self._is_full = False
        self._late: deque[bytes] = deque()
        """What the other side has said and is not due here yet; a later word must not overtake it."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        if self is self._pair.client:
            self.transport.pause_reading()
            self._pair.begin()

    def connection_lost(self, exc: Exception | None) -> None:
        self._pair.end(self)

    def data_received(self, data: bytes) -> None:
        delay_s, other = self._pair.network.delay_s, self.other
        if delay_s or other._late:
            other._late.append(data)
            self._pair.network._loop.call_later(delay_s, other._say_next)
        elif other.transport is not None:
            other.transport.write(data)

    def _say_next(self) -> None:
        data = self._late.popleft()
        if self.transport is not None:
            self.transport.write(data)

    def pause_writing(self) -> None:
        """This side takes no more: the other one is not read meanwhile."""
        self._is_full = True
        self.other.set_reading(False)

    def resume_writing(self) -> None:
        self._is_full = False
        self.other.set_reading(not self._pair.network.is_silent and not self._pair.is_half)

    def set_reading(self, is_reading: bool) -> None:
        if self.transport is None or self.transport.is_closing():
            return
        if is_reading and not self.other._is_full and self.other.transport is not None:
            self.transport.resume_reading()
        else:
            self.transport.pause_reading()
