"""The deployment that is broken: three nodes behind HAProxy, MariaDB, a replica set of MongoDB, and Redis.

Everything is a process of its own and is ended by real signals. The way of the nodes to MariaDB and to Redis,
and a second entrance for clients, lead through a `Network` each, which is a plain wire until a fault uses it.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import resource
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit, urlunsplit

from chat_service.app import open_stores
from chat_service.domain.clock import system_clock
from chat_service.services.fsck import Fsck, Options
from chat_service.services.fsck_chats import Finding
from tests.balancer import HaProxy
from tests.crash_server import Lives
from tests.hosts import Hosts
from tests.network import Network
from tests.node import SECRET, make_settings
from tests.replica_set import ReplicaSet, wait_until
from tests.servers import MariaDb, Redis, Server, free_port, mysql_connection, with_database

NODES = 3
STOP_S = 30.0
TOKENS_LIVE_MINUTES = 24 * 60
_DISK_MIB = 600


@dataclass
class Entrance:
    """Where clients come in; what `tests.builders` calls a server."""

    url: str
    ws_url: str

    @classmethod
    def at(cls, address: str, port: int) -> Entrance:
        return cls(f"http://{address}:{port}", f"ws://{address}:{port}/api/v1/ws")


def by_way_of(url: str, network: Network) -> str:
    """The same server behind a network."""
    parts = urlsplit(url)
    user, at, _ = parts.netloc.rpartition("@")
    return urlunsplit(parts._replace(netloc=f"{user}{at}{network.address}:{network.port}"))


class Disk:
    """A small file system in memory for one store's data, to be filled up. Linux gives it to root alone."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="chat-disk-"))
        self.folder.chmod(0o755)
        size = f"size={_DISK_MIB}m,mode=755"
        command = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(self.folder)]
        self.is_small = subprocess.run(command, capture_output=True, check=False).returncode == 0

    def fill(self) -> None:
        """Until nothing more fits."""
        with (self.folder / "ballast").open("wb", buffering=0) as ballast, contextlib.suppress(OSError):
            while True:
                ballast.write(bytes(65_536))

    def empty(self) -> None:
        (self.folder / "ballast").unlink(missing_ok=True)

    def close(self) -> None:
        if self.is_small:
            subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)
        shutil.rmtree(self.folder, ignore_errors=True)


class Stage:
    """`with Stage(election_ms=…) as stage:`. MariaDB and the first member of MongoDB have their data on disks
    of their own, and every part is on a host of its own where the system has namespaces."""

    def __init__(self, *, election_ms: int, drain_s: float) -> None:
        self._stack = contextlib.ExitStack()
        self._election_ms = election_ms
        self._drain_s = drain_s

    def __enter__(self) -> Self:
        with self._stack:
            self._start()
            self._stack = self._stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _start(self) -> None:
        enter = self._stack.enter_context
        self.folder = Path(enter(tempfile.TemporaryDirectory(prefix="chat-faults-")))
        self.hosts = enter(Hosts())
        self.disk_of_mariadb = enter(contextlib.closing(Disk()))
        self.disk_of_mongodb = enter(contextlib.closing(Disk()))
        self.mariadb = MariaDb(self.disk_of_mariadb.folder, self.hosts.add())
        self.redis = Redis(host=self.hosts.add())
        folders = (self.disk_of_mongodb.folder, None, None)
        self.mongodb = ReplicaSet(self._election_ms, [(folder, self.hosts.add()) for folder in folders])
        with ThreadPoolExecutor() as pool:
            list(pool.map(enter, (self.mariadb, self.redis, self.mongodb)))
        with mysql_connection(self.mariadb.url) as cursor:
            cursor.execute("CREATE DATABASE chat")
        self.to_mariadb = self._make_network(self.mariadb)
        self.to_redis = self._make_network(self.redis)
        self.nodes = [self._make_node(number) for number in range(NODES)]
        self.nodes[0].start()  # which migrates
        with ThreadPoolExecutor() as pool:
            list(pool.map(Lives.start, self.nodes[1:]))
        self.balancer = enter(HaProxy([node.address for node in self.nodes], self.hosts.add()))
        self.to_balancer = self._make_network(self.balancer)
        self.entrance = Entrance.at(self.balancer.host.address, self.balancer.port)
        self.wire = Entrance.at(self.to_balancer.address, self.to_balancer.port)

    def _make_network(self, server: Server) -> Network:
        """On the way to a server; it can be reached from every host."""
        return self._stack.enter_context(Network(server.port, server.host.address, self.hosts.here))

    def _make_node(self, number: int) -> Lives:
        folder = self.folder / f"node{number + 1}"
        folder.mkdir()
        node = Lives(
            folder,
            self.hosts.add(),
            data_dir=folder,
            port=free_port(),
            database_url=by_way_of(with_database(self.mariadb.url, "chat"), self.to_mariadb),
            content_url=with_database(self.mongodb.url, "chat"),
            redis_url=by_way_of(self.redis.url, self.to_redis),
            auto_migrate=True,
            access_token_minutes=TOKENS_LIVE_MINUTES,
            drain_seconds=self._drain_s,
        )
        self._stack.callback(node.close)
        return node

    async def is_whole(self) -> None:
        """Return when every part is up: all nodes take connections, and MongoDB has all of its members."""
        for is_so in (
            lambda: self.balancer.list_serving() == set(range(1, NODES + 1)),
            lambda: sorted(map(str, self.mongodb.list_states())) == ["primary", "secondary", "secondary"],
        ):
            await asyncio.to_thread(wait_until, is_so)

    async def find_damage(self, from_chat: int) -> list[str]:
        """What `chat-service fsck` finds beside the running nodes, in this chat and those made after it."""
        findings: list[Finding] = []
        settings = make_settings(**self.nodes[0].values)
        async with open_stores(settings) as (metadata, content):
            options = Options(from_chat=from_chat)
            summary = await Fsck(metadata, content, system_clock, options, findings.append).run()
        assert summary.is_done
        return list(map(str, findings))

    def read_logs(self) -> dict[str, str]:
        """Of all lives of all nodes, of the balancer, which names every request, and of the stores."""
        files = sorted(self.folder.glob("node*/log-*"))
        logs = {f"{one.parent.name}, life {one.name.removeprefix('log-')}": one.read_text() for one in files}
        servers = {"HAProxy": self.balancer, "MariaDB": self.mariadb, "Redis": self.redis}
        servers |= {f"MongoDB member {number}": one for number, one in enumerate(self.mongodb.members, 1)}
        return logs | {name: one.log.read_text(errors="replace") for name, one in servers.items()}

    @property
    def secrets(self) -> set[str]:
        return {SECRET}


def allow_many_files() -> None:
    """As many open sockets as the system lets this process and those that it starts."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def list_tracebacks(logs: dict[str, str]) -> list[str]:
    """The lines of nodes' logs that tell of an error of ours, each kind once. Stores tell of their own."""
    found: dict[str, str] = {}
    for name, text in logs.items():
        for line in text.splitlines() if name.startswith("node") else ():
            if "Traceback" in line or '"level":"error"' in line:
                found.setdefault(re.sub(r"[\d:.-]+", "", line[:200]), f"{name}: {line[:200]} … {line[-500:]}")
    return list(found.values())
