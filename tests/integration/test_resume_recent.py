"""Whoever resumes is answered from what the node has told lately, exactly as from the store."""

from __future__ import annotations

import itertools
import random
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from chat_service.services.resume import TURN_WITHIN_S
from chat_service.services.turns import Turns
from tests.builders import TestUser, a_group, sockets
from tests.client import Frame
from tests.integration.people import people
from tests.node import Node


@asynccontextmanager
async def reads_counted(server: Node, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[int]]:
    """How many texts each reading of the content store asked for."""
    counts: list[int] = []
    get_bodies = server.services.content.get_bodies

    async def count(keys: Any) -> Any:
        counts.append(len(keys))
        return await get_bodies(keys)

    with monkeypatch.context() as patch:
        patch.setattr(server.services.content, "get_bodies", count)
        yield counts


async def resume(user: TestUser, chat_id: int, since: int) -> list[Frame]:
    """The pages, without what only an answer has."""
    async with user.socket() as client:
        answer = await client.call("resume", cursors={str(chat_id): since})
        assert answer["type"] == "ack"
        pages = [page for page in client.pushes("changes") if page["chat_id"] == chat_id]
    return [{key: value for key, value in page.items() if key not in {"type", "ref"}} for page in pages]


async def read(user: TestUser, chat_id: int, since: int) -> list[Any]:
    """The same pages from the store."""
    pages = [await user.get(f"/chats/{chat_id}/changes", since=since, limit=100)]
    while pages[-1]["has_more"]:
        since = pages[-1]["to"]
        pages.append(await user.get(f"/chats/{chat_id}/changes", since=since, limit=100))
    return pages


class Talk:
    """Ann, who owns the group, Ben, who hides now and then what she wrote, and Eva, who listens."""

    def __init__(
        self, chance: random.Random, chat_id: int, ann: TestUser, ben: TestUser, eva: TestUser
    ) -> None:
        self._chance = chance
        self._chat_id = chat_id
        self._ann, self._ben, self._eva = ann, ben, eva
        self._said: list[Any] = []
        self._numbers = itertools.count(1)

    async def say(self) -> None:
        author = self._chance.choice([self._ann, self._ben])
        self._said.append(await author.say(self._chat_id, f"Number {next(self._numbers)}"))

    async def edit(self) -> None:  # of a stranger or deleted it is refused
        body = {"content": f"Edited {next(self._numbers)}"}
        await self._ann.http.put(self._any_message(), json=body)

    async def delete(self) -> None:
        await self._ann.http.delete(self._any_message())

    async def hide(self) -> None:
        await self._ben.http.delete(self._any_message(), params={"scope": "me"})

    async def read(self) -> None:
        seq = self._chance.choice(self._said)["seq"]
        await self._ben.put(f"/chats/{self._chat_id}/read", {"seq": seq})

    async def rename(self) -> None:
        await self._ann.put(f"/chats/{self._chat_id}", {"name": f"Name {next(self._numbers)}"})

    async def set_role(self) -> None:
        role = {"role": self._chance.choice(["admin", "member"])}
        await self._ann.put(f"/chats/{self._chat_id}/participants/{self._eva.id}", role)

    def _any_message(self) -> str:
        return f"/messages/{self._chance.choice(self._said)['id']}"


@pytest.mark.parametrize("is_told", [True, False])
@pytest.mark.parametrize("are_many", [True, False])
async def test_a_resume_from_any_version_is_what_the_store_says(
    server: Node, monkeypatch: pytest.MonkeyPatch, *, is_told: bool, are_many: bool
) -> None:
    """Every kind of change, mixed by chance, with messages that the viewer has hidden before and after; told
    by the node or not, and where others come back at the same time or not."""
    monkeypatch.setattr(server.services.resume, "_turns", Turns(1 if are_many else 8, TURN_WITHIN_S))
    chance = random.Random(11)
    ann, ben, eva = await people(server, 3)
    chat_id = await a_group(ann, ben, eva)
    talk = Talk(chance, chat_id, ann, ben, eva)
    for act in [talk.say] * 8 + [talk.hide] * 3:
        await act()
    acts = [talk.say] * 9 + [talk.edit] * 6 + [talk.delete, talk.hide, talk.read] * 2
    async with AsyncExitStack() as listening:
        if is_told:
            await listening.enter_async_context(eva.socket())
        for act in chance.choices([*acts, talk.rename, talk.set_role], k=60):
            await act()
        version = (await ann.get(f"/chats/{chat_id}"))["version"]
        for since in chance.sample(range(version + 1), version + 1):
            for user in (ann, ben):
                assert await resume(user, chat_id, since) == await read(user, chat_id, since), since


async def test_no_text_is_read_for_what_was_told_lately(
    server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    first = await ann.say(chat_id, "Nobody listens")
    async with ann.socket():
        said = [await ann.say(chat_id, f"Message {number}") for number in range(5)]
        async with reads_counted(server, monkeypatch) as counts:
            (page,) = await resume(ben, chat_id, first["version"])
            assert (page["messages"], counts) == (said, [])
            (page,) = await resume(ben, chat_id, 1)
            assert page["messages"] == [first, *said]
            assert sum(counts) == 6


async def test_what_was_not_told_is_read_once_for_all_who_come_back_together(
    server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.services.resume, "_turns", Turns(2, TURN_WITHIN_S))
    ann, *others = await people(server, 6)
    chat_id = await a_group(ann, *others)
    said = [await ann.say(chat_id, f"Message {number}") for number in range(10)]
    async with sockets(*others) as clients:
        async with reads_counted(server, monkeypatch) as counts:
            for client in clients:
                await client.send("resume", cursors={str(chat_id): 1})
            pages = [await client.expect("changes", chat_id=chat_id) for client in clients]
        assert all(page["messages"] == said for page in pages)
        assert sum(counts) <= 2 * len(said)
        said.append(await ann.say(chat_id, "And one that is told"))
        async with reads_counted(server, monkeypatch) as counts:
            for client in clients:
                await client.send("resume", cursors={str(chat_id): 3})
            pages = [await client.expect("changes", chat_id=chat_id) for client in clients]
        assert all(page["messages"] == said[2:] for page in pages)
        assert counts == []


async def test_what_lies_below_a_long_memory_is_read_once_too(
    server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat_service.services.recall.READ_BACK", 100)
    monkeypatch.setattr(server.services.resume, "_turns", Turns(1, TURN_WITHIN_S))
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    before = [await ann.say(chat_id, f"Before {number}") for number in range(5)]
    async with ann.socket():
        for number in range(110):
            await ann.say(chat_id, f"Message {number}")
        pages = await resume(ben, chat_id, 1)
        assert pages == await read(ben, chat_id, 1)
        async with reads_counted(server, monkeypatch) as counts:
            again = await resume(ben, chat_id, before[-2]["version"])
        assert again[0]["messages"][0] == before[-1]
        assert sum(counts) <= len(again[1:]) * 100


async def test_the_pages_of_long_absences_and_long_texts_are_the_same(server: Node) -> None:
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    async with ann.socket():
        for number in range(130):
            await ann.say(chat_id, f"Message {number}")
        for letter in "abcdefghijklmnop":
            await ann.say(chat_id, letter * 9_999)
        for since in (1, 30, 131, 140):
            pages = await resume(ben, chat_id, since)
            assert pages == await read(ben, chat_id, since)
        assert len(pages) == 1
        assert [len(page["messages"]) for page in await resume(ben, chat_id, 131)] == [13, 3]


async def test_an_edit_of_a_message_that_was_hidden_long_ago_stays_hidden(
    server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chat_service.services.history.HIDES_TOLD_AGAIN", 0)
    ann, ben = await people(server, 2)
    chat_id = await a_group(ann, ben)
    hidden, shown = await ann.say(chat_id, "Hidden"), await ann.say(chat_id, "Shown")
    await ben.delete(f"/messages/{hidden['id']}", scope="me")
    async with ann.socket():
        since = (await ann.say(chat_id, "In between"))["version"]
        for message in (hidden, shown):
            await ann.put(f"/messages/{message['id']}", {"content": "Edited"})
        (page,) = await resume(ben, chat_id, since)
        assert [one["seq"] for one in page["messages"]] == [shown["seq"]]
        assert [page] == await read(ben, chat_id, since)
