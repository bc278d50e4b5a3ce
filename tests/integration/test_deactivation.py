"""Whose account is deactivated loses every socket on every node: within 1 s with Redis, 5 s without."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from chat_service.domain.models import AccountState
from chat_service.settings import Settings
from tests.builders import TestUser, some_users
from tests.client import ChatClient
from tests.cluster import Cluster, on, running
from tests.servers import Redis

pytestmark = pytest.mark.timeout(120)


@pytest.fixture(scope="module")
def cluster(joined_settings: Settings) -> Iterator[Cluster]:
    with running(2, joined_settings) as cluster:
        yield cluster


async def deactivate(cluster: Cluster, user: TestUser) -> None:
    """By the first node."""
    changing = cluster.first.services.accounts.set_user(user.username, AccountState.DEACTIVATED, None)
    await asyncio.wrap_future(cluster.first.run(changing))


async def deactivate_by_command(settings: Settings, user: TestUser) -> None:
    """In a process of its own, which is no node and hears no bus."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
    environment |= {
        "CHAT_DATABASE_URL": settings.metadata_url,
        "CHAT_CONTENT_URL": settings.body_url,
        "CHAT_DATA_DIR": str(settings.data_dir),
    }
    command = [sys.executable, "-m", "chat_service", "set-user", user.username, "--state", "deactivated"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


async def check_ends(cluster: Cluster, user: TestUser, socket: ChatClient, within_s: float) -> None:
    began_s = time.monotonic()
    assert await socket.closed() == (4003, "account_disabled")
    assert time.monotonic() - began_s < within_s
    for node in cluster.nodes:
        assert (await on(user, node).http.get("/users/me")).status_code in (401, 403)


async def test_with_redis_within_a_second(cluster: Cluster) -> None:
    await cluster.are_joined()
    (ann,) = await some_users(cluster.first, 1)
    async with on(ann, cluster.second).socket() as there, ann.socket() as here:
        await deactivate(cluster, ann)
        await check_ends(cluster, ann, there, 1)
        await check_ends(cluster, ann, here, 1)


async def test_by_the_command_line_as_soon_as_the_nodes_have_asked_the_store(
    cluster: Cluster, joined_settings: Settings
) -> None:
    await cluster.are_joined()
    (ann,) = await some_users(cluster.first, 1)
    async with on(ann, cluster.second).socket() as there:
        await deactivate_by_command(joined_settings, ann)
        await check_ends(cluster, ann, there, 2)


async def test_without_redis_within_five_seconds(cluster: Cluster, redis: Redis) -> None:
    await cluster.are_joined()
    (ann,) = await some_users(cluster.first, 1)
    async with on(ann, cluster.second).socket() as there:
        await asyncio.to_thread(redis.kill)
        try:
            await deactivate(cluster, ann)
            await check_ends(cluster, ann, there, 5)
        finally:
            await asyncio.to_thread(redis.start)
