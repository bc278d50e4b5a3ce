"""Who is online: a user is while any connection to any node is open, and for two seconds after the last one
closed. Ephemeral: where other nodes or the store cannot be asked, somebody hears of it later or never."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import partial
from itertools import islice

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
from chat_service.services.ports.presence import Presence, Signs

log = structlog.get_logger()

OFFLINE_AFTER_S = 2.0
"""A reload of the page is not a departure."""
REFRESH_S = 2.0
TOLD_TOGETHER = 20


class PresenceService:
    """`run` and `tell` are long tasks; `nodes` counts what all nodes have together."""

    def __init__(
        self, metadata: MetadataStore, manager: ConnectionManager, bus: Bus, nodes: Presence, clock: Clock
    ) -> None:
        self._metadata = metadata
        self._manager = manager
        self._bus = bus
        self._nodes = nodes
        self._clock = clock
        self._online: set[int] = set()
        """Those of this node."""
        self._leaving: dict[int, asyncio.TimerHandle] = {}
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """The last thing that is being done about a user; the next one waits for it."""
        self._news: dict[int, datetime | None] = {}
        """Whose dead node this one tells of, since when; None: they are still here, after all."""
        self._has_news = asyncio.Event()
        self._untold: dict[int, datetime] = {}
        """Who has left while other nodes could not be asked whether they are there."""
        self._is_frozen = False

    def connected(self, user_id: int) -> None:
        """A socket has opened; the first one of a user is told to the people of their direct chats."""
        self._stay(user_id)
        if user_id not in self._online:
            self._online.add(user_id)
            self._untold.pop(user_id, None)
            self._start(user_id, partial(self._come_online, user_id))

    def disconnected(self, user_id: int) -> None:
        """A socket that was open has closed; two seconds after the last one the user is offline."""
        if self._is_frozen:
            return
        if not self._manager.is_connected(user_id) and user_id in self._online:
            self._stay(user_id)
            loop = asyncio.get_running_loop()
            self._leaving[user_id] = loop.call_later(OFFLINE_AFTER_S, self._leave, user_id)

    def freeze(self) -> None:
        """The node ends, and its people are on their way to another one: the nodes that stay will tell of
        those who do not arrive."""
        self._is_frozen = True
        for user_id in list(self._leaving):
            self._stay(user_id)

    async def list_online(self, caller: Caller, chat_id: int) -> list[int]:
        """The participants of a chat who are online now, the caller included, ascending."""

        async def read(unit: Unit) -> list[int]:
            await access_chat(unit, chat_id, caller.id)
            return [one.user_id for one in await unit.participants.list_positions(chat_id)]

        user_ids = await self._metadata.read(read)
        try:
            elsewhere = await self._nodes.list_online(user_ids)
        except Unavailable:
            elsewhere = set()  # those of this node are better than no answer
        return sorted(self._online.intersection(user_ids) | elsewhere)

    async def run(self) -> None:
        """Say that this node lives, again and again; nothing here may take long, or it is taken for dead."""
        while True:
            try:
                self._take(await self._nodes.refresh(self._online))
            except Unavailable as error:
                log.debug("presence_unshared", reason=str(error))
            await asyncio.sleep(REFRESH_S)

    def _take(self, signs: Signs) -> None:
        for user_id, seen_at in list(self._untold.items()):
            del self._untold[user_id]
            self._start(user_id, partial(self._go_offline, user_id, seen_at))
        self._news |= dict.fromkeys(signs.gone, self._clock())
        if signs.was_missed:
            self._news |= dict.fromkeys(self._online)
        if self._news:
            self._has_news.set()

    async def tell(self) -> None:
        """A node has died: most of its people are back on another one, the rest is told of. Or this one was
        taken for dead: its people are here."""
        while True:
            await self._has_news.wait()
            some = dict(islice(self._news.items(), TOLD_TOGETHER))
            try:
                await self._tell_some(some)
            except Unavailable as error:
                log.debug("presence_unshared", reason=str(error))
                await asyncio.sleep(REFRESH_S)
                continue
            for user_id, seen_at in some.items():
                if self._news[user_id] is seen_at:  # else another node has died since
                    del self._news[user_id]
            if not self._news:
                self._has_news.clear()

    async def _tell_some(self, some: dict[int, datetime | None]) -> None:
        """To be repeated as a whole where a store does not answer: who hears twice hears the same."""
        gone = {user_id: seen_at for user_id, seen_at in some.items() if seen_at is not None}
        back = await self._nodes.list_online(gone) if gone else set()
        tellings = [
            self._tell_offline(user_id, seen_at) for user_id, seen_at in gone.items() if user_id not in back
        ]
        tellings += [self._come_online(user_id) for user_id in (some.keys() - gone.keys()) & self._online]
        await asyncio.gather(*tellings)

    def _stay(self, user_id: int) -> None:
        leaving = self._leaving.pop(user_id, None)
        if leaving is not None:
            leaving.cancel()

    def _leave(self, user_id: int) -> None:
        del self._leaving[user_id]
        self._online.discard(user_id)
        self._start(user_id, partial(self._go_offline, user_id, self._clock()))

    async def _come_online(self, user_id: int) -> None:
        try:
            is_first = await self._nodes.enter(user_id)
        except Unavailable:
            is_first = True
        if is_first:
            await self._tell(user_id, pushes.user_online(user_id), is_online=True)

    async def _go_offline(self, user_id: int, seen_at: datetime) -> None:
        try:
            is_last = await self._nodes.leave(user_id)
        except Unavailable:
            is_last = False
            if user_id not in self._online:  # who has come back since is not to be told of
                self._untold[user_id] = seen_at
        if is_last:
            await self._tell_offline(user_id, seen_at)
        else:
            await self._metadata.transact(lambda unit: unit.accounts.set_last_seen([user_id], seen_at))

    async def _tell_offline(self, user_id: int, seen_at: datetime) -> None:
        await self._tell(user_id, pushes.user_offline(user_id, seen_at), is_online=False)
        await self._metadata.transact(lambda unit: unit.accounts.set_last_seen([user_id], seen_at))

    async def _tell(self, user_id: int, push: bytes, *, is_online: bool) -> None:
        """Who has come or gone again while the audience was read is told of by that later call alone."""
        peers, chats = await self._metadata.read(lambda unit: _list_audience(unit, user_id))
        if peers and is_online is (user_id in self._online):
            self._bus.publish([UserNotified(tuple(peers), push, frozenset(chats))])

    def _start(self, user_id: int, work: Callable[[], Awaitable[None]]) -> None:
        """Do something about a user after what is being done already, so that nodes hear of it in order."""
        task = asyncio.create_task(self._follow(self._tasks.get(user_id), work))
        self._tasks[user_id] = task
        task.add_done_callback(lambda done: self._forget(user_id, done))

    def _forget(self, user_id: int, task: asyncio.Task[None]) -> None:
        if self._tasks.get(user_id) is task:
            del self._tasks[user_id]

    async def _follow(self, earlier: asyncio.Task[None] | None, work: Callable[[], Awaitable[None]]) -> None:
        if earlier is not None:
            await asyncio.wait([earlier])
        await self._forgive(work)

    async def _forgive(self, work: Callable[[], Awaitable[None]]) -> None:
        """Presence is ephemeral: where the store is down, nobody hears of it and nothing breaks."""
        try:
            await work()
        except Unavailable:
            log.warning("presence_untold")


async def _list_audience(unit: Unit, user_id: int) -> tuple[list[int], dict[int, int]]:
    """The people of the user's direct chats, and all chats the user is in."""
    return await unit.participants.list_peers(user_id), await unit.participants.list_memberships(user_id)
