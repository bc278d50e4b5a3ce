"""The sequencer: order, memberships and handshakes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

import orjson

from chat_service.domain.events import ChatChanged
from chat_service.domain.models import Caller
from chat_service.services.connections import OUTBOUND_BYTES, SLOW_CONSUMER, Connection
from chat_service.services.ports.metadata import Unit
from chat_service.services.ports.socket import Batch
from tests.eventually import eventually
from tests.world import RecordingSocket, World, frames, heard, until_heard, versions

T = TypeVar("T")

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


async def test_after_a_new_epoch_versions_begin_where_the_store_stands(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    before = await world.listen(ann)
    world.hear(*await world.changes(ann, chat_id, 3))
    # A backup is restored, and a connection of before has not ended yet.
    await world.services.metadata.transact(lambda unit: go_back(unit, chat_id))
    world.streams.forget_all()
    after = await world.listen(ben)
    world.hear(*await world.changes(ann, chat_id, 2))
    assert versions(after) == [2, 3]
    assert versions(before) == [2, 3, 4]
    world.streams.close(before)
    world.streams.close(after)


async def go_back(unit: Unit, chat_id: int) -> None:
    (chat,) = await unit.chats.get_chats([chat_id])
    await unit.chats.update_chat(replace(chat, version=1))


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


class ReadAndChanged:
    """A metadata store that is always read just before something else happens."""

    def __init__(self, world: World, happen: Callable[[], Awaitable[None]]) -> None:
        self._read = world.services.metadata.read
        self._happen = happen

    async def read(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        found = await self._read(work)
        await self._happen()
        return found


async def test_who_is_let_in_by_the_store_need_not_wait_until_the_chat_rests(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening, joining = await world.listen(ann), await world.listen(ben)
    world.streams.close(joining)

    async def change() -> None:
        world.hear(*await world.changes(ann, chat_id, 1))

    world.streams._metadata = ReadAndChanged(world, change)  # type: ignore[assignment]
    world.streams.admit(chat_id, [ben.id])
    await until_heard(joining, 1)
    await change()
    assert heard(joining) == [("chat_created", 1), ("chat_updated", 3)]
    assert versions(listening) == [2, 3]


async def test_who_is_removed_while_the_store_is_read_is_not_let_in(world: World) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening, joining = await world.listen(ann), await world.listen(ben)
    world.streams.close(joining)
    removals = [world.remove]

    async def remove() -> None:
        if removals:
            world.hear(await removals.pop()(ann, chat_id, ben))

    world.streams._metadata = ReadAndChanged(world, remove)  # type: ignore[assignment]
    world.streams.admit(chat_id, [ben.id])
    await eventually(lambda: not world.streams._aside)
    assert heard(listening) == [("user_left", 2)]
    assert heard(joining) == []
