"""The workload `background`: what a node asks for all the time, and what Redis pays for a message."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert

from bench.stack import Stack, cpu_seconds, pid_of
from chat_service.adapters.redis_link import RedisLink
from chat_service.adapters.sql import tables
from chat_service.adapters.sql.migrate import upgrade
from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.domain.ids import new_id
from tests.servers import Redis, mysql_connection, with_database

SESSIONS = 5_000
CHATS = 10_000
CHATS_TOGETHER = 1_000
"""As a node asks for them."""
QUESTIONS = 40
MESSAGES = 5_000
MESSAGE_BYTES = 500
SUBSCRIBERS = (1, 10)
_CHANNEL = b"{chat}"


def background(stack: Stack) -> dict[str, Any]:
    """Which of 5,000 sessions have ended, and which of 10,000 chats have moved on, each asked 40 times; 5,000
    messages to one and to ten subscribers of Redis."""
    name = f"bench_{secrets.token_hex(4)}"
    with mysql_connection(stack.mariadb.url) as cursor:
        cursor.execute(f"CREATE DATABASE `{name}`")
    url = with_database(stack.mariadb.url, name)
    upgrade(url)
    pid = pid_of(stack.mariadb)
    asked = asyncio.run(_ask(url, pid))
    watched = asyncio.run(_watch(url, pid))
    with Redis() as redis:
        said = {str(count): asyncio.run(_say(redis.url, pid_of(redis), count)) for count in SUBSCRIBERS}
    return {
        "session_check_cpu_us": asked,
        "chat_check_cpu_us": watched,
        "redis_cpu_us_by_subscribers": said,
    }


async def _ask(url: str, pid: int) -> dict[str, float]:
    """CPU microseconds for one session in one question: here, where a node would be, and of MariaDB."""
    store = SqlMetadataStore(url)
    ids = await _sign_in(store)
    now = datetime.now(UTC)

    async def ask() -> None:
        assert await store.read(lambda unit: unit.sessions.list_ended(ids, now)) == {}

    found = await _measure(ask, pid, SESSIONS)
    await store.close()
    return found


async def _watch(url: str, pid: int) -> dict[str, float]:
    """The same for one chat whose version a node asks for."""
    store = SqlMetadataStore(url)
    ids = await _make_chats(store)

    async def ask() -> None:
        for first in range(0, CHATS, CHATS_TOGETHER):
            part = ids[first : first + CHATS_TOGETHER]
            found = await store.read(lambda unit, part=part: unit.chats.get_versions(part))  # type: ignore[misc]
            assert len(found) == CHATS_TOGETHER

    found = await _measure(ask, pid, CHATS)
    await store.close()
    return found


async def _measure(ask: Callable[[], Awaitable[None]], pid: int, count: int) -> dict[str, float]:
    """CPU microseconds of each process for one of so many things in a question."""
    there_s, here_s = cpu_seconds(pid), time.process_time()
    for _ in range(QUESTIONS):
        await ask()
    here_s, there_s = time.process_time() - here_s, cpu_seconds(pid) - there_s
    each = 1e6 / QUESTIONS / count
    return {"node": round(here_s * each, 2), "mariadbd": round(there_s * each, 2)}


async def _make_chats(store: SqlMetadataStore) -> list[int]:
    now, ids = datetime.now(UTC), list(range(1, CHATS + 1))
    rows = [
        {
            "id": chat_id,
            "chat_type": "group",
            "created_by": 1,
            **dict.fromkeys(("created_at", "last_activity_at"), now),
            **dict.fromkeys(("version", "settings_version", "participant_count"), 1),
            "last_seq": 0,
        }
        for chat_id in ids
    ]
    async with store._writes.begin() as connection:  # noqa: SLF001 - rows in bulk, which no port offers
        await connection.execute(insert(tables.chats), rows)
    return ids


async def _sign_in(store: SqlMetadataStore) -> list[UUID]:
    """So many people with a session each."""
    now = datetime.now(UTC)
    ids = [new_id() for _ in range(SESSIONS)]
    people = [
        {
            "id": number,
            **dict.fromkeys(("username", "username_fold", "email", "email_fold"), f"person-{number}"),
            "password_hash": "x",
            "is_bot": False,
            "role": "user",
            "state": "active",
            "created_at": now,
        }
        for number in range(1, SESSIONS + 1)
    ]
    sessions = [
        {
            "id": session_id,
            "user_id": number,
            **dict.fromkeys(("created_at", "last_used_at", "rotated_at"), now),
            "expires_at": now + timedelta(days=1),
            "refresh_hash": secrets.token_bytes(32),
        }
        for number, session_id in enumerate(ids, 1)
    ]
    async with store._writes.begin() as connection:  # noqa: SLF001 - rows in bulk, which no port offers
        await connection.execute(insert(tables.users), people)
        await connection.execute(insert(tables.sessions), sessions)
    return ids


async def _say(url: str, pid: int, count: int) -> float:
    """CPU microseconds of Redis for a message that so many hear, each waited for."""
    listeners = [RedisLink(url) for _ in range(count)]
    for listener in listeners:
        await listener.open()
        await listener.send(("SSUBSCRIBE", _CHANNEL))
        await listener.read()  # that it is subscribed
    hearing = [asyncio.create_task(_hear(listener)) for listener in listeners]
    speaker = RedisLink(url)
    await speaker.open()
    began_s = cpu_seconds(pid)
    for _ in range(MESSAGES):
        await speaker.call(("SPUBLISH", _CHANNEL, b"x" * MESSAGE_BYTES))
    await asyncio.gather(*hearing)
    used_s = cpu_seconds(pid) - began_s
    for link in (*listeners, speaker):
        await link.close()
    return round(used_s / MESSAGES * 1e6, 1)


async def _hear(listener: RedisLink) -> None:
    for _ in range(MESSAGES):
        await listener.read()
