"""Several statements in one packet of MySQL's protocol, so that they cost one round trip.

A send, a page of history and the change feed are a few short statements each, and most of their time went
into the layers between the statement and the socket: those of SQLAlchemy, once for every statement, and the
network. These three, and no others, therefore write their statements out and hand them to the driver in one
piece. Nothing that a person wrote can end a literal here: numbers are digits and all else is hexadecimal.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID

import asyncmy.errors
from sqlalchemy import Connection, Executable
from sqlalchemy.dialects.mysql import dialect as mysql_dialect
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.elements import ClauseElement

from chat_service.domain.models import Chat, ChatType

Row = tuple[Any, ...]


def write_out(statement: ClauseElement | Executable) -> str:
    """The statement in MySQL's words, with `%(name)s` in place of its parameters: complete it with `%`."""
    assert isinstance(statement, ClauseElement)  # noqa: S101 - SQLAlchemy types statements as either
    return str(statement.compile(dialect=mysql_dialect(paramstyle="pyformat")))


def literal(value: bytes | str | int | datetime | None) -> str:
    """How MySQL reads a value. Texts are for columns that hold bytes."""
    match value:
        case None:
            return "NULL"
        case int():
            return f"{value:d}"
        case bytes():
            return f"x'{value.hex()}'"
        case str():
            return f"x'{value.encode().hex()}'"
        case datetime():
            return quote_time(value)


def quote_time(time: datetime) -> str:
    """As both engines read a time, and as SQLAlchemy writes it into SQLite."""
    naive = time.astimezone(UTC).replace(tzinfo=None)
    return f"'{naive.isoformat(sep=' ', timespec='microseconds')}'"


def read_chat(row: Row) -> Chat:
    """A chat from the columns of `CHAT_COLUMNS` as the driver gives them."""
    kind, created_at, active_at = ChatType(row[1].decode()), read_time(row[4]), read_time(row[8])
    fields: tuple[Any, ...] = (row[0], kind, *row[2:4], created_at, *row[5:8], active_at, row[9])
    return Chat(*fields)


def read_uuid(value: bytes | None) -> UUID | None:
    return None if value is None else UUID(bytes=value)


def read_time(value: datetime | None) -> datetime | None:
    return None if value is None else value.replace(tzinfo=UTC)


async def run_together(connection: AsyncConnection, *statements: str) -> list[list[Row]]:
    """The rows of each statement, as the driver reads them; the first that fails ends the packet.

    They run in the connection's transaction. Raises what SQLAlchemy raises. A connection whose call is
    cancelled is closed, because an answer is under way on it that nobody will read.
    """
    sync = cast("Connection", connection.sync_connection)
    cursor = cast("Any", sync.connection.driver_connection).cursor()
    text = ";".join(statements)
    for statement in statements:  # whoever listens to the engine hears of these too
        sync.dispatch.before_cursor_execute(sync, cursor, statement, (), None, False)
    found: list[list[Row]] = []
    try:
        await cursor.execute(text)
        found.append(list(await cursor.fetchall()) if cursor.description else [])
        while await cursor.nextset():
            found.append(list(await cursor.fetchall()) if cursor.description else [])
    except asyncmy.errors.MySQLError as error:
        is_lost = connection.dialect.is_disconnect(cast("Any", error), None, None)
        if is_lost:
            await connection.invalidate(error)
        raise DBAPIError.instance(
            text[:300], None, error, asyncmy.errors.MySQLError, connection_invalidated=is_lost
        ) from error
    except BaseException:
        await connection.invalidate()
        raise
    return found
