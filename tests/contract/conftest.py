"""Every port's implementations as fixtures: a test that asks for one runs on each of them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, delete, insert, make_url, select
from sqlalchemy.pool import NullPool

from chat_service.adapters.content_mongo import MongoContentStore
from chat_service.adapters.content_sqlite import SqliteContentStore
from chat_service.adapters.sql import migrate
from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.adapters.sql.tables import deployment, metadata
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import MetadataStore


@pytest.fixture(params=["sqlite", "mongo"])
async def content_store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[ContentStore]:
    """A connected store; on MongoDB with what earlier tests of the module have left in it."""
    store: ContentStore
    if request.param == "sqlite":
        store = SqliteContentStore(tmp_path / "content.db")
    else:
        # In a thread, because the first test that asks for the servers starts them.
        url = await asyncio.to_thread(request.getfixturevalue, "mongodb_database_url")
        store = MongoContentStore(url)
    await store.connect()
    yield store
    await store.close()


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with the newest schema, to be copied: faster than to migrate one for each test."""
    path = tmp_path_factory.mktemp("migrated") / "metadata.db"
    migrate.upgrade(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture(scope="module")
def migrated_database_url(mysql_database_url: str) -> str:
    """The module's MySQL database with the newest schema."""
    migrate.upgrade(mysql_database_url)
    return mysql_database_url


@pytest.fixture(params=["sqlite", "mysql"])
def metadata_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A metadata store with the newest schema and no rows but those of the migrations."""
    if request.param == "sqlite":
        path = tmp_path / "metadata.db"
        shutil.copy(request.getfixturevalue("migrated_file"), path)
        yield f"sqlite+aiosqlite:///{path}"
    else:
        url = request.getfixturevalue("migrated_database_url")
        yield from _with_rows_removed(url)


def _with_rows_removed(url: str) -> Iterator[str]:
    """DELETE of what little a test has written takes a tenth of the time of TRUNCATE."""
    engine = create_engine(make_url(url).set(drivername="mysql+pymysql"), poolclass=NullPool)
    with engine.begin() as connection:
        kept = [row._asdict() for row in connection.execute(select(deployment))]
    yield url
    with engine.begin() as connection:
        for table in metadata.sorted_tables:
            connection.execute(delete(table))
        connection.execute(insert(deployment), kept)


@pytest.fixture
async def metadata_store(metadata_url: str) -> AsyncIterator[MetadataStore]:
    store = SqlMetadataStore(metadata_url)
    await store.connect()
    yield store
    await store.close()
