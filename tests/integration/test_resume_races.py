"""Somebody resumes with `complete` while they are removed and added again."""

from __future__ import annotations

import asyncio

from tests.builders import TestUser, a_group, some_users
from tests.history import check
from tests.node import Node
from tests.records import Connection, History, Stay

ROUNDS = 40


async def remove_and_add(owner: TestUser, guest: TestUser, chat_id: int) -> list[Stay]:
    stays = [Stay(chat_id, guest.id, 1)]
    chat = f"/chats/{chat_id}"
    for _ in range(ROUNDS):
        await owner.delete(f"{chat}/participants/{guest.id}")
        stays[-1].until = (await owner.get(chat))["version"]
        listed = await owner.post(f"{chat}/participants", {"user_ids": [guest.id]}, 200)
        (version,) = [one["version"] for one in listed["items"] if one["user_id"] == guest.id]
        stays.append(Stay(chat_id, guest.id, version))
    return stays


async def resume_again_and_again(user: TestUser, until: asyncio.Future[list[Stay]]) -> list[Connection]:
    connections: list[Connection] = []
    while not until.done():
        async with user.socket() as client:
            for _ in range(10):
                await client.call("resume", cursors={}, complete=True)
        connections.append(Connection(f"{user.username}#{id(client)}", user.id, client.frames))
    return connections


async def test_nobody_is_shown_a_chat_by_resume_that_they_are_not_in_at_that_version(server: Node) -> None:
    owner, guest = await some_users(server, 2)
    chat_id = await a_group(owner, guest)
    changes = asyncio.ensure_future(remove_and_add(owner, guest, chat_id))
    connections = await asyncio.gather(*(resume_again_and_again(guest, changes) for _ in range(3)))
    past = History(stays=await changes, connections=[one for some in connections for one in some])
    violations = [one for one in check(past) if one.invariant == "strangers_hear_nothing"]
    assert not violations, "\n".join(map(str, violations[:10]))
    shown = [frame for one in past.connections for frame in one.frames if frame["type"] == "chat_created"]
    assert len(shown) > ROUNDS
