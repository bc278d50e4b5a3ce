"""Whoever comes back waits for a turn while many do, and keeps nobody waiting."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

from chat_service.routes.commands import MAX_RESUMES
from chat_service.services.resume import READ_TOGETHER
from tests.builders import a_group, a_user
from tests.eventually import eventually
from tests.node import Node


@asynccontextmanager
async def all_turns_taken(server: Node) -> AsyncIterator[None]:
    """So many others resume, until the block ends."""
    turns, held = server.services.resume._turns, AsyncExitStack()

    async def take() -> None:
        for _ in range(READ_TOGETHER):
            await held.enter_async_context(turns.take())

    await asyncio.wrap_future(server.run(take()))
    try:
        yield
    finally:
        await asyncio.wrap_future(server.run(held.aclose()))


async def test_a_resume_that_waits_for_its_turn_keeps_no_message_waiting(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    await ann.say(chat_id, "before")
    async with ann.socket() as client:
        async with all_turns_taken(server):
            first = await client.send("resume", cursors={str(chat_id): 1})
            second = await client.send("resume", cursors={str(chat_id): 2})
        assert (await client.reply(first))["type"] == "ack"
        assert (await client.reply(second))["type"] == "ack"
        async with all_turns_taken(server):
            waiting = [await client.send("resume", cursors={str(chat_id): since}) for since in (1, 2)]
            sent = await client.say(chat_id, "meanwhile")
            assert (await client.call("ping"))["type"] == "pong"
            assert not any(client._replies[ref].done() for ref in waiting)
        for ref in waiting:
            assert (await client.reply(ref))["type"] == "ack"
        pages = client.pushes("changes")
        expected = [(first, 1), (second, 2), (waiting[0], 1), (waiting[1], 2)]
        assert [(page["ref"], page["from"]) for page in pages] == expected
        assert [one["id"] for one in pages[-1]["messages"]][-1] == sent["id"]


async def test_resumes_beyond_a_bound_wait_with_everything_behind_them(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    async with ann.socket() as client:
        async with all_turns_taken(server):
            resumes = [await client.send("resume", cursors={str(chat_id): 1}) for _ in range(MAX_RESUMES + 1)]
            ping = await client.send("ping")
            await asyncio.sleep(0.3)
            assert not client._replies[ping].done()
        for ref in resumes:
            assert (await client.reply(ref))["type"] == "ack"
        assert (await client.reply(ping))["type"] == "pong"


async def test_nothing_is_read_for_who_has_left_before_their_turn(
    server: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    reads: list[Any] = []
    find = server.services.history.find_changes

    async def count(*args: Any, **kwargs: Any) -> Any:
        reads.append(args)
        return await find(*args, **kwargs)

    monkeypatch.setattr(server.services.history, "find_changes", count)
    async with all_turns_taken(server):
        async with ann.socket() as client:
            await client.send("resume", cursors={str(chat_id): 1})
            await client.settle()
        await eventually(lambda: not server.services.manager.is_connected(ann.id))
    assert reads == []
