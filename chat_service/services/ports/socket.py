"""One open socket, as the services see it: bytes go out without waiting, and it can be closed."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Protocol


class Batch:
    """Frames that go out together, encoded once for all the sockets that get them.

    `texts` are the JSON texts of the frames in order; `wire` are the same as finished WebSocket frames.
    """

    def __init__(self, texts: Sequence[bytes]) -> None:
        self.texts = tuple(texts)

    @cached_property
    def size(self) -> int:
        """Bytes of text."""
        return sum(map(len, self.texts))

    @cached_property
    def wire(self) -> bytes:
        """Unmasked final text frames (RFC 6455, section 5.2), one behind the other."""
        return b"".join(part for text in self.texts for part in (_header(len(text)), text))


def _header(length: int) -> bytes:
    if length < 126:
        return bytes((0x81, length))
    if length < 1 << 16:
        return b"\x81\x7e" + length.to_bytes(2, "big")
    return b"\x81\x7f" + length.to_bytes(8, "big")


class Socket(Protocol):
    """The output of one accepted WebSocket. Only this object writes to it, so nothing is overtaken."""

    @property
    def unsent_bytes(self) -> int:
        """What has been written and has not left the process."""
        ...

    @property
    def is_open(self) -> bool:
        """Whether what is written now may still arrive."""
        ...

    def write(self, batch: Batch) -> None:
        """Send without waiting. Does nothing once the socket is closing."""
        ...

    def close(self, code: int, reason: str) -> None:
        """Say goodbye without waiting for a slow reader, and end the connection soon after."""
        ...

    async def drained(self) -> None:
        """Return when little is unsent, or the socket is closed. Raises `TimeoutError` after 30 s."""
        ...

    def release(self) -> None:
        """The handler of the socket ends: nothing more will be sent."""
        ...
