"""The migrations lead to the models on every engine, and keys are compared byte by byte."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from uuid import UUID

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Engine, create_engine, delete, insert, inspect, make_url, select, text
from sqlalchemy.exc import IntegrityError
from sqlalchemy.pool import NullPool

from chat_service.adapters.sql import migrate
from chat_service.adapters.sql.tables import deployment, last_seen, metadata, tickets, user_words
from chat_service.domain.errors import Unavailable
from tests.servers import free_port

UNLIKE = ["😀", "😁", "a", "a ", "a  ", "A", "ß", "ss", "é", "e\u0301", "\u0131", "i", "a\u200d"]
"""Each pair of them is equal under one or another collation that databases come with."""


def blocking_engine(url: str) -> Engine:
    driver = "sqlite" if url.startswith("sqlite") else "mysql+pymysql"
    return create_engine(make_url(url).set(drivername=driver), poolclass=NullPool)


@pytest.fixture(params=["sqlite", "mysql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A metadata store without any table."""
    if request.param == "sqlite":
        yield f"sqlite+aiosqlite:///{tmp_path / 'metadata.db'}"
        return
    url = request.getfixturevalue("mysql_database_url")
    yield url
    engine = blocking_engine(url)
    with engine.begin() as connection:
        for name in inspect(connection).get_table_names():
            connection.execute(text(f"DROP TABLE `{name}`"))


@pytest.fixture
def engine(metadata_url: str) -> Engine:
    return blocking_engine(metadata_url)


def schema_of(url: str) -> dict[str, list[str]]:
    """What makes each table and index, as the engine itself tells it; line by line, because the order in
    which MySQL lists the indexes is that of their creation."""
    with blocking_engine(url).connect() as connection:
        if url.startswith("sqlite"):
            rows = connection.execute(text("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
            found = {name: sql for name, sql in rows if not name.startswith("sqlite_")}
        else:
            names = inspect(connection).get_table_names()
            found = {name: connection.execute(text(f"SHOW CREATE TABLE `{name}`")).one()[1] for name in names}
    found.pop("alembic_version", None)
    return {
        name: sorted(line.rstrip(",") for line in re.sub(r" AUTO_INCREMENT=\d+", "", sql).splitlines())
        for name, sql in found.items()
    }


def values_of(url: str) -> dict[str, str]:
    with blocking_engine(url).connect() as connection:
        rows = connection.execute(select(deployment))
        return {row.name: row.value for row in rows}


def test_migrations_make_exactly_the_models(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    migrated = schema_of(empty_url)
    with blocking_engine(empty_url).begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        metadata.drop_all(connection)
        metadata.create_all(connection)
    assert migrated == schema_of(empty_url)
    assert set(metadata.tables) <= set(migrated)


def test_schema_goes_down_to_nothing_and_up_again(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    assert migrate.current_revision(empty_url) == migrate.head_revision()
    first = schema_of(empty_url)
    migrate.downgrade(empty_url, "base")
    assert migrate.current_revision(empty_url) is None
    assert schema_of(empty_url) == {}
    migrate.upgrade(empty_url)
    assert schema_of(empty_url) == first


def test_migrating_again_changes_nothing(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    schema, values = schema_of(empty_url), values_of(empty_url)
    migrate.upgrade(empty_url)
    assert (schema_of(empty_url), values_of(empty_url)) == (schema, values)


def test_deployment_knows_its_id_its_epoch_and_its_fold(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    values = values_of(empty_url)
    assert re.fullmatch("[0-9a-f]{16}", values.pop("epoch"))
    assert re.fullmatch("[0-9a-f]{32}", values.pop("deployment_id"))
    assert values == {"fold": "1"}


def test_migration_that_died_half_way_is_finished_by_the_next(empty_url: str) -> None:
    migrate.upgrade(empty_url)
    schema, values = schema_of(empty_url), values_of(empty_url)
    with blocking_engine(empty_url).begin() as connection:
        connection.execute(text("DELETE FROM alembic_version"))
        connection.execute(delete(deployment).where(deployment.c.name == "fold"))
        by_name = {str(index.name): index for index in metadata.tables["messages"].indexes}
        by_name["ix_messages_created_at"].drop(connection)
        metadata.drop_all(connection, [metadata.tables["hides"], metadata.tables["revisions"]])
    assert schema_of(empty_url) != schema
    migrate.upgrade(empty_url)
    assert (schema_of(empty_url), values_of(empty_url)) == (schema, values)


def test_of_several_migrations_at_once_one_does_the_work(empty_url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        for done in [threads.submit(migrate.upgrade, empty_url) for _ in range(4)]:
            done.result()
    assert migrate.current_revision(empty_url) == migrate.head_revision()
    assert set(values_of(empty_url)) == {"epoch", "fold", "deployment_id"}


def test_failed_migration_leaves_no_trace_in_sqlite(tmp_path: Path) -> None:
    url = f"sqlite+aiosqlite:///{tmp_path / 'metadata.db'}"
    with blocking_engine(url).begin() as connection:
        connection.exec_driver_sql("CREATE VIEW hides AS SELECT 1 AS one")
    with pytest.raises(Unavailable, match="views may not be indexed"):
        migrate.upgrade(url)
    assert set(schema_of(url)) == {"hides"}
    assert migrate.current_revision(url) is None


def test_server_that_is_down_is_unavailable() -> None:
    url = f"mysql+asyncmy://root@127.0.0.1:{free_port()}/chat"
    with pytest.raises(Unavailable):
        migrate.upgrade(url)


def test_keys_are_compared_byte_by_byte(engine: Engine) -> None:
    with engine.begin() as connection:
        connection.execute(insert(deployment), [{"name": name, "value": name} for name in UNLIKE])
        for name in UNLIKE:
            found = connection.scalars(select(deployment.c.value).where(deployment.c.name == name)).all()
            assert found == [name]
    with engine.begin() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(deployment), {"name": UNLIKE[0], "value": "again"})


def test_prefix_of_a_key_is_a_range(engine: Engine) -> None:
    words = ["ann", "anna", "annb", "an", "ano", "añ", "日本語", "日本人", "日"]
    with engine.begin() as connection:
        connection.execute(insert(user_words), [{"word": word, "user_id": 1} for word in words])
        word = user_words.c.word
        for prefix, expected in (("ann", ["ann", "anna", "annb"]), ("日本", ["日本人", "日本語"])):
            query = select(word).where(word >= prefix, word < prefix + "\U0010ffff").order_by(word)
            assert connection.scalars(query).all() == expected


def test_times_keep_their_microseconds_and_are_in_utc(engine: Engine) -> None:
    summer = timezone(timedelta(hours=7))
    moment = datetime(2026, 3, 29, 1, 30, 0, 123456, summer)
    with engine.begin() as connection:
        connection.execute(insert(last_seen), {"user_id": 1, "seen_at": moment})
        (found,) = connection.scalars(select(last_seen.c.seen_at))
    assert found == moment
    assert found.tzinfo is UTC


def test_uuids_sort_by_their_bytes(engine: Engine) -> None:
    ids = sorted(UUID(int=number << 80 | 7) for number in (0, 1, 2, 255, 256, 65_536, 2**47))
    now = datetime.now(UTC)
    rows = [
        {"hash": bytes([number]) * 32, "session_id": ticket, "expires_at": now, "access_expires_at": now}
        for number, ticket in enumerate(reversed(ids))
    ]
    with engine.begin() as connection:
        connection.execute(insert(tickets), rows)
        assert connection.scalars(select(tickets.c.session_id).order_by(tickets.c.session_id)).all() == ids
        assert (
            connection.scalar(select(tickets.c.hash).where(tickets.c.session_id == ids[0])) == bytes([6]) * 32
        )
