"""A client as the contract wants it, cheap enough for thousands of them in one process.

It comes back by itself, resumes from what it holds, asks again with the same key for what was not answered,
and gives up a connection that owes it an answer. Everything that it hears goes into a `Connection` of the
history, what it holds at the end into a `Held`; how long people waited goes to its `Watch`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import orjson

from chat_service.load.people import Person
from chat_service.load.sockets import SocketClient
from tests.faults.asked import Asked
from tests.records import Connection, Held, Json, Send

OPEN_S = 15.0
"""A node that has just come back has many to let in; who gives up early only adds to them."""
ANSWER_S = 7.0
"""A send is answered within six seconds, or its connection is no good."""
SILENT_S = 10.0
"""Who hears nothing for so long asks with a ping, and leaves when nothing comes for half as long again."""
RETRY_S = (0.1, 0.3)
LONGEST_RETRY_S = 5.0
_KNOWN_TEXTS = 2_000
_known: dict[bytes, Json] = {}


def read_frame(text: bytes) -> Json:
    """The same object for the same bytes, because a push goes to many and nobody changes it."""
    frame = _known.get(text)
    if frame is None:
        if len(_known) >= _KNOWN_TEXTS:
            _known.clear()
        frame = _known[text] = orjson.loads(text)
    return frame


class Watch(Protocol):
    """Is told what the device lives through, with the loop's time."""

    def acknowledged(self, asked: Asked, now_s: float) -> None: ...

    def delivered(self, device: Device, message: Json, now_s: float) -> None: ...

    def connected(self, device: Device, now_s: float) -> None: ...

    def fell_behind(self, device: Device, chat_id: int) -> None:
        """A `resume` would be too long: `take_page` expects the chat's feed as REST gives it."""

    def surprised(self, sentence: str) -> None: ...


@dataclass
class _Chat:
    cursor: int
    messages: dict[int, Json] = field(default_factory=dict)
    early: dict[int, Json] = field(default_factory=dict)
    known: int = 0
    """A version that the chat has reached."""
    is_resuming: bool = False


class Device:
    """`chats`: the versions from which it knows everything, by chat. Begin with `live` as a task."""

    def __init__(
        self, url: str, person: Person, chats: Mapping[int, int], watch: Watch, past: list[Connection]
    ) -> None:
        self.person = person
        self.url = url
        self.is_open = False
        self.is_reading = True
        self._is_served = False
        """Something was answered on this connection; one that was taken and got nothing is a failed one."""
        self.closes: list[tuple[int, str]] = []
        self._chats = {chat_id: _Chat(version) for chat_id, version in chats.items()}
        self._watch = watch
        self._past = past
        self._outbox: dict[str, Asked] = {}
        """What has no answer yet, by key, oldest first."""
        self._refs: dict[str, Asked] = {}
        """Of what was asked on this connection."""
        self._numbers = 0
        self._loop = asyncio.get_running_loop()
        self._ended = asyncio.Event()
        self._told_s: float | None = None
        self._epoch: str | None = None
        self._heard_at_s = 0.0
        self._has_pinged = False

    # --- What people do ---------------------------------------------------------------------------

    def say(self, asked: Asked) -> None:
        """Ask for it now, or as soon as there is a connection."""
        self._outbox[asked.key] = asked
        self._try(asked)

    @property
    def has_unanswered(self) -> bool:
        return bool(self._outbox)

    def waits_s(self, now_s: float) -> float:
        """How long the oldest message has been without an answer."""
        return max((now_s - asked.at_s for asked in self._outbox.values()), default=0.0)

    def list_held(self) -> list[Held]:
        name = f"{self.record.name} at the end"
        return [
            Held(name, self.person.id, chat_id, chat.cursor, chat.messages)
            for chat_id, chat in self._chats.items()
        ]

    def learn(self, chat_id: int, version: int) -> None:
        """Of a chat that the user has just made."""
        self._chats[chat_id] = _Chat(version)

    def stand_at(self, chat_id: int) -> int:
        """The version that the device holds."""
        return self._chats[chat_id].cursor

    def take_page(self, page: Json) -> None:
        """Of the change feed over REST, from `stand_at` on."""
        self._take_changes(page, self._loop.time())

    def drop(self) -> None:
        """The connection is gone, without a goodbye."""
        self._socket.abort()

    def read(self, *, is_reading: bool) -> None:
        """Take what comes, or let it lie in the network."""
        self.is_reading = is_reading
        transport = self._socket._transport
        if transport is not None and not transport.is_closing():
            (transport.resume_reading if is_reading else transport.pause_reading)()

    async def live(self) -> None:
        """Be connected until cancelled."""
        failures = 0
        while True:
            self._begin()
            await self._open()
            failures = 0 if await self._stay() else failures + 1
            if self._told_s is not None:
                pause_s = self._told_s
            else:
                longest_s = min(LONGEST_RETRY_S, RETRY_S[1] * 2**failures)
                pause_s = random.uniform(RETRY_S[0], longest_s)
            await asyncio.sleep(pause_s)

    def check(self, now_s: float) -> None:
        """To be called now and then: give up a connection that does not answer."""
        if not self.is_open or not self.is_reading:
            return
        silent_s = now_s - self._heard_at_s
        oldest_s = min((one.tried_at_s for one in self._refs.values()), default=now_s)
        if now_s - oldest_s > ANSWER_S or silent_s > SILENT_S * 1.5:
            self._socket.abort()
        elif silent_s > SILENT_S and not self._has_pinged:
            self._has_pinged = True
            self._send({"type": "ping", "ref": "ping"})

    # --- A connection's life ----------------------------------------------------------------------

    def _begin(self) -> None:
        self._ended.clear()
        self._is_served = False
        self._told_s = None
        self._refs = {}
        self.record = Connection(f"{self.person.id}#{len(self._past) + 1}", self.person.id)
        self._past.append(self.record)
        self._socket = SocketClient(self.url, "/ws", self.person.token, self)

    async def _open(self) -> None:
        parts = urlsplit(self.url)
        try:
            async with asyncio.timeout(OPEN_S):
                await self._loop.create_connection(
                    lambda: self._socket, parts.hostname or "", parts.port or 80
                )
        except (OSError, TimeoutError):
            self._ended.set()

    async def _stay(self) -> bool:
        """Until the connection ends; whether it was of any use."""
        began_s = self._loop.time()
        while not self._ended.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0):  # `wait_for` of Python 3.11 may swallow a cancellation
                    await self._ended.wait()
            if not self.is_open and self._loop.time() - began_s > OPEN_S:
                self._socket.abort()
        self.is_open = False
        for asked in self._refs.values():
            asked.request.is_unknown = True
        for chat in self._chats.values():
            chat.early.clear()
            chat.is_resuming = False
        return self._is_served

    def _connect(self, frame: Json) -> None:
        if self._epoch not in (None, frame["epoch"]):
            self._watch.surprised(f"{self.record.name} was told of another epoch")
        self._epoch = frame["epoch"]
        self.is_open = True
        self._has_pinged = False
        self._watch.connected(self, self._loop.time())
        self._resume(list(self._chats))
        for asked in list(self._outbox.values()):
            self._try(asked)

    def _resume(self, chat_ids: list[int]) -> None:
        for chat_id in chat_ids:
            self._chats[chat_id].is_resuming = True
        cursors = {str(chat_id): self._chats[chat_id].cursor for chat_id in chat_ids}
        self._numbers += 1
        ref = f"resume {self._numbers} {' '.join(cursors)}"
        self._send({"type": "resume", "ref": ref, "cursors": cursors, "epoch": self._epoch})

    def _resume_on(self, socket: SocketClient, chat_ids: list[int]) -> None:
        """Unless it has ended meanwhile."""
        if socket is self._socket and self.is_open:
            self._resume(chat_ids)

    def _try(self, asked: Asked) -> None:
        if not self.is_open or asked.key not in self._outbox:
            return
        self._numbers += 1
        ref = str(self._numbers)
        self._refs[ref] = asked
        asked.tried_at_s = self._loop.time()
        if isinstance(asked.request, Send):
            self.record.sends.append((ref, asked.request.chat_id))
        self._send(asked.to_frame(ref))

    def _send(self, frame: Json) -> None:
        self._socket.send([orjson.dumps(frame)])

    # --- As the listener of its socket ------------------------------------------------------------

    def opened(self) -> None:
        """The `connected` frame is what counts."""

    def knows(self, chunk: bytes) -> bool:
        return False

    def heard(self, texts: list[bytes], chunk: bytes | None) -> None:
        now_s = self._heard_at_s = self._loop.time()
        for text in texts:
            frame = read_frame(text)
            self.record.frames.append(frame)
            self._take(frame, now_s)

    def ended(self, code: int, reason: str) -> None:
        self.closes.append((code, reason))
        self._ended.set()

    def _take(self, frame: Json, now_s: float) -> None:
        match frame["type"]:
            case "ack":
                self._take_ack(frame, now_s)
            case "error":
                self._take_error(frame)
            case "connected":
                self._connect(frame)
            case "changes":
                self._take_changes(frame, now_s)
            case "server_restarting":
                self._told_s = frame["retry_after_ms"] / 1000
            case "pong":
                self._has_pinged = False
            case "chat_created":
                self._take_creation(frame)
            case "resync_required":
                self._watch.fell_behind(self, frame["chat_id"])
            case _:
                self._take_other(frame, now_s)

    def _take_other(self, frame: Json, now_s: float) -> None:
        """A change of a chat, or that its user is in there no more: then nothing is held of it."""
        kind, chat_id = frame["type"], frame.get("chat_id")
        if chat_id not in self._chats:
            return
        if kind == "chat_gone" or (kind == "user_left" and frame["user_id"] == self.person.id):
            self._chats[chat_id] = _Chat(0)
        elif "version" in frame:
            self._take_push(self._chats[chat_id], frame, now_s)

    def _take_ack(self, frame: Json, now_s: float) -> None:
        self._is_served = True
        asked = self._refs.pop(frame["ref"], None)
        if asked is None:
            if frame["ref"].startswith("resume"):
                self._end_resume(frame["ref"], now_s)
            return
        message = frame["message"]
        asked.request.acks.append(message)
        if self._outbox.pop(asked.key, None) is not None:
            self._watch.acknowledged(asked, now_s)
        self._keep(self._chats[message["chat_id"]], message, now_s)

    def _take_error(self, frame: Json) -> None:
        asked = self._refs.pop(frame["ref"], None)
        may_be_asked_again = frame["code"] == "unavailable"
        if asked is not None and may_be_asked_again:
            asked.request.is_unknown = True
            self._loop.call_later(random.uniform(*RETRY_S), self._try, asked)
        elif asked is not None:
            asked.request.refusal = frame["code"]
            self._outbox.pop(asked.key, None)
            if frame["code"] not in asked.may_be_refused_with:
                self._watch.surprised(f"{asked.key} was refused: {frame['code']}")
        elif may_be_asked_again and (frame["ref"] or "").startswith("resume"):
            chat_ids = _chats_of(frame["ref"])
            socket = self._socket
            pause_s = random.uniform(*RETRY_S)
            self._loop.call_later(pause_s, self._resume_on, socket, chat_ids)
        else:
            self._watch.surprised(f"{self.record.name} was answered {frame}")

    # --- What it holds ----------------------------------------------------------------------------

    def _take_creation(self, frame: Json) -> None:
        """It stands for a fresh read, which here is the rest of what is held. A `resume` that is under way
        may have been answered before its user was in."""
        chat = self._chats.get(frame["chat_id"])
        if chat is not None:
            chat.known = max(chat.known, frame["version"])
            self._resume([frame["chat_id"]])

    def _take_push(self, chat: _Chat, frame: Json, now_s: float) -> None:
        if frame["version"] > chat.cursor:
            chat.early[frame["version"]] = frame
            self._apply_early(chat, frame["chat_id"], now_s)

    def _apply_early(self, chat: _Chat, chat_id: int, now_s: float) -> None:
        while (frame := chat.early.pop(chat.cursor + 1, None)) is not None:
            chat.cursor += 1
            if "message" in frame:
                self._keep(chat, frame["message"], now_s)
        if chat.early and not chat.is_resuming:
            self._resume([chat_id])

    def _take_changes(self, page: Json, now_s: float) -> None:
        chat = self._chats[page["chat_id"]]
        for message in page["messages"]:
            self._keep(chat, message, now_s)
        if page["from"] > chat.cursor:
            # What lies below is still to come with a `resume`; the connection may end before.
            chat.known = max(chat.known, page["to"])
            if not chat.is_resuming:
                self._resume([page["chat_id"]])
            return
        chat.cursor = max(chat.cursor, page["to"])
        chat.early = {version: frame for version, frame in chat.early.items() if version > chat.cursor}
        self._apply_early(chat, page["chat_id"], now_s)

    def _end_resume(self, ref: str, now_s: float) -> None:
        for chat_id in _chats_of(ref):
            chat = self._chats[chat_id]
            chat.is_resuming = False
            self._apply_early(chat, chat_id, now_s)
            if chat.cursor < chat.known and not chat.is_resuming:
                self._resume([chat_id])

    def _keep(self, chat: _Chat, message: Json, now_s: float) -> None:
        held = chat.messages.get(message["seq"])
        if held is None:
            self._watch.delivered(self, message, now_s)
        if held is None or message["version"] > held["version"]:
            chat.messages[message["seq"]] = message


def _chats_of(ref: str) -> list[int]:
    return [int(one) for one in ref.split()[2:]]
