"""Two nodes and a Redis: what is done on one is heard on the other, and what Redis loses heals."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import replace
from statistics import median
from uuid import UUID

import httpx2
import pytest

from chat_service import app
from chat_service.services.metrics import Metrics
from chat_service.settings import Settings
from tests.builders import TestUser, a_direct_chat, a_group, check, some_users
from tests.client import ChatClient
from tests.cluster import Cluster, on, running
from tests.lossy import LossyBus
from tests.node import Node, make_settings
from tests.replica import Replica, check_same
from tests.servers import Redis

pytestmark = pytest.mark.timeout(120)

WITHOUT_REDIS_S = 5
"""Whatever the machine does besides: everything acts on every node within it."""


@pytest.fixture(scope="module")
def _cluster(joined_settings: Settings) -> Iterator[Cluster]:
    with running(2, joined_settings) as cluster:
        yield cluster


@pytest.fixture
async def cluster(_cluster: Cluster) -> Cluster:
    await _cluster.are_joined()
    await _cluster.know_each_other()
    return _cluster


async def within(client: ChatClient, kind: str, **fields: object) -> float:
    """Seconds until the push came."""
    began_s = time.monotonic()
    await client.expect(kind, **fields)
    return time.monotonic() - began_s


# --- With Redis -----------------------------------------------------------------------------------------


async def test_a_message_crosses_at_once_and_in_order(cluster: Cluster) -> None:
    ann, ben = await some_users(cluster.first, 2)
    chat_id = await a_direct_chat(ann, ben)
    async with on(ben, cluster.second).socket() as there, ann.socket() as here:
        for number in range(50):
            await here.say(chat_id, f"Message {number}")
        await there.wait_for(lambda: len(there.pushes("new_message")) == 50)
        assert there.pushes("changes") == []
        assert [push["message"]["content"] for push in there.pushes("new_message")] == [
            f"Message {number}" for number in range(50)
        ]
        assert await within(there, "new_message") < 0.5


async def test_who_is_added_on_one_node_hears_the_chat_on_the_other(cluster: Cluster) -> None:
    ann, ben = await some_users(cluster.first, 2)
    chat_id = await a_group(ann)
    async with on(ben, cluster.second).socket() as there:
        await ann.post(f"/chats/{chat_id}/participants", {"user_ids": [ben.id]}, 200)
        assert await within(there, "chat_created", chat_id=chat_id) < 0.5
        await ann.say(chat_id, "Welcome")
        await there.expect("new_message", chat_id=chat_id)
        began_s = time.monotonic()
        await ann.delete(f"/chats/{chat_id}/participants/{ben.id}")
        await there.expect("user_left", chat_id=chat_id, user_id=ben.id)
        assert time.monotonic() - began_s < 1
        await ann.say(chat_id, "Not for you")
        await asyncio.sleep(0.5)
        assert len(there.pushes("new_message")) == 1


async def test_typing_and_positions_cross(cluster: Cluster) -> None:
    ann, ben = await some_users(cluster.first, 2)
    chat_id = await a_direct_chat(ann, ben)
    await ann.say(chat_id, "Hello")
    async with on(ben, cluster.second).socket() as there, ann.socket() as here:
        await here.send("typing", chat_id=chat_id, is_typing=True)
        await there.expect("user_typing", chat_id=chat_id, user_id=ann.id)
        await here.say(chat_id, "This")
        await there.expect("user_stopped_typing", chat_id=chat_id, user_id=ann.id)
        await there.send("mark_as_read", chat_id=chat_id, seq=2)
        await here.expect("messages_read", chat_id=chat_id, user_id=ben.id, seq=2)


async def test_a_user_is_online_while_any_node_holds_a_connection(cluster: Cluster) -> None:
    ann, ben = await some_users(cluster.first, 2)
    chat_id = await a_direct_chat(ann, ben)
    async with on(ann, cluster.second).socket() as watching:
        here, there = ben.socket(), on(ben, cluster.second).socket()
        await here.open()
        await watching.expect("user_online", user_id=ben.id)
        await there.open()
        await here.close()
        await asyncio.sleep(3)
        assert watching.pushes("user_offline") == []
        for node in cluster.nodes:
            assert await list_online(on(ann, node), chat_id) == {ann.id, ben.id}
        await there.close()
        await watching.expect("user_offline", user_id=ben.id)
        for node in cluster.nodes:
            assert await list_online(on(ann, node), chat_id) == {ann.id}
        assert len(watching.pushes("user_online")) == 1


async def list_online(user: TestUser, chat_id: int) -> set[int]:
    return set((await user.get(f"/chats/{chat_id}/online"))["user_ids"])


async def test_the_people_of_a_node_that_died_go_offline_within_15_seconds(
    cluster: Cluster, joined_settings: Settings
) -> None:
    ann, ben = await some_users(cluster.first, 2)
    chat_id = await a_direct_chat(ann, ben)
    async with ann.socket() as watching:
        with Node(joined_settings) as doomed:
            there = on(ben, doomed).socket()
            await there.open()
            await watching.expect("user_online", user_id=ben.id)
            # As a crash does: from now on it says nothing to anybody.
            doomed.run(die(doomed)).result()
            began_s = time.monotonic()
            while not watching.pushes("user_offline"):
                assert time.monotonic() - began_s < 15
                await asyncio.sleep(0.1)
            print("offline after", round(time.monotonic() - began_s, 1))
            assert await list_online(ann, chat_id) == {ann.id}
            await there.close()


async def die(node: Node) -> None:
    """Its bus and its presence fall silent."""
    for task in asyncio.all_tasks():
        if task.get_name() in ("presence", "bus"):
            task.cancel()


@pytest.mark.parametrize("how", ["logout", "logout-all", "password"])
async def test_the_end_of_a_session_closes_its_sockets_on_every_node(cluster: Cluster, how: str) -> None:
    (ann,) = await some_users(cluster.first, 1)
    elsewhere = on(await sign_in(ann), cluster.second)
    ending = elsewhere if how == "logout" else ann
    async with elsewhere.socket() as there:
        await end_sessions(on(ending, cluster.first), how)
        began_s = time.monotonic()
        assert await there.closed() == (4001, "session_revoked")
        assert time.monotonic() - began_s < 1
        assert (await elsewhere.http.get("/users/me")).status_code == 401


async def sign_in(user: TestUser) -> TestUser:
    """The same person on another device."""
    login = {"username": user.username, "password": user.password}
    token = check(await user.http.post("/users/login", json=login), 200)["access_token"]
    other = on(replace(user, token=token), user.server)
    other.http.headers["Authorization"] = f"Bearer {token}"
    return other


async def end_sessions(user: TestUser, how: str) -> None:
    if how == "password":
        body = {"current_password": user.password, "new_password": "another long password"}
        check(await user.http.put("/users/me/password", json=body), 204)
    else:
        check(await user.http.post(f"/auth/{how}"), 204)


# --- With a Redis in trouble ----------------------------------------------------------------------------


async def check_health(cluster: Cluster, status: str, bus: str) -> None:
    async with httpx2.AsyncClient() as http:
        for node in cluster.nodes:
            answer = await http.get(f"{node.url}/health")
            assert (answer.status_code, answer.json()["status"]) == (200, status)
            assert answer.json()["checks"]["bus"] == bus
            assert (await http.get(f"{node.url}/readyz")).status_code == 200


async def test_without_redis_everything_goes_on_a_little_later_and_is_fast_again_after(
    cluster: Cluster, redis: Redis
) -> None:
    ann, ben, eve = await some_users(cluster.first, 3)
    chat_id = await a_group(ann, ben)
    other_id = await a_group(ann)
    await check_health(cluster, "ok", "ok")
    async with (
        on(ben, cluster.second).socket() as there,
        on(eve, cluster.second).socket() as revoked,
        ann.socket() as here,
    ):
        await asyncio.to_thread(redis.kill)
        await here.say(chat_id, "In the moment")
        took = [await within(there, "changes", chat_id=chat_id)]
        await check_health(cluster, "degraded", "down")
        for number in range(4):
            await here.say(chat_id, f"Message {number}")
            took.append(await within(there, "changes", chat_id=chat_id))
        await ann.post(f"/chats/{other_id}/participants", {"user_ids": [ben.id]}, 200)
        took.append(await within(there, "chat_created", chat_id=other_id))
        await ann.delete(f"/chats/{other_id}/participants/{ben.id}")
        took.append(await within(there, "user_left", chat_id=other_id))
        print("without Redis:", [round(one, 2) for one in took])
        assert median(took) < 1
        assert max(took) < WITHOUT_REDIS_S
        began_s = time.monotonic()
        await end_sessions(eve, "logout")
        assert await revoked.closed() == (4001, "session_revoked")
        assert time.monotonic() - began_s < WITHOUT_REDIS_S

        await asyncio.to_thread(redis.start)
        await cluster.are_joined()
        await check_health(cluster, "ok", "ok")
        await asyncio.sleep(0.5)
        took = []
        for number in range(5):
            await here.say(chat_id, f"Again {number}")
            took.append(await within(there, "new_message", chat_id=chat_id))
        assert median(took) < 0.2


async def test_two_nodes_end_equal_to_the_store_over_a_redis_that_loses_doubles_and_reorders(
    joined_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[LossyBus] = []

    def open_lossy(given: Settings, node_id: UUID, _: Metrics) -> LossyBus:
        made.append(LossyBus(given.redis_url.get_secret_value(), node_id, seed=len(made)))
        return made[-1]

    monkeypatch.setattr(app, "open_bus", open_lossy)
    with running(2, joined_settings) as cluster:
        await cluster.know_each_other()
        people = await some_users(cluster.first, 4)
        groups = [await a_group(people[0], *people[1:]) for _ in range(3)]
        replicas = [Replica(on(user, node)) for user in people for node in cluster.nodes]
        for replica in replicas:
            await replica.start()
        try:
            writers = [on(user, cluster.nodes[index % 2]) for index, user in enumerate(people)]
            await asyncio.gather(*(write(user, groups) for user in writers))
            await come_and_go(people, cluster, groups[0])
            for replica in replicas:
                await check_same(replica)
        finally:
            for replica in replicas:
                await replica.stop()
    print([(bus.lost, bus.doubled, bus.delayed) for bus in made])
    assert all(min(bus.lost, bus.doubled, bus.delayed) > 5 for bus in made)


async def write(user: TestUser, groups: list[int]) -> None:
    for number in range(25):
        message = await user.say(groups[number % len(groups)], f"{user.username} {number}")
        if number % 5 == 1:
            await user.put(f"/messages/{message['id']}", {"content": "Edited"})
        if number % 5 == 2:
            await user.delete(f"/messages/{message['id']}", 200, scope="everyone")


async def come_and_go(people: list[TestUser], cluster: Cluster, group: int) -> None:
    owner, last = people[0], people[-1]
    for node in cluster.nodes * 3:
        await on(owner, node).delete(f"/chats/{group}/participants/{last.id}")
        await on(owner, node).post(f"/chats/{group}/participants", {"user_ids": [last.id]}, 200)
        new = await a_group(on(owner, node), last)
        await on(last, node).say(new, "I am here")


# --- Without any Redis ----------------------------------------------------------------------------------


async def test_two_nodes_without_redis_are_slow_and_not_wrong_and_say_so(
    joined_settings: Settings, capfd: pytest.CaptureFixture[str]
) -> None:
    alone = joined_settings.model_copy(update={"redis_url": make_settings().redis_url})
    with running(2, alone) as cluster:
        await cluster.know_each_other()
        ann, ben = await some_users(cluster.first, 2)
        chat_id = await a_group(ann)
        async with on(ben, cluster.second).socket() as there:
            await ann.post(f"/chats/{chat_id}/participants", {"user_ids": [ben.id]}, 200)
            took = [await within(there, "chat_created", chat_id=chat_id)]
            for number in range(3):
                await ann.say(chat_id, f"Message {number}")
                took.append(await within(there, "changes", chat_id=chat_id))
            print("with two buses of their own:", [round(one, 2) for one in took])
            assert median(took) < 1
            assert max(took) < WITHOUT_REDIS_S
    assert "CHAT_REDIS_URL is empty" in "".join(capfd.readouterr())
