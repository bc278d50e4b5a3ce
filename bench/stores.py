"""The workload `stores`: what it buys and costs to keep the texts apart from the rows."""

from __future__ import annotations

import asyncio
import random
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlsplit

import pymongo
from bson.binary import UuidRepresentation
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument

from bench.reading import fill, make_id
from bench.stack import Service, Stack
from bench.texts import COUNT
from chat_service.load.options import LoadOptions
from chat_service.load.people import make_groups, register_people
from tests.servers import mysql_connection, with_database

MESSAGES = 300_000
PAGES = 300
_ALONE, _TOGETHER = "messages", "messages_with_texts"


def stores(stack: Stack) -> dict[str, Any]:
    """Size, backup, restore and retention of rows with the texts beside them and with the texts inside."""
    with stack.serve() as service, tempfile.TemporaryDirectory(prefix="chat-bench-") as folder:
        people = asyncio.run(register_people(LoadOptions(service.url, people=2)))
        group = asyncio.run(make_groups(LoadOptions(service.url, chats=1, people=2), people))[0]
        fill(service, group, MESSAGES)
        _make_table_with_texts(service, group.id)
        rows = {name: _measure_table(service, group.id, name, Path(folder)) for name in (_ALONE, _TOGETHER)}
        bodies = _measure_bodies(service, group.id, Path(folder))
        return {
            "messages": MESSAGES,
            "rows": rows[_ALONE],
            "rows_with_texts": rows[_TOGETHER],
            "texts": bodies,
        }


def _make_table_with_texts(service: Service, chat_id: int) -> None:
    """The control: the same rows with the same indexes, and the text in a column of its own."""
    with mysql_connection(_url(service)) as cursor:
        cursor.execute(f"CREATE TABLE {_TOGETHER} LIKE {_ALONE}")
        cursor.execute(f"ALTER TABLE {_TOGETHER} ADD COLUMN content TEXT")
        cursor.execute(
            f"INSERT INTO {_TOGETHER} SELECT {_ALONE}.*, bench_texts.content FROM {_ALONE} "
            f"JOIN bench_texts ON number = seq % {COUNT} WHERE chat_id = {chat_id}"
        )
        cursor.execute(f"ANALYZE TABLE {_TOGETHER}, {_ALONE}")


def _measure_table(service: Service, chat_id: int, table: str, folder: Path) -> dict[str, float]:
    with mysql_connection(_url(service)) as cursor:
        cursor.execute(
            "SELECT data_length, index_length FROM information_schema.tables "
            f"WHERE table_schema = '{service.database}' AND table_name = '{table}'"
        )
        data, index = cursor.fetchone()
        pages = [_time(lambda: _read_page(cursor, table, chat_id)) for _ in range(PAGES)]
    dump = folder / f"{table}.sql"
    backup_s = _time(lambda: _run(service, "mariadb-dump", "--single-transaction", table, output=dump))
    with mysql_connection(_url(service)) as cursor:
        cursor.execute("CREATE DATABASE restored")
    restore_s = _time(lambda: _run(service, "mariadb", database="restored", source=dump))
    with mysql_connection(_url(service)) as cursor:
        cursor.execute("DROP DATABASE restored")
    found = {
        "data_mb": _mb(data),
        "index_mb": _mb(index),
        "page_of_50_ms": round(median(pages) * 1000, 3),
        "backup_s": round(backup_s, 2),
        "backup_mb": _mb(dump.stat().st_size),
        "restore_s": round(restore_s, 2),
    }
    if table == _TOGETHER:
        with mysql_connection(_url(service)) as cursor:
            drop = f"UPDATE {table} SET content = NULL WHERE chat_id = {chat_id} AND seq <= {MESSAGES // 2}"
            found["drop_older_half_s"] = round(_time(lambda: cursor.execute(drop)), 2)
    return found


def _measure_bodies(service: Service, chat_id: int, folder: Path) -> dict[str, float]:
    """Backed up as `mongodump` does it, document by document as they are stored, and put back in batches."""
    options: CodecOptions[RawBSONDocument] = CodecOptions(
        RawBSONDocument, uuid_representation=UuidRepresentation.STANDARD
    )
    client: pymongo.MongoClient[Any]
    with pymongo.MongoClient(with_database(service.stack.mongodb.url, service.database)) as client:
        database = client[service.database]
        size = database.command("collStats", "bodies")
        bodies, restored = (database.get_collection(name, options) for name in ("bodies", "restored"))
        dump = folder / "bodies.bson"

        def back_up() -> None:
            with dump.open("wb") as file:
                for document in bodies.find():
                    file.write(document.raw)

        def restore() -> None:
            batch = list(bodies.find())
            for first in range(0, len(batch), 10_000):
                restored.insert_many(batch[first : first + 10_000], ordered=False)

        def drop_older_half() -> None:
            bodies.delete_many({"_id": {"$lt": make_id(chat_id, MESSAGES // 2)}, "chat_id": chat_id})

        found = {
            "data_mb": _mb(size["storageSize"]),
            "uncompressed_mb": _mb(size["size"]),
            "index_mb": _mb(size["totalIndexSize"]),
            "backup_s": round(_time(back_up), 2),
            "restore_s": round(_time(restore), 2),
        }
        restored.drop()
        return found | {
            "backup_mb": _mb(dump.stat().st_size),
            "drop_older_half_s": round(_time(drop_older_half), 2),
        }


def _read_page(cursor: Any, table: str, chat_id: int) -> None:
    before = random.randint(51, MESSAGES)
    cursor.execute(
        f"SELECT * FROM {table} WHERE chat_id = {chat_id} AND seq < {before} ORDER BY seq DESC LIMIT 50"
    )
    cursor.fetchall()


def _run(
    service: Service,
    program: str,
    *arguments: str,
    database: str | None = None,
    output: Path | None = None,
    source: Path | None = None,
) -> None:
    address = urlsplit(service.stack.mariadb.url)
    command = [program, f"--host={address.hostname}", f"--port={address.port}", "--user=root"]
    with (
        (source or Path("/dev/null")).open("rb") as stdin,
        (output or Path("/dev/null")).open("wb") as stdout,
    ):
        subprocess.run(
            [*command, database or service.database, *arguments], stdin=stdin, stdout=stdout, check=True
        )


def _url(service: Service) -> str:
    return with_database(service.stack.mariadb.url, service.database)


def _time(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def _mb(size: float) -> float:
    return round(size / 1_000_000, 1)
