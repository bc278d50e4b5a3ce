"""Who is online: a user is while any connection is open, and for two seconds after the last one closed."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from datetime import datetime

import structlog

from chat_service.domain import pushes
from chat_service.domain.clock import Clock
from chat_service.domain.errors import Unavailable
from chat_service.domain.events import UserNotified
from chat_service.domain.models import Caller
from chat_service.services.access import access_chat
from chat_service.services.connections import ConnectionManager
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.metadata import MetadataStore, Unit

log = structlog.get_logger()

OFFLINE_AFTER_S = 2.0
"""A reload of the page is not a departure."""


class PresenceService:
    def __init__(self, metadata: MetadataStore, manager: ConnectionManager, bus: Bus, clock: Clock) -> None:
        self._metadata = metadata
        self._manager = manager
        self._bus = bus
        self._clock = clock
        self._online: set[int] = set()
        self._leaving: dict[int, asyncio.TimerHandle] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def connected(self, user_id: int) -> None:
        """A socket has opened; the first one of a user is told to the people of their direct chats."""
        self._stay(user_id)
        if user_id not in self._online:
            self._online.add(user_id)
            self._start(self._tell(user_id, pushes.user_online(user_id), is_online=True))

    def disconnected(self, user_id: int) -> None:
        """A socket that was open has closed; two seconds after the last one the user is offline."""
        if not self._manager.is_connected(user_id) and user_id in self._online:
            self._stay(user_id)
            loop = asyncio.get_running_loop()
            self._leaving[user_id] = loop.call_later(OFFLINE_AFTER_S, self._leave, user_id)

    async def list_online(self, caller: Caller, chat_id: int) -> list[int]:
        """The participants of a chat who are online now, the caller included, ascending."""

        async def read(unit: Unit) -> list[int]:
            await access_chat(unit, chat_id, caller.id)
            present = await unit.participants.list_positions(chat_id)
            return [one.user_id for one in present if one.user_id in self._online]

        return await self._metadata.read(read)

    def _stay(self, user_id: int) -> None:
        leaving = self._leaving.pop(user_id, None)
        if leaving is not None:
            leaving.cancel()

    def _leave(self, user_id: int) -> None:
        del self._leaving[user_id]
        self._online.discard(user_id)
        self._start(self._go_offline(user_id, self._clock()))

    async def _go_offline(self, user_id: int, seen_at: datetime) -> None:
        await self._tell(user_id, pushes.user_offline(user_id, seen_at), is_online=False)
        await self._metadata.transact(lambda unit: unit.accounts.set_last_seen([user_id], seen_at))

    async def _tell(self, user_id: int, push: bytes, *, is_online: bool) -> None:
        """Who has come or gone again while the audience was read is told of by that later call alone."""
        peers, chats = await self._metadata.read(lambda unit: _list_audience(unit, user_id))
        if peers and is_online is (user_id in self._online):
            self._bus.publish([UserNotified(tuple(peers), push, frozenset(chats))])

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(self._forgive(work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forgive(self, work: Coroutine[None, None, None]) -> None:
        """Presence is ephemeral: where the store is down, nobody hears of it and nothing breaks."""
        try:
            await work
        except Unavailable:
            log.warning("presence_untold")


async def _list_audience(unit: Unit, user_id: int) -> tuple[list[int], dict[int, int]]:
    """The people of the user's direct chats, and all chats the user is in."""
    return await unit.participants.list_peers(user_id), await unit.participants.list_memberships(user_id)
