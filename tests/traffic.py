"""People who write, edit, delete, come and go all the time, as long as a block lasts."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from uuid import UUID

from chat_service.domain.errors import Conflict, Forbidden, NotFound
from chat_service.domain.ids import new_id
from chat_service.services.receipts import PositionKind
from tests.stores import Stores


class Traffic:
    """Six people in three groups; the first owns them, and the last is out as often as in."""

    def __init__(self, stores: Stores) -> None:
        self.stores = stores
        self.services = stores.services
        self.said: dict[int, list[UUID]] = {}
        self.is_over = False

    async def prepare(self) -> None:
        self.people = [await self.stores.a_user() for _ in range(6)]
        self.said = {await self.stores.a_chat(*self.people): [] for _ in range(3)}

    def count(self) -> int:
        return sum(map(len, self.said.values()))

    def some_group(self) -> int:
        return random.choice(list(self.said))

    async def repeat(
        self, work: Callable[[], Awaitable[None]], tolerated: tuple[type[Exception], ...]
    ) -> None:
        while not self.is_over:
            try:
                await work()
            except tolerated:
                await asyncio.sleep(0.05)

    async def send(self) -> None:
        group = self.some_group()
        message = await self.stores.say(random.choice(self.people[:5]), group, f"Something {new_id()}")
        self.said[group].append(message.row.id)

    async def send_twice(self) -> None:
        """The second is a replay, whose body nobody names."""
        await asyncio.sleep(0.01)
        group, key = self.some_group(), str(new_id())
        for _ in range(2):
            await self.stores.say(self.people[1], group, "Did this arrive?", key)

    async def edit(self) -> None:
        await asyncio.sleep(0)
        said = self.said[self.some_group()][-20:]
        if said:
            message_id = random.choice(said)
            edit = self.services.messages.edit_message
            await asyncio.gather(
                *(unless_refused(edit, person, message_id, str(new_id())) for person in self.people[:5])
            )

    async def remove(self) -> None:
        await asyncio.sleep(0.01)
        said = self.said[self.some_group()][-5:]
        if said:
            messages = self.services.messages
            await unless_refused(messages.delete_message, self.people[0], random.choice(said))
            await unless_refused(messages.hide_message, self.people[1], random.choice(said))

    async def come_and_go(self) -> None:
        await asyncio.sleep(0.01)
        group, owner, guest = self.some_group(), self.people[0], self.people[5].id
        service = self.services.participants
        await unless_refused(service.remove_participant, owner, group, guest)
        await unless_refused(service.add_participants, owner, group, [guest])
        await unless_refused(self.services.chats.rename_chat, owner, group, f"Name {random.random()}")

    async def read(self) -> None:
        await asyncio.sleep(0.005)
        group, reader = self.some_group(), random.choice(self.people[1:5])
        await self.services.receipts.move_position(reader, group, PositionKind.READ, 2**40)

    async def meet(self) -> None:
        await asyncio.sleep(0.02)
        chat_id = await self.stores.a_chat(self.people[0], self.people[1])
        await self.stores.say(self.people[1], chat_id, "A new chat")


async def unless_refused(call: Callable[..., Awaitable[Any]], *arguments: Any) -> None:
    with contextlib.suppress(Conflict, Forbidden, NotFound):
        await call(*arguments)


@contextlib.asynccontextmanager
async def traffic(stores: Stores, *, over_damage: bool = False) -> AsyncIterator[Traffic]:
    """What fails in the background fails the test, unless it is `over_damage` that people write."""
    people = Traffic(stores)
    await people.prepare()
    works = (
        *(people.send, people.send, people.send, people.send_twice, people.edit),
        *(people.remove, people.come_and_go, people.read, people.meet),
    )
    tolerated = (Exception,) if over_damage else ()
    tasks = [asyncio.create_task(people.repeat(work, tolerated)) for work in works]
    try:
        yield people
        for task in tasks:
            if task.done():
                task.result()
    finally:
        # Everybody finishes what they are at, as behind a server, which cancels nothing either.
        people.is_over = True
        await asyncio.gather(*tasks, return_exceptions=True)
        await people.services.sender.drain()
