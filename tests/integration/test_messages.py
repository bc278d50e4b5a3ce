"""Messages over REST: sending once and only once, replies, edits, deletions, and reading history."""

# ruff: noqa: RUF001 - texts of many scripts are what some of this is about

from __future__ import annotations

import asyncio
import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chat_service.domain.models import MAX_ID, MessageRow
from chat_service.services import messages
from chat_service.services.ports.metadata import Unit
from tests.builders import TestUser, a_direct_chat, a_group, a_user
from tests.integration.people import in_service, people, without_request_id
from tests.node import Node

NO_MESSAGE = "01936f5e-7c1a-7b3e-9a55-3f0e5a2b8c11"


async def send(user: TestUser, chat_id: int, content: str, key: str | None = None, **fields: Any) -> Any:
    """Send a message, with a `client_message_id`; the whole response."""
    body = {"chat_id": chat_id, "content": content, "client_message_id": key} | fields
    return await user.http.post("/messages", json=body)


async def history(user: TestUser, chat_id: int, **params: Any) -> list[int]:
    """The seqs of one page."""
    page = await user.get(f"/messages/chat/{chat_id}", **params)
    return [message["seq"] for message in page["items"]]


async def a_talk(server: Node, count: int) -> tuple[TestUser, TestUser, int, list[Any]]:
    """Two people in a group, and as many messages, which they wrote in turn."""
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    said = [await (ann, ben)[number % 2].say(group, f"message {number + 1}") for number in range(count)]
    return ann, ben, group, said


async def version_of(user: TestUser, chat_id: int) -> int:
    return int((await user.get(f"/chats/{chat_id}"))["version"])


# --- Sending


async def test_a_message_is_stored_and_returned_as_it_is(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    response = await send(ann, group, "Xin chào!", "phone-1-0042", message_type="text", reply_to_id=None)

    assert response.status_code == 201
    message = response.json()
    assert response.headers["location"] == f"/api/v1/messages/{message['id']}"
    assert response.headers["cache-control"] == "no-store"
    assert "idempotent-replay" not in response.headers
    assert message == {
        "id": message["id"],
        "chat_id": group,
        "seq": 1,
        "version": 2,
        "revision": 1,
        "sender_id": ann.id,
        "sender_username": ann.username,
        "message_type": "text",
        "content": "Xin chào!",
        "client_message_id": "phone-1-0042",
        "timestamp": message["timestamp"],
        "is_edited": False,
        "edited_at": None,
        "is_deleted": False,
        "reply_to": None,
        "attachments": [],
        "mentions": [],
        "reactions": [],
        "is_pinned": False,
    }
    assert UUID(message["id"]).version == 7
    assert message["timestamp"].endswith("Z")
    read = await ben.http.get(f"/messages/{message['id']}")
    assert (read.json(), read.headers["etag"]) == (message, '"1"')
    assert (await ben.get(f"/messages/chat/{group}"))["items"] == [message]
    assert (await ben.say(group, "no key"))["client_message_id"] is None


@pytest.mark.parametrize(
    "content",
    [
        "x",
        "👩‍👩‍👧‍👦 🇻🇳 😀😁 \U0010ffff",
        "שלום עולם \u202eمرحبا",
        "trailing blanks  \t ",
        "\n leading",
        "a\r\nb\rc\nd",
        "e\u0301 is not \u00e9",
        '{"$ne": 1} <script> \'; DROP TABLE messages; -- %s \\',
        "\u200b",
        "\x01\x1f\x7f\u2028",
        "x" * 10_000,
        "😀" * 10_000,
    ],
    ids=lambda content: ascii(content[:12]),
)
async def test_a_text_is_kept_exactly(server: Node, content: str) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    message = await ann.say(group, content)
    assert message["content"] == content
    assert (await ben.get(f"/messages/{message['id']}"))["content"] == content
    assert (await ben.get(f"/messages/chat/{group}"))["items"][0]["content"] == content


@pytest.mark.parametrize(
    "content", ["", " ", "\t\r\n", "\u3000\u2003", "a\0b", "\0", "x" * 10_001, 5, True, None, [], {"$ne": 1}]
)
async def test_what_is_no_text_is_refused(server: Node, content: Any) -> None:
    [ann] = await people(server, 1)
    group = await a_group(ann)
    message = await ann.say(group, "before")
    sent = await ann.post("/messages", {"chat_id": group, "content": content}, 422)
    edited = await ann.put(f"/messages/{message['id']}", {"content": content}, 422)
    assert sent["code"] == edited["code"] == "invalid_request"
    assert await ann.get(f"/messages/{message['id']}") == message


@pytest.mark.parametrize("escape", ["\\ud800", "\\udfff", "a\\ud83d", "\\ude00\\ud83d"])
async def test_a_lone_surrogate_is_refused(server: Node, escape: str) -> None:
    [ann] = await people(server, 1)
    group = await a_group(ann)
    body = f'{{"chat_id": {group}, "content": "{escape}"}}'
    response = await ann.http.post("/messages", content=body, headers={"content-type": "application/json"})
    assert (response.status_code, response.json()["code"]) == (422, "invalid_request")
    assert await version_of(ann, group) == 1


async def test_messages_go_only_into_ones_own_chats(server: Node) -> None:
    ann, ben, stranger = await people(server, 3)
    group = await a_group(ann, ben)
    unknown = await stranger.post("/messages", {"chat_id": MAX_ID, "content": "x"}, 404)
    foreign = await stranger.post("/messages", {"chat_id": group, "content": "x"}, 404)
    assert without_request_id(unknown) == without_request_id(foreign)
    for wrong in (0, -1, MAX_ID + 1, 2**64, str(group), True, float(group), None, [group], {"$gt": 0}):
        await ann.post("/messages", {"chat_id": wrong, "content": "x"}, 422)
    for kind in ("image", "Text", "", 1):
        await ann.post("/messages", {"chat_id": group, "content": "x", "message_type": kind}, 422)
    assert await version_of(ann, group) == 1


async def test_fifty_senders_at_once_get_seqs_without_a_gap(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    senders = [(ann, ben)[number % 2] for number in range(50)]
    said = await asyncio.gather(*(user.say(group, f"{i}") for i, user in enumerate(senders)))

    assert sorted(message["seq"] for message in said) == list(range(1, 51))
    assert sorted(message["version"] for message in said) == list(range(2, 52))
    page = await ben.get(f"/messages/chat/{group}", limit=100)
    assert page["items"] == sorted(said, key=lambda message: int(message["seq"]))
    times = [message["timestamp"] for message in page["items"]]
    assert times == sorted(times)
    assert page["version"] == 51


async def test_writers_of_all_kinds_leave_no_gap(server: Node) -> None:
    """Sends, edits, deletions, names, roles and hides in one chat at once: each takes one version."""
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    said = [await ann.say(group, f"{number}") for number in range(10)]
    work = [ben.say(group, f"s{number}") for number in range(20)]
    work += [ann.put(f"/messages/{one['id']}", {"content": "e"}) for one in said[:5]]
    work += [ann.delete(f"/messages/{one['id']}", 200) for one in said[5:]]
    work += [ann.put(f"/chats/{group}", {"name": f"n{number}"}) for number in range(5)]
    work += [ben.delete(f"/messages/{one['id']}", scope="me") for one in said[:3]]
    await asyncio.gather(*work)

    chat = await ann.get(f"/chats/{group}")
    assert (chat["last_seq"], chat["version"]) == (30, 1 + 10 + 20 + 5 + 5 + 5)
    messages = (await ann.get(f"/messages/chat/{group}", limit=100))["items"]
    assert [message["seq"] for message in messages] == list(range(1, 31))
    versions = [message["version"] for message in messages]
    assert len(set(versions)) == 30
    assert max(versions) <= chat["version"]


# --- Sending again


async def test_a_repeated_send_answers_with_the_message_as_it_is_now(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    path = f"/messages/{(await send(ann, group, 'first', 'k')).json()['id']}"

    async def replay() -> Any:
        response = await send(ann, group, "first", "k")
        assert response.status_code == 200
        assert response.headers["idempotent-replay"] == "true"
        assert response.headers["location"] == f"/api/v1{path}"
        assert response.json() == await ann.get(path)
        return response.json()

    assert (await replay())["content"] == "first"
    await ann.put(path, {"content": "second"})
    assert (await replay())["content"] == "second"
    assert (await send(ann, group, "second", "k")).status_code == 409  # compared with the first request
    await ann.delete(path, 200)
    tombstone = await replay()
    assert (tombstone["content"], tombstone["is_deleted"], tombstone["seq"]) == ("", True, 1)
    assert (await ann.get(f"/chats/{group}"))["last_seq"] == 1


async def test_of_the_same_send_twenty_times_at_once_one_is_stored(server: Node) -> None:
    ann, ben = await people(server, 2)
    group = await a_group(ann, ben)
    answers = await asyncio.gather(*(send(ann, group, "once", "same") for _ in range(20)))

    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    assert len({answer.text for answer in answers}) == 1
    replays = [answer.headers.get("idempotent-replay") for answer in answers if answer.status_code == 200]
    assert replays == ["true"] * 19
    assert await version_of(ann, group) == 2


async def test_one_key_at_once_with_two_texts_stores_one_of_them(server: Node) -> None:
    ann, _ben, group, _ = await a_talk(server, 0)
    answers = await asyncio.gather(*(send(ann, group, "ab"[i % 2], "either") for i in range(10)))
    counts = dict.fromkeys((200, 201, 409), 0)
    for answer in answers:
        counts[answer.status_code] += 1
    assert counts == {200: 4, 201: 1, 409: 5}
    assert await history(ann, group) == [1]


async def test_a_key_means_one_request_of_one_sender_in_one_chat(server: Node) -> None:
    ann, ben, group, [target] = await a_talk(server, 1)
    other = await a_group(ann, ben)
    first = (await send(ann, group, "text", "k")).json()

    for content, fields in (("Text", {}), ("text ", {}), ("text", {"reply_to_id": target["id"]})):
        response = await send(ann, group, content, "k", **fields)
        assert (response.status_code, response.json()["code"]) == (409, "client_message_id_conflict")
    for response in (
        await send(ben, group, "text", "k"),
        await send(ann, other, "text", "k"),
        await send(ann, group, "text", "K"),
        await send(ann, group, "text", "k."),
        await send(ann, group, "text", None),
        await send(ann, group, "text", None),
    ):
        assert response.status_code == 201
        assert response.json()["id"] != first["id"]
    assert (await send(ann, group, "text", "k")).json() == first


@pytest.mark.parametrize(
    "key", ["", " ", "a b", "a" * 65, "é", "~x", "a/b", "a\n", "a\0", 5, True, ["a"], {}]
)
async def test_a_malformed_key_is_refused(server: Node, key: Any) -> None:
    [ann] = await people(server, 1)
    group = await a_group(ann)
    body = {"chat_id": group, "content": "x", "client_message_id": key}
    assert (await ann.post("/messages", body, 422))["code"] == "invalid_request"
    assert await version_of(ann, group) == 1


async def test_the_header_idempotency_key_means_the_same(server: Node) -> None:
    ann, _ben, group, _ = await a_talk(server, 0)
    body = {"chat_id": group, "content": "text"}
    longest = "aZ09._:-" * 8

    first = await ann.post("/messages", body, **{"Idempotency-Key": longest})
    assert first["client_message_id"] == longest
    assert (await send(ann, group, "text", longest)).json() == first
    both = body | {"client_message_id": longest}
    assert await ann.post("/messages", both, 200, **{"Idempotency-Key": longest}) == first
    for other in ("another", longest.swapcase()):
        refused = await ann.post("/messages", both, 422, **{"Idempotency-Key": other})
        assert refused["code"] == "invalid_request"
    for wrong in ("", "a b", "a" * 65, "~a"):
        refused = await ann.post("/messages", body, 422, **{"Idempotency-Key": wrong})
        assert refused["code"] == "invalid_request"
    assert await history(ann, group) == [1]


async def test_a_repeated_reply_is_answered_though_its_target_is_hidden_by_now(server: Node) -> None:
    ann, _ben, group, [target] = await a_talk(server, 1)
    first = await send(ann, group, "reply", "r", reply_to_id=target["id"])
    await ann.delete(f"/messages/{target['id']}", scope="me")

    again = await send(ann, group, "reply", "r", reply_to_id=target["id"])
    assert (again.status_code, again.json()) == (200, first.json())
    assert (await send(ann, group, "other", "r", reply_to_id=target["id"])).status_code == 409
    assert (await send(ann, group, "new", "s", reply_to_id=target["id"])).status_code == 404


# --- Replies


async def test_a_reply_names_what_cannot_change(server: Node) -> None:
    ann, ben, group, [target] = await a_talk(server, 1)
    reply = await ben.say(group, "to you", reply_to_id=target["id"])
    named = {"id": target["id"], "seq": 1, "sender_id": ann.id}
    assert reply["reply_to"] == named
    upper = await ben.say(group, "either case", reply_to_id=target["id"].upper())
    assert upper["reply_to"] == named

    await ann.put(f"/messages/{target['id']}", {"content": "edited"})
    await ann.delete(f"/messages/{target['id']}", 200)
    assert await ann.get(f"/messages/{reply['id']}") == reply
    assert (await ann.say(group, "to a tombstone", reply_to_id=target["id"]))["reply_to"] == named
    await ben.delete(f"/messages/{reply['id']}", 200)
    assert (await ann.get(f"/messages/{reply['id']}"))["reply_to"] == named


async def test_one_answers_only_what_one_sees_in_the_same_chat(server: Node) -> None:
    ann, ben, group, [target] = await a_talk(server, 1)
    other = await a_group(ann, ben)
    foreign = await ben.say(await a_group(ben), "foreign")
    await ben.delete(f"/messages/{target['id']}", scope="me")

    for user, chat_id, reply_to_id in (
        (ann, other, target["id"]),
        (ann, group, foreign["id"]),
        (ann, group, NO_MESSAGE),
        (ben, group, target["id"]),
    ):
        body = {"chat_id": chat_id, "content": "x", "reply_to_id": reply_to_id}
        assert (await user.post("/messages", body, 404))["code"] == "not_found"
    for wrong in ("", "x", target["id"].replace("-", ""), "{" + target["id"] + "}", 5, True, [target["id"]]):
        body = {"chat_id": group, "content": "x", "reply_to_id": wrong}
        assert (await ann.post("/messages", body, 422))["code"] == "invalid_request"
    assert (await ann.get(f"/chats/{group}"))["last_seq"] == 1


# --- Editing


async def test_an_edit_gives_a_message_a_new_text_in_its_place(server: Node) -> None:
    ann, ben, group, [message, _] = await a_talk(server, 2)
    path = f"/messages/{message['id']}"
    response = await ann.http.put(path, json={"content": "edited 😀 "})

    assert (response.status_code, response.headers["etag"]) == (200, '"2"')
    edited = response.json()
    assert edited == message | {
        "content": "edited 😀 ",
        "revision": 2,
        "version": 4,
        "is_edited": True,
        "edited_at": edited["edited_at"],
    }
    assert edited["edited_at"] >= message["timestamp"]
    assert await ben.get(path) == edited
    assert (await ben.get(f"/messages/chat/{group}"))["items"][0] == edited


async def test_only_the_sender_edits(server: Node) -> None:
    ann, ben, stranger = await people(server, 3)
    group = await a_group(ann, ben)
    message = await ben.say(group, "mine")
    path = f"/messages/{message['id']}"
    assert (await ann.put(path, {"content": "the owner"}, 403))["code"] == "forbidden"
    assert (await stranger.put(path, {"content": "x"}, 404))["code"] == "not_found"
    assert (await ann.put(f"/messages/{NO_MESSAGE}", {"content": "x"}, 404))["code"] == "not_found"
    assert await ann.get(path) == message


async def test_the_same_text_changes_nothing(server: Node) -> None:
    ann, _ben, group, [message] = await a_talk(server, 1)
    path = f"/messages/{message['id']}"
    response = await ann.http.put(path, json={"content": message["content"]})
    assert (response.status_code, response.json(), response.headers["etag"]) == (200, message, '"1"')
    assert await version_of(ann, group) == 2
    assert len((await ann.get(f"{path}/revisions"))["items"]) == 1


async def test_an_edit_with_if_match_needs_the_present_revision(server: Node) -> None:
    ann, _ben, group, [message] = await a_talk(server, 1)
    path = f"/messages/{message['id']}"
    await ann.put(path, {"content": "2"}, **{"If-Match": '"1"'})
    for stale in ('"1"', '"3"', '"x"', '""', "2", '"2', '"-2"', '"1", "3"', '"99999999999999999999"', '"²"'):
        headers = {"If-Match": stale.encode()}
        response = await ann.http.put(path, json={"content": "3"}, headers=headers)
        assert (response.status_code, response.json()["code"]) == (412, "stale_version"), stale
    assert (await ann.get(path))["content"] == "2"
    assert await version_of(ann, group) == 3
    assert (await ann.put(path, {"content": "3"}, **{"If-Match": '"2"'}))["revision"] == 3
    assert (await ann.put(path, {"content": "4"}, **{"If-Match": "*"}))["revision"] == 4


async def test_of_edits_at_once_with_one_revision_one_wins(server: Node) -> None:
    ann, _ben, group, [message] = await a_talk(server, 1)
    path = f"/messages/{message['id']}"
    answers = await asyncio.gather(
        *(
            ann.http.put(path, json={"content": f"edit {number}"}, headers={"If-Match": '"1"'})
            for number in range(8)
        )
    )
    assert sorted(answer.status_code for answer in answers) == [200] + [412] * 7
    [won] = [answer.json() for answer in answers if answer.status_code == 200]
    assert await ann.get(path) == won
    assert await version_of(ann, group) == 3


async def test_edits_at_once_all_stay_in_the_history(server: Node) -> None:
    ann, _ben, group, [message] = await a_talk(server, 1)
    path = f"/messages/{message['id']}"
    await asyncio.gather(*(ann.put(path, {"content": f"edit {number}"}) for number in range(8)))
    items = (await ann.get(f"{path}/revisions"))["items"]
    assert [item["revision"] for item in items] == list(range(1, 10))
    assert {item["content"] for item in items} == {"message 1", *(f"edit {n}" for n in range(8))}
    assert items[-1]["content"] == (await ann.get(path))["content"]
    assert await version_of(ann, group) == 10


async def test_the_history_of_edits_goes_from_the_first_text_to_the_present_one(server: Node) -> None:
    ann, ben, _group, [message] = await a_talk(server, 1)
    path = f"/messages/{message['id']}"
    first = {"revision": 1, "content": "message 1", "edited_at": message["timestamp"]}
    assert await ben.get(f"{path}/revisions") == {"items": [first]}
    second = await ann.put(path, {"content": "second"})
    third = await ann.put(path, {"content": "message 1"})
    assert await ben.get(f"{path}/revisions") == {
        "items": [
            first,
            {"revision": 2, "content": "second", "edited_at": second["edited_at"]},
            {"revision": 3, "content": "message 1", "edited_at": third["edited_at"]},
        ]
    }
    await ann.delete(path, 200)
    assert (await ben.get(f"{path}/revisions", 404))["code"] == "not_found"


async def test_there_is_an_end_to_edits(server: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """All texts are kept and read together."""
    monkeypatch.setattr(messages, "MAX_REVISIONS", 3)
    ann, _ben, _group, [message] = await a_talk(server, 1)
    path = f"/messages/{message['id']}"
    for text in ("second", "third"):
        await ann.put(path, {"content": text})
    problem = await ann.put(path, {"content": "fourth"}, 409)
    assert problem["code"] == "conflict"
    assert "2 times" in problem["detail"]
    kept = (await ann.get(f"{path}/revisions"))["items"]
    assert [one["content"] for one in kept] == ["message 1", "second", "third"]
    await ann.delete(path, 200)


async def test_a_tombstone_is_not_edited(server: Node) -> None:
    ann, ben, group, [message] = await a_talk(server, 1)
    path = f"/messages/{message['id']}"
    tombstone = await ann.delete(path, 200)
    for content in ("again", message["content"]):
        assert (await ann.put(path, {"content": content}, 409))["code"] == "conflict"
    assert (await ben.put(path, {"content": "x"}, 403))["code"] == "forbidden"
    assert await ann.get(path) == tombstone
    assert await version_of(ann, group) == 3


# --- Deleting for everyone


async def test_a_deleted_message_stays_in_its_place_without_its_text(server: Node) -> None:
    ann, ben, group, [message, _] = await a_talk(server, 2)
    path = f"/messages/{message['id']}"
    await ann.put(path, {"content": "secret"})
    response = await ann.http.delete(path)

    tombstone = response.json()
    assert (response.status_code, tombstone["content"], tombstone["is_deleted"]) == (200, "", True)
    assert (tombstone["seq"], tombstone["version"], tombstone["sender_id"]) == (1, 5, ann.id)
    assert response.headers["etag"] == f'"{tombstone["revision"]}"'
    assert await ben.get(path) == tombstone
    assert (await ben.get(f"/messages/chat/{group}"))["items"][0] == tombstone
    assert (await ben.get(f"/messages/chat/{group}", page=1))["total"] == 2
    assert await ann.delete(path, 200) == tombstone  # again: the same
    assert await ann.delete(path, 200, scope="everyone") == tombstone
    assert await version_of(ann, group) == 5


async def test_of_deletions_at_once_there_is_one(server: Node) -> None:
    ann, _ben, group, [message] = await a_talk(server, 1)
    answers = await asyncio.gather(*(ann.delete(f"/messages/{message['id']}", 200) for _ in range(8)))
    assert len({json.dumps(answer) for answer in answers}) == 1
    assert await version_of(ann, group) == 3


async def test_sender_owner_and_admins_delete_for_everyone(server: Node) -> None:
    ann, ben, eva, kim, stranger = await people(server, 5)
    group = await a_group(ann, ben, eva, kim)
    await ann.put(f"/chats/{group}/participants/{ben.id}", {"role": "admin"})

    for sender, deleter in ((eva, eva), (eva, ann), (eva, ben), (ann, ben), (ben, ann)):
        message = await sender.say(group, "x")
        assert (await deleter.delete(f"/messages/{message['id']}", 200))["is_deleted"] is True
    for sender in (eva, ann, ben):
        message = await sender.say(group, "x")
        assert (await kim.delete(f"/messages/{message['id']}", 403))["code"] == "forbidden"
        assert (await stranger.delete(f"/messages/{message['id']}", 404))["code"] == "not_found"
        assert await kim.get(f"/messages/{message['id']}") == message
    assert (await ann.delete(f"/messages/{NO_MESSAGE}", 404))["code"] == "not_found"
    assert (await ann.delete(f"/messages/{message['id']}", 422, scope="all"))["code"] == "invalid_request"


async def test_in_a_direct_chat_only_the_sender_deletes_for_everyone(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    direct = await a_direct_chat(ann, ben)  # made by ann, who owns nothing by that
    message = await ben.say(direct, "mine")
    assert (await ann.delete(f"/messages/{message['id']}", 403))["code"] == "forbidden"
    assert (await ben.delete(f"/messages/{message['id']}", 200))["is_deleted"] is True


@contextmanager
def later(server: Node, **by: float) -> Iterator[None]:
    """Move the clock of the node's messages forward."""
    messages = server.services.messages
    held = messages._clock
    messages._clock = lambda: datetime.now(UTC) + timedelta(**by)
    try:
        yield
    finally:
        messages._clock = held


async def find_row(server: Node, message: dict[str, Any]) -> MessageRow:
    store = server.services.metadata
    row = await in_service(server, store.read(lambda u: u.messages.find_message(UUID(message["id"]))))
    assert row is not None
    return row


async def test_the_texts_of_a_deleted_message_are_erased_ten_minutes_later(server: Node) -> None:
    ann, _ben, group, [message, other] = await a_talk(server, 2)
    path = f"/messages/{message['id']}"
    await ann.put(path, {"content": "second"})
    services = server.services
    row = await find_row(server, message)
    bodies = [(group, UUID(message["id"])), (group, row.body_id), (group, UUID(other["id"]))]

    async def texts() -> list[str | None]:
        found = await in_service(server, services.content.get_bodies(bodies))
        return [found.get(body_id) for _, body_id in bodies]

    assert await texts() == ["message 1", "second", "message 2"]
    await ann.delete(path, 200)
    with later(server, minutes=9):
        await in_service(server, services.messages.purge_discarded())
    assert await texts() == ["message 1", "second", "message 2"]
    with later(server, minutes=11):
        assert await in_service(server, services.messages.purge_discarded()) >= 2
        assert await in_service(server, services.messages.purge_discarded()) == 0
    assert await texts() == [None, None, "message 2"]
    assert (await ann.get(path))["is_deleted"] is True
    assert await history(ann, group) == [1, 2]


async def test_a_text_that_a_row_names_is_never_erased(server: Node) -> None:
    """However it came onto the list of those that are."""
    ann, _ben, group, [message] = await a_talk(server, 1)
    row = await find_row(server, message)

    async def discard(unit: Unit) -> None:
        await unit.messages.discard_bodies(row, datetime.now(UTC))

    await in_service(server, server.services.metadata.transact(discard))
    assert await in_service(server, server.services.messages.purge_discarded()) == 0
    assert (await ann.get(f"/messages/{message['id']}"))["content"] == "message 1"
    left = await in_service(
        server, server.services.metadata.read(lambda u: u.audit.find_discarded([row.body_id]))
    )
    assert left == set()
    assert await history(ann, group) == [1]


# --- Deleting for oneself


async def test_a_hidden_message_is_gone_for_the_caller_alone(server: Node) -> None:
    ann, ben, group, said = await a_talk(server, 5)
    hidden, last = said[1], said[4]
    before = await version_of(ben, group)
    for message in (hidden, last, hidden):
        response = await ben.http.delete(f"/messages/{message['id']}", params={"scope": "me"})
        assert (response.status_code, response.content) == (204, b"")

    assert await version_of(ben, group) == before
    for path in (f"/messages/{hidden['id']}", f"/messages/{hidden['id']}/revisions"):
        assert (await ben.get(path, 404))["code"] == "not_found"
    await ben.put(f"/messages/{hidden['id']}", {"content": "x"}, 404)  # it is his own
    await ben.delete(f"/messages/{hidden['id']}", 404)
    assert await ann.get(f"/messages/{hidden['id']}") == hidden
    assert await history(ann, group) == [1, 2, 3, 4, 5]

    assert await history(ben, group) == [1, 3, 4]
    assert await history(ben, group, around=2, limit=2) == [1, 3]
    assert await history(ben, group, after=1, limit=1) == [3]
    assert await history(ben, group, before=3, limit=1) == [1]
    page = await ben.get(f"/messages/chat/{group}", page=1, limit=2)
    assert ([m["seq"] for m in page["items"]], page["total"], page["pages"]) == ([3, 4], 3, 2)
    assert await history(ben, group, page=2, limit=2) == [1]
    feed = await ben.get(f"/chats/{group}/changes")
    assert ([m["seq"] for m in feed["messages"]], feed["hidden"]) == ([1, 3, 4], [2, 5])
    [item] = [i for i in (await ben.get("/chats", cursor="", limit=9))["items"] if i["id"] == group]
    assert (item["last_message"]["seq"], item["last_seq"]) == (4, 5)
    [item] = [i for i in (await ann.get("/chats", cursor="", limit=9))["items"] if i["id"] == group]
    assert item["last_message"]["seq"] == 5


async def test_a_chat_whose_messages_are_all_hidden_looks_empty(server: Node) -> None:
    ann, ben, group, said = await a_talk(server, 2)
    for message in said:
        await ben.delete(f"/messages/{message['id']}", scope="me")
    for params in ({}, {"before": 2}, {"after": 0}, {"around": 1}, {"at": said[0]["timestamp"]}):
        page = await ben.get(f"/messages/chat/{group}", **params)
        assert (page["items"], page["has_more"]) == ([], False)
        assert (page["next_before"], page["next_after"]) == (None, None)
    page = await ben.get(f"/messages/chat/{group}", page=1)
    assert (page["items"], page["total"], page["pages"]) == ([], 0, 0)
    [item] = [i for i in (await ben.get("/chats", cursor="", limit=9))["items"] if i["id"] == group]
    assert item["last_message"] is None
    assert (await ann.say(group, "new"))["seq"] == 3
    assert await history(ben, group) == [3]


async def test_a_tombstone_can_be_hidden_too(server: Node) -> None:
    ann, ben, group, [message] = await a_talk(server, 1)
    await ann.delete(f"/messages/{message['id']}", 200)
    await ben.delete(f"/messages/{message['id']}", scope="me")
    assert await history(ben, group) == []
    assert await history(ann, group) == [1]


async def test_nobody_hides_what_they_do_not_see(server: Node) -> None:
    ann, ben, stranger = await people(server, 3)
    group = await a_group(ann, ben)
    message = await ann.say(group, "x")
    path = f"/messages/{message['id']}"
    assert (await stranger.delete(path, 404, scope="me"))["code"] == "not_found"
    await ben.delete(f"/chats/{group}")
    assert (await ben.delete(path, 404, scope="me"))["code"] == "not_found"
    for wrong in ("", "Me", "both", "1"):
        assert (await ann.delete(path, 422, scope=wrong))["code"] == "invalid_request"


# --- Reading


async def test_history_is_read_backwards_from_the_newest_page(server: Node) -> None:
    _ann, ben, group, said = await a_talk(server, 7)
    page = await ben.get(f"/messages/chat/{group}", limit=3)
    assert page == {
        "items": said[4:],
        "has_more": True,
        "next_before": 5,
        "next_after": None,
        "version": 8,
        "epoch": server.services.epoch.value,
    }
    page = await ben.get(f"/messages/chat/{group}", limit=3, before=page["next_before"])
    assert (page["items"], page["has_more"]) == (said[1:4], True)
    assert (page["next_before"], page["next_after"]) == (2, 4)
    page = await ben.get(f"/messages/chat/{group}", limit=3, before=page["next_before"])
    assert (page["items"], page["has_more"]) == (said[:1], False)
    assert (page["next_before"], page["next_after"]) == (None, 1)


async def test_history_is_read_forwards(server: Node) -> None:
    _ann, ben, group, said = await a_talk(server, 7)
    seen: list[Any] = []
    after: int | None = 0
    while after is not None:
        page = await ben.get(f"/messages/chat/{group}", limit=3, after=after)
        assert page["has_more"] is (page["next_after"] is not None)
        assert page["next_before"] == (None if after == 0 else page["items"][0]["seq"])
        seen += page["items"]
        after = page["next_after"]
    assert seen == said


@pytest.mark.parametrize(
    ("params", "seqs", "has_more", "next_before", "next_after"),
    [
        ({}, [1, 2, 3, 4, 5, 6, 7], False, None, None),
        ({"limit": 7}, [1, 2, 3, 4, 5, 6, 7], False, None, None),
        ({"limit": 6}, [2, 3, 4, 5, 6, 7], True, 2, None),
        ({"before": 8, "limit": 2}, [6, 7], True, 6, None),
        ({"before": MAX_ID, "limit": 2}, [6, 7], True, 6, None),
        ({"before": 2, "limit": 1}, [1], False, None, 1),
        ({"before": 1}, [], False, None, 0),
        ({"before": 0}, [], False, None, 0),
        ({"after": 0, "limit": 2}, [1, 2], True, None, 2),
        ({"after": 6, "limit": 2}, [7], False, 7, None),
        ({"after": 7}, [], False, 8, None),
        ({"after": MAX_ID}, [], False, 8, None),
        ({"around": 4, "limit": 3}, [3, 4, 5], True, 3, 5),
        ({"around": 4, "limit": 4}, [2, 3, 4, 5], True, 2, 5),
        ({"around": 4, "limit": 1}, [4], True, 4, 4),
        ({"around": 1, "limit": 3}, [1, 2, 3], True, None, 3),
        ({"around": 0, "limit": 3}, [1, 2, 3], True, None, 3),
        ({"around": 7, "limit": 3}, [5, 6, 7], True, 5, None),
        ({"around": 99, "limit": 3}, [5, 6, 7], True, 5, None),
        ({"around": MAX_ID, "limit": 100}, [1, 2, 3, 4, 5, 6, 7], False, None, None),
        ({"around": 4, "limit": 7}, [1, 2, 3, 4, 5, 6, 7], False, None, None),
    ],
)
async def test_every_window_says_what_is_on_either_side(
    server: Node,
    params: dict[str, int],
    seqs: list[int],
    has_more: bool,
    next_before: int | None,
    next_after: int | None,
) -> None:
    ben, group = await _a_long_talk(server)
    page = await ben.get(f"/messages/chat/{group}", **params)
    assert [message["seq"] for message in page["items"]] == seqs
    assert (page["has_more"], page["next_before"], page["next_after"]) == (has_more, next_before, next_after)
    # What a page gives out can be asked for.
    if next_before is not None:
        older = await history(ben, group, before=next_before)
        assert older == list(range(1, (seqs[0] if seqs else 8)))
    if next_after is not None:
        newer = await history(ben, group, after=next_after)
        assert newer == list(range((seqs[-1] if seqs else 0) + 1, 8))


_talks: dict[str, int] = {}


async def _a_long_talk(server: Node) -> tuple[TestUser, int]:
    """Seven messages, written once for each server."""
    if server.url not in _talks:
        _ann, _ben, _talks[server.url], _ = await a_talk(server, 7)
    return (await people(server, 2))[1], _talks[server.url]


async def test_history_is_read_around_a_time(server: Node) -> None:
    _ann, ben, group, said = await a_talk(server, 7)
    times = [message["timestamp"] for message in said]
    assert len(set(times)) == 7

    assert await history(ben, group, at=times[3], limit=3) == [3, 4, 5]
    just_after = datetime.fromisoformat(times[3]) + timedelta(microseconds=1)
    assert await history(ben, group, at=just_after.isoformat(), limit=3) == [4, 5, 6]
    nanoseconds = times[3].replace("Z", "999Z")
    assert await history(ben, group, at=nanoseconds, limit=3) == [3, 4, 5]
    hanoi = datetime.fromisoformat(times[3]).astimezone(
        datetime.fromisoformat("2026-01-01T00:00+07:00").tzinfo
    )
    assert await history(ben, group, at=hanoi.isoformat(), limit=3) == [3, 4, 5]
    for early in ("2001-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"):
        page = await ben.get(f"/messages/chat/{group}", at=early, limit=3)
        assert ([m["seq"] for m in page["items"]], page["has_more"]) == ([1, 2, 3], True)
        assert page["next_before"] is None
    page = await ben.get(f"/messages/chat/{group}", at="9999-12-31T23:59:59.999999Z", limit=3)
    assert ([m["seq"] for m in page["items"]], page["next_after"]) == ([5, 6, 7], None)
    for wrong in ("", "now", "2026-11-20", "2026-11-20T09:30:00", "1700000000", "2026-13-01T00:00:00Z"):
        assert (await ben.get(f"/messages/chat/{group}", 422, at=wrong))["code"] == "invalid_request"
    for wrong in ("0001-01-01T00:00:00+07:00", "9999-12-31T23:59:59-07:00", "2026-11-20T09:30:60Z"):
        await ben.get(f"/messages/chat/{group}", 422, at=wrong)


async def test_at_most_one_place_is_given(server: Node) -> None:
    ann, _ben, group, _ = await a_talk(server, 1)
    places = {"before": 1, "after": 1, "around": 1, "at": "2026-11-20T09:30:00Z", "page": 1}
    for (one, value), (other, another) in itertools.permutations(places.items(), 2):
        refused = await ann.get(f"/messages/chat/{group}", 422, **{one: value, other: another})
        assert refused["code"] == "invalid_request"
    for params in ({"limit": 0}, {"limit": 101}, {"limit": -1}, {"limit": "x"}, {"page": 0}, {"before": -1}):
        assert (await ann.get(f"/messages/chat/{group}", 422, **params))["code"] == "invalid_request"
    assert await history(ann, group, limit=100) == await history(ann, group, limit=1) == [1]


async def test_numbered_pages_begin_at_the_newest(server: Node) -> None:
    _ann, ben, group, said = await a_talk(server, 7)
    for number, items in ((1, said[4:]), (2, said[1:4]), (3, said[:1]), (4, []), (MAX_ID, [])):
        assert await ben.get(f"/messages/chat/{group}", page=number, limit=3) == {
            "items": items,
            "total": 7,
            "page": number,
            "limit": 3,
            "pages": 3,
        }
    await ben.delete(f"/messages/{said[6]['id']}", scope="me")
    for number, seqs in ((1, [4, 5, 6]), (2, [1, 2, 3]), (3, [])):
        page = await ben.get(f"/messages/chat/{group}", page=number, limit=3)
        assert ([m["seq"] for m in page["items"]], page["total"], page["pages"]) == (seqs, 6, 2)


async def test_message_ids_are_uuids_with_hyphens(server: Node) -> None:
    ann, _ben, _group, [message] = await a_talk(server, 1)
    assert await ann.get(f"/messages/{message['id'].upper()}") == message
    for missing in (
        str(uuid4()),
        "00000000-0000-0000-0000-000000000000",
        "f" * 8 + "-ffff" * 3 + "-" + "f" * 12,
    ):
        assert (await ann.get(f"/messages/{missing}", 404))["code"] == "not_found"
    hexadecimal = message["id"].replace("-", "")
    for wrong in (
        hexadecimal,
        f"{{{message['id']}}}",
        f"urn:uuid:{message['id']}",
        "1",
        "x",
        message["id"] + "0",
    ):
        assert (await ann.get(f"/messages/{wrong}", 422))["code"] == "invalid_request"
