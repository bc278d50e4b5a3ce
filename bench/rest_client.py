"""A keep-alive REST client that costs little, and a measurement of one call by many clients."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from statistics import median
from typing import Any
from urllib.parse import urlsplit

Request = tuple[str, str, Any]
"""Method, path below `/api/v1`, and the JSON body or None."""


class RestClient:
    """One connection of one signed-in person."""

    def __init__(self, url: str, token: str) -> None:
        self._host = urlsplit(url).netloc
        self._token = token
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def call(self, request: Request) -> bytes:
        """The body of the answer; raises for anything but a success."""
        reader, writer = self._streams or await self._connect()
        method, path, body = request
        content = b"" if body is None else json.dumps(body).encode()
        head = (
            f"{method} /api/v1{path} HTTP/1.1\r\nHost: {self._host}\r\n"
            f"Authorization: Bearer {self._token}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(content)}\r\n\r\n"
        )
        writer.write(head.encode() + content)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = int(answer.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        found = await reader.readexactly(length)
        if answer[9:10] != b"2":
            raise RuntimeError(f"{method} {path}: {answer[:60]!r} {found[:300]!r}")
        return found

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        host, _, port = self._host.partition(":")
        self._streams = await asyncio.open_connection(host, int(port), limit=1 << 20)
        return self._streams


@dataclass
class Rate:
    requests: int
    per_s: float
    p50_ms: float


async def measure_calls(
    url: str, token: str, make: Callable[[], Request], *, clients: int, seconds: float
) -> Rate:
    """Let so many clients ask one after the other for a while; `make` gives the next request."""
    durations: list[float] = []
    began_s = time.perf_counter()

    async def ask() -> None:
        with _open_client(url, token) as client:
            while (asked_s := time.perf_counter()) - began_s < seconds:
                await client.call(make())
                durations.append(time.perf_counter() - asked_s)

    await asyncio.gather(*(ask() for _ in range(clients)))
    took_s = time.perf_counter() - began_s
    return Rate(len(durations), round(len(durations) / took_s, 1), round(median(durations) * 1000, 2))


@contextlib.contextmanager
def _open_client(url: str, token: str) -> Iterator[RestClient]:
    client = RestClient(url, token)
    try:
        yield client
    finally:
        client.close()
