"""Telling of the people of nodes that have died, on real services with SQLite."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence

import orjson
import pytest

from chat_service.adapters.presence_memory import MemoryPresence
from chat_service.domain.events import Event, UserNotified
from chat_service.domain.models import ChatType
from chat_service.services import presence
from chat_service.services.chats import NewChat
from chat_service.services.ports.presence import Signs
from chat_service.services.presence import PresenceService
from tests.eventually import eventually
from tests.world import World


class DyingNodes(MemoryPresence):
    """Says who was on nodes that died, and waits before it says who is online elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.signs: list[Signs] = []
        self.answers: asyncio.Queue[set[int]] = asyncio.Queue()
        self.times_asked = 0

    async def refresh(self, present: Collection[int]) -> Signs:
        await super().refresh(present)
        return self.signs.pop() if self.signs else Signs()

    async def list_online(self, user_ids: Collection[int]) -> set[int]:
        self.times_asked += 1
        return await self.answers.get()


async def test_who_is_lost_again_while_their_first_loss_is_told_is_told_of(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence, "REFRESH_S", 0.01)
    ann, ben = await world.user(), await world.user()
    await world.services.chats.create_chat(ann, NewChat(ChatType.DIRECT, None, (ben.id,), None))
    told: list[UserNotified] = []

    def keep(events: Sequence[Event]) -> None:
        told.extend(event for event in events if isinstance(event, UserNotified))

    world.services.bus.subscribe(keep)
    told.clear()
    nodes = DyingNodes()
    service = PresenceService(
        world.services.metadata, world.manager, world.services.bus, nodes, world.services.clock
    )
    async with asyncio.TaskGroup() as group:
        running = [group.create_task(service.run()), group.create_task(service.tell())]
        nodes.signs.append(Signs(gone=frozenset({ann.id})))
        await eventually(lambda: nodes.times_asked == 1)
        nodes.signs.append(Signs(gone=frozenset({ann.id})))
        await eventually(lambda: not nodes.signs)
        nodes.answers.put_nowait({ann.id})  # she had come back, to the second node
        await eventually(lambda: nodes.times_asked == 2)
        assert told == []
        nodes.answers.put_nowait(set())
        await eventually(lambda: told)
        for task in running:
            task.cancel()
    [event] = told
    assert event.user_ids == (ben.id,)
    push = orjson.loads(event.push)
    assert (push["type"], push["user_id"]) == ("user_offline", ann.id)
