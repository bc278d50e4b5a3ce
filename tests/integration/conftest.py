"""A running node on each pair of stores: a test that asks for `server` runs on both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from chat_service.settings import Settings
from tests.builders import close_clients
from tests.node import Node, make_settings
from tests.servers import Redis
from tests.stores import Stores, open_services


@pytest.fixture(scope="module", params=["embedded", "servers"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The module's node: on SQLite files, or on MariaDB and MongoDB."""
    data_dir = tmp_path_factory.mktemp("node")
    if request.param == "embedded":
        settings = make_settings(data_dir=data_dir)
    else:
        settings = make_settings(
            data_dir=data_dir,
            database_url=request.getfixturevalue("mysql_database_url"),
            content_url=request.getfixturevalue("mongodb_database_url"),
            auto_migrate=True,
        )
    with Node(settings) as node:
        yield node


@pytest.fixture(scope="module")
def redis() -> Iterator[Redis]:
    """A server that a test may kill and must start again."""
    with Redis() as server:
        yield server


@pytest.fixture(scope="module")
def joined_settings(
    redis: Redis,
    mysql_database_url: str,
    mongodb_database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Settings:
    """Of nodes on servers that this Redis joins."""
    return make_settings(
        data_dir=tmp_path_factory.mktemp("nodes"),
        database_url=mysql_database_url,
        content_url=mongodb_database_url,
        redis_url=redis.url,
        auto_migrate=True,
    )


@pytest.fixture(autouse=True)
async def _close_clients() -> AsyncIterator[None]:
    yield
    await close_clients()


@pytest.fixture(params=["embedded", "servers"])
async def stores(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Stores]:
    """Empty stores of each pair with the services on them, for tests that damage what is stored."""
    settings = make_settings(data_dir=tmp_path)
    if request.param == "servers":
        # In a thread, because the first test that asks for the servers starts them.
        urls = [
            await asyncio.to_thread(request.getfixturevalue, name)
            for name in ("mysql_database_url", "mongodb_database_url")
        ]
        settings = make_settings(
            data_dir=tmp_path, database_url=urls[0], content_url=urls[1], auto_migrate=True
        )
    async with open_services(settings) as opened:
        yield opened
        await opened.clean()
