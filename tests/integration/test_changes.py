"""The change feed over REST: everything above a version in its present state, no version on two pages."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest

from chat_service.domain.models import MAX_ID
from chat_service.services import history
from chat_service.services.ports.metadata import Unit
from tests.builders import TestUser, a_direct_chat, a_group, a_user
from tests.integration.people import a_crowd, people, without_request_id
from tests.node import Node

KEYS = {
    "chat_id",
    "epoch",
    "from",
    "to",
    "messages",
    "participants",
    "chat",
    "hidden",
    "positions",
    "has_more",
}


async def changes(user: TestUser, chat_id: int, since: int = 0, **params: Any) -> Any:
    page = await user.get(f"/chats/{chat_id}/changes", since=since, **params)
    assert page.keys() == KEYS
    assert (page["chat_id"], page["from"]) == (chat_id, since)
    return page


async def version_of(user: TestUser, chat_id: int) -> int:
    return int((await user.get(f"/chats/{chat_id}"))["version"])


async def pages(user: TestUser, chat_id: int, since: int = 0, limit: int = 50) -> list[Any]:
    """All pages behind a version, checked to join without a gap and to split no version."""
    found = [await changes(user, chat_id, since, limit=limit)]
    while found[-1]["has_more"]:
        found.append(await changes(user, chat_id, found[-1]["to"], limit=limit))
    seen: set[int] = set()
    for page in found:
        versions = [one["version"] for one in page["messages"]]
        people_versions = [one["version"] for one in page["participants"]]
        assert versions == sorted(set(versions))
        assert people_versions == sorted(people_versions)
        on_page = {*versions, *people_versions}
        assert all(page["from"] < version <= page["to"] for version in on_page)
        assert not on_page & seen
        assert len(on_page) <= limit
        seen |= on_page
    assert found[-1]["to"] == await version_of(user, chat_id)
    return found


async def present_state(user: TestUser, chat_id: int) -> tuple[Any, Any, Any]:
    """What fresh reads show: the chat, its people by id, its messages by seq."""
    chat = await user.get(f"/chats/{chat_id}")
    participants = (await user.get(f"/chats/{chat_id}/participants"))["items"]
    messages = (await user.get(f"/messages/chat/{chat_id}", limit=100))["items"]
    return chat, {one["user_id"]: one for one in participants}, {one["seq"]: one for one in messages}


async def test_a_new_chat_is_its_first_version(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    page = await changes(ben, group)
    assert page == {
        "chat_id": group,
        "epoch": server.services.epoch.value,
        "from": 0,
        "to": 1,
        "messages": [],
        "participants": (await ben.get(f"/chats/{group}/participants"))["items"],
        "chat": await ben.get(f"/chats/{group}"),
        "hidden": [],
        "positions": [
            {"user_id": user_id, "read_seq": 0, "delivered_seq": 0} for user_id in sorted([ann.id, ben.id])
        ],
        "has_more": False,
    }
    empty = await changes(ben, group, 1)
    assert (empty["messages"], empty["participants"], empty["chat"]) == ([], [], None)
    assert (empty["from"], empty["to"], empty["has_more"]) == (1, 1, False)
    assert empty["positions"] == page["positions"]


async def test_every_kind_of_change_appears_in_its_present_state(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben)
    path = f"/chats/{group}"
    message = await ben.say(group, "first")

    async def expect(change: Awaitable[Any], **expected: Callable[[Any], bool]) -> None:
        before = await version_of(ann, group)
        await change
        page = await changes(ann, group, before)
        assert (page["to"], page["has_more"]) == (before + 1, False)
        for name in ("messages", "participants", "chat"):
            if name in expected:
                assert expected[name](page[name]), (name, page)
            else:
                assert not page[name], (name, page)

    await expect(ben.say(group, "new"), messages=lambda got: got[0]["content"] == "new")
    await expect(
        ben.put(f"/messages/{message['id']}", {"content": "edited"}),
        messages=lambda got: [(m["seq"], m["content"], m["revision"]) for m in got] == [(1, "edited", 2)],
    )
    await expect(
        ann.delete(f"/messages/{message['id']}", 200),
        messages=lambda got: [(m["seq"], m["content"], m["is_deleted"]) for m in got] == [(1, "", True)],
    )
    await expect(ann.put(path, {"name": "renamed"}), chat=lambda got: got["name"] == "renamed")
    await expect(
        ann.post(f"{path}/participants", {"user_ids": [eva.id]}, 200),
        participants=lambda got: [(p["user_id"], p["left_at"]) for p in got] == [(eva.id, None)],
    )
    await expect(
        ann.put(f"{path}/participants/{eva.id}", {"role": "admin"}),
        participants=lambda got: [(p["user_id"], p["role"]) for p in got] == [(eva.id, "admin")],
    )
    await expect(
        ann.delete(f"{path}/participants/{ben.id}"),
        participants=lambda got: [p["user_id"] for p in got if p["left_at"]] == [ben.id],
    )
    await expect(
        eva.delete(path),
        participants=lambda got: [p["user_id"] for p in got if p["left_at"]] == [eva.id],
    )
    await expect(
        ann.post(f"{path}/participants", {"user_ids": [eva.id]}, 200),
        participants=lambda got: (
            [(p["user_id"], p["role"], p["left_at"]) for p in got] == [(eva.id, "member", None)]
        ),
    )
    await expect(
        ann.put(f"{path}/participants/{eva.id}", {"role": "owner"}),
        participants=lambda got: {p["user_id"]: p["role"] for p in got} == {ann.id: "admin", eva.id: "owner"},
    )


async def test_each_thing_appears_once_as_it_is_now(server: Node) -> None:
    """The feed is of present states: what changed twice is there once, at its last version."""
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    message = await ann.say(group, "1")
    for text in "234":
        await ann.put(f"/messages/{message['id']}", {"content": text})
    for role in ("admin", "member", "admin"):
        await ann.put(f"/chats/{group}/participants/{ben.id}", {"role": role})
    for name in "xyz":
        await ann.put(f"/chats/{group}", {"name": name})

    for limit in (1, 2, 3, 50):
        found = await pages(ann, group, limit=limit)
        assert [m["content"] for page in found for m in page["messages"]] == ["4"]
        assert {p["user_id"]: p["role"] for page in found for p in page["participants"]} == {
            ann.id: "owner",
            ben.id: "admin",
        }
        assert [page["chat"]["name"] for page in found if page["chat"]] == ["z"]


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_pages_lead_from_any_version_to_what_a_fresh_read_shows(server: Node, limit: int) -> None:
    ann, ben, eva, kim = await people(server, 4)
    group = await a_group(ann, ben)
    path = f"/chats/{group}"
    states = {1: await present_state(ann, group)}

    async def after(change: Awaitable[Any]) -> Any:
        result = await change
        state = await present_state(ann, group)
        states[state[0]["version"]] = state
        return result

    said = [await after((ann, ben)[number % 2].say(group, f"{number}")) for number in range(6)]
    await after(ann.put(path, {"name": "renamed"}))
    await after(ann.post(f"{path}/participants", {"user_ids": [eva.id, kim.id]}, 200))
    await after(ben.put(f"/messages/{said[1]['id']}", {"content": "edited"}))
    await after(ann.delete(f"/messages/{said[2]['id']}", 200))
    await after(ann.delete(f"{path}/participants/{kim.id}"))
    await after(eva.say(group, "eva"))
    await after(ann.put(f"{path}/participants/{eva.id}", {"role": "admin"}))
    assert sorted(states) == list(range(1, 15))

    for since, state in states.items():
        chat, members, messages = map(dict, state)
        for page in await pages(ann, group, since, limit):
            messages |= {one["seq"]: one for one in page["messages"]}
            for one in page["participants"]:
                members[one["user_id"]] = one
                if one["left_at"] is not None:
                    del members[one["user_id"]]
            for position in page["positions"]:
                if position["user_id"] in members:
                    members[position["user_id"]] = {**members[position["user_id"]], **position}
            chat["name"] = page["chat"]["name"] if page["chat"] else chat["name"]
        now = states[14]
        assert (chat["name"], messages) == (now[0]["name"], now[2])
        assert members == now[1]


async def test_a_version_of_two_hundred_people_is_on_one_page(server: Node) -> None:
    ann, ben = await people(server, 2)
    crowd = await a_crowd(server, 200)
    group = await a_group(ann, ben)
    await ann.say(group, "before")
    await ann.post(f"/chats/{group}/participants", {"user_ids": crowd}, 200)
    await ann.say(group, "after")

    first, second, third, last = await pages(ann, group, limit=1)
    assert {one["user_id"] for one in first["participants"]} == {ann.id, ben.id}
    assert (first["to"], second["to"], third["to"], last["to"]) == (1, 2, 3, 4)
    assert [one["user_id"] for one in third["participants"]] == sorted(crowd)
    assert [len(page["messages"]) for page in (first, second, third, last)] == [0, 1, 0, 1]
    [whole] = await pages(ann, group, limit=4)
    assert len(whole["participants"]) == 202
    for page in (first, third, whole):  # above a hundred people one's own position alone
        assert [one["user_id"] for one in page["positions"]] == [ann.id]
    await ann.delete(f"/chats/{group}/participants/{crowd[0]}")
    page = await changes(ben, group, 4)
    assert [(one["user_id"], one["left_at"] is not None) for one in page["participants"]] == [
        (crowd[0], True)
    ]


async def test_pages_of_many_people_end_early(server: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "PEOPLE_TOGETHER", 3)
    ann, ben = await people(server, 2)
    crowd = await a_crowd(server, 12)
    group = await a_group(ann, ben)
    for some in (crowd[:2], crowd[2:7], crowd[7:8], crowd[8:9], crowd[9:]):
        await ann.post(f"/chats/{group}/participants", {"user_ids": some}, 200)
    await ann.say(group, "after")

    found = await pages(ann, group)
    told = [[one["user_id"] for one in page["participants"]] for page in found]
    assert [page["to"] for page in found] == [1, 2, 3, 5, 7]
    assert told == [[ann.id, ben.id], crowd[:2], crowd[2:7], crowd[7:9], crowd[9:]]
    assert [len(page["messages"]) for page in found] == [0, 0, 0, 0, 1]
    assert [page["from"] for page in found] == [0, 1, 2, 3, 5]


async def test_positions_are_told_of_everybody_in_a_group_of_up_to_a_hundred(server: Node) -> None:
    ann, ben = await people(server, 2)
    crowd = await a_crowd(server, 99)
    group = await a_group(ann, ben)
    path = f"/chats/{group}/participants"
    await ann.post(path, {"user_ids": crowd[:98]}, 200)
    await ann.say(group, "x")
    await ben.put(f"/chats/{group}/read", {"seq": 1})
    await ben.put(f"/chats/{group}/delivered", {"seq": 1})

    version = await version_of(ann, group)
    positions = (await changes(ann, group, version))["positions"]
    assert [one["user_id"] for one in positions] == sorted([ann.id, ben.id, *crowd[:98]])
    assert {"user_id": ben.id, "read_seq": 1, "delivered_seq": 1} in positions
    await ann.post(path, {"user_ids": crowd[98:]}, 200)
    assert [one["user_id"] for one in (await changes(ann, group, version))["positions"]] == [ann.id]
    await ann.delete(f"{path}/{crowd[0]}")
    positions = (await changes(ann, group, version))["positions"]
    assert [one["user_id"] for one in positions] == sorted([ann.id, ben.id, *crowd[1:]])


async def test_a_cursor_of_another_epoch_or_from_the_future_is_refused(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    epoch = server.services.epoch.value
    path = f"/chats/{group}/changes"

    assert (await changes(ann, group, 1, epoch=epoch))["to"] == 1
    for params in (
        {"since": 2},
        {"since": MAX_ID},
        {"since": 2, "epoch": epoch},
        {"since": 0, "epoch": "another"},
        {"since": 1, "epoch": epoch.upper() + "x"},
        {"since": 1, "epoch": ""},
    ):
        assert (await ann.get(path, 409, **params))["code"] == "resync_required", params
    for params in (
        {"since": -1},
        {"since": "x"},
        {"since": 2**53},
        {"limit": 0},
        {"limit": 101},
        {"epoch": "x" * 65},
        {"epoch": "\0"},
    ):
        assert (await ann.get(path, 422, **params))["code"] == "invalid_request", params


async def test_strangers_have_no_feed_not_even_of_a_wrong_epoch(server: Node) -> None:
    ann, ben, stranger = await people(server, 3)
    group = await a_group(ann, ben)
    await ben.delete(f"/chats/{group}")
    for params in ({}, {"since": 99}, {"epoch": "another"}):
        seen = [
            without_request_id(await user.get(f"/chats/{chat_id}/changes", 404, **params))
            for user, chat_id in ((stranger, group), (ben, group), (stranger, MAX_ID))
        ]
        assert seen[0] == seen[1] == seen[2]


async def test_hides_are_told_also_to_a_cursor_that_has_overtaken_them(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    said = [await ann.say(group, f"{number}") for number in range(4)]  # version 5
    await ben.delete(f"/messages/{said[1]['id']}", scope="me")
    await ann.say(group, "version 6")
    await ben.delete(f"/messages/{said[3]['id']}", scope="me")
    await ben.delete(f"/messages/{said[0]['id']}", scope="me")
    await ann.say(group, "version 7")

    for since in (0, 4, 5, 6, 7):
        assert (await changes(ben, group, since))["hidden"] == [1, 2, 4]
        assert (await changes(ann, group, since))["hidden"] == []
    for page in await pages(ben, group, limit=1):
        assert not {one["seq"] for one in page["messages"]} & {1, 2, 4}


async def test_hides_that_lie_far_behind_are_not_told_again(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    said = await ann.say(group, "Hello")
    await ben.delete(f"/messages/{said['id']}", scope="me")

    async def age(unit: Unit) -> None:
        chat = (await unit.chats.lock_chats([group]))[group]
        await unit.chats.update_chat(replace(chat, version=chat.version + 2000))

    await asyncio.wrap_future(server.run(server.services.metadata.transact(age)))
    version = await version_of(ben, group)
    assert (await changes(ben, group, version))["hidden"] == []
    assert (await changes(ben, group, 0))["hidden"] == [1]


async def test_an_edit_of_a_hidden_message_shows_as_nothing(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    message = await ann.say(group, "x")
    await ben.delete(f"/messages/{message['id']}", scope="me")
    await ann.put(f"/messages/{message['id']}", {"content": "y"})
    page = await changes(ben, group, 2)
    assert (page["messages"], page["to"], page["has_more"]) == ([], 3, False)
    assert len((await changes(ann, group, 2))["messages"]) == 1


async def test_a_direct_chat_has_a_feed_too(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    direct = await a_direct_chat(ann, ben)
    message = await ann.say(direct, "x")
    await ben.delete(f"/chats/{direct}")  # hides it from the list, and takes no version
    page = await changes(ben, direct)
    assert (page["messages"], page["to"], page["chat"]["name"]) == ([message], 2, None)


async def test_pages_of_long_texts_end_early(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    for _ in range(15):
        await ann.say(group, "x" * 10_000)
    found = await pages(ben, group, limit=100)
    assert len(found) == 2
    assert [m["seq"] for page in found for m in page["messages"]] == list(range(1, 16))


async def test_pages_read_amid_writes_miss_nothing(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    said = [await ann.say(group, f"{number}") for number in range(5)]
    held: dict[int, Any] = {}
    cursor, is_over = 0, False

    async def write() -> None:
        for number in range(12):
            await ann.put(f"/messages/{said[number % 5]['id']}", {"content": f"edit {number}"})
            await ben.say(group, f"more {number}")
            await ann.put(f"/chats/{group}", {"name": f"name {number}"})

    async def follow() -> None:
        nonlocal cursor
        while True:
            was_over = is_over
            page = await changes(ben, group, cursor, limit=2)
            for one in page["messages"]:
                assert one["version"] > cursor
                held[one["seq"]] = one
            assert page["to"] >= cursor
            cursor = page["to"]
            if was_over and not page["has_more"]:
                return

    following = asyncio.create_task(follow())
    await write()
    is_over = True
    await following
    _, _, messages = await present_state(ben, group)
    assert held == messages
    assert cursor == await version_of(ben, group)
