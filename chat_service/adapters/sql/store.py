"""Transactions on the metadata store: connections, retries, and what their errors mean.

Reads go over connections in autocommit, so that every statement sees what was committed before it began
and none pays for a BEGIN. Writes go over connections of their own: under READ COMMITTED on MySQL, and on
SQLite over a single one with BEGIN IMMEDIATE, so that writers queue in the process and not on the file. On
MySQL sends have a few to themselves.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import structlog
from sqlalchemy import event, select, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from chat_service.adapters.sql import tables
from chat_service.adapters.sql.accounts import SqlAccounts
from chat_service.adapters.sql.audit import SqlAudit
from chat_service.adapters.sql.chats import SqlChats
from chat_service.adapters.sql.feed import PacketFeed, SqlFeed
from chat_service.adapters.sql.messages import PacketMessages, SqlMessages
from chat_service.adapters.sql.nodes import SqlNodes
from chat_service.adapters.sql.participants import SqlParticipants
from chat_service.adapters.sql.sends import PacketSends, SqlSends
from chat_service.adapters.sql.sessions import SqlSessions
from chat_service.adapters.sql.trust import Trust
from chat_service.domain.errors import Unavailable
from chat_service.migrations import HEAD
from chat_service.services.ports.audit import Audit
from chat_service.services.ports.metadata import (
    SENDS_TOGETHER,
    Accounts,
    Chats,
    Feed,
    Messages,
    Participants,
    Sends,
    Sessions,
)
from chat_service.services.ports.nodes import Nodes

log = structlog.get_logger()
T = TypeVar("T")

CALL_TIMEOUT_S = 5.0
_CONTENTION = frozenset({1205, 1213, 1020, 3101})
"""Lock wait timed out, deadlock, record changed since last read, undone by another member of a replication
group: the same work may succeed at once."""
_LOST = frozenset({1040, 1047, 1053, 1129, 1130, 1180, 1203, 1226, 1927, 3169})
_ATTEMPTS = 6
SILENT_IN_TRANSACTION_S = 5
SILENT_S = 15
CLOSED_AT_ONCE = 2013
"""The client library's own code for a connection that was lost."""
_SQLITE_PRAGMAS = ("journal_mode=WAL", "synchronous=FULL", "busy_timeout=4000", "foreign_keys=OFF")


Observe = Callable[[str, float], None]
"""Hears of every transaction (`transact`) and read (`read`) how many seconds it took."""


def _ignore(_call: str, _seconds: float) -> None:
    pass


class SqlUnit:
    """The `Unit` of one connection."""

    def __init__(self, connection: AsyncConnection) -> None:
        self.accounts: Accounts = SqlAccounts(connection)
        self.sessions: Sessions = SqlSessions(connection)
        self.chats: Chats = SqlChats(connection)
        self.participants: Participants = SqlParticipants(connection)
        self.messages: Messages
        self.feed: Feed
        self.sends: Sends
        if connection.dialect.name == "sqlite":
            self.messages, self.sends = SqlMessages(connection), SqlSends(connection)
            self.feed = SqlFeed(connection)
        else:
            self.messages, self.sends = PacketMessages(connection), PacketSends(connection)
            self.feed = PacketFeed(connection)
        self.audit: Audit = SqlAudit(connection)
        self.nodes: Nodes = SqlNodes(connection)


class SqlMetadataStore:
    """`MetadataStore` on MySQL or MariaDB (`mysql+asyncmy://…`) and SQLite (`sqlite+aiosqlite:///…`)."""

    def __init__(self, url: str, *, observe: Observe = _ignore) -> None:
        self._url = make_url(url)
        self._observe = observe
        self._running: set[asyncio.Task[Any]] = set()
        self._trust = Trust()
        if self._url.get_backend_name() == "sqlite":
            self._writes, self._reads = _sqlite_engines(self._url)
            self._sends = self._writes
        else:
            self._writes, self._sends, self._reads = _mysql_engines(self._url)
            for engine in (self._writes, self._sends, self._reads):
                self._trust.watch(engine)

    async def connect(self) -> None:
        if self._url.get_backend_name() == "sqlite" and self._url.database:
            Path(self._url.database).parent.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        if self._running:
            await asyncio.wait(self._running)
        for engine in (self._writes, self._sends, self._reads):
            await engine.dispose()

    async def ping(self) -> None:
        await self._guard(lambda: _run(self._reads, _select_one))

    async def get_epoch(self) -> str:
        return await self._guard(lambda: _run(self._reads, _get_epoch))

    async def has_current_schema(self) -> bool:
        return await self._guard(lambda: _run(self._reads, _has_head))

    async def check_safety(self) -> list[str]:
        """One sentence for each setting by which the server could lose an acknowledged commit."""
        if self._url.get_backend_name() == "sqlite":
            return []
        return await self._guard(lambda: _run(self._reads, _find_weaknesses))

    async def transact(self, work: Callable[[SqlUnit], Awaitable[T]]) -> T:
        return await self._transact(self._writes, work)

    async def transact_sends(self, work: Callable[[SqlUnit], Awaitable[T]]) -> T:
        return await self._transact(self._sends, work)

    async def _transact(self, engine: AsyncEngine, work: Callable[[SqlUnit], Awaitable[T]]) -> T:
        async def attempt() -> T:
            async with engine.begin() as connection:
                try:
                    return await work(SqlUnit(connection))
                except asyncio.CancelledError:
                    # Out of time between two statements: the server may not answer a ROLLBACK either.
                    await connection.invalidate()
                    raise

        return await self._timed("transact", attempt)

    async def read(self, work: Callable[[SqlUnit], Awaitable[T]]) -> T:
        async def attempt() -> T:
            async with self._reads.connect() as connection:
                return await work(SqlUnit(connection))

        return await self._timed("read", attempt)

    async def _timed(self, call: str, attempt: Callable[[], Awaitable[T]]) -> T:
        began_s = time.perf_counter()
        try:
            return await self._guard(attempt)
        finally:
            self._observe(call, time.perf_counter() - began_s)

    async def _guard(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Wait five seconds at most; what the driver says then means `Unavailable`, or is a bug."""
        try:
            async with asyncio.timeout(CALL_TIMEOUT_S):
                return await self._complete(self._repeat(attempt))
        except (TimeoutError, PoolTimeout, OSError) as error:
            if isinstance(error, TimeoutError):
                self._trust.lose()
            log.warning("metadata_store_unavailable", error=type(error).__name__)
            raise Unavailable from error
        except IntegrityError:
            raise
        except DBAPIError as error:
            if not any(is_so(error) for is_so in _PASSING):
                raise
            log.warning("metadata_store_unavailable", error=str(error.orig))
            raise Unavailable from error

    async def _repeat(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """Repeat what contention undid, and once what a lost connection did: the others of the pool may have
        gone with it, and the second attempt must not meet one of those."""
        lost = 0
        for number in range(1, _ATTEMPTS):
            try:
                return await attempt()
            except DBAPIError as error:
                if _is_lost(error):
                    self._trust.lose()
                    lost += 1
                if lost > 1 or not (_is_lost(error) or _is_contention(error)):
                    raise
            await asyncio.sleep(random.uniform(0.002, 0.02) * number)  # noqa: S311 - jitter
        return await attempt()

    async def _complete(self, call: Coroutine[Any, Any, T]) -> T:
        """On SQLite a call runs to its end when its caller is cancelled or out of time.

        A statement runs in a thread there and cannot be called back: a connection that is given up in the
        middle of `BEGIN IMMEDIATE` would hold the file's lock for ever. On MySQL the connection is closed,
        which ends the statement on the server too.
        """
        if self._url.get_backend_name() != "sqlite":
            return await call
        task = asyncio.ensure_future(call)
        self._running.add(task)
        task.add_done_callback(self._forget)
        return await asyncio.shield(task)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._running.discard(task)
        if not task.cancelled():
            task.exception()  # whoever asked may have gone; nobody else wants to hear of it


async def _run(engine: AsyncEngine, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    async with engine.connect() as connection:
        return await work(connection)


async def _select_one(connection: AsyncConnection) -> None:
    await connection.execute(text("SELECT 1"))


async def _get_epoch(connection: AsyncConnection) -> str:
    query = select(tables.deployment.c.value).where(tables.deployment.c.name == "epoch")
    return str((await connection.execute(query)).scalar_one())


async def _has_head(connection: AsyncConnection) -> bool:
    try:
        rows = await connection.execute(text("SELECT version_num FROM alembic_version"))
        return [row[0] for row in rows] == [HEAD]
    except DBAPIError as error:
        if "alembic_version" in str(error.orig):
            return False
        raise


async def _find_weaknesses(connection: AsyncConnection) -> list[str]:
    query = "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog, @@innodb_doublewrite"
    row = (await connection.execute(text(query))).one()
    found = []
    if str(row[0]) != "1":
        found.append("innodb_flush_log_at_trx_commit is not 1: a crash loses commits of the last second.")
    if str(row[1]) in ("1", "ON") and str(row[2]) != "1":
        found.append("sync_binlog is not 1: after a crash the replicas may lack acknowledged commits.")
    if str(row[3]) not in ("1", "ON", "DETECT_AND_RECOVER"):  # MySQL's DETECT_ONLY keeps no copy either
        found.append("innodb_doublewrite is off: a crash in the middle of a page write damages the store.")
    return found


def _code(error: DBAPIError) -> int | None:
    args = getattr(error.orig, "args", ())
    return args[0] if args and isinstance(args[0], int) else None


def _is_contention(error: DBAPIError) -> bool:
    return _code(error) in _CONTENTION or "database is locked" in str(error.orig)


def _is_lost(error: DBAPIError) -> bool:
    """The connection broke (2xxx, 3169), or a COMMIT was answered with neither yes nor no (1180). There are
    too many connections (1040, 1203, 1226), or the host is not let in (1129, 1130). The server is going down
    (1053, 1927), or apart from its cluster (1047)."""
    code = _code(error)
    return (
        error.connection_invalidated
        or (code is not None and (2000 <= code < 3000 or code in _LOST))
        or "disk I/O error" in str(error.orig)
        or "unable to open database" in str(error.orig)
    )


def _is_overdue(error: DBAPIError) -> bool:
    """The server itself ended a statement that took too long (MySQL 3024, MariaDB 1969)."""
    return _code(error) in (3024, 1969, 1317)


def _is_refused(error: DBAPIError) -> bool:
    """The server lets us not in, does not have our database, gives us too few rights there, or wants another
    password (1820, 1862)."""
    return _code(error) in (1044, 1045, 1049, 1142, 1698, 1820, 1862)


def _takes_no_writes(error: DBAPIError) -> bool:
    """There is no room on the disk (1021, 1026, 1030, 1114, 1598), or the server has been made read-only, as
    one is that hands over to another (1290, 1836), or its replication group does not take the change (3100).
    SQLite ends the transaction then, its savepoints too."""
    text = str(error.orig)
    is_full = "database or disk is full" in text or "no such savepoint" in text
    return is_full or _code(error) in (1021, 1026, 1030, 1114, 1598, 1290, 1836, 3100)


_PASSING = (_is_lost, _is_contention, _is_overdue, _is_refused, _takes_no_writes)


def _mysql_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine, AsyncEngine]:
    """For writes, for sends and for reads."""
    url = url.update_query_dict({"charset": "utf8mb4"})
    shared: dict[str, Any] = {
        "connect_args": {"connect_timeout": 2, "async_creator_fn": _open_mysql},
        "pool_timeout": 4,
        "pool_recycle": 1800,
        "max_overflow": 0,
        "hide_parameters": True,  # of a statement that fails: addresses, hashes of passwords
    }
    # Every transaction is ended by its own `begin()`, so the pool need not send a ROLLBACK after each COMMIT.
    writes, sends = (
        create_async_engine(
            url, isolation_level="READ COMMITTED", pool_size=size, pool_reset_on_return=None, **shared
        )
        for size in (8, SENDS_TOGETHER)
    )
    reads = create_async_engine(
        url, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True, pool_size=20, **shared
    )
    for engine in (writes, sends, reads):
        event.listen(engine.sync_engine, "connect", _prepare_mysql)
    for engine in (writes, sends):
        event.listen(engine.sync_engine, "connect", _limit_silence)
    return writes, sends, reads


async def _open_mysql(**options: Any) -> Any:
    """Where the peer accepts and closes at once, as a proxy without a server behind it does, asyncmy raises
    `RuntimeError` because the transport has lost its socket.

    Its `asyncio.wait_for` returns normally on Python 3.11 when a cancellation meets the finished connection
    (cpython gh-86296): the caller would go on as if nobody had cancelled it.
    """
    import asyncmy  # noqa: PLC0415 - only who needs it waits
    from asyncmy.errors import OperationalError  # noqa: PLC0415 - as above

    task = asyncio.current_task()
    asked_before = task.cancelling() if task else 0
    try:
        connection = await asyncmy.connect(**options)
    except RuntimeError as error:
        raise OperationalError(CLOSED_AT_ONCE, f"The connection was closed at once ({error})") from error
    if task and task.cancelling() > asked_before:
        connection.close()
        raise asyncio.CancelledError
    return connection


def _prepare_mysql(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    cursor.execute("SELECT VERSION()")
    version = str(cursor.fetchone()[0])
    limit = "max_statement_time=5" if "MariaDB" in version else "max_execution_time=5000"
    cursor.execute(
        f"SET SESSION innodb_lock_wait_timeout=3, time_zone='+00:00', {limit}, "
        "sql_mode='STRICT_TRANS_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO'"
    )
    cursor.close()


def _limit_silence(connection: Any, _record: object) -> None:
    """A node whose machine is cut off in the middle of a transaction leaves its locks to the server, which
    hears of no end: it must not wait for long. MySQL knows a limit only for connections that do nothing at
    all; one of the pool that it has ended costs a second attempt."""
    cursor = connection.cursor()
    cursor.execute("SELECT VERSION()")
    name, seconds = "wait_timeout", SILENT_S
    if "MariaDB" in str(cursor.fetchone()[0]):
        name, seconds = "idle_transaction_timeout", SILENT_IN_TRANSACTION_S
    cursor.execute(f"SET SESSION {name}={seconds}")
    cursor.close()


def _sqlite_engines(url: URL) -> tuple[AsyncEngine, AsyncEngine]:
    shared: dict[str, Any] = {"max_overflow": 0, "pool_timeout": 4, "hide_parameters": True}
    writes = create_async_engine(url, pool_size=1, **shared)
    reads = create_async_engine(
        url, pool_size=4, isolation_level="AUTOCOMMIT", skip_autocommit_rollback=True, **shared
    )
    event.listen(writes.sync_engine, "connect", _prepare_sqlite)
    event.listen(reads.sync_engine, "connect", _prepare_sqlite)
    event.listen(
        writes.sync_engine, "begin", lambda connection: connection.exec_driver_sql("BEGIN IMMEDIATE")
    )
    return writes, reads


def _prepare_sqlite(connection: Any, _record: object) -> None:
    """The driver must not begin transactions by itself: it would begin them without IMMEDIATE."""
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in _SQLITE_PRAGMAS:
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
