"""A backup of both stores while they are written to, and its restore into empty ones.

Metadata first, then bodies: a body is there before any row names it and stays for ten minutes after the
last row has let go of it, so the later copy of the bodies holds all that the earlier copy of the rows
needs. `mariadb-dump --single-transaction` reads one moment without holding anybody up. Debian has no
`mongodump`, so its part is done here with PyMongo, in its own format: for each collection a file of BSON
documents, one behind the other, which `mongorestore` reads too. Bodies never change, so their copy need not
be of one moment.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import bson
import pymongo
from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo.database import Database

from tests import programs
from tests.servers import mysql_connection, with_database

INSERTED_TOGETHER = 1_000
_RAW: CodecOptions[RawBSONDocument] = CodecOptions(document_class=RawBSONDocument)


def dump_metadata(url: str, file: Path) -> None:
    """One moment of the database that `url` names."""
    command = [_find("mariadb-dump"), *_address(url), "--single-transaction", "--quick", "--routines"]
    with file.open("wb") as out:
        subprocess.run([*command, _database(url)], stdout=out, check=True)


def restore_metadata(url: str, file: Path) -> None:
    """Into a database that is made for it."""
    with mysql_connection(with_database(url, "")) as cursor:
        cursor.execute(f"CREATE DATABASE `{_database(url)}`")
    with file.open("rb") as source:
        subprocess.run([_find("mariadb"), *_address(url), _database(url)], stdin=source, check=True)


def dump_bodies(url: str, folder: Path) -> int:
    """Every collection of the database; how many documents there are."""
    client: pymongo.MongoClient[Any]
    count = 0
    folder.mkdir()
    with pymongo.MongoClient(url) as client:
        database: Database[Any] = client.get_default_database()
        for name in database.list_collection_names():
            with (folder / f"{name}.bson").open("wb") as out:
                for document in database.get_collection(name, codec_options=_RAW).find():
                    out.write(document.raw)
                    count += 1
    return count


def restore_bodies(url: str, folder: Path) -> int:
    client: pymongo.MongoClient[Any]
    count = 0
    with pymongo.MongoClient(url) as client:
        database: Database[Any] = client.get_default_database()
        for file in sorted(folder.glob("*.bson")):
            collection = database.get_collection(file.stem, codec_options=_RAW)
            for documents in _read_together(file):
                collection.insert_many(documents, ordered=False)
                count += len(documents)
    return count


def _read_together(file: Path) -> Iterator[list[RawBSONDocument]]:
    together: list[RawBSONDocument] = []
    with file.open("rb") as source:
        for document in bson.decode_file_iter(source, _RAW):
            together.append(document)
            if len(together) == INSERTED_TOGETHER:
                yield together
                together = []
    if together:
        yield together


def _find(program: str) -> str:
    found = programs.which(program)
    if found is None:
        raise programs.MissingServerError(f"missing: {program} (Debian package mariadb-client).")
    return found


def _address(url: str) -> list[str]:
    parts = urlsplit(url)
    return ["--no-defaults", f"--host={parts.hostname}", f"--port={parts.port}", f"--user={parts.username}"]


def _database(url: str) -> str:
    return urlsplit(url).path.strip("/")
