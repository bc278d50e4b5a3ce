"""The sequencer without a network: real services on SQLite, and sockets that write down what they get."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from chat_service.adapters.sql.migrate import upgrade
from chat_service.app import build_services
from chat_service.domain.events import ChatChanged, Event
from chat_service.domain.ids import new_id
from chat_service.domain.models import Caller, ChatType
from chat_service.services import streams
from chat_service.services.accounts import NewAccount
from chat_service.services.chats import NewChat
from chat_service.services.connections import (
    OUTBOUND_BYTES,
    SLOW_CONSUMER,
    Connection,
    ConnectionManager,
)
from chat_service.services.container import Services
from chat_service.services.messages import Draft
from chat_service.services.ports.socket import Batch
from chat_service.services.streams import Streams
from tests.eventually import eventually
from tests.node import make_settings

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
            self.streams.close(connection)
            self.manager.remove(connection)


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


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    settings = make_settings(data_dir=tmp_path)
    services = build_services(settings)
    await services.metadata.connect()
    await services.content.connect()
    await asyncio.to_thread(upgrade, settings.metadata_url)
    sender = asyncio.create_task(services.sender.run())
    yield World(services)
    sender.cancel()
    await asyncio.gather(sender, return_exceptions=True)
    await services.metadata.close()
    await services.content.close()


# --- Order --------------------------------------------------------------------------------------------


async def test_changes_in_any_order_are_delivered_by_version(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening = await world.listen(ben)
    changes = await world.changes(ann, chat_id, 20)
    shuffled = random.Random(7).sample(changes, len(changes))
    for event in shuffled:
        world.hear(event)
    assert versions(listening) == list(range(2, 22))
    assert {kind for kind, _ in heard(listening)} == {"chat_updated"}


async def test_a_doubled_change_is_delivered_once(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening = await world.listen(ben)
    one, two, three = await world.changes(ann, chat_id, 3)
    for events in ([one], [one], [three, three], [two, one], [three, two, one]):
        world.hear(*events)
    assert versions(listening) == [2, 3, 4]


async def test_a_batch_of_one_chat_is_one_write_for_a_socket(world: World) -> None:
    ann = await world.user()
    chat_id = await world.group(ann)
    listening = await world.listen(ann)
    world.hear(*await world.changes(ann, chat_id, 10))
    assert isinstance(listening.socket, RecordingSocket)
    assert (listening.socket.writes, versions(listening)) == (1, list(range(2, 12)))


async def test_a_missing_change_is_filled_from_the_store_and_nothing_comes_twice(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening = await world.listen(ben)
    one, _, three, four = await world.changes(ann, chat_id, 4)
    world.hear(one, four)
    world.hear(three)
    assert versions(listening) == [2]
    await until_heard(listening, 5)
    assert heard(listening) == [("chat_updated", 2), ("changes", 5)]
    (filled,) = [frame for frame in frames(listening) if frame["type"] == "changes"]
    assert (filled["from"], filled["has_more"], "ref" in filled) == (2, False, False)
    assert filled["chat"]["version"] == 5
    world.hear(*await world.changes(ann, chat_id, 1))
    assert heard(listening)[2:] == [("chat_updated", 6)]


async def test_a_change_that_is_only_late_is_not_filled(world: World) -> None:
    ann = await world.user()
    chat_id = await world.group(ann)
    listening = await world.listen(ann)
    one, two = await world.changes(ann, chat_id, 2)
    world.hear(two)
    await asyncio.sleep(0.05)
    world.hear(one)
    await asyncio.sleep(0.3)
    assert heard(listening) == [("chat_updated", 2), ("chat_updated", 3)]


async def test_a_hole_longer_than_a_page_is_filled_page_by_page(world: World) -> None:
    ann = await world.user()
    chat_id = await world.group(ann)
    listening = await world.listen(ann)
    for number in range(250):
        await world.services.messages.send_message(ann, Draft(chat_id, f"Message {number}"))
    world.hear(world.events[-1])
    await until_heard(listening, 251)
    pages = frames(listening)
    assert [frame["type"] for frame in pages] == ["changes"] * len(pages)
    assert [page["from"] for page in pages] == [1, *(page["to"] for page in pages[:-1])]
    contents = [message["content"] for page in pages for message in page["messages"]]
    assert contents == [f"Message {number}" for number in range(250)]


async def test_a_chat_that_falls_silent_after_a_lost_push_is_made_whole(world: World) -> None:
    ann = await world.user()
    chat_id = await world.group(ann)
    listening = await world.listen(ann)
    await world.changes(ann, chat_id, 3)
    await world.streams.check_all()
    await until_heard(listening, 4)
    assert heard(listening) == [("changes", 4)]


async def test_a_version_that_the_store_does_not_have_is_not_asked_for_without_a_pause(world: World) -> None:
    """After a restore the store is behind what was heard; the sockets close within a second."""
    ann = await world.user()
    chat_id = await world.group(ann)
    listening = await world.listen(ann)
    (event,) = await world.changes(ann, chat_id, 1)
    reads = 0
    read = world.services.history.find_changes_for_all

    async def count(*args: Any, **kwargs: Any) -> Any:
        nonlocal reads
        reads += 1
        return await read(*args, **kwargs)

    world.services.history.find_changes_for_all = count  # type: ignore[method-assign]
    world.hear(ChatChanged(chat_id, 9, event.push))
    await asyncio.sleep(1.0)
    assert heard(listening) == [("changes", 2)]
    assert reads <= 3
    world.disconnect(listening)
    assert not world.streams._streams


async def test_what_comes_while_a_hole_is_read_does_not_delay_the_rest(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FILL_RETRY_S", 2 * WAIT_S)
    ann = await world.user()
    chat_id = await world.group(ann)
    listening = await world.listen(ann)
    two, three, _, five = await world.changes(ann, chat_id, 4)
    find = world.services.history.find_changes_for_all

    async def find_slowly(*args: Any, **kwargs: Any) -> Any:
        found = await find(*args, **kwargs)
        world.hear(two)
        return found

    monkeypatch.setattr(world.services.history, "find_changes_for_all", find_slowly)
    world.hear(three, five)
    await until_heard(listening, 5)
    assert heard(listening) == [("chat_updated", 2), ("chat_updated", 3), ("changes", 5)]


# --- Handshakes ---------------------------------------------------------------------------------------


async def test_a_socket_that_read_ahead_of_the_stream_hears_only_what_is_newer(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    early = await world.listen(ann)
    one, two, three = await world.changes(ann, chat_id, 3)
    late = await world.listen(ben)
    world.hear(one, two, three)
    (four,) = await world.changes(ann, chat_id, 1)
    world.hear(four)
    assert versions(early) == [2, 3, 4, 5]
    assert versions(late) == [5]


async def test_a_socket_that_read_ahead_is_not_told_of_a_hole_below(world: World) -> None:
    """What it knows is in its `resume`; `changes` from below would lead it past what that has not brought."""
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    early = await world.listen(ann)
    _, _, three = await world.changes(ann, chat_id, 3)
    late = await world.listen(ben)
    world.hear(three)
    await until_heard(early, 4)
    world.hear(*await world.changes(ann, chat_id, 1))
    assert heard(early) == [("changes", 4), ("chat_updated", 5)]
    assert heard(late) == [("chat_updated", 5)]


async def fill(world: World, who: Caller, chat_id: int) -> None:
    """Let the next two changes of the chat come from the store, because the first of them was lost."""
    _, heard_of = await world.changes(who, chat_id, 2)
    world.hear(heard_of)


def kinds(connection: Connection) -> list[str]:
    return [frame["type"] for frame in frames(connection)]


async def test_changes_wait_while_a_client_is_coming_back_and_its_answers_do_not(world: World) -> None:
    """A client that took their end for its cursor would never ask for what lies below its connection."""
    ann = await world.user()
    chat_id, other_id = await world.group(ann), await world.group(ann)
    listening, coming = await world.listen(ann), await world.listen(ann)
    coming.hold()
    coming.hold()
    await fill(world, ann, chat_id)
    await until_heard(listening, 3)
    world.hear(*await world.changes(ann, chat_id, 1))
    world.streams.signal(chat_id, b'{"type": "user_typing", "version": 0}')
    coming.release()
    coming.send(b'{"type": "ack"}')
    world.hear(*await world.changes(ann, other_id, 1))
    assert kinds(coming) == ["ack", "chat_updated"], "only the chat with a hole waits"
    coming.release()
    assert kinds(coming)[2:] == ["changes", "chat_updated", "user_typing"]
    world.hear(*await world.changes(ann, chat_id, 1))
    assert versions(listening)[-1] == frames(coming)[-1]["version"] == 5
    assert coming.unsent_bytes == 0


async def test_whoever_is_removed_hears_what_waited_and_that_they_are_out(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening = await world.listen(ann)
    coming, of_one_chat = await world.listen(ben), await world.listen(ben, chat_id)
    for connection in (coming, of_one_chat):
        connection.hold()
    await fill(world, ann, chat_id)
    await until_heard(listening, 3)
    world.hear(await world.remove(ann, chat_id, ben))
    for connection in (coming, of_one_chat):
        assert heard(connection) == [("changes", 3), ("user_left", 4)]
    assert of_one_chat.closed_with == 4003


async def test_who_is_to_be_told_too_much_after_it_is_a_slow_consumer(world: World) -> None:
    ann = await world.user()
    chat_id = await world.group(ann)
    listening = await world.listen(ann)
    listening.hold()
    listening.write_changes(Batch([b"x" * OUTBOUND_BYTES]), chat_id)
    listening.write(Batch([b"y"]), chat_id=chat_id)
    assert not listening.is_closed
    assert listening.unsent_bytes > OUTBOUND_BYTES
    listening.write_changes(Batch([b"z"]), chat_id)
    assert listening.closed_with == SLOW_CONSUMER


async def test_what_happens_while_a_handshake_reads_is_not_missed(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    opening = world.register(ben)
    memberships = await world.read(opening)
    world.hear(*await world.changes(ann, chat_id, 2))
    world.streams.open(opening, memberships)
    world.hear(*await world.changes(ann, chat_id, 1))
    assert versions(opening) == [2, 3, 4]


async def test_a_removal_while_a_handshake_reads_ends_the_chat(world: World) -> None:
    ann, ben, eve = await world.user(), await world.user(), await world.user()
    chat_id = await world.group(ann, ben, eve)
    others = await world.listen(ann)
    opening, of_one_chat = world.register(ben), world.register(ben, chat_id)
    memberships = await world.read(opening)
    world.hear(await world.remove(ann, chat_id, ben))
    for connection in (opening, of_one_chat):
        world.streams.open(connection, memberships)
    world.hear(*await world.changes(ann, chat_id, 1))
    assert heard(opening) == heard(of_one_chat) == [("user_left", 2)]
    assert of_one_chat.socket.closed == (4003, "not_found")  # type: ignore[attr-defined]
    assert not opening.chats
    assert versions(others) == [2, 3]


async def test_a_hole_that_is_filled_while_a_handshake_reads_leaves_none(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    others = await world.listen(ann)
    opening = world.register(ben)
    memberships = await world.read(opening)
    one, _ = await world.changes(ann, chat_id, 2)
    world.hear(one)
    await world.streams.check_all()
    await until_heard(others, 3)
    world.streams.open(opening, memberships)
    await until_heard(opening, 3)
    world.hear(*await world.changes(ann, chat_id, 1))
    assert heard(opening) == [("chat_created", 3), ("chat_updated", 4)]


async def test_a_removal_that_fills_a_hole_while_a_handshake_reads_ends_the_chat(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    others = await world.listen(ann)
    opening, of_one_chat = world.register(ben), world.register(ben, chat_id)
    memberships = await world.read(opening)
    await world.remove(ann, chat_id, ben)
    await world.streams.check_all()
    await until_heard(others, 2)
    for connection in (opening, of_one_chat):
        world.streams.open(connection, memberships)
    world.hear(*await world.changes(ann, chat_id, 1))
    await eventually(lambda: of_one_chat.socket.closed == (4003, "not_found"))  # type: ignore[attr-defined]
    assert heard(opening) == heard(of_one_chat) == []
    assert not opening.chats
    assert versions(others) == [2, 3]


async def test_a_removal_of_the_only_listener_while_a_handshake_reads_leaves_nothing_behind(
    world: World,
) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    opening = world.register(ben)
    memberships = await world.read(opening)
    world.hear(await world.remove(ann, chat_id, ben))
    world.streams.open(opening, memberships)
    assert heard(opening) == [("user_left", 2)]
    assert not world.streams._streams
    world.disconnect(opening)


async def test_who_is_added_while_a_handshake_reads_hears_the_chat(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann)
    opening = world.register(ben)
    memberships = await world.read(opening)
    world.hear(await world.add(ann, chat_id, ben))
    world.streams.open(opening, memberships)
    world.hear(*await world.changes(ann, chat_id, 1))
    assert heard(opening) == [("chat_created", 2), ("chat_updated", 3)]


async def test_who_is_added_removed_and_added_while_a_handshake_reads_hears_the_chat(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann)
    opening = world.register(ben)
    memberships = await world.read(opening)
    world.hear(await world.add(ann, chat_id, ben))
    world.hear(await world.remove(ann, chat_id, ben))
    world.hear(await world.add(ann, chat_id, ben))
    world.streams.open(opening, memberships)
    world.hear(*await world.changes(ann, chat_id, 1))
    assert heard(opening) == [("chat_created", 2), ("user_left", 3), ("chat_created", 4), ("chat_updated", 5)]


async def test_a_socket_that_read_its_rejoining_keeps_the_chat_when_the_leave_is_heard(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    await world.listen(ann)
    left, joined = await world.remove(ann, chat_id, ben), await world.add(ann, chat_id, ben)
    late, of_one_chat = await world.listen(ben), await world.listen(ben, chat_id)
    world.hear(left)
    world.hear(joined)
    world.hear(*await world.changes(ann, chat_id, 1))
    assert of_one_chat.socket.closed is None  # type: ignore[attr-defined]
    assert heard(late) == heard(of_one_chat) == [("chat_updated", 4)]


# --- Memberships --------------------------------------------------------------------------------------


async def test_who_joins_gets_the_chat_and_the_others_get_the_joining(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann)
    a, b = await world.listen(ann), await world.listen(ben)
    world.hear(await world.add(ann, chat_id, ben), *await world.changes(ann, chat_id, 1))
    assert heard(a) == [("user_joined", 2), ("chat_updated", 3)]
    assert heard(b) == [("chat_created", 2), ("chat_updated", 3)]


async def test_who_leaves_hears_that_last_and_is_told_on_joining_again(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    a, b = await world.listen(ann), await world.listen(ben)
    events = [
        *await world.changes(ann, chat_id, 1),
        await world.remove(ann, chat_id, ben),
        *await world.changes(ann, chat_id, 1),
        await world.add(ann, chat_id, ben),
        *await world.changes(ann, chat_id, 1),
    ]
    for event in reversed(events):
        world.hear(event)
    assert versions(a) == [2, 3, 4, 5, 6]
    assert heard(b) == [("chat_updated", 2), ("user_left", 3), ("chat_created", 5), ("chat_updated", 6)]


async def test_a_chat_whose_only_listener_changes_within_a_batch_is_not_lost(world: World) -> None:
    """Ann is not connected here: Ben is the only listener, leaves, and Eve joins in the same batch."""
    ann, ben, eve = await world.user(), await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    b, e = await world.listen(ben), await world.listen(eve)
    world.hear(await world.remove(ann, chat_id, ben), await world.add(ann, chat_id, eve))
    world.hear(*await world.changes(ann, chat_id, 1))
    assert heard(b) == [("user_left", 2)]
    assert heard(e) == [("chat_created", 3), ("chat_updated", 4)]


async def test_a_filled_hole_ends_and_begins_memberships(world: World) -> None:
    ann, ben, eve = await world.user(), await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    a, b, e = [await world.listen(one) for one in (ann, ben, eve)]
    b_only = await world.listen(ben, chat_id)
    await world.remove(ann, chat_id, ben)
    await world.add(ann, chat_id, eve)
    world.hear(*await world.changes(ann, chat_id, 1))
    await until_heard(a, 4)
    assert heard(a) == [("changes", 4)]
    assert heard(b) == heard(b_only) == [("user_left", 2)]
    assert b_only.socket.closed == (4003, "not_found")  # type: ignore[attr-defined]
    assert heard(e) == [("chat_created", 4)]
    world.hear(*await world.changes(ann, chat_id, 1))
    assert versions(a)[1:] == versions(e)[1:] == [5]
    assert versions(b) == [2]


async def test_a_filled_hole_that_changes_the_only_listener_does_not_lose_the_chat(world: World) -> None:
    ann, ben, eve = await world.user(), await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    b, e = await world.listen(ben), await world.listen(eve)
    await world.remove(ann, chat_id, ben)
    await world.add(ann, chat_id, eve)
    world.hear(*await world.changes(ann, chat_id, 1))
    await until_heard(e, 4)
    await asyncio.sleep(0.1)
    world.hear(*await world.changes(ann, chat_id, 1))
    assert heard(b) == [("user_left", 2)]
    assert heard(e) == [("chat_created", 4), ("chat_updated", 5)]
    world.disconnect(b, e)
    assert not world.streams._streams


async def test_random_memberships_in_any_order_give_every_socket_a_consistent_chat(world: World) -> None:
    """Each socket hears versions ascending; while it is in, without a gap; never anything while it is out."""
    dice = random.Random(20261120)
    people = [await world.user() for _ in range(4)]
    owner = people[0]
    chat_id = await world.group(owner)
    everything, *connections = [await world.listen(one) for one in people]
    inside: set[int] = set()
    events: list[ChatChanged] = []
    for _ in range(120):
        who = dice.choice(people[1:])
        if dice.random() < 0.4:
            events += await world.changes(owner, chat_id, 1)
        elif who.id in inside:
            inside.discard(who.id)
            events.append(await world.remove(owner, chat_id, who))
        else:
            inside.add(who.id)
            events.append(await world.add(owner, chat_id, who))
    waiting = events[:]
    while waiting:
        size = dice.randint(1, 6)
        part, waiting = waiting[:size], waiting[size:]
        dice.shuffle(part)
        for batch in [part] if dice.random() < 0.5 else [[event] for event in part]:
            world.hear(*batch)
    assert versions(everything) == [event.version for event in events]
    for person, connection in zip(people[1:], connections, strict=True):
        expected: list[tuple[str, int]] = []
        is_in = False
        for event in events:
            if person.id in event.joined:
                is_in = True
                expected.append(("chat_created", event.version))
            elif is_in:
                expected.append((orjson.loads(event.push)["type"], event.version))
                is_in = person.id not in event.left
        assert heard(connection) == expected
    world.disconnect(everything, *connections)
    assert not world.streams._streams
    assert not world.manager._users
    assert not world.manager._connections


async def test_nothing_is_kept_of_a_chat_that_nobody_listens_to(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    one, two = await world.listen(ann), await world.listen(ben, chat_id)
    changes = await world.changes(ann, chat_id, 3)
    world.hear(changes[2])
    world.disconnect(one, two)
    assert not world.streams._streams
    assert not world.manager._users
    world.hear(*changes)
    assert not world.streams._streams
    await asyncio.sleep(0.3)
    assert versions(one) == versions(two) == []


async def test_a_socket_of_one_chat_is_not_drawn_into_another(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id, other_id = await world.group(ann, ben), await world.group(ann)
    connection = await world.listen(ben, chat_id)
    world.hear(await world.add(ann, other_id, ben), *await world.changes(ann, other_id, 1))
    world.hear(*await world.changes(ann, chat_id, 1))
    assert [frame["chat_id"] for frame in frames(connection)] == [chat_id]


async def test_what_waits_for_a_hole_is_bounded_and_read_from_the_store(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "EARLY_KEPT", 3)
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening = await world.listen(ben)
    changes = await world.changes(ann, chat_id, 8)
    world.hear(*changes[1:])
    assert len(world.streams._streams[chat_id].early) == 3
    await until_heard(listening, changes[-1].version)
    assert versions(listening) == sorted(set(versions(listening)))


async def test_a_handshake_misses_nothing_and_keeps_nothing_afterwards(world: World) -> None:
    """One record for all handshakes that are under way, as long as the oldest of them."""
    ann = await world.user()
    chat_id = await world.group(ann)
    changes = await world.changes(ann, chat_id, 5)
    world.manager.collect_missed(changes[:1])
    first = world.register(ann)
    world.manager.collect_missed(changes[1:3])
    second = world.register(ann)
    world.manager.collect_missed(changes[3:])
    assert world.manager.take_missed(second) == changes[3:]
    assert world.manager.take_missed(first) == changes[1:]
    assert world.manager._record == []


async def test_what_came_twice_during_a_handshake_is_heard_once(world: World) -> None:
    """Who joins is told of by way of the chat and of the joiner."""
    ann, ben, cem = [await world.user() for _ in range(3)]
    chat_id = await world.group(ann, ben)
    await world.listen(ann)
    opening = world.register(ben)
    memberships = await world.read(opening)
    joined = await world.add(ann, chat_id, cem)
    world.hear(joined)
    world.hear(joined)
    world.streams.open(opening, memberships)
    assert heard(opening) == [("user_joined", joined.version)]
