"""A WebSocket client that costs little: one asyncio protocol, no queue and no task for a socket.

Frames go out masked with a key of zeros, which is a valid mask and needs no work; frames that come in are
split where they lie. It knows nothing of the meaning of a frame.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import secrets
from typing import Protocol, cast
from urllib.parse import urlsplit

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING = 0x1, 0x8, 0x9
_MAX_HEAD_BYTES = 64 * 1024
NO_CLOSE_CODE = 1006
"""The connection ended without a goodbye (RFC 6455, 7.1.5)."""


class Listener(Protocol):
    """Is told what happens to a socket, on the event loop."""

    def opened(self) -> None:
        """The handshake is done."""

    def heard(self, texts: list[bytes], chunk: bytes | None) -> None:
        """Text frames in their order. `chunk`: what was read, where it was these frames and nothing else."""

    def knows(self, chunk: bytes) -> bool:
        """Whether the listener has taken exactly these bytes itself, so that they need not be split."""

    def ended(self, code: int, reason: str) -> None:
        """The last call. A reason without a code of the server's says what failed."""


class SocketClient(asyncio.Protocol):
    def __init__(self, url: str, path: str, token: str, listener: Listener) -> None:
        parts = urlsplit(url)
        self._key = base64.b64encode(secrets.token_bytes(16))
        self._request = (
            f"GET {parts.path.rstrip('/')}/api/v1{path} HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {self._key.decode()}\r\nAuthorization: Bearer {token}\r\n\r\n"
        ).encode()
        self._listener = listener
        self._transport: asyncio.Transport | None = None
        self._rest = b""
        self._parts: list[bytes] = []
        self._is_open = False
        self._end: tuple[int, str] = (NO_CLOSE_CODE, "")

    # --- Out --------------------------------------------------------------------------------------

    def send(self, texts: list[bytes]) -> None:
        """Whatever is sent after the end is lost, as what was on its way then."""
        self._write(b"".join(part for text in texts for part in (_header(0x81, len(text)), text)))

    def close(self) -> None:
        """Say goodbye; the listener hears the end as of any other."""
        self._write(_header(0x88, 2) + (1000).to_bytes(2, "big"))
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():  # uvloop raises then
            self._transport.write(data)

    # --- In ---------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        code, reason = self._end
        self._listener.ended(code, reason or (str(exc) if exc else ""))

    def data_received(self, data: bytes) -> None:
        if not self._rest and self._is_open and self._listener.knows(data):
            return
        if self._is_open:
            self._read(data)
        else:
            self._shake_hands(data)

    def _shake_hands(self, data: bytes) -> None:
        head, end, rest = (self._rest + data).partition(b"\r\n\r\n")
        if not end:
            self._rest = head
            if len(head) > _MAX_HEAD_BYTES:
                self._fail("the answer to the handshake has no end")
            return
        self._rest = b""
        status, *lines = head.split(b"\r\n")
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (one.partition(b":") for one in lines)
        }
        accept = base64.b64encode(hashlib.sha1(self._key + _GUID, usedforsecurity=False).digest())
        if status.split(b" ")[1:2] != [b"101"] or headers.get(b"sec-websocket-accept") != accept:
            self._fail(f"the handshake was answered with {status.decode(errors='replace')}")
            return
        self._is_open = True
        self._listener.opened()
        if rest:
            self._read(rest)

    def _read(self, data: bytes) -> None:
        """Split what has come into frames; what is not whole waits."""
        whole = not self._rest
        buffer = self._rest + data if self._rest else data
        texts: list[bytes] = []
        at, length = 0, len(buffer)
        while length - at >= 2:
            size, begin = buffer[at + 1], at + 2
            if size == 126:
                size, begin = int.from_bytes(buffer[at + 2 : at + 4], "big"), at + 4
            elif size == 127:
                size, begin = int.from_bytes(buffer[at + 2 : at + 10], "big"), at + 10
            if length < begin + size:
                break
            if buffer[at] == 0x81:
                texts.append(buffer[begin : begin + size])
            else:
                whole = False
                self._take_other(buffer[at], buffer[begin : begin + size], texts)
            at = begin + size
        self._rest = buffer[at:]
        if texts:
            self._listener.heard(texts, data if whole and not self._rest else None)

    def _take_other(self, head: int, payload: bytes, texts: list[bytes]) -> None:
        """Fragments and control frames."""
        opcode = head & 0x0F
        if opcode <= _TEXT:
            self._parts.append(payload)
            if head & 0x80:
                texts.append(b"".join(self._parts))
                self._parts = []
        elif opcode == _PING:
            self._write(_header(0x8A, len(payload)) + payload)
        elif opcode == _CLOSE and self._transport is not None:
            code = int.from_bytes(payload[:2], "big") if len(payload) >= 2 else 1005
            self._end = (code, payload[2:].decode(errors="replace"))
            self._write(_header(0x88, len(payload)) + payload)
            self._transport.close()

    def _fail(self, reason: str) -> None:
        self._end = (NO_CLOSE_CODE, reason)
        self.abort()


def _header(head: int, length: int) -> bytes:
    """The head of a masked frame (RFC 6455, section 5.2), its key included."""
    if length < 126:
        return bytes((head, 0x80 | length)) + b"\0\0\0\0"
    if length < 1 << 16:
        return bytes((head, 0xFE)) + length.to_bytes(2, "big") + b"\0\0\0\0"
    return bytes((head, 0xFF)) + length.to_bytes(8, "big") + b"\0\0\0\0"
