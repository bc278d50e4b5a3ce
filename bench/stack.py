"""The processes under measurement: MariaDB, MongoDB and the service, and what they use of the machine."""

from __future__ import annotations

import contextlib
import os
import resource
import secrets
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.servers import MariaDb, MongoDb, Server, free_port, mysql_connection, with_database

START_TIMEOUT_S = 30.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class RoomyMariaDb(MariaDb):
    """A million messages are read from memory, as on a server of the size that has so many."""

    def _flags(self, address: str, data: str) -> list[str]:
        flags = [one for one in super()._flags(address, data) if "buffer-pool" not in one]
        return [*flags, "--innodb-buffer-pool-size=512M"]


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far, its finished threads included."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_S


def resident_bytes(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES


def allow_many_files() -> None:
    """As many open sockets as the system lets us; processes started later inherit it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


@dataclass
class Usage:
    """CPU seconds of each process."""

    server: float
    mariadbd: float
    mongod: float

    @property
    def total(self) -> float:
        return self.server + self.mariadbd + self.mongod

    def __sub__(self, earlier: Usage) -> Usage:
        return Usage(
            self.server - earlier.server, self.mariadbd - earlier.mariadbd, self.mongod - earlier.mongod
        )

    def per(self, count: float, unit: int) -> dict[str, float | None]:
        """CPU seconds for every `unit` things of which there were `count`."""
        return {
            name: round(seconds / count * unit, 4) if count else None
            for name, seconds in (
                ("server", self.server),
                ("mariadbd", self.mariadbd),
                ("mongod", self.mongod),
            )
        }


@dataclass
class Stack:
    """The two databases of a run. As a context manager it starts and stops them."""

    mariadb: MariaDb = field(default_factory=RoomyMariaDb)
    mongodb: MongoDb = field(default_factory=MongoDb)

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            for server in (self.mariadb, self.mongodb):
                stack.enter_context(server)
            self._closing = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    @contextlib.contextmanager
    def serve(self, module: str = "chat_service") -> Iterator[Service]:
        """A service process on empty databases, started from this module."""
        name = f"bench_{secrets.token_hex(4)}"
        with mysql_connection(self.mariadb.url) as cursor:
            cursor.execute(f"CREATE DATABASE `{name}`")
        settings = {
            "CHAT_DATABASE_URL": with_database(self.mariadb.url, name),
            "CHAT_CONTENT_URL": with_database(self.mongodb.url, name),
            "CHAT_AUTO_MIGRATE": "true",
        }
        with run_service(settings, module=module) as (port, pid):
            yield Service(self, f"http://127.0.0.1:{port}", pid, name)
        with mysql_connection(self.mariadb.url) as cursor:
            cursor.execute(f"DROP DATABASE `{name}`")


@dataclass
class Service:
    """A running service and its databases' names."""

    stack: Stack
    url: str
    pid: int
    database: str

    def usage(self) -> Usage:
        """So far, since each process started."""
        return Usage(
            cpu_seconds(self.pid),
            cpu_seconds(pid_of(self.stack.mariadb)),
            cpu_seconds(pid_of(self.stack.mongodb)),
        )


def pid_of(server: Server) -> int:
    assert server._process is not None  # noqa: SLF001 - only measuring wants it
    return server._process.pid  # noqa: SLF001 - as above


@contextlib.contextmanager
def run_service(settings: dict[str, str], *, module: str = "chat_service") -> Iterator[tuple[int, int]]:
    """A service process with these settings; yields its port and pid once it has answered a request."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="chat-bench-") as folder:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
        environment |= {
            "CHAT_PORT": str(port),
            "CHAT_DATA_DIR": folder,
            "CHAT_LOG_LEVEL": "warning",
            "CHAT_RATE_LIMITS_ENABLED": "false",
            "CHAT_SECRET_KEY": secrets.token_hex(32),
            **settings,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", module, "serve"], env=environment, stdout=subprocess.DEVNULL
        )
        try:
            wait_until_ready(process, port)
            yield port, process.pid
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def wait_until_ready(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when `/readyz` is answered with 200."""
    deadline = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5).close()
            return
        time.sleep(0.005)
    raise RuntimeError("the service did not start")
