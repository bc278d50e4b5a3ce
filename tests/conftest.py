"""Fixtures of the real servers; nothing else belongs here.

One MariaDB and one MongoDB serve the whole run: the process that the user started keeps them, starts them
when the first test asks, and closes them at the end. pytest-xdist's workers ask it over a Unix socket. Each
worker has a Redis of its own, because what tests publish there is heard in every Redis database.
A test that kills or freezes a server starts a private one: `with MariaDb() as server:`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import tempfile
import threading
from collections.abc import Iterator
from multiprocessing.connection import Client, Listener
from pathlib import Path

import pytest

from tests.servers import MariaDb, MongoDb, Redis, Servers, redis_command, start_servers

SOCKET = "TEST_SERVERS_SOCKET"


class SharedServers:
    """Answers every connection with the base URLs of the shared servers, or with the error of their start."""

    def __init__(self) -> None:
        self._folder = tempfile.mkdtemp(prefix="chat-tests-")
        self.address = f"{self._folder}/socket"
        self._listener = Listener(self.address, "AF_UNIX", backlog=64)
        self._stack = contextlib.ExitStack()
        self._thread = threading.Thread(target=self._serve, name="shared servers", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        answer: list[str] | str = []
        while True:
            with self._listener.accept() as connection:
                if connection.recv() == "close":
                    return
                if not answer:
                    try:
                        answer = self._stack.enter_context(start_servers(MariaDb, MongoDb))
                    except Exception as error:  # noqa: BLE001 - the asking test reports it
                        answer = str(error)
                connection.send(answer)

    def close(self) -> None:
        """Close the servers; waits for a start that is under way."""
        with Client(self.address) as connection:
            connection.send("close")
        self._thread.join()
        self._stack.close()
        self._listener.close()
        Path(self._folder).rmdir()


def pytest_configure(config: pytest.Config) -> None:
    """Become the keeper of the servers, except in a worker of pytest-xdist."""
    if not hasattr(config, "workerinput"):
        shared = SharedServers()
        os.environ[SOCKET] = shared.address  # inherited by the workers
        config.add_cleanup(shared.close)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers' base URLs; started by the first test that asks."""
    with Client(os.environ[SOCKET]) as connection:
        connection.send("start")
        answer = connection.recv()
    if isinstance(answer, str):
        pytest.fail(f"the test servers did not start: {answer}", pytrace=False)
    with start_servers(Redis) as redis:
        yield Servers(*answer, *redis)


def _unique_name(request: pytest.FixtureRequest) -> str:
    """A database name that tells whose it is: `test_` + the module's name + 8 random digits."""
    module = request.module.__name__.rpartition(".")[2].removeprefix("test_")
    return f"test_{module[:30]}_{secrets.token_hex(4)}"


@pytest.fixture(scope="module")
def mysql_database_url(servers: Servers, request: pytest.FixtureRequest) -> Iterator[str]:
    """CHAT_DATABASE_URL of an empty database for the tests of one module."""
    name = _unique_name(request)
    yield servers.create_mysql_database(name)
    servers.drop_mysql_database(name)


@pytest.fixture(scope="module")
def mongodb_database_url(servers: Servers, request: pytest.FixtureRequest) -> Iterator[str]:
    """CHAT_CONTENT_URL of an empty database for the tests of one module."""
    name = _unique_name(request)
    yield servers.mongodb_database_url(name)
    servers.drop_mongodb_database(name)


@pytest.fixture
def redis_url(servers: Servers) -> str:
    """CHAT_REDIS_URL of an empty Redis that no other worker hears."""
    redis_command(servers.redis_url, "FLUSHALL")
    return servers.redis_url
