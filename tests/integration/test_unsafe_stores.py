"""A MariaDB that could lose acknowledged commits, or has an older schema, is named at the start."""

from __future__ import annotations

import asyncio
import os
import secrets
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from chat_service.adapters.sql import migrate
from chat_service.app import StartupError, build_services, run_services
from chat_service.settings import MIN_PASSWORD_MEMORY_MIB, Environment, Settings
from tests.node import SECRET, make_settings
from tests.servers import MariaDb, mysql_connection, with_database

WEAK = [
    ("innodb_flush_log_at_trx_commit", 2, 1, "innodb_flush_log_at_trx_commit is not 1"),
    ("sync_binlog", 0, 1, "sync_binlog is not 1"),
]


@pytest.fixture(scope="module")
def mariadb() -> Iterator[MariaDb]:
    """A server of our own, whose settings for all can be changed."""
    with MariaDb() as server:
        yield server


@pytest.fixture
def settings(mariadb: MariaDb, mongodb_database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    """Of a node that would start in production."""
    name = f"chat_{secrets.token_hex(4)}"
    with mysql_connection(mariadb.url) as cursor:
        cursor.execute(f"CREATE DATABASE {name}")
    return make_settings(
        environment=Environment.PRODUCTION,
        password_memory_mib=MIN_PASSWORD_MEMORY_MIB,
        data_dir=tmp_path,
        database_url=with_database(mariadb.url, name),
        content_url=f"{mongodb_database_url.partition('?')[0]}_{name}?replicaSet=rs0",
        redis_url=redis_url,
        auto_migrate=True,
    )


async def start(settings: Settings) -> None:
    async with run_services(build_services(settings)):
        pass


@pytest.mark.parametrize(("variable", "weak", "safe", "sentence"), WEAK, ids=[one[0] for one in WEAK])
async def test_weak_durability_is_refused_in_production_and_told_elsewhere(
    mariadb: MariaDb, settings: Settings, variable: str, weak: int, safe: int, sentence: str
) -> None:
    await start(settings)
    with mysql_connection(mariadb.url) as cursor:
        cursor.execute(f"SET GLOBAL {variable} = {weak}")
        try:
            with pytest.raises(StartupError, match=f"lose acknowledged messages: {sentence}"):
                await start(settings)
            trial = make_settings(**{**settings.model_dump(), "environment": Environment.DEVELOPMENT})
            with capture_logs() as logs:
                await start(trial)
        finally:
            cursor.execute(f"SET GLOBAL {variable} = {safe}")
    told = [one["reason"] for one in logs if one["event"] == "unsafe_store"]
    assert len(told) == 1
    assert told[0].startswith(sentence)


async def test_serve_refuses_an_older_schema_and_names_the_command(settings: Settings) -> None:
    await asyncio.to_thread(migrate.upgrade, settings.metadata_url)
    await asyncio.to_thread(migrate.downgrade, settings.metadata_url, "0001")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
    environment |= {
        "CHAT_DATABASE_URL": settings.metadata_url,
        "CHAT_CONTENT_URL": settings.body_url,
        "CHAT_DATA_DIR": str(settings.data_dir),
        "CHAT_SECRET_KEY": SECRET,
    }
    command = [sys.executable, "-m", "chat_service", "serve", "--port", "0"]
    done = await asyncio.to_thread(
        subprocess.run, command, env=environment, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode != 0
    assert "Run `chat-service migrate`" in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    await asyncio.to_thread(migrate.upgrade, settings.metadata_url)
    await start(settings)
