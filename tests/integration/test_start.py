"""What is wrong around a node is named when it starts: production refuses, a trial serves where it can."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path

import pymongo
import pytest

from chat_service.app import StartupError, build_services, run_services
from chat_service.settings import MIN_PASSWORD_MEMORY_MIB, Environment, Settings
from tests.builders import a_group, some_users
from tests.cluster import on, running
from tests.node import make_settings
from tests.servers import MongoDb, free_port

ROOT = Path(__file__).parents[2]
STARTS_S = 12.0


@pytest.fixture
def settings(mysql_database_url: str, mongodb_database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Of a node that would start in production."""
    return make_settings(
        environment=Environment.PRODUCTION,
        password_memory_mib=MIN_PASSWORD_MEMORY_MIB,
        data_dir=tmp_path,
        database_url=mysql_database_url,
        content_url=mongodb_database_url,
        redis_url=redis_url,
        auto_migrate=True,
    )


async def refuse(settings: Settings) -> str:
    """Why the node does not start, which it says in time."""
    began_s = time.monotonic()
    with pytest.raises(StartupError) as refusal:
        async with run_services(build_services(settings)):
            pass
    assert time.monotonic() - began_s < STARTS_S
    return str(refusal.value)


def but(settings: Settings, **changes: object) -> Settings:
    return make_settings(**{**settings.model_dump(), **changes})


async def test_with_everything_right_a_node_starts_in_production(settings: Settings) -> None:
    async with run_services(build_services(settings)) as _:
        pass


async def test_a_redis_that_does_not_answer_is_named_without_its_password(settings: Settings) -> None:
    address = f"redis://:hidden-word@127.0.0.1:{free_port()}/0"
    reason = await refuse(but(settings, redis_url=address))
    assert "CHAT_REDIS_URL" in reason
    assert "127.0.0.1" in reason
    assert "hidden-word" not in reason


async def test_a_redis_that_asks_for_a_password_is_named(settings: Settings) -> None:
    address = settings.redis_url.get_secret_value().replace("redis://", "redis://nobody:hidden-word@")
    reason = await refuse(but(settings, redis_url=address))
    assert "CHAT_REDIS_URL" in reason
    assert "hidden-word" not in reason


async def test_a_trial_serves_without_its_redis_and_says_so(settings: Settings) -> None:
    address = f"redis://127.0.0.1:{free_port()}/0"
    services = build_services(but(settings, environment=Environment.DEVELOPMENT, redis_url=address))
    async with run_services(services):
        assert services.readiness.find_reason() is None
        assert not services.bus.is_up


async def test_a_content_store_that_does_not_answer_is_named(settings: Settings) -> None:
    address = f"mongodb://somebody:hidden-word@127.0.0.1:{free_port()}/chat"
    reason = await refuse(but(settings, content_url=address))
    assert "CHAT_CONTENT_URL" in reason
    assert "hidden-word" not in reason


async def test_a_metadata_store_that_does_not_answer_is_named(settings: Settings) -> None:
    address = f"mysql+asyncmy://somebody:hidden-word@127.0.0.1:{free_port()}/chat"
    reason = await refuse(but(settings, database_url=address))
    assert "CHAT_DATABASE_URL" in reason
    assert "hidden-word" not in reason


class SingleMongoDb(MongoDb):
    """Without a replica set."""

    @property
    def url(self) -> str:
        return f"mongodb://127.0.0.1:{self.port}/"

    def _flags(self, address: str, data: str) -> list[str]:
        return [flag for flag in super()._flags(address, data) if "replSet" not in flag]

    def _check_ready(self) -> None:
        with pymongo.MongoClient(self.url, serverSelectionTimeoutMS=500) as client:
            client.admin.command("ping")


async def test_a_mongodb_without_a_replica_set_is_named(settings: Settings) -> None:
    with SingleMongoDb() as alone:
        reason = await refuse(but(settings, content_url=f"{alone.url}chat"))
    assert "without a replica set" in reason


@pytest.mark.parametrize("url", ["redis://", "redis://host:port", "redis://host:99999", "http://host:6379"])
def test_what_is_no_address_of_a_redis_is_refused_before_anything_is_opened(url: str) -> None:
    with pytest.raises(ValueError, match="CHAT_REDIS_URL"):
        make_settings(redis_url=url)


async def test_a_new_epoch_closes_the_sockets_of_every_node_and_voids_the_cursors(settings: Settings) -> None:
    with running(2, but(settings, environment=Environment.DEVELOPMENT)) as cluster:
        (ann,) = await some_users(cluster.first, 1)
        chat_id = await a_group(ann)
        async with ann.socket() as here, on(ann, cluster.second).socket() as there:
            before = here.frames[0]["epoch"]
            environment = {
                "CHAT_DATABASE_URL": settings.metadata_url,
                "CHAT_DATA_DIR": str(settings.data_dir),
                "PYTHONPATH": str(ROOT),
                "PATH": os.environ["PATH"],
            }
            done = await asyncio.to_thread(
                subprocess.run,
                [sys.executable, "-m", "chat_service", "epoch", "--new"],
                env=environment,
                cwd=settings.data_dir,
                capture_output=True,
                text=True,
                check=True,
            )
            began_s = time.monotonic()
            assert [await client.closed() for client in (here, there)] == [(1012, "epoch_changed")] * 2
            assert time.monotonic() - began_s < 2
        async with on(ann, cluster.second).socket() as there:
            assert there.frames[0]["epoch"] == done.stdout.strip() != before
        refused = await ann.get(f"/chats/{chat_id}/changes", 409, since=1, epoch=before)
        assert refused["code"] == "resync_required"
