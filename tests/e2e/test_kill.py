"""SIGKILL at every named point and at any moment: nothing acknowledged is lost or doubled, nothing is seen
before it is committed, and whoever comes back misses nothing."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chat_service.app import open_stores
from chat_service.domain.clock import system_clock
from chat_service.services.fsck import Fsck, Options
from chat_service.services.fsck_chats import Finding
from chat_service.settings import Settings
from tests.builders import close_clients
from tests.crash_server import POINTS, Lives
from tests.crowd import Crowd
from tests.node import make_settings
from tests.servers import free_port

REACHED_WITHIN_S = 30.0


@pytest.fixture(params=["embedded", "servers"])
def node(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Lives]:
    """On SQLite files, or on MariaDB and MongoDB."""
    values = {"data_dir": tmp_path / "data", "port": free_port(), "auto_migrate": True}
    if request.param == "servers":
        values["database_url"] = request.getfixturevalue("mysql_database_url")
        values["content_url"] = request.getfixturevalue("mongodb_database_url")
    lives = Lives(tmp_path, **values)
    yield lives
    lives.close()


@pytest.fixture(autouse=True)
async def _close_clients() -> AsyncIterator[None]:
    yield
    await close_clients()


@contextlib.asynccontextmanager
async def a_crowd(node: Lives, seed: int, *, pace_s: float) -> AsyncIterator[Crowd]:
    """At work while the block kills and starts the node; then everybody gets their answers, and all that
    was seen and stored is judged."""
    began = time.perf_counter()
    await asyncio.to_thread(node.start)
    crowd = Crowd(node, seed, pace_s=pace_s)
    await crowd.prepare()
    prepared = time.perf_counter()
    async with crowd.at_work():
        await asyncio.sleep(0.3)
        await asyncio.to_thread(node.kill)
        yield crowd
        await asyncio.to_thread(node.start)
    worked = time.perf_counter()
    await crowd.check()
    assert await find_damage(make_settings(**node.values)) == []
    counts = crowd.count()
    print(
        f"\n{node.number - 1} kills: prepared in {prepared - began:.1f} s, worked for "
        f"{worked - prepared:.1f} s, checked in {time.perf_counter() - worked:.1f} s; {counts}"
    )
    assert counts["lost at first"] > 0


async def find_damage(settings: Settings) -> list[str]:
    """What `chat-service fsck` finds beside a running node, or where one has just died."""
    findings: list[Finding] = []
    async with open_stores(settings) as (metadata, content):
        summary = await Fsck(metadata, content, system_clock, Options(), findings.append).run()
    assert summary.is_done
    assert summary.chats > 0
    return list(map(str, findings))


async def kill_at_each_point(node: Lives, rng: random.Random) -> None:
    for point in POINTS:
        await asyncio.to_thread(node.start, point, rng.randint(2, 8))
        await asyncio.to_thread(node.wait_for_end, REACHED_WITHIN_S)
        assert node.log.endswith(f"killed at {point}\n"), node.log
        assert await find_damage(make_settings(**node.values)) == [], point


async def kill_at_random(node: Lives, crowd: Crowd, rng: random.Random, times: int) -> None:
    """Mostly in the middle of the traffic, now and then while the node starts."""
    for number in range(times):
        if number % 10 == 9:
            node.begin()
            await asyncio.sleep(rng.uniform(0.1, 0.5))
        else:
            await asyncio.to_thread(node.start)
            await crowd.wait_for_acks(rng.randint(0, 60))
            await asyncio.sleep(rng.uniform(0, 0.03))
        await asyncio.to_thread(node.kill)
        assert await find_damage(make_settings(**node.values)) == [], number


async def test_a_kill_at_any_point_of_a_change_breaks_no_promise(node: Lives) -> None:
    rng = random.Random(1)
    async with a_crowd(node, 1, pace_s=0.03) as crowd:
        await kill_at_each_point(node, rng)
    assert crowd.count()["settled by a replay"] > 0


async def test_kills_at_random_moments_break_no_promise(node: Lives) -> None:
    """More of them where the stores are servers, which outlive the node with its transactions open."""
    rng = random.Random(2)
    async with a_crowd(node, 2, pace_s=0.03) as crowd:
        await kill_at_random(node, crowd, rng, 20 if "database_url" in node.values else 10)


@pytest.mark.long
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("seed", [10, 11, 12])
async def test_many_kills_under_more_load_break_no_promise(node: Lives, seed: int) -> None:
    rng = random.Random(seed)
    async with a_crowd(node, seed, pace_s=0.01) as crowd:
        await kill_at_random(node, crowd, rng, 30)
        await kill_at_each_point(node, rng)
        await kill_at_random(node, crowd, rng, 30)
