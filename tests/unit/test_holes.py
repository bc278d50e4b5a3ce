"""What a node did not hear is read from the store."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

import pytest

from chat_service.domain.errors import Unavailable
from chat_service.domain.events import ChatChanged
from chat_service.services import streams
from chat_service.services.messages import Draft
from tests.eventually import eventually
from tests.world import WAIT_S, World, frames, heard, until_heard, versions


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


async def test_what_closes_a_hole_is_taken_however_much_waits(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "EARLY_KEPT", 3)
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening = await world.listen(ben)
    changes = await world.changes(ann, chat_id, 4)
    world.hear(*changes[1:])
    assert versions(listening) == []
    world.hear(changes[0])
    assert versions(listening) == [one.version for one in changes]


async def test_a_socket_that_ends_before_a_hole_is_filled_is_not_let_in_again_by_what_waits(
    world: World,
) -> None:
    ann, ben = await world.user(), await world.user()
    chat_id = await world.group(ann, ben)
    listening = await world.listen(ben)
    await world.remove(ann, chat_id, ben)  # of which this node does not hear
    world.hear(await world.add(ann, chat_id, ben))
    world.disconnect(listening)
    assert (world.streams._streams, world.manager._users) == ({}, {})


async def test_the_holes_of_many_chats_are_read_together(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await world.user()
    chat_ids = [await world.group(ann) for _ in range(12)]
    listening = await world.listen(ann)
    for chat_id in chat_ids:
        await world.changes(ann, chat_id, 2)
    reads: list[Mapping[int, int]] = []
    find = world.services.history.find_changes_for_all

    async def count(cursors: Mapping[int, int], *, limit: int) -> Any:
        reads.append(cursors)
        return await find(cursors, limit=limit)

    monkeypatch.setattr(world.services.history, "find_changes_for_all", count)
    await world.streams.check_all(wait_s=0)
    await eventually(lambda: len(frames(listening)) == len(chat_ids))
    assert sorted(frame["chat_id"] for frame in frames(listening)) == chat_ids
    assert {(frame["from"], frame["to"]) for frame in frames(listening)} == {(1, 3)}
    assert len(reads) <= 2
    assert sorted(chat_id for cursors in reads for chat_id in cursors) == chat_ids


async def test_a_store_that_is_away_is_asked_again_for_every_hole(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "FILL_RETRY_S", 0.05)
    ann = await world.user()
    chat_ids = [await world.group(ann) for _ in range(3)]
    listening = await world.listen(ann)
    for chat_id in chat_ids:
        await world.changes(ann, chat_id, 1)
    find, refusals = world.services.history.find_changes_for_all, 2

    async def refuse(cursors: Mapping[int, int], *, limit: int) -> Any:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise Unavailable
        return await find(cursors, limit=limit)

    monkeypatch.setattr(world.services.history, "find_changes_for_all", refuse)
    await world.streams.check_all(wait_s=0)
    await eventually(lambda: len(frames(listening)) == len(chat_ids))
    assert sorted(frame["chat_id"] for frame in frames(listening)) == chat_ids
    assert refusals == 0


async def test_a_hole_of_a_chat_that_is_gone_ends_and_the_others_are_filled(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await world.user()
    gone_id, chat_id = await world.group(ann), await world.group(ann)
    listening = await world.listen(ann)
    for one in (gone_id, chat_id):
        await world.changes(ann, one, 1)
    find = world.services.history.find_changes_for_all

    async def find_but_one(cursors: Mapping[int, int], *, limit: int) -> Any:
        found = await find(cursors, limit=limit)
        return {one: page for one, page in found.items() if one != gone_id}

    monkeypatch.setattr(world.services.history, "find_changes_for_all", find_but_one)
    await world.streams.check_all(wait_s=0)
    await until_heard(listening, 2)
    assert [frame["chat_id"] for frame in frames(listening)] == [chat_id]
    assert world.streams._streams[gone_id].filling is None
