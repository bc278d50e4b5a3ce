"""Who is online: what every presence promises a node alone, and what the one on Redis does between nodes."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator

import pytest
import redis

from chat_service.adapters import presence_redis
from chat_service.adapters.presence_memory import MemoryPresence
from chat_service.adapters.presence_redis import RedisPresence
from chat_service.domain.errors import Unavailable
from chat_service.domain.ids import new_id
from chat_service.services.ports.presence import Presence, Signs
from tests.servers import Redis

DEPLOYMENT = "deployment"


@pytest.fixture(params=["memory", "redis"])
async def presence(request: pytest.FixtureRequest) -> AsyncIterator[Presence]:
    made: Presence = MemoryPresence()
    if request.param == "redis":
        # In a thread, because the first test that asks for the servers starts them.
        url = await asyncio.to_thread(request.getfixturevalue, "redis_url")
        made = RedisPresence(url, new_id())
    made.connect(DEPLOYMENT)
    await made.refresh([])
    yield made
    await made.close()


async def test_a_user_is_online_from_entering_to_leaving(presence: Presence) -> None:
    assert await presence.enter(1)
    assert await presence.enter(2)
    assert await presence.list_online([1, 2, 3]) == {1, 2}
    assert await presence.list_online([3]) == set()
    assert await presence.list_online([]) == set()
    assert await presence.leave(1)
    assert await presence.list_online([1, 2]) == {2}


async def test_a_sign_of_life_makes_right_what_was_missed(presence: Presence) -> None:
    await presence.enter(1)
    assert await presence.refresh([2, 3]) == Signs()
    assert await presence.list_online([1, 2, 3]) == {2, 3}
    assert await presence.refresh([]) == Signs()
    assert await presence.list_online([1, 2, 3]) == set()


async def test_entering_and_leaving_twice_is_harmless(presence: Presence) -> None:
    assert await presence.enter(1)
    assert await presence.enter(1)
    assert await presence.leave(1)
    assert await presence.leave(1)
    assert await presence.list_online([1]) == set()


# --- Between nodes --------------------------------------------------------------------------------------


@contextlib.asynccontextmanager
async def nodes(url: str, *deployments: str) -> AsyncIterator[list[RedisPresence]]:
    made = [RedisPresence(url, new_id()) for _ in deployments]
    for one, deployment in zip(made, deployments, strict=True):
        one.connect(deployment)
        await one.refresh([])
    yield made
    for one in made:
        await one.close()


async def test_a_user_is_online_while_any_node_counts_them(redis_url: str) -> None:
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        assert await one.enter(1)
        assert not await other.enter(1)
        assert await one.list_online([1]) == await other.list_online([1]) == {1}
        assert not await one.leave(1)
        assert await one.list_online([1]) == {1}
        assert await other.leave(1)
        assert await one.list_online([1]) == set()


async def test_who_moves_to_another_node_is_not_gone_for_the_one_they_left(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        await one.enter(1)
        has_asked, may_go_on = asyncio.Event(), asyncio.Event()
        ask = other._is_elsewhere

        async def ask_slowly(user_id: int) -> bool:
            is_elsewhere = await ask(user_id)
            has_asked.set()
            await may_go_on.wait()
            return is_elsewhere

        monkeypatch.setattr(other, "_is_elsewhere", ask_slowly)
        coming = asyncio.create_task(other.enter(1))
        await has_asked.wait()
        assert not await one.leave(1)
        may_go_on.set()
        assert not await coming


async def test_deployments_on_one_redis_do_not_mix(redis_url: str) -> None:
    async with nodes(redis_url, "a", "b") as (one, stranger):
        await one.enter(1)
        assert await stranger.list_online([1]) == set()
        assert await stranger.enter(1)


async def test_the_users_of_a_dead_node_are_told_to_one_of_the_others(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_redis, "ALIVE_MS", 300)
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT, DEPLOYMENT) as (dead, one, other):
        for user_id in (1, 2, 3):
            await dead.enter(user_id)
        await one.enter(2)
        await other.enter(3)
        told: list[frozenset[int]] = []
        began_s = time.monotonic()
        while not any(told):
            told += [(await one.refresh([2])).gone, (await other.refresh([3])).gone]
            assert time.monotonic() - began_s < 5
            await asyncio.sleep(0.05)
        assert [gone for gone in told if gone] == [{1}]
        assert await one.list_online([1, 2, 3]) == {2, 3}


async def test_a_node_that_was_taken_for_dead_is_told_so_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(presence_redis, "ALIVE_MS", 300)
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (away, one):
        await away.enter(1)
        gone: frozenset[int] = frozenset()
        while not gone:
            gone = (await one.refresh([])).gone
            await asyncio.sleep(0.05)
        assert gone == {1}
        assert await away.refresh([1]) == Signs(was_missed=True)
        assert await away.refresh([1]) == Signs()
        assert await one.list_online([1]) == {1}


async def test_whoever_was_away_takes_nobody_for_dead_at_once(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When Redis was away from all of them, the first one back must not tell of the others' people."""
    monkeypatch.setattr(presence_redis, "ALIVE_MS", 600)
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        await other.enter(1)
        await asyncio.sleep(0.7)
        assert await one.refresh([]) == Signs()
        assert await other.refresh([1]) == Signs()
        assert await one.list_online([1]) == {1}


async def test_an_emptied_redis_is_filled_again(redis_url: str) -> None:
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        users = set(range(1, 3_001))
        await one.refresh(users)
        with redis.Redis.from_url(redis_url) as client:
            client.flushall()
        assert await other.list_online(users) == set()
        await one.refresh(users)
        assert await other.list_online(users) == users


async def test_a_redis_that_is_gone_costs_one_wait_and_no_more() -> None:
    with Redis() as server:
        async with nodes(server.url, DEPLOYMENT) as (one,):
            await one.enter(1)
            server.freeze()
            began_s = time.monotonic()
            for _ in range(20):
                with pytest.raises(Unavailable):
                    await one.list_online([1])
            assert time.monotonic() - began_s < 4
            server.thaw()

            began_s = time.monotonic()
            while not await is_there(one, 1):
                assert time.monotonic() - began_s < 8
                await asyncio.sleep(0.1)


async def is_there(presence: Presence, user_id: int) -> bool:
    with contextlib.suppress(Unavailable):
        return await presence.list_online([user_id]) == {user_id}
    return False
