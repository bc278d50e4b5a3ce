"""Brings the schema of a metadata store up or down, with blocking drivers.

For the command line, the start of an embedded node and tests; call it from a thread where a loop runs.
Importing this module does not import Alembic, because every start asks it for `head_revision`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from sqlalchemy import URL, Connection, create_engine, event, inspect, make_url, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from chat_service import migrations
from chat_service.adapters.sqlite_file import create_private
from chat_service.domain.errors import Unavailable

LOCK_NAME = "chat_service_migrations"
LOCK_TIMEOUT_S = 60
CONNECT_TIMEOUT_S = 5
# While a statement waits for a table, everybody who comes later waits behind it: better give up.
TABLE_LOCK_TIMEOUT_S = 10

_BLOCKING_DRIVERS = {"mysql": "mysql+pymysql", "sqlite": "sqlite"}


def head_revision() -> str:
    """The revision that this program works with."""
    return migrations.HEAD


def current_revision(url: str) -> str | None:
    """The revision that the store has; None where nothing has been migrated, or there is no file yet."""
    address = _blocking_url(url)
    if address.get_backend_name() == "sqlite" and not Path(address.database or "").exists():
        return None
    with _connected(address, is_reading=True) as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        revision: str | None = connection.scalar(text("SELECT version_num FROM alembic_version"))
        return revision


def upgrade(url: str, revision: str = "head") -> None:
    """Run every step up to `revision` that has not been run; of several at once, one does the work.

    On SQLite all of it is one transaction, and the file and its folder are made when missing. MySQL and
    MariaDB commit each statement, so after a crash or an error the same call goes on where it stopped.
    Raises `Unavailable` when the store does not answer or another migration holds it for a minute.
    """
    address = _blocking_url(url)
    if address.get_backend_name() == "sqlite" and address.database:
        create_private(Path(address.database))
    _run_steps(address, "upgrade", revision)


def downgrade(url: str, revision: str) -> None:
    """Undo every step above `revision` ("base": all of them, with the data in their tables)."""
    _run_steps(_blocking_url(url), "downgrade", revision)


def _run_steps(address: URL, direction: Literal["upgrade", "downgrade"], revision: str) -> None:
    from alembic import command  # noqa: PLC0415 - a start with nothing to migrate does without it
    from alembic.config import Config  # noqa: PLC0415 - as above

    config = Config()
    folder = str(Path(migrations.__file__).parent)
    config.set_main_option("script_location", folder.replace("%", "%%"))
    run = command.upgrade if direction == "upgrade" else command.downgrade
    with _connected(address) as connection:
        config.attributes["connection"] = connection
        run(config, revision)
        connection.commit()


def _blocking_url(url: str) -> URL:
    """The same store by a driver without asyncio: `mysql+asyncmy://…` by pymysql."""
    given = make_url(url)
    return given.set(drivername=_BLOCKING_DRIVERS[given.get_backend_name()])


@contextmanager
def _connected(address: URL, *, is_reading: bool = False) -> Iterator[Connection]:
    """A connection that holds the migration lock until it is closed, but for one that only reads."""
    is_sqlite = address.get_backend_name() == "sqlite"
    timeout = {"timeout": LOCK_TIMEOUT_S} if is_sqlite else {"connect_timeout": CONNECT_TIMEOUT_S}
    engine = create_engine(address, poolclass=NullPool, connect_args=timeout)
    if is_sqlite:
        event.listen(engine, "connect", _leave_transactions_to_us)
    try:
        with engine.connect() as connection:
            if not is_reading:
                (_lock_file if is_sqlite else _lock_server)(connection)
            yield connection
    except DBAPIError as error:
        raise Unavailable(f"The metadata store cannot be migrated: {error.orig}.") from error


def _leave_transactions_to_us(driver_connection: Any, _record: Any) -> None:
    driver_connection.isolation_level = None


def _lock_file(connection: Connection) -> None:
    """Begin the one transaction of all steps before anything is read."""
    connection.begin()
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def _lock_server(connection: Connection) -> None:
    """Take the server's named lock, which ends with the connection."""
    connection.execute(text(f"SET SESSION lock_wait_timeout = {TABLE_LOCK_TIMEOUT_S}"))
    taken = connection.scalar(text(f"SELECT GET_LOCK('{LOCK_NAME}', {LOCK_TIMEOUT_S})"))
    connection.commit()
    if taken != 1:
        raise Unavailable("Another migration has been running for a minute; look at it and try again.")
