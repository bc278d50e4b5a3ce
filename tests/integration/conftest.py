"""A running node on each pair of stores: a test that asks for `server` runs on both."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.builders import close_clients
from tests.node import Node, make_settings


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


@pytest.fixture(autouse=True)
async def _close_clients() -> AsyncIterator[None]:
    yield
    await close_clients()
