"""The workloads of reading: `history`, `rest` and `start`."""

from __future__ import annotations

import asyncio
import hashlib
import random
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from statistics import median
from typing import Any
from uuid import UUID

import pymongo
from bson.binary import Binary, UuidRepresentation
from pymongo.collection import Collection
from pymongo.write_concern import WriteConcern

from bench.rest_client import Rate, Request, measure_calls
from bench.stack import Service, Stack, run_service
from bench.texts import COUNT, get_text, list_texts
from chat_service.load.options import LoadOptions
from chat_service.load.people import Group, make_groups, register_people
from tests.servers import mysql_connection, with_database

SMALL, LARGE = 10_000, 1_000_000
READERS = 8
PAGE = 50
_CHUNK = 10_000
_ROUNDS = 3
_ROUND_S = 3.0
_FIRST_AT = datetime(2026, 1, 1, tzinfo=UTC)
_FIRST_MS = int(_FIRST_AT.timestamp() * 1000)


# --- history ------------------------------------------------------------------------------------------


def history(stack: Stack) -> dict[str, Any]:
    """Pages of 50 from anywhere in a chat of 10,000 and of 1,000,000 messages, by 8 readers."""
    with stack.serve() as service:
        people = asyncio.run(register_people(LoadOptions(service.url, people=2)))
        groups = asyncio.run(make_groups(LoadOptions(service.url, chats=2, people=2), people))
        sizes = {SMALL: groups[0], LARGE: groups[1]}
        for size, group in sizes.items():
            fill(service, group, size)
        found: dict[int, list[tuple[Rate, float]]] = {size: [] for size in sizes}
        for _ in range(_ROUNDS):
            for size, group in sizes.items():
                found[size].append(_read_pages(service, group, size))
    pages = {size: _summarise(runs) for size, runs in found.items()}
    ratio = round(pages[LARGE]["cpu_ms_per_page"] / pages[SMALL]["cpu_ms_per_page"], 3)
    return {"small": pages[SMALL], "large": pages[LARGE], "cost_ratio": ratio}


def _read_pages(service: Service, group: Group, size: int) -> tuple[Rate, float]:
    """One round; returns its rate and the CPU seconds of all three processes for a page."""

    def make() -> Request:
        before = random.randint(PAGE + 1, size)
        return "GET", f"/messages/chat/{group.id}?limit={PAGE}&before={before}", None

    earlier = service.usage()
    token = group.people[0].token
    rate = asyncio.run(measure_calls(service.url, token, make, clients=READERS, seconds=_ROUND_S))
    return rate, (service.usage() - earlier).total / rate.requests


def _summarise(runs: list[tuple[Rate, float]]) -> dict[str, float]:
    return {
        "pages_per_s": round(median(rate.per_s for rate, _ in runs), 1),
        "p50_ms": median(rate.p50_ms for rate, _ in runs),
        "cpu_ms_per_page": round(median(cost for _, cost in runs) * 1000, 3),
    }


def fill(service: Service, group: Group, size: int) -> None:
    """Put messages into both stores as the service would have stored them, in bulk."""
    url = with_database(service.stack.mariadb.url, service.database)
    with mysql_connection(url) as cursor:
        cursor.execute("SET SESSION sql_log_bin = 0, unique_checks = 0, time_zone = '+00:00'")
        _fill_texts(cursor)
        for first in range(1, size + 1, _CHUNK):
            last = min(size, first + _CHUNK - 1)
            cursor.execute(_INSERT.format(chat=group.id, sender=group.people[1].id, first=first, last=last))
        cursor.execute(
            f"UPDATE chats SET last_seq = {size}, version = {size + 1}, "
            f"last_activity_at = '{_time_of(size):%Y-%m-%d %H:%M:%S.%f}' WHERE id = {group.id}"
        )
        cursor.execute("ANALYZE TABLE messages")
    client: pymongo.MongoClient[dict[str, Any]]
    with pymongo.MongoClient(with_database(service.stack.mongodb.url, service.database)) as client:
        bodies = client[service.database].get_collection("bodies", write_concern=WriteConcern(w=1, j=False))
        _fill_bodies(bodies, group.id, size)


def _fill_texts(cursor: Any) -> None:
    """A table of the bench's own, from which SQL takes the text of a message and what it is proven by."""
    cursor.execute(
        "CREATE TABLE IF NOT EXISTS bench_texts (number INT PRIMARY KEY, content TEXT CHARACTER SET utf8mb4, "
        "sha256 BINARY(32))"
    )
    rows = [(n, text, hashlib.sha256(text.encode()).digest()) for n, text in enumerate(list_texts())]
    cursor.executemany("REPLACE INTO bench_texts VALUES (%s, %s, %s)", rows)


def _fill_bodies(bodies: Collection[dict[str, Any]], chat_id: int, size: int) -> None:
    for first in range(1, size + 1, _CHUNK):
        documents = list(_make_bodies(chat_id, first, min(size, first + _CHUNK - 1)))
        bodies.insert_many(documents, ordered=False)


def _make_bodies(chat_id: int, first: int, last: int) -> Iterator[dict[str, Any]]:
    for seq in range(first, last + 1):
        key = Binary.from_uuid(make_id(chat_id, seq), UuidRepresentation.STANDARD)
        yield {"_id": key, "chat_id": chat_id, "content": get_text(seq)}


def make_id(chat_id: int, seq: int) -> UUID:
    """A UUID of version 7 that follows from the seq, so that both stores get the same one."""
    at_ms = int(_time_of(seq).timestamp() * 1000)
    return UUID(f"{at_ms:012x}7000b{chat_id:03x}{seq:012x}")


def _time_of(seq: int) -> datetime:
    return _FIRST_AT + timedelta(seconds=seq)


# The same in SQL; `seq_1_to_9` is MariaDB's table of numbers.
_INSERT = f"""
INSERT INTO messages (chat_id, seq, id, version, revision, sender_id, message_type, dedupe_key, request_mac,
                      body_id, body_sha256, created_at, is_deleted)
SELECT {{chat}}, seq,
       @id := UNHEX(CONCAT(LPAD(HEX({_FIRST_MS} + seq * 1000), 12, '0'), '7000B',
                           LPAD(HEX({{chat}}), 3, '0'), LPAD(HEX(seq), 12, '0'))),
       seq + 1, 1, {{sender}}, 'text', CONCAT('bench-', seq), REPEAT('0', 32), @id,
       sha256,
       '{_FIRST_AT:%Y-%m-%d}' + INTERVAL seq SECOND, 0
FROM seq_{{first}}_to_{{last}} JOIN bench_texts ON number = seq % {COUNT}
"""


# --- rest ---------------------------------------------------------------------------------------------


def rest(stack: Stack) -> dict[str, Any]:
    """The ten most used calls: requests a second of 8 clients, and the time of one alone."""
    with stack.serve() as service:
        people = asyncio.run(register_people(LoadOptions(service.url, people=2, accounts=10)))
        options = LoadOptions(service.url, chats=20, people=10, accounts=10)
        groups = asyncio.run(make_groups(options, people))
        for group in groups:
            fill(service, group, 200)
        return {
            name: asyncio.run(_measure_call(service, groups[0], make)) for name, make in _list_calls(groups)
        }


async def _measure_call(service: Service, group: Group, make: Any) -> dict[str, float]:
    token = group.people[0].token
    alone = await measure_calls(service.url, token, make, clients=1, seconds=1.0)
    many = await measure_calls(service.url, token, make, clients=READERS, seconds=2.0)
    return {"requests_per_s": many.per_s, "p50_ms_of_8": many.p50_ms, "p50_ms_alone": alone.p50_ms}


def _list_calls(groups: list[Group]) -> list[tuple[str, Any]]:
    chat, message = groups[0].id, make_id(groups[0].id, 100)
    seqs = iter(range(1, 1_000_000))
    calls: list[tuple[str, Any]] = [
        ("POST /messages", lambda: ("POST", "/messages", {"chat_id": chat, "content": "Hello"})),
        ("GET /messages/chat/{id}", lambda: ("GET", f"/messages/chat/{chat}", None)),
        ("GET /chats", lambda: ("GET", "/chats", None)),
        ("GET /chats/{id}", lambda: ("GET", f"/chats/{chat}", None)),
        ("GET /chats/{id}/changes", lambda: ("GET", f"/chats/{chat}/changes?since=190", None)),
        ("GET /chats/{id}/participants", lambda: ("GET", f"/chats/{chat}/participants", None)),
        ("PUT /chats/{id}/read", lambda: ("PUT", f"/chats/{chat}/read", {"seq": next(seqs)})),
        ("GET /messages/{id}", lambda: ("GET", f"/messages/{message}", None)),
        ("GET /users/me", lambda: ("GET", "/users/me", None)),
        ("GET /users/search", lambda: ("GET", "/users/search?q=load", None)),
    ]
    return calls


# --- start --------------------------------------------------------------------------------------------


def start(_: Stack) -> dict[str, Any]:
    """From the start of the process on embedded stores, none there yet, to its first answered request."""
    times = []
    for _round in range(5):
        began_s = time.perf_counter()
        with run_service({}):
            times.append(time.perf_counter() - began_s)
    return {"median_s": round(median(times), 2), "runs_s": [round(one, 2) for one in times]}
