"""Real MariaDB, MongoDB and Redis servers for tests and local runs, without Docker.

Job: run private instances on free loopback ports with fresh data below the temporary folder, and let a test
stop, kill, freeze and restart each one. Finding and installing the programs is `programs.py`'s.
It must not touch servers that it did not start, and knows nothing of the service under test.

A server never outlives the process that started it: the kernel kills it with its parent (PR_SET_PDEATHSIG).
All calls block; from a coroutine use `asyncio.to_thread`. Only Linux is supported.
As a program (`./scripts/services`) it starts all three, prints their URLs and stops them on Ctrl-C.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import random
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Self
from urllib.parse import unquote, urlsplit, urlunsplit

import pymongo
import pymongo.errors
import pymysql
import redis

from tests import programs
from tests.hosts import THIS_MACHINE, Host

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30

_LET_ROOT_IN = """\
CREATE USER IF NOT EXISTS root@'%';
GRANT ALL ON *.* TO root@'%' WITH GRANT OPTION;
"""

# The kernel sends the parent-death signal when the *thread* that forked ends, so one thread that lives as
# long as this process forks every server.
_spawner = ThreadPoolExecutor(max_workers=1, thread_name_prefix="servers")


class ServerStartError(RuntimeError):
    """A server ended or did not answer in time; the message holds the end of its log."""


# --- running them -----------------------------------------------------------------------------------------


_given_ports: set[int] = set()


def free_port() -> int:
    """A loopback port that nobody listens on now, and that is given out once.

    Below Linux's range of outgoing ports, so that no client connection takes it while its server is down, and
    in a range of each worker's own, so that no server of another one does.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    first = 20_000 + worker % 3 * 4_000
    while True:
        port = random.randrange(first, first + 4_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given_ports:
                _given_ports.add(port)
                return port


class Server:
    """One private server: the same port and data from the first `start` until `close`.

    `root` is the folder for its data; without one a temporary folder is made, and removed by `close`.
    Leave it out for MariaDB where pytest's `tmp_path` would be given: as root the server runs as another
    user, who may not enter it. `host` is the machine to run on. As a context manager it starts and closes.
    """

    name: ClassVar[str]
    override: ClassVar[str]  # the environment variable whose URL is used in place of an own server
    account: ClassVar[str | None] = None  # the user to run as when we are root
    image: ClassVar[str]  # for machines without the program but with Docker
    image_data: ClassVar[str]
    image_environment: ClassVar[tuple[str, ...]] = ()

    def __init__(self, root: Path | None = None, host: Host = THIS_MACHINE) -> None:
        self.host = host
        self.port = free_port()
        self._program = self.find()
        self._temporary = root is None
        self.root = Path(tempfile.mkdtemp(prefix=f"chat-{self.name}-")) if root is None else root / self.name
        self.data = self.root / "data"
        self.data.mkdir(parents=True)
        self.log = self.root / "log"
        self._container = f"chat-{self.name}-{secrets.token_hex(4)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._prepared = False
        if self.account and os.geteuid() == 0 and self._program:
            for folder in (self.root, self.data):
                folder.chmod(0o755)
                os.chown(folder, pwd.getpwnam(self.account).pw_uid, -1)

    @property
    def is_running(self) -> bool:
        """False before `start` and after `stop` or `kill`; a frozen server runs."""
        return self._process is not None

    @property
    def url(self) -> str:
        """Where it answers, without a database name."""
        raise NotImplementedError

    @classmethod
    def find(cls) -> str | None:
        """The path of the program, installed first where possible; None means: by Docker."""
        raise NotImplementedError

    def _flags(self, address: str, data: str) -> list[str]:
        """The server's arguments; `data` is empty where the image knows its own folder."""
        raise NotImplementedError

    def _prepare(self) -> None:
        """What is needed once, before the first start."""

    def _check_ready(self) -> None:
        """Raise any error as long as the server is not ready."""
        raise NotImplementedError

    def start(self) -> None:
        """Start, on the port and data it had before, and return when it answers and accepts writes."""
        if self._process is not None:
            raise RuntimeError(f"{self.name} is running")
        if not self._prepared and self._program:
            self._prepare()
        self._prepared = True
        with self.log.open("ab") as log:
            self._process = _spawner.submit(
                subprocess.Popen,
                self._command(),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C in the terminal is for us; we stop the server then
            ).result()
        try:
            self._wait_until_ready()
        except BaseException:
            self.kill()
            raise

    @property
    def has_ended(self) -> bool:
        """It was started, and went by itself."""
        return self._process is not None and self._process.poll() is not None

    def start_and_get_url(self) -> str:
        """`start`, then the URL."""
        self.start()
        return self.url

    def stop(self) -> None:
        """Let it shut down in order; killed when it takes longer than 30 s. Nothing if it is not running."""
        if self._process is None:
            return
        self._signal(signal.SIGTERM)
        self._signal(signal.SIGCONT)  # a frozen one could not obey
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self._process = None

    def kill(self) -> None:
        """SIGKILL, as in a crash; returns when the process is gone. Nothing if it is not running."""
        if self._process is None:
            return
        self._signal(signal.SIGKILL)
        self._process.wait()
        self._process = None

    def freeze(self) -> None:
        """SIGSTOP: connections stay open and new ones are accepted by the kernel, but nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Undo `freeze`."""
        self._signal(signal.SIGCONT)

    def close(self) -> None:
        """Kill it and remove its data; harmless when repeated."""
        self.kill()
        if not self._program:
            command = ["docker", "volume", "rm", "-f", self._container]
            subprocess.run(command, capture_output=True, check=False)
        shutil.rmtree(self.root, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _command(self) -> list[str]:
        if self._program:
            user = []
            if self.account and os.geteuid() == 0:
                user = [f"--reuid={self.account}", f"--regid={self.account}", "--clear-groups"]
            with_parent = ["setpriv", "--pdeathsig=KILL", *user]
            command = [*with_parent, self._program, *self._flags(self.host.address, str(self.data))]
            return self.host.command(command)
        # The same port inside as outside, because a replica set tells its clients its members' addresses.
        # TERM, not KILL: the client hands TERM on to the container, and --rm then removes it.
        return [
            *("setpriv", "--pdeathsig=TERM", "docker", "run", "--rm", "--name", self._container),
            *("--publish", f"127.0.0.1:{self.port}:{self.port}"),
            *("--volume", f"{self._container}:{self.image_data}"),
            *(f"--env={setting}" for setting in self.image_environment),
            *(self.image, *self._flags("0.0.0.0", "")),
        ]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is None:
            raise RuntimeError(f"{self.name} is not running")
        if self._program:
            self._process.send_signal(number)
        else:
            name = number.name.removeprefix("SIG")
            command = ["docker", "kill", "--signal", name, self._container]
            subprocess.run(command, capture_output=True, check=False)

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            try:
                self._check_ready()
            except (OSError, pymysql.Error, pymongo.errors.PyMongoError, redis.RedisError) as error:
                ended = self._process.poll() is not None
                if ended or time.monotonic() > deadline:
                    what = "ended at its start" if ended else f"did not answer within {START_TIMEOUT_S} s"
                    end = self.log.read_text(errors="replace")[-3000:]
                    raise ServerStartError(f"{self.name} {what}: {error}\n{end}") from error
                time.sleep(0.03)
            else:
                return


class MariaDb(Server):
    """MariaDB with the durability that the service asks of production: every commit synced, binary log on."""

    name = "mariadb"
    override = "TEST_MYSQL_URL"
    account = "mysql"
    image = "mariadb:10.11"
    image_data = "/var/lib/mysql"
    image_environment = ("MARIADB_ALLOW_EMPTY_ROOT_PASSWORD=1", "MARIADB_ROOT_HOST=%")

    @classmethod
    def find(cls) -> str | None:
        """`mariadbd`, from Debian's package."""
        return programs.find_packaged("mariadbd", package="mariadb-server", override=cls.override)

    @property
    def url(self) -> str:
        """`mysql+asyncmy://root@<address>:<port>/`."""
        return f"mysql+asyncmy://root@{self.host.address}:{self.port}/"

    def _prepare(self) -> None:
        install = programs.which("mariadb-install-db") or "mariadb-install-db"
        user = [f"--user={self.account}"] if os.geteuid() == 0 else []
        flags = ["--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"]
        command = [install, "--no-defaults", f"--datadir={self.data}", *flags, *user]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ServerStartError(f"mariadb-install-db failed:\n{done.stdout}{done.stderr}")
        self._first.write_text(_LET_ROOT_IN)

    @property
    def _first(self) -> Path:
        """Statements to begin with: by itself root is let in from its own machine only."""
        return self.root / "first.sql"

    def _flags(self, address: str, data: str) -> list[str]:
        own_files = [f"--datadir={data}", f"--socket={self.root}/socket", f"--pid-file={self.root}/pid"]
        return [
            *(["--no-defaults", *own_files, f"--init-file={self._first}"] if data else []),
            f"--port={self.port}",
            f"--bind-address={address}",
            "--skip-name-resolve",
            "--character-set-server=utf8mb4",
            "--innodb-flush-log-at-trx-commit=1",
            "--sync-binlog=1",
            "--log-bin=binlog",
            "--binlog-format=ROW",
            "--server-id=1",
            "--innodb-buffer-pool-size=64M",
            "--max-connections=500",
        ]

    def _check_ready(self) -> None:
        with mysql_connection(self.url) as cursor:
            cursor.execute("SELECT 1")


class MongoDb(Server):
    """A replica set `rs0` of one member, which is what majority writes and a journal need."""

    name = "mongodb"
    override = "TEST_MONGODB_URL"
    image = "mongo:6.0"
    image_data = "/data/db"

    @classmethod
    def find(cls) -> str | None:
        """`mongod` out of the pinned wheel on x86-64, else one that is installed."""
        return programs.find_mongod(cls.override)

    @property
    def url(self) -> str:
        """`mongodb://<address>:<port>/?replicaSet=rs0`."""
        return f"mongodb://{self.address}/?replicaSet=rs0"

    @property
    def address(self) -> str:
        """Host and port, as a replica set knows its members."""
        return f"{self.host.address}:{self.port}"

    def _flags(self, address: str, data: str) -> list[str]:
        return [
            *([f"--dbpath={data}", "--nounixsocket"] if data else []),
            f"--port={self.port}",
            f"--bind_ip={address}",
            "--replSet=rs0",
            "--wiredTigerCacheSizeGB=0.25",
            "--oplogSize=64",
            "--setParameter=diagnosticDataCollectionEnabled=false",
        ]

    def _check_ready(self) -> None:
        address = f"mongodb://{self.address}/?directConnection=true&serverSelectionTimeoutMS=500"
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient(address) as client:
            hello = client.admin.command("hello")
            if not hello.get("setName"):
                self._initiate(client)
            if not hello.get("isWritablePrimary"):
                raise ConnectionError("not primary yet")

    def _initiate(self, client: pymongo.MongoClient[dict[str, object]]) -> None:
        member = {"_id": 0, "host": self.address}
        # A shorter election than the default 10 s: a restarted single member waits for nobody.
        settings = {"electionTimeoutMillis": 1000}
        with contextlib.suppress(pymongo.errors.OperationFailure):  # a second try: already initiated
            client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member], "settings": settings})


class Redis(Server):
    """Redis without persistence: it comes back empty, since the service must lose nothing by that."""

    name = "redis"
    override = "TEST_REDIS_URL"
    image = "redis:7"
    image_data = "/data"

    @classmethod
    def find(cls) -> str | None:
        """`redis-server`, from Debian's package."""
        return programs.find_packaged("redis-server", package="redis-server", override=cls.override)

    @property
    def url(self) -> str:
        """`redis://<address>:<port>/0`."""
        return f"redis://{self.host.address}:{self.port}/0"

    def _flags(self, address: str, data: str) -> list[str]:
        flags = ["--port", str(self.port), "--bind", address, "--save", "", "--appendonly", "no"]
        return [*flags, "--protected-mode", "no", *(["--dir", data] if data else [])]

    def _check_ready(self) -> None:
        redis_command(self.url, "PING")


# --- databases on them ------------------------------------------------------------------------------------


def with_database(url: str, name: str) -> str:
    """`url` with the database `name` in place of the one it has, or of none."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))


@contextlib.contextmanager
def mysql_connection(url: str, timeout_s: int = 30) -> Iterator[pymysql.cursors.Cursor]:
    """A cursor on a new connection in autocommit mode, with the database of `url` if it names one."""
    parts = urlsplit(url)
    connection = pymysql.connect(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 3306,
        user=unquote(parts.username or "root"),
        password=unquote(parts.password or ""),
        database=parts.path.strip("/") or None,
        connect_timeout=5,
        read_timeout=timeout_s,
        autocommit=True,
    )
    with connection, connection.cursor() as cursor:
        yield cursor


def redis_command(url: str, command: str) -> None:
    """Run a command without arguments and raise if Redis refuses it."""
    with redis.Redis.from_url(url, socket_timeout=5) as client:
        client.execute_command(command)


@dataclass(frozen=True)
class Servers:
    """The base URLs, without database names, of one server of each kind."""

    mysql_url: str
    mongodb_url: str
    redis_url: str

    def create_mysql_database(self, name: str) -> str:
        """Make an empty database; its URL for CHAT_DATABASE_URL."""
        with mysql_connection(with_database(self.mysql_url, "")) as cursor:
            cursor.execute(f"CREATE DATABASE `{name}`")
        return with_database(self.mysql_url, name)

    def drop_mysql_database(self, name: str) -> None:
        """Remove a database, if it exists."""
        with mysql_connection(with_database(self.mysql_url, "")) as cursor:
            cursor.execute(f"DROP DATABASE IF EXISTS `{name}`")

    def mongodb_database_url(self, name: str) -> str:
        """The URL for CHAT_CONTENT_URL; MongoDB makes the database with its first write."""
        return with_database(self.mongodb_url, name)

    def drop_mongodb_database(self, name: str) -> None:
        """Remove a database, if it exists."""
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient(self.mongodb_url) as client:
            client.drop_database(name)


@contextlib.contextmanager
def start_servers(*kinds: type[Server], root: Path | None = None) -> Iterator[list[str]]:
    """Start one server of each kind side by side, close them at the end; TEST_*_URL replaces a server.

    Yields the base URLs in the order of `kinds`. `root`: the folder for their data, see `Server`.
    """
    with contextlib.ExitStack() as stack, ThreadPoolExecutor() as pool:
        urls: list[str | Future[str]] = []
        for kind in kinds:
            override = os.environ.get(kind.override)
            if override:
                urls.append(override)
            else:
                server = kind(root)  # finds the program: not side by side, two apt-get would clash
                stack.callback(server.close)
                urls.append(pool.submit(server.start_and_get_url))
        yield [url if isinstance(url, str) else url.result() for url in urls]


def install() -> None:
    """Make the browser and every server that no TEST_*_URL replaces available, or raise
    `MissingProgramError`."""
    for kind in (MariaDb, MongoDb, Redis):
        if not os.environ.get(kind.override):
            kind.find()


def main() -> None:
    """Start all three, print their URLs as shell exports, and stop them on Ctrl-C or SIGTERM."""
    if sys.argv[1:] == ["install"]:
        install()
        return
    for number in (signal.SIGINT, signal.SIGTERM):  # a shell's background jobs are born deaf to the first
        signal.signal(number, signal.default_int_handler)
    kinds = (MariaDb, MongoDb, Redis)
    with contextlib.suppress(KeyboardInterrupt), start_servers(*kinds) as urls:
        for kind, url in zip(kinds, urls, strict=True):
            print(f"export {kind.override}='{url}'")
        print("# running until Ctrl-C", flush=True)
        signal.pause()


if __name__ == "__main__":
    try:
        main()
    except (programs.MissingProgramError, ServerStartError) as error:
        sys.exit(str(error))
