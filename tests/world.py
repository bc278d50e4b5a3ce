"""One sequencer without a network: real services on SQLite, and sockets that write down what they get."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from chat_service.domain.events import ChatChanged, Event
from chat_service.domain.ids import new_id
from chat_service.domain.models import Caller, ChatType
from chat_service.services.accounts import NewAccount
from chat_service.services.chats import NewChat
from chat_service.services.connections import Connection, ConnectionManager
from chat_service.services.container import Services
from chat_service.services.ports.socket import Batch
from chat_service.services.recent import RecentChanges
from chat_service.services.streams import Streams

WAIT_S = 5.0


class RecordingSocket:
    """A `Socket` that keeps its frames."""

    def __init__(self) -> None:
        self.frames: list[dict[str, Any]] = []
        self.writes = 0
        self.closed: tuple[int, str] | None = None
        self.unsent_bytes = 0
        self.is_open = True

    def write(self, batch: Batch) -> None:
        self.writes += 1
        self.frames += [orjson.loads(text) for text in batch.texts]

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    async def drained(self) -> None:
        """Nothing is ever unsent."""

    def release(self) -> None:
        """Nothing is held."""


class World:
    """Facts are stored by the services; whether, when and in which order a node hears them, a test says."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.manager = ConnectionManager()
        self.streams = Streams(
            self.manager,
            services.metadata,
            services.history,
            services.bus,
            services.epoch,
            services.metrics,
            RecentChanges(),
        )
        self.events: list[ChatChanged] = []
        services.bus.subscribe(self._keep)
        self._names = itertools.count(1)

    def _keep(self, events: Sequence[Event]) -> None:
        self.events += [event for event in events if isinstance(event, ChatChanged)]

    async def user(self) -> Caller:
        name = f"user{next(self._names)}"
        user = await self.services.accounts.create_user(NewAccount(name, "a long password"))
        return Caller(user, new_id(), datetime.now(UTC) + timedelta(hours=1))

    async def group(self, owner: Caller, *others: Caller) -> int:
        wish = NewChat(ChatType.GROUP, "A group", tuple(one.id for one in others), None)
        chat, _ = await self.services.chats.create_chat(owner, wish)
        return chat.id

    async def changes(self, who: Caller, chat_id: int, count: int) -> list[ChatChanged]:
        """So many changes of the chat, which nobody has heard of yet."""
        before = len(self.events)
        for _ in range(count):
            await self.services.chats.rename_chat(who, chat_id, f"Name {new_id()}")
        return self.events[before:]

    async def add(self, who: Caller, chat_id: int, *others: Caller) -> ChatChanged:
        await self.services.participants.add_participants(who, chat_id, [one.id for one in others])
        return self.events[-1]

    async def remove(self, who: Caller, chat_id: int, other: Caller) -> ChatChanged:
        await self.services.participants.remove_participant(who, chat_id, other.id)
        return self.events[-1]

    def register(self, who: Caller, only_chat_id: int | None = None) -> Connection:
        connection = Connection(str(new_id()), who, RecordingSocket(), only_chat_id)
        self.manager.add(connection)
        self.manager.begin_handshake(connection)
        return connection

    async def read(self, connection: Connection) -> dict[int, int]:
        """The memberships as a handshake reads them."""
        found = await self.services.metadata.read(
            lambda unit: unit.participants.list_memberships(connection.user_id)
        )
        only = connection.only_chat_id
        return found if only is None else {only: found[only]}

    async def listen(self, who: Caller, only_chat_id: int | None = None) -> Connection:
        connection = self.register(who, only_chat_id)
        self.streams.open(connection, await self.read(connection))
        return connection

    def hear(self, *events: ChatChanged) -> None:
        """What the bus does: one batch."""
        self.manager.collect_missed(events)
        self.streams.offer(events)

    def disconnect(self, *connections: Connection) -> None:
        for connection in connections:
            self.manager.remove(connection)
            self.streams.close(connection)


def frames(connection: Connection) -> list[dict[str, Any]]:
    assert isinstance(connection.socket, RecordingSocket)
    return connection.socket.frames


def heard(connection: Connection) -> list[tuple[str, int]]:
    """What a socket got, each with its version (of `changes`: the one it goes up to)."""
    return [
        (frame["type"], frame["to" if frame["type"] == "changes" else "version"])
        for frame in frames(connection)
    ]


def versions(connection: Connection) -> list[int]:
    return [version for _, version in heard(connection)]


async def until_heard(connection: Connection, version: int) -> None:
    async with asyncio.timeout(WAIT_S):
        while version not in versions(connection):  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0.01)
