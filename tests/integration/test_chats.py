"""Chats over REST: making them, the list of them, names, people, roles, and leaving."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from chat_service.domain.models import MAX_ID, AccountState
from chat_service.services import participants
from tests.builders import TestUser, a_direct_chat, a_group, a_user, sockets
from tests.integration.people import a_crowd, disable, people, without_request_id
from tests.node import Node, make_settings

NOBODY = MAX_ID


async def make_group(owner: TestUser, status: int = 201, key: str | None = None, **fields: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    body = {"chat_type": "group", "name": "A group", "participant_ids": []} | fields
    return await owner.post("/chats", body, status, **headers)


async def make_direct(one: TestUser, other_id: int, status: int = 201, **headers: str) -> Any:
    return await one.post("/chats", {"chat_type": "direct", "participant_ids": [other_id]}, status, **headers)


async def roles_in(chat_id: int, viewer: TestUser) -> dict[int, str]:
    found = await viewer.get(f"/chats/{chat_id}/participants")
    return {one["user_id"]: one["role"] for one in found["items"]}


async def version_of(chat_id: int, viewer: TestUser) -> int:
    return int((await viewer.get(f"/chats/{chat_id}"))["version"])


async def listed(user: TestUser, chat_id: int) -> Any:
    """The caller's list item of a chat; None when it is not in the list."""
    page = await user.get("/chats", limit=100)
    assert page["pages"] <= 1
    return next((item for item in page["items"] if item["id"] == chat_id), None)


async def walk(user: TestUser, limit: int) -> list[int]:
    """The ids of all chats in the order of the cursors."""
    ids: list[int] = []
    cursor: str | None = ""
    while cursor is not None:
        page = await user.get("/chats", cursor=cursor, limit=limit)
        assert page["has_more"] is (page["next_cursor"] is not None)
        assert len(page["items"]) == limit or not page["has_more"]
        ids += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
    return ids


# --- Creating


async def test_a_new_group_belongs_to_its_creator(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    body = {"chat_type": "group", "name": "Hà Nội 😀", "participant_ids": [eva.id, ben.id]}
    response = await ann.http.post("/chats", json=body)

    assert response.status_code == 201
    chat = response.json()
    assert response.headers["location"] == f"/api/v1/chats/{chat['id']}"
    assert response.headers["cache-control"] == "no-store"
    assert chat == {
        "id": chat["id"],
        "chat_type": "group",
        "name": "Hà Nội 😀",
        "created_by": ann.id,
        "created_at": chat["created_at"],
        "version": 1,
        "epoch": server.services.epoch.value,
        "last_seq": 0,
        "participant_count": 3,
    }
    for user in (ann, ben, eva):
        assert await user.get(f"/chats/{chat['id']}") == chat
    found = (await ben.get(f"/chats/{chat['id']}/participants"))["items"]
    assert [one["user_id"] for one in found] == sorted([ann.id, ben.id, eva.id])
    assert {one["version"] for one in found} == {1}
    assert {one["left_at"] for one in found} == {None}
    assert await roles_in(chat["id"], ben) == {ann.id: "owner", ben.id: "member", eva.id: "member"}


async def test_a_new_direct_chat_has_two_members_and_no_name(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    body = {"chat_type": "direct", "name": "ignored", "participant_ids": [ben.id]}
    response = await ann.http.post("/chats", json=body)

    assert response.status_code == 201
    chat = response.json()
    assert response.headers["location"] == f"/api/v1/chats/{chat['id']}"
    assert (chat["name"], chat["version"], chat["participant_count"]) == (None, 1, 2)
    assert await roles_in(chat["id"], ben) == {ann.id: "member", ben.id: "member"}


async def test_a_pair_has_one_direct_chat(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    first = await make_direct(ann, ben.id)

    response = await ben.http.post("/chats", json={"chat_type": "direct", "participant_ids": [ann.id]})
    assert response.status_code == 200
    assert response.json() == first
    assert response.headers["location"] == f"/api/v1/chats/{first['id']}"
    assert await make_direct(ann, ben.id, 200) == first


async def test_of_direct_chats_made_at_once_from_both_sides_there_is_one(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)

    async def create(number: int) -> tuple[int, int]:
        one, other = (ann, ben) if number % 2 else (ben, ann)
        body = {"chat_type": "direct", "participant_ids": [other.id]}
        response = await one.http.post("/chats", json=body)
        return response.status_code, response.json()["id"]

    answers = await asyncio.gather(*(create(number) for number in range(20)))

    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    assert len({chat_id for _, chat_id in answers}) == 1
    assert (await ann.get("/chats"))["total"] == 1


async def test_nobody_makes_a_direct_chat_with_less_or_more_than_one_other(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    for ids in ([ann.id], [], [ben.id, eva.id], [ann.id, ben.id], [ben.id, ben.id]):
        body = {"chat_type": "direct", "participant_ids": ids}
        assert (await ann.post("/chats", body, 422))["code"] == "invalid_request"


async def test_people_who_do_not_exist_are_not_found(server: Node) -> None:
    ann, ben = await people(server, 2)
    assert (await make_direct(ann, NOBODY, 404))["code"] == "not_found"
    assert (await make_group(ann, 404, participant_ids=[ben.id, NOBODY]))["code"] == "not_found"
    group = await a_group(ann, ben)
    added = await ann.post(f"/chats/{group}/participants", {"user_ids": [NOBODY]}, 404)
    assert added["code"] == "not_found"
    assert await version_of(group, ann) == 1


@pytest.mark.parametrize("state", [AccountState.DEACTIVATED, AccountState.DELETED])
async def test_people_who_are_not_active_are_not_found(server: Node, state: AccountState) -> None:
    ann, gone = (await people(server, 1))[0], await a_user(server)
    group = await a_group(ann)
    await disable(server, gone, state)

    unknown = await make_direct(ann, NOBODY, 404)
    refused = await make_direct(ann, gone.id, 404)
    assert without_request_id(refused) | {"detail": ""} == without_request_id(unknown) | {"detail": ""}
    await make_group(ann, 404, participant_ids=[gone.id])
    await ann.post(f"/chats/{group}/participants", {"user_ids": [gone.id]}, 404)
    assert list(await roles_in(group, ann)) == [ann.id]


async def test_a_creation_repeated_with_its_key_gives_the_same_chat(server: Node) -> None:
    ann, ben = await people(server, 2)
    key = f"create-{ann.id}.1:a_b"
    first = await make_group(ann, key=key, participant_ids=[ben.id])

    again = await ann.http.post(
        "/chats",
        json={"chat_type": "group", "name": "A group", "participant_ids": [ben.id]},
        headers={"Idempotency-Key": key},
    )
    assert (again.status_code, again.json()) == (200, first)
    assert again.headers["location"] == f"/api/v1/chats/{first['id']}"
    assert (await make_group(ann, key=key + "x", participant_ids=[ben.id]))["id"] != first["id"]
    assert (await make_group(ben, key=key, participant_ids=[ann.id]))["id"] != first["id"]
    assert (await make_group(ann, key=key.upper(), participant_ids=[ben.id]))["id"] != first["id"]


async def test_a_creation_is_the_same_with_its_people_in_another_order(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    key = f"order-{ann.id}"
    first = await make_group(ann, key=key, participant_ids=[ben.id, eva.id])
    assert await make_group(ann, 200, key, participant_ids=[eva.id, ann.id, ben.id]) == first


async def test_the_key_of_a_creation_means_one_request(server: Node) -> None:
    ann, ben = await people(server, 2)
    key = f"conflict-{ann.id}"
    first = await make_group(ann, key=key, participant_ids=[ben.id])

    for other in ({"name": "Another"}, {"name": None, "participant_ids": [ben.id]}, {"participant_ids": []}):
        assert (await make_group(ann, 409, key, **other))["code"] == "conflict"
    direct = {"chat_type": "direct", "participant_ids": [ben.id]}
    assert (await ann.post("/chats", direct, 409, **{"Idempotency-Key": key}))["code"] == "conflict"
    for wrong in ("", "a b", "a" * 65, "~a"):
        assert (await make_group(ann, 422, key=wrong))["code"] == "invalid_request"
    assert await make_group(ann, 200, key, participant_ids=[ben.id]) == first


async def test_of_creations_at_once_with_one_key_there_is_one(server: Node) -> None:
    ann, ben = await people(server, 2)

    async def create() -> tuple[int, int]:
        body = {"chat_type": "group", "name": "Once", "participant_ids": [ben.id]}
        response = await ann.http.post("/chats", json=body, headers={"Idempotency-Key": "at-once"})
        return response.status_code, response.json()["id"]

    answers = await asyncio.gather(*(create() for _ in range(20)))
    assert sorted(status for status, _ in answers) == [200] * 19 + [201]
    assert len({chat_id for _, chat_id in answers}) == 1


async def test_a_group_takes_names_of_up_to_a_hundred_characters(server: Node) -> None:
    [ann] = await people(server, 1)
    for given, kept in ((None, None), ("x", "x"), ("é😀" * 50, "é😀" * 50), ("  a  b ", "a  b")):
        assert (await make_group(ann, name=given))["name"] == kept
    for refused in ("", " ", "\t\n", "x" * 101, "a\0b", 5, True, [], {}):
        assert (await make_group(ann, 422, name=refused))["code"] == "invalid_request"


async def test_who_is_named_twice_or_as_the_creator_is_in_once(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat = await make_group(ann, participant_ids=[ben.id, ann.id, ben.id])
    assert await roles_in(chat["id"], ann) == {ann.id: "owner", ben.id: "member"}
    assert chat["participant_count"] == 2


@pytest.fixture(scope="module")
def small_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    settings = make_settings(data_dir=tmp_path_factory.mktemp("small"), max_participants=3)
    with Node(settings) as node:
        yield node


async def test_a_group_has_at_most_the_configured_number_of_people(small_server: Node) -> None:
    ann, *others = await people(small_server, 4)
    assert (await make_group(ann, 422, participant_ids=[one.id for one in others]))["code"] == (
        "invalid_request"
    )
    group = await a_group(ann, others[0])
    path = f"/chats/{group}/participants"
    ids = [one.id for one in others]
    assert (await ann.post(path, {"user_ids": ids}, 409))["code"] == "conflict"
    assert len((await ann.post(path, {"user_ids": ids[:2]}, 200))["items"]) == 3
    assert (await ann.post(path, {"user_ids": ids[2:]}, 409))["code"] == "conflict"
    await ann.delete(f"{path}/{ids[0]}")
    assert len((await ann.post(path, {"user_ids": ids[1:]}, 200))["items"]) == 3


# --- The list


async def test_the_list_has_the_newest_activity_first(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    assert await ann.get("/chats") == {"items": [], "total": 0, "page": 1, "limit": 50, "pages": 0}
    first, second, third = [await a_group(ann, ben) for _ in range(3)]
    await ben.say(first, "up")

    page = await ann.get("/chats")
    assert [item["id"] for item in page["items"]] == [first, third, second]
    assert (page["total"], page["pages"]) == (3, 1)
    edited = await ben.say(second, "newer")
    await ben.say(third, "newest")
    await ben.put(f"/messages/{edited['id']}", {"content": "an edit moves nothing"})
    await ann.put(f"/chats/{first}", {"name": "nor does a name"})
    assert [item["id"] for item in (await ann.get("/chats"))["items"]] == [third, second, first]


async def test_a_list_item_is_the_chat_with_what_the_caller_sees_of_it(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    group, direct = await a_group(ann, ben), await a_direct_chat(ann, ben)
    message = await ben.say(group, "Hello")

    item = await listed(ann, group)
    assert item == {
        **await ann.get(f"/chats/{group}"),
        "last_message": message,
        "unread_count": 1,
        "my": {
            "role": "owner",
            "read_seq": 0,
            "delivered_seq": 0,
            "muted_until": None,
            "is_archived": False,
        },
        "peer": None,
    }
    item = await listed(ann, direct)
    assert item["peer"] == await ann.get(f"/users/{ben.id}")
    assert (item["last_message"], item["unread_count"], item["my"]["role"]) == (None, 0, "member")
    assert (await listed(ben, direct))["peer"] == await ben.get(f"/users/{ann.id}")


async def test_unread_counts_from_the_position_or_the_own_newest_message(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben)

    async def unread() -> list[int]:
        cursor = await asyncio.gather(*(user.get("/chats", cursor="", limit=100) for user in (ann, ben)))
        return [next(i["unread_count"] for i in page["items"] if i["id"] == group) for page in cursor]

    assert await unread() == [0, 0]
    gone = await ann.say(group, "1")
    await ann.say(group, "2")
    assert await unread() == [0, 2]
    await ann.delete(f"/messages/{gone['id']}", 200)
    assert await unread() == [0, 2]  # a tombstone counts
    await ben.put(f"/chats/{group}/read", {"seq": 1})
    assert await unread() == [0, 1]
    await ben.say(group, "3")
    assert await unread() == [1, 0]  # who writes has read
    await ann.say(group, "4")
    await ben.put(f"/chats/{group}/read", {"seq": 0})
    assert await unread() == [0, 1]
    await ben.put(f"/chats/{group}/read", {"seq": 999})
    assert await unread() == [0, 0]
    await ann.post(f"/chats/{group}/participants", {"user_ids": [eva.id]}, 200)
    [item] = (await eva.get("/chats", cursor="", limit=1))["items"]
    assert (item["id"], item["unread_count"], item["my"]["read_seq"]) == (group, 0, 4)


async def test_positions_stop_at_the_newest_message_and_never_go_back(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben)
    for kind in ("read", "delivered"):
        assert await ben.put(f"/chats/{group}/{kind}", {"seq": 5}) == {"chat_id": group, "seq": 0}
    for text in "123":
        await ann.say(group, text)
    for kind in ("read", "delivered"):
        path = f"/chats/{group}/{kind}"
        assert (await ben.put(path, {"seq": 2}))["seq"] == 2
        assert (await ben.put(path, {"seq": 1}))["seq"] == 2
        assert (await ben.put(path, {"seq": MAX_ID}))["seq"] == 3
        await eva.put(path, {"seq": 1}, 404)
        for wrong in (-1, MAX_ID + 1, "1", True, 1.0, None):
            await ben.put(path, {"seq": wrong}, 422)
    assert await version_of(group, ann) == 4  # positions take no version


async def test_the_list_is_paged_by_number(server: Node) -> None:
    ann = await a_user(server)
    ids = [await a_group(ann) for _ in range(7)][::-1]

    for number, expected in ((1, ids[:3]), (2, ids[3:6]), (3, ids[6:]), (4, []), (MAX_ID, [])):
        page = await ann.get("/chats", page=number, limit=3)
        assert [item["id"] for item in page.pop("items")] == expected
        assert page == {"total": 7, "page": number, "limit": 3, "pages": 3}
    for params in ({"limit": 0}, {"limit": 101}, {"page": 0}, {"page": 1, "cursor": ""}):
        await ann.get("/chats", 422, **params)


async def test_cursors_lead_through_all_chats(server: Node) -> None:
    ann = await a_user(server)
    assert await walk(ann, 2) == []
    ids = [await a_group(ann) for _ in range(5)][::-1]
    for limit in (1, 2, 5, 100):
        assert await walk(ann, limit) == ids


async def test_a_walk_sees_every_chat_once_while_they_are_written_to(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    ids = [await a_group(ann, ben) for _ in range(12)]
    first = await ann.get("/chats", cursor="", limit=3)
    seen = [item["id"] for item in first["items"]]
    cursor = first["next_cursor"]
    for chat_id in (*ids, ids[0], ids[6]):
        await ben.say(chat_id, "up")
    later = await a_group(ann, ben)
    while cursor is not None:
        page = await ann.get("/chats", cursor=cursor, limit=3)
        seen += [item["id"] for item in page["items"]]
        cursor = page["next_cursor"]
        await ben.say(seen[-1], "and again")
        await ben.say(ids[0], "and again")

    assert seen == ids[::-1]
    assert later not in seen


async def test_walks_see_every_chat_once_amid_many_writers(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    ids = [await a_group(ann, ben) for _ in range(10)]
    is_over = False

    async def write(number: int) -> None:
        turn = number
        while not is_over:
            turn += 3
            await ben.say(ids[turn % len(ids)], "up")

    writers = [asyncio.create_task(write(number)) for number in range(4)]
    try:
        for _ in range(20):
            assert sorted(await walk(ann, 3)) == ids
    finally:
        is_over = True
        await asyncio.gather(*writers)


async def test_only_the_servers_own_cursors_are_taken(server: Node) -> None:
    ann = await a_user(server)
    for _ in range(2):
        await a_group(ann)
    good = (await ann.get("/chats", cursor="", limit=1))["next_cursor"]
    assert len((await ann.get("/chats", cursor=good))["items"]) == 1
    forged = [
        "x",
        "é",
        "====",
        "bnVsbA",  # null
        "W10",  # []
        "WzEsMiwzXQ",  # [1,2,3]
        good[:-2],
        good + "A",
        _forged("2026-11-20T09:30:00", "2026-11-20T09:30:00", 1),
        _forged("2026-11-20T09:30:00+07:00", "2026-11-20T09:30:00+07:00", 1),
        _forged("2026-11-20T09:30:00+00:00", "2026-11-20T09:30:00+00:00", "1"),
        _forged("2026-11-20T09:30:00+00:00", "2026-11-20T09:30:00+00:00", 2**64 - 1),
        _forged("2026-11-20T09:30:00+00:00", "2026-11-20T09:30:00+00:00", -1),
        _forged("2026-11-20T09:30:00+00:00", "2026-11-20T09:30:00+00:00", True),
        "x" * 3_000,
    ]
    for cursor in forged:
        assert (await ann.get("/chats", 400, cursor=cursor))["code"] == "invalid_cursor", cursor


def _forged(*parts: object) -> str:
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode().rstrip("=")


# --- Names


async def test_owner_and_admins_rename_a_group(server: Node) -> None:
    ann, ben, eva, stranger = await people(server, 4)
    group = await a_group(ann, ben, eva)
    await ann.put(f"/chats/{group}/participants/{ben.id}", {"role": "admin"})

    renamed = await ann.put(f"/chats/{group}", {"name": "By its owner"})
    assert (renamed["name"], renamed["version"]) == ("By its owner", 3)
    assert (await ben.put(f"/chats/{group}", {"name": " By an admin "}))["name"] == "By an admin"
    assert (await eva.put(f"/chats/{group}", {"name": "By a member"}, 403))["code"] == "forbidden"
    assert (await stranger.put(f"/chats/{group}", {"name": "x"}, 404))["code"] == "not_found"
    assert await eva.get(f"/chats/{group}") == renamed | {"name": "By an admin", "version": 4}


async def test_the_name_that_a_group_has_already_takes_no_version(server: Node) -> None:
    [ann] = await people(server, 1)
    group = await a_group(ann, name="Same")
    assert (await ann.put(f"/chats/{group}", {"name": "Same"}))["version"] == 1
    assert (await ann.put(f"/chats/{group}", {"name": "Same "}))["version"] == 1
    assert (await ann.put(f"/chats/{group}", {"name": "same"}))["version"] == 2
    for wrong in ({}, {"name": None}, {"name": ""}, {"name": "x" * 101}, {"name": "a", "version": 1}):
        await ann.put(f"/chats/{group}", wrong, 422)


async def test_a_direct_chat_is_not_renamed_enlarged_or_left_by_removal(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    chat_id = (
        await ann.http.post("/chats", json={"chat_type": "direct", "participant_ids": [ben.id]})
    ).json()["id"]
    path = f"/chats/{chat_id}"
    before = await ann.get(path)
    assert (await ann.put(path, {"name": "x"}, 409))["code"] == "conflict"
    assert (await ann.post(f"{path}/participants", {"user_ids": [eva.id]}, 409))["code"] == "conflict"
    for user_id in (ann.id, ben.id):
        assert (await ann.delete(f"{path}/participants/{user_id}", 409))["code"] == "conflict"
        refused = await ann.put(f"{path}/participants/{user_id}", {"role": "admin"}, 409)
        assert refused["code"] == "conflict"
    assert await ann.get(path) == before


# --- Leaving


async def test_who_leaves_is_a_stranger(server: Node) -> None:
    ann, ben, stranger = await people(server, 3)
    group = await a_group(ann, ben)
    message = await ben.say(group, "before")
    await ben.delete(f"/chats/{group}")

    gone = [one["user_id"] for one in (await ann.get(f"/chats/{group}/participants"))["items"]]
    assert gone == [ann.id]
    assert (await ann.get(f"/chats/{group}"))["participant_count"] == 1
    assert await version_of(group, ann) == 3
    calls: list[tuple[str, str, Any]] = [
        ("GET", "/chats/{chat}", None),
        ("PUT", "/chats/{chat}", {"name": "x"}),
        ("DELETE", "/chats/{chat}", None),
        ("GET", "/chats/{chat}/changes", None),
        ("GET", "/chats/{chat}/participants", None),
        ("POST", "/chats/{chat}/participants", {"user_ids": [ben.id]}),
        ("DELETE", "/chats/{chat}/participants", {"user_id": ben.id}),
        ("DELETE", f"/chats/{{chat}}/participants/{ann.id}", None),
        ("PUT", f"/chats/{{chat}}/participants/{ann.id}", {"role": "admin"}),
        ("PUT", "/chats/{chat}/read", {"seq": 1}),
        ("PUT", "/chats/{chat}/delivered", {"seq": 1}),
        ("GET", "/chats/{chat}/online", None),
        ("GET", "/messages/chat/{chat}", None),
        ("GET", "/messages/chat/{chat}?page=1", None),
        ("GET", "/messages/{message}", None),
        ("PUT", "/messages/{message}", {"content": "x"}),
        ("DELETE", "/messages/{message}", None),
        ("DELETE", "/messages/{message}?scope=me", None),
        ("GET", "/messages/{message}/revisions", None),
        ("POST", "/messages", {"chat_id": "{chat}", "content": "x"}),
    ]
    missing = message["id"][:-4] + ("0000" if message["id"][-4:] != "0000" else "0001")
    for method, path, body in calls:
        seen = []
        for user, chat_id, message_id in (
            (ben, group, message["id"]),
            (stranger, group, message["id"]),
            (ann, NOBODY, missing),
        ):
            sent = body if body is None or "chat_id" not in body else {**body, "chat_id": chat_id}
            where = path.format(chat=chat_id, message=message_id)
            response = await user.http.request(method, where, json=sent)
            assert response.status_code == 404, (method, path, response.text)
            seen.append(without_request_id(response.json()))
        assert seen[0] == seen[1] == seen[2], (method, path)
    assert await listed_by_cursor(ben, group) is None


async def listed_by_cursor(user: TestUser, chat_id: int) -> Any:
    page = await user.get("/chats", cursor="", limit=100)
    return next((item for item in page["items"] if item["id"] == chat_id), None)


async def test_an_owner_hands_over_before_leaving(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    for path in (f"/chats/{group}", f"/chats/{group}/participants/{ann.id}"):
        assert (await ann.delete(path, 409))["code"] == "conflict"
    await ann.put(f"/chats/{group}/participants/{ben.id}", {"role": "owner"})
    await ann.delete(f"/chats/{group}")
    assert await roles_in(group, ben) == {ben.id: "owner"}
    assert await version_of(group, ben) == 3


async def test_a_group_that_everybody_has_left_is_not_found(server: Node) -> None:
    [ann] = await people(server, 1)
    group = await a_group(ann)
    message = await ann.say(group, "alone")
    await ann.delete(f"/chats/{group}")
    for path in (f"/chats/{group}", f"/messages/{message['id']}", f"/messages/chat/{group}"):
        assert (await ann.get(path, 404))["code"] == "not_found"
    assert (await ann.delete(f"/chats/{group}", 404))["code"] == "not_found"
    assert await listed_by_cursor(ann, group) is None


async def test_who_is_added_again_sees_everything_and_has_read_it(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    await ann.put(f"/chats/{group}/participants/{ben.id}", {"role": "admin"})
    await ann.say(group, "1")
    await ben.put(f"/chats/{group}/read", {"seq": 1})
    await ben.delete(f"/chats/{group}")
    await ann.say(group, "2, while he was away")
    await ben.get(f"/messages/chat/{group}", 404)

    await ann.post(f"/chats/{group}/participants", {"user_ids": [ben.id]}, 200)
    page = await ben.get(f"/messages/chat/{group}")
    assert [message["content"] for message in page["items"]] == ["1", "2, while he was away"]
    item = await listed_by_cursor(ben, group)
    assert (item["unread_count"], item["my"]["role"], item["my"]["read_seq"]) == (0, "member", 2)
    assert item["version"] == 6
    [me] = [
        one for one in (await ben.get(f"/chats/{group}/participants"))["items"] if one["user_id"] == ben.id
    ]
    assert (me["left_at"], me["version"]) == (None, 6)


async def test_a_hidden_direct_chat_comes_back_with_its_next_message(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    direct = await a_direct_chat(ann, ben)
    await ann.say(direct, "one")
    before = await ann.get(f"/chats/{direct}")
    await ann.delete(f"/chats/{direct}")
    await ann.delete(f"/chats/{direct}")

    assert await listed(ann, direct) is None
    assert await listed_by_cursor(ann, direct) is None
    assert (await ann.get("/chats"))["total"] == 0
    assert await ann.get(f"/chats/{direct}") == before  # it is out of the list, not gone
    assert (await listed(ben, direct))["id"] == direct
    assert (await make_direct(ann, ben.id, 200))["id"] == direct
    await ben.say(direct, "two")
    assert (await listed(ann, direct))["last_message"]["content"] == "two"
    await ann.delete(f"/chats/{direct}")
    await ann.say(direct, "one's own brings it back too")
    assert (await listed(ann, direct))["id"] == direct


# --- People


async def test_owner_and_admins_add_people_as_one_change(server: Node) -> None:
    ann, ben, eva, kim = await people(server, 4)
    group = await a_group(ann, ben)
    path = f"/chats/{group}/participants"
    assert (await ben.post(path, {"user_ids": [eva.id]}, 403))["code"] == "forbidden"
    await ann.put(f"{path}/{ben.id}", {"role": "admin"})

    answer = await ben.post(path, {"user_ids": [kim.id, eva.id, ann.id, kim.id]}, 200)
    assert [one["user_id"] for one in answer["items"]] == sorted([ann.id, ben.id, eva.id, kim.id])
    assert {one["user_id"]: one["version"] for one in answer["items"]} == {
        ann.id: 1,
        ben.id: 2,
        eva.id: 3,
        kim.id: 3,
    }
    assert await ann.get(path) == answer
    chat = await kim.get(f"/chats/{group}")
    assert (chat["version"], chat["participant_count"]) == (3, 4)
    assert await ann.post(path, {"user_ids": [eva.id]}, 200) == answer  # who is in already changes nothing
    assert await version_of(group, ann) == 3
    for wrong in ({}, {"user_ids": []}, {"user_ids": [0]}, {"user_ids": ["1"]}, {"user_ids": eva.id}):
        await ann.post(path, wrong, 422)


async def test_many_are_added_as_several_changes_each_of_a_bounded_size(
    server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(participants, "JOIN_TOGETHER", 4)
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben)
    crowd = sorted([*await a_crowd(server, 8), eva.id])
    async with sockets(ben, eva) as (there, new):
        answer = await ann.post(f"/chats/{group}/participants", {"user_ids": crowd}, 200)
        assert len(answer["items"]) == 11
        told = [await there.expect("user_joined", chat_id=group) for _ in range(3)]
        assert [(one["version"], len(one["participants"])) for one in told] == [(2, 4), (3, 4), (4, 1)]
        assert [one["user_id"] for push in told for one in push["participants"]] == crowd
        created = await new.expect("chat_created", chat_id=group)
        own = next(one["version"] for one in answer["items"] if one["user_id"] == eva.id)
        assert created["version"] == created["chat"]["version"] == own
        for version in range(own + 1, 5):
            await new.expect("user_joined", chat_id=group, version=version)
    chat = await ann.get(f"/chats/{group}")
    assert (chat["version"], chat["participant_count"]) == (4, 11)
    page = await ann.get(f"/chats/{group}/changes", since=1, limit=1)
    assert (page["to"], len(page["participants"]), page["has_more"]) == (2, 4, True)


async def test_of_one_unknown_among_many_nobody_is_added(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann)
    await ann.post(f"/chats/{group}/participants", {"user_ids": [ben.id, NOBODY]}, 404)
    assert list(await roles_in(group, ann)) == [ann.id]


async def test_everybody_is_added_once_under_concurrency(server: Node) -> None:
    ann, ben = await people(server, 2)
    crowd = await a_crowd(server, 10)
    group = await a_group(ann, ben)
    await ann.put(f"/chats/{group}/participants/{ben.id}", {"role": "admin"})
    bodies = [(user, {"user_ids": crowd[start : start + 4]}) for start in range(10) for user in (ann, ben)]
    path = f"/chats/{group}/participants"
    await asyncio.gather(*(user.post(path, body, 200) for user, body in bodies))

    chat = await ann.get(f"/chats/{group}")
    found = (await ann.get(path))["items"]
    assert chat["participant_count"] == len(found) == 12
    versions = {one["version"] for one in found}
    assert versions <= set(range(1, chat["version"] + 1))
    feed = await ann.get(f"/chats/{group}/changes", since=0, limit=100)
    assert {one["version"] for one in feed["participants"]} | {1} == set(range(1, chat["version"] + 1))


async def test_removal_has_two_spellings(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben, eva)
    path = f"/chats/{group}/participants"
    await ann.delete(f"{path}/{ben.id}")
    response = await ann.http.request("DELETE", path, json={"user_id": eva.id})
    assert (response.status_code, response.content) == (204, b"")
    assert list(await roles_in(group, ann)) == [ann.id]
    assert await version_of(group, ann) == 3
    await ann.delete(f"{path}/{ben.id}")  # again: the same
    assert await version_of(group, ann) == 3
    for wrong in ({}, {"user_id": "1"}, {"user_id": 0}, {"user_ids": [1]}, [1], None):
        response = await ann.http.request("DELETE", path, json=wrong)
        assert response.status_code == 422
    for user_id in (NOBODY, ann.id + 10**9):
        assert (await ann.delete(f"{path}/{user_id}", 404))["code"] == "not_found"
    for user_id in ("0", "-1", "x", "1.0", str(2**53), str(2**64), "01", "+1", "\u0661"):
        assert (await ann.delete(f"{path}/{user_id}", 422))["code"] == "invalid_request"


async def test_a_member_leaves_by_removing_oneself(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben, eva)
    await ben.delete(f"/chats/{group}/participants/{ben.id}")
    response = await eva.http.request("DELETE", f"/chats/{group}/participants", json={"user_id": eva.id})
    assert response.status_code == 204
    assert list(await roles_in(group, ann)) == [ann.id]


ROLES = ("owner", "admin", "member")


def may_remove(actor: str, target: str) -> bool:
    return (actor == "owner" and target != "owner") or (actor == "admin" and target == "member")


def may_set(actor: str, target: str, role: str) -> bool:
    return actor == "owner" or (actor == "admin" and role == "admin" and target != "owner")


async def a_group_of_all_roles(server: Node, size: int = 5) -> tuple[int, dict[str, list[TestUser]]]:
    """An owner, two admins, two members."""
    ann, ben, eva, kim, leo = await people(server, size)
    group = await a_group(ann, ben, eva, kim, leo)
    for admin in (ben, eva):
        await ann.put(f"/chats/{group}/participants/{admin.id}", {"role": "admin"})
    return group, {"owner": [ann], "admin": [ben, eva], "member": [kim, leo]}


@pytest.mark.parametrize(
    ("actor", "target"), [pair for pair in product(ROLES, ROLES) if set(pair) != {"owner"}]
)
async def test_every_role_removes_whom_it_may(server: Node, actor: str, target: str) -> None:
    group, cast = await a_group_of_all_roles(server)
    who, whom = cast[actor][0], cast[target][-1]
    before = await version_of(group, who)

    if may_remove(actor, target):
        await who.delete(f"/chats/{group}/participants/{whom.id}")
        assert whom.id not in await roles_in(group, who)
        await whom.get(f"/chats/{group}", 404)
        assert await version_of(group, who) == before + 1
    else:
        refused = await who.delete(f"/chats/{group}/participants/{whom.id}", 403)
        assert refused["code"] == "forbidden"
        assert whom.id in await roles_in(group, who)
        assert await version_of(group, who) == before


@pytest.mark.parametrize("actor", ROLES)
@pytest.mark.parametrize("target", ROLES)
@pytest.mark.parametrize("role", ROLES)
async def test_every_role_gives_the_roles_it_may(server: Node, actor: str, target: str, role: str) -> None:
    group, cast = await a_group_of_all_roles(server)
    who, whom = cast[actor][0], cast[target][-1]
    before, held = await version_of(group, who), await roles_in(group, who)
    path = f"/chats/{group}/participants/{whom.id}"

    if actor == target == "owner" and role != "owner":
        assert (await who.put(path, {"role": role}, 409))["code"] == "conflict"
        return
    if not may_set(actor, target, role):
        assert (await who.put(path, {"role": role}, 403))["code"] == "forbidden"
        assert await roles_in(group, who) == held
        assert await version_of(group, who) == before
        return
    changes = role != target
    answer = await who.put(path, {"role": role})
    assert (answer["user_id"], answer["role"]) == (whom.id, role)
    expected = held | {whom.id: role}
    if changes and role == "owner":
        expected[who.id] = "admin"
    assert await roles_in(group, whom) == expected
    assert await version_of(group, who) == before + changes
    assert answer["version"] == (before + 1 if changes else answer["version"])


async def test_a_hand_over_is_one_change_of_two_people(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    await ann.put(f"/chats/{group}/participants/{ben.id}", {"role": "owner"})

    found = (await ann.get(f"/chats/{group}/participants"))["items"]
    assert {one["user_id"]: (one["role"], one["version"]) for one in found} == {
        ann.id: ("admin", 2),
        ben.id: ("owner", 2),
    }
    refused = await ann.put(f"/chats/{group}/participants/{ann.id}", {"role": "owner"}, 403)
    assert refused["code"] == "forbidden"


async def test_only_who_is_there_gets_a_role(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben)
    path = f"/chats/{group}/participants"
    for user_id in (eva.id, NOBODY):
        assert (await ann.put(f"{path}/{user_id}", {"role": "admin"}, 404))["code"] == "not_found"
    await ben.delete(f"/chats/{group}")
    await ann.put(f"{path}/{ben.id}", {"role": "admin"}, 404)
    for wrong in ("Owner", "root", "", None, 1, True, ["admin"], {"$ne": 1}):
        await ann.put(f"{path}/{ann.id}", {"role": wrong}, 422)


async def test_of_two_owners_at_once_there_is_one(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben, eva)
    path = f"/chats/{group}/participants"
    answers = await asyncio.gather(
        *(ann.http.put(f"{path}/{user.id}", json={"role": "owner"}) for user in (ben, eva))
    )
    assert sorted(answer.status_code for answer in answers) == [200, 403]
    assert sorted((await roles_in(group, ann)).values()) == ["admin", "member", "owner"]


async def test_every_change_takes_the_next_version(server: Node) -> None:
    ann, ben, eva = await people(server, 3)
    group = await a_group(ann, ben)
    path = f"/chats/{group}"
    expected = 1
    message: Any = {}

    async def after(change: Any) -> Any:
        nonlocal expected
        result, expected = await change, expected + 1
        assert await version_of(group, ann) == expected
        return result

    await after(ann.put(path, {"name": "2"}))
    await after(ann.post(f"{path}/participants", {"user_ids": [eva.id]}, 200))
    await after(ann.put(f"{path}/participants/{eva.id}", {"role": "admin"}))
    message = await after(ben.say(group, "5"))
    await after(ben.put(f"/messages/{message['id']}", {"content": "6"}))
    await after(eva.delete(f"/messages/{message['id']}", 200))
    await after(ann.put(f"{path}/participants/{eva.id}", {"role": "owner"}))
    await after(eva.delete(f"{path}/participants/{ben.id}"))
    await after(eva.post(f"{path}/participants", {"user_ids": [ben.id]}, 200))
    await after(ben.delete(path))
    assert (await ann.get(path))["last_seq"] == 1


@pytest.mark.parametrize(
    "chat_id", ["0", "-1", "x", "1.0", "1e3", str(2**53), str(2**64), "9" * 400, "\u0661"]
)
async def test_a_malformed_chat_id_is_invalid(server: Node, chat_id: str) -> None:
    [ann] = await people(server, 1)
    assert (await ann.get(f"/chats/{chat_id}", 422))["code"] == "invalid_request"
    assert (await ann.get(f"/messages/chat/{chat_id}", 422))["code"] == "invalid_request"


def test_the_setting_is_the_documented_one(tmp_path: Path) -> None:
    assert make_settings(data_dir=tmp_path).max_participants == 5000
