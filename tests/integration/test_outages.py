"""A store that is gone or silent: what the node answers meanwhile, and that it recovers by itself."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx2
import pytest

from tests.builders import TestUser, a_direct_chat, check, some_users
from tests.client import ChatClient
from tests.node import Node, make_settings
from tests.replica import Replica, check_same
from tests.servers import MariaDb, MongoDb, Server, mysql_connection, with_database

T = TypeVar("T")
ANSWER_S = 6.0
HEALTH_S = 4.0
RECOVERY_S = 15.0
POOLED = 32
"""Connections that the two pools of a node may hold."""

pytestmark = pytest.mark.timeout(180)


@dataclass
class Stores:
    metadata: MariaDb
    content: MongoDb
    node: Node

    def get(self, name: str) -> Server:
        return self.metadata if name == "metadata" else self.content


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    """A node on servers of its own, which a test may break and must mend."""
    with MariaDb() as metadata, MongoDb() as content:
        with mysql_connection(metadata.url) as cursor:
            cursor.execute("CREATE DATABASE chat")
        settings = make_settings(
            data_dir=tmp_path_factory.mktemp("node"),
            database_url=with_database(metadata.url, "chat"),
            content_url=with_database(content.url, "chat"),
            auto_migrate=True,
        )
        with Node(settings) as node:
            yield Stores(metadata, content, node)


@contextmanager
def broken(store: Server, how: str) -> Iterator[None]:
    if how == "kill":
        store.kill()
    else:
        store.freeze()
    try:
        yield
    finally:
        if how == "kill":
            store.start()
        else:
            store.thaw()


async def within(limit_s: float, work: Awaitable[T]) -> T:
    """What `work` returns; it must not take longer."""
    started = time.monotonic()
    result = await asyncio.wait_for(work, limit_s + 5)
    took_s = time.monotonic() - started
    assert took_s < limit_s, f"took {took_s:.1f} s"
    return result


@dataclass
class Writer:
    """Sends without a pause, retries with the same key what was unavailable, and notes what was acked."""

    user: TestUser
    chat_id: int
    acked: dict[str, str] = field(default_factory=dict)
    unavailable: int = 0
    is_done: bool = False

    async def run(self) -> None:
        number = 0
        while not self.is_done:
            key = f"{self.user.id}-{number}"
            body = {"chat_id": self.chat_id, "content": key, "client_message_id": key}
            response = await self.user.http.post("/messages", json=body)
            if response.status_code == 503:
                self.unavailable += 1
                await asyncio.sleep(0.1)
                continue
            assert response.status_code in (200, 201), response.text
            self.acked[key] = response.json()["id"]
            number += 1
            await asyncio.sleep(0.01)


@asynccontextmanager
async def writing(*writers: Writer) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(writer.run()) for writer in writers]
    try:
        yield
    finally:
        for writer in writers:
            writer.is_done = True
        await asyncio.wait_for(asyncio.gather(*tasks), 30)


async def refuse(answer: Awaitable[httpx2.Response]) -> None:
    """The request is answered `unavailable`, and in time."""
    assert check(await within(ANSWER_S, answer), 503)["code"] == "unavailable"


async def refuse_frame(socket: ChatClient, kind: str, **fields: Any) -> None:
    answer = await within(ANSWER_S, socket.call(kind, **fields))
    assert (answer["type"], answer.get("code")) == ("error", "unavailable"), answer


async def check_health(node: Node, *, down: str | None) -> None:
    async with httpx2.AsyncClient(base_url=node.url, timeout=20) as http:
        health = await within(HEALTH_S, http.get("/health"))
        assert health.status_code == (503 if down else 200), health.text
        states = health.json()["checks"]
        assert {name for name, state in states.items() if state == "down"} == ({down} - {None})
        assert (await within(1, http.get("/readyz"))).status_code == 200
        assert (await within(1, http.get("/livez"))).status_code == 200


async def check_refusals(stores: Stores, name: str, ann: TestUser, chat_id: int, socket: ChatClient) -> None:
    """Everything that needs the store is refused in time, side by side."""
    body = {"chat_id": chat_id, "content": "lost?", "client_message_id": "rest"}
    frame = {"chat_id": chat_id, "content": "lost?", "client_message_id": "socket"}
    login = {"username": ann.username, "password": ann.password}
    calls = [
        check_health(stores.node, down=name),
        refuse(ann.http.post("/messages", json=body)),
        refuse_frame(socket, "send_message", **frame),
        refuse(ann.http.get(f"/messages/chat/{chat_id}")),
        refuse(ann.http.get("/chats")),
    ]
    if name == "metadata":
        calls.append(refuse(ann.http.post("/users/login", json=login)))
        calls.append(refuse(ann.http.put(f"/chats/{chat_id}/read", json={"seq": 1})))
    await asyncio.gather(*calls)


async def recover(user: TestUser, chat_id: int) -> float:
    """Send until a message is stored; the seconds that took."""
    started = time.monotonic()
    while time.monotonic() - started < RECOVERY_S:
        body = {"chat_id": chat_id, "content": "after", "client_message_id": "after"}
        response = await user.http.post("/messages", json=body)
        if response.status_code in (200, 201):
            return time.monotonic() - started
        check(response, 503)
        await asyncio.sleep(0.2)
    raise AssertionError(f"the node did not recover within {RECOVERY_S} s")


async def read_all(user: TestUser, chat_id: int) -> dict[str, str]:
    """The id of every message in the chat by its key; each key once."""
    found: dict[str, str] = {}
    after: int | None = 0
    while after is not None:
        page = await user.get(f"/messages/chat/{chat_id}", after=after, limit=100)
        for message in page["items"]:
            assert message["client_message_id"] not in found, "stored twice"
            found[message["client_message_id"]] = message["id"]
        after = page["next_after"]
    return found


@pytest.mark.parametrize("how", ["kill", "freeze"])
@pytest.mark.parametrize("name", ["metadata", "content"])
async def test_a_store_that_goes_and_comes_back(stores: Stores, name: str, how: str) -> None:
    ann, ben = await some_users(stores.node, 2)
    chat_id = await a_direct_chat(ann, ben)
    devices = [Replica(ann), Replica(ben)]
    writers = [Writer(user, chat_id) for user in (ann, ben)]
    try:
        for device in devices:
            await device.start()
        socket = devices[0].client
        async with writing(*writers):
            await asyncio.sleep(0.3)
            with broken(stores.get(name), how):
                await check_refusals(stores, name, ann, chat_id, socket)
            took_s = await recover(ben, chat_id)
            assert took_s < RECOVERY_S
            await check_health(stores.node, down=None)
        assert all(writer.unavailable for writer in writers)

        for key in ("rest", "socket"):
            body = {"chat_id": chat_id, "content": "lost?", "client_message_id": key}
            assert (await ann.http.post("/messages", json=body)).status_code in (200, 201)
        stored = await read_all(ben, chat_id)
        acked = {key: sent for writer in writers for key, sent in writer.acked.items()}
        assert stored.items() >= acked.items(), "acknowledged is stored"
        assert stored.keys() == {*acked, "rest", "socket", "after"}
        for device in devices:
            await check_same(device)  # over the sockets that have been open all the time
            assert len(device.client.pushes("connected")) == 1
    finally:
        for device in devices:
            await device.stop()
    with mysql_connection(stores.metadata.url) as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE db = 'chat'")
        (count,) = cursor.fetchone() or (0,)
    assert count <= POOLED


async def test_the_pools_do_not_leak_over_many_short_outages(stores: Stores) -> None:
    ann, ben = await some_users(stores.node, 2)
    chat_id = await a_direct_chat(ann, ben)
    for number in range(3):
        async with ann.socket() as socket:
            refs = [
                await socket.send("send_message", chat_id=chat_id, content=f"{number} {one}")
                for one in range(50)
            ]
            with broken(stores.metadata, "freeze"):
                await asyncio.sleep(1)
            await asyncio.gather(*(socket.reply(ref) for ref in refs))
        calls = [
            user.http.get(path)
            for user in (ann, ben)
            for path in ("/chats", f"/messages/chat/{chat_id}") * 10
        ]
        assert {response.status_code for response in await asyncio.gather(*calls)} == {200}
    with mysql_connection(stores.metadata.url) as cursor:
        cursor.execute("SELECT COUNT(*) FROM information_schema.processlist WHERE db = 'chat'")
        (count,) = cursor.fetchone() or (0,)
    assert count <= POOLED
