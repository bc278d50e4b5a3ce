"""A TCP proxy in front of MariaDB that loses the answers of chosen COMMITs.

Job: forward everything; when told to, hand a COMMIT on, wait until the server has carried it out, drop its
answer and cut the connection, so that a client can only guess. It reads the client's packets and changes
nothing in them.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_COM_QUERY = 3
_CHUNK = 65_536


class Proxy:
    """`with Proxy(server.url) as proxy:`, then connect to `proxy.url`."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 3306)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        port = self._listener.getsockname()[1]
        user = parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(
            parts._replace(netloc=f"{user}@127.0.0.1:{port}" if user else f"127.0.0.1:{port}")
        )
        self._lock = threading.Lock()
        self._marker = b""
        self._to_lose = 0
        self.lost = 0
        """COMMITs carried out whose answer never arrived."""
        self._open: set[socket.socket] = set()

    def lose_commits(self, marker: str, times: int) -> None:
        """Lose the answers to the next `times` COMMITs of transactions that say `marker` in a statement."""
        with self._lock:
            self._marker, self._to_lose, self.lost = marker.encode(), times, 0

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, name="proxy", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for one in list(self._open):
            _cut(one)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._open |= {client, server}
                pair = _Pair(self, client, server)
                for work in (pair.forward, pair.answer):
                    threading.Thread(target=work, daemon=True).start()

    def takes(self, statement: bytes) -> bool:
        return self._to_lose > 0 and self._marker in statement

    def claim(self) -> bool:
        """Whether the COMMIT that is at hand is one to lose."""
        with self._lock:
            if self._to_lose <= 0:
                return False
            self._to_lose -= 1
            return True

    def count_lost(self) -> None:
        with self._lock:
            self.lost += 1


class _Pair:
    """One client's connection and the one to the server that stands for it."""

    def __init__(self, proxy: Proxy, client: socket.socket, server: socket.socket) -> None:
        self._proxy, self._client, self._server = proxy, client, server
        self._is_marked = False
        self._loses = False

    def forward(self) -> None:
        with contextlib.suppress(OSError):
            for packet in _read_packets(self._client):
                if len(packet) > 4 and packet[4] == _COM_QUERY:
                    self._watch(packet[5:])
                self._server.sendall(packet)
        self._cut()

    def answer(self) -> None:
        with contextlib.suppress(OSError):
            while data := self._server.recv(_CHUNK):
                if self._loses:
                    self._proxy.count_lost()
                    break
                self._client.sendall(data)
        self._cut()

    def _watch(self, statement: bytes) -> None:
        word = statement.lstrip()[:8].upper()
        if word.startswith(b"COMMIT"):
            self._loses = self._is_marked and self._proxy.claim()
            self._is_marked = False
        elif word.startswith(b"ROLLBACK"):
            self._is_marked = False
        elif self._proxy.takes(statement):
            self._is_marked = True

    def _cut(self) -> None:
        _cut(self._client)
        _cut(self._server)


def _cut(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()


def _read_packets(source: socket.socket) -> Iterator[bytes]:
    """MySQL's packets: three bytes of length, one of sequence, the payload."""
    buffer = b""
    while data := source.recv(_CHUNK):
        buffer += data
        while len(buffer) >= 4 and len(buffer) >= (size := 4 + int.from_bytes(buffer[:3], "little")):
            yield buffer[:size]
            buffer = buffer[size:]
