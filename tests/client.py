"""A client of the WebSocket: sends commands, waits for their replies, and keeps the pushes it gets."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Callable
from functools import cache
from typing import Any, Self

from jsonschema import Draft202012Validator
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from chat_service.routes import frames

Frame = dict[str, Any]
TIMEOUT_S = 8.0


@cache
def _validators() -> dict[str, list[Draft202012Validator]]:
    """By type, the schemas of every frame that a server may send."""
    found: dict[str, list[Draft202012Validator]] = {}
    for model in (*frames.REPLIES, *frames.PUSHES):
        for name in frames.types_of(model):
            found.setdefault(name, []).append(Draft202012Validator(model.model_json_schema()))
    return found


def check_frame(frame: Frame) -> None:
    """Every frame of every test is one that `/asyncapi.json` describes."""
    validators = _validators().get(frame["type"], [])
    problems = [[error.message for error in validator.iter_errors(frame)] for validator in validators]
    assert [] in problems, f"{frame} fits no model: {problems}"


class ChatClient:
    """`async with ChatClient(server.ws_url, token=…) as client:`. A reader task files every frame."""

    def __init__(self, url: str, *, token: str | None = None, **options: Any) -> None:
        self._url = url if token is None else f"{url}?token={token}"
        self._options = options
        self._refs = itertools.count(1)
        self._replies: dict[str, asyncio.Future[Frame]] = {}
        self._arrived = asyncio.Condition()
        self._reader: asyncio.Task[None] | None = None
        self.socket: ClientConnection | None = None
        self.frames: list[Frame] = []
        """Every frame so far, in order."""
        self.taken = 0
        """Pushes before this index have been expected already."""
        self.listeners: list[Callable[[Frame], None]] = []

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def open(self) -> Frame:
        """Connect and return the `connected` frame."""
        options = {"max_size": None, "max_queue": None, "compression": None, **self._options}
        self.socket = await connect(self._url, proxy=None, **options)
        self._reader = asyncio.create_task(self._read(self.socket))
        return await self.expect("connected")

    async def close(self) -> None:
        if self.socket is not None:
            await self.socket.close()
        if self._reader is not None:
            await self._reader

    async def send(self, kind: str, **fields: Any) -> str:
        """Send a command without waiting; returns its `ref`."""
        ref = str(next(self._refs))
        self._replies[ref] = asyncio.get_running_loop().create_future()
        await self.send_raw(json.dumps({"type": kind, "ref": ref, **fields}))
        return ref

    async def send_raw(self, text: str | bytes) -> None:
        assert self.socket is not None
        await self.socket.send(text)

    async def reply(self, ref: str) -> Frame:
        return await asyncio.wait_for(self._replies[ref], TIMEOUT_S)

    async def call(self, kind: str, **fields: Any) -> Frame:
        """Send a command and return what ends it: its `ack`, `pong` or `error`."""
        return await self.reply(await self.send(kind, **fields))

    async def say(self, chat_id: int, content: str, **fields: Any) -> Frame:
        """Send a message and return it, as stored."""
        answer = await self.call("send_message", chat_id=chat_id, content=content, **fields)
        assert answer["type"] == "ack", answer
        return dict(answer["message"])

    async def expect(self, kind: str, **fields: Any) -> Frame:
        """The next frame, not expected before, of this type and with these fields; waits for it."""

        def find() -> Frame | None:
            for index in range(self.taken, len(self.frames)):
                frame = self.frames[index]
                if frame["type"] == kind and all(frame.get(key) == value for key, value in fields.items()):
                    self.taken = index + 1
                    return frame
            return None

        return await self._wait(find, f"{kind} {fields}")

    async def wait_for(self, is_met: Callable[[], bool], what: str = "a condition") -> None:
        await self._wait(lambda: {} if is_met() else None, what)

    def pushes(self, *kinds: str) -> list[Frame]:
        """All frames of these types so far."""
        return [frame for frame in self.frames if frame["type"] in kinds]

    async def closed(self) -> tuple[int | None, str | None]:
        """Wait for the end; the close code and reason that the server sent."""
        assert self._reader is not None
        assert self.socket is not None
        await asyncio.wait_for(asyncio.shield(self._reader), TIMEOUT_S)
        return self.socket.close_code, self.socket.close_reason

    async def settle(self) -> None:
        """Return once everything that the server had sent before has arrived."""
        answer = await self.call("ping")
        assert answer["type"] == "pong"

    async def _wait(self, find: Callable[[], Frame | None], what: str) -> Frame:
        found: Frame | None = None

        def is_found() -> bool:
            nonlocal found
            found = find()
            return found is not None

        async with self._arrived:
            try:
                await asyncio.wait_for(self._arrived.wait_for(is_found), TIMEOUT_S)
            except TimeoutError:
                seen = [frame["type"] for frame in self.frames]
                raise AssertionError(f"{what} did not come; seen: {seen}") from None
        assert found is not None
        return found

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                frame = json.loads(text)
                check_frame(frame)
                await self._file(frame)
        except ConnectionClosed:
            pass

    async def _file(self, frame: Frame) -> None:
        self.frames.append(frame)
        if frame["type"] in ("ack", "error", "pong") and frame["ref"] in self._replies:
            future = self._replies[frame["ref"]]
            if not future.done():
                future.set_result(frame)
        for listener in self.listeners:
            listener(frame)
        async with self._arrived:
            self._arrived.notify_all()
