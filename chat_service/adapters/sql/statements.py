"""What several tables' statements share: rows in pairs, and errors of unique keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import BindParameter, Boolean, Column, ColumnElement, Insert, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import OperatorType

from chat_service.services.ports.metadata import Duplicate

CHUNK = 500
"""Rows named in one statement at most: SQLite takes 32,766 parameters, MySQL a packet of some megabytes."""


class _OneOf(FunctionElement[bool]):
    """`(a, b) IN ((1, 2), …)`. SQLite finds them by an index only where they come out of a subquery; for a
    bare list of two or more it reads the whole table."""

    type = Boolean()
    inherit_cache = True

    def self_group(self, against: OperatorType | None = None) -> Any:
        """Left as it is: SQLAlchemy would make `(…) = 1` of it, which no index answers."""
        return self


@compiles(_OneOf)
def _compile(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    return compiler.process(element.clauses, **options)


@compiles(_OneOf, "sqlite")
def _compile_for_sqlite(element: _OneOf, compiler: SQLCompiler, **options: Any) -> str:
    columns, _, keys = compiler.process(element.clauses, **options).partition(" IN (")
    return f"{columns} IN (SELECT * FROM ({keys})"  # noqa: S608 - SQLAlchemy wrote both parts


def is_one_of(
    columns: Sequence[Column[Any]], keys: Collection[Sequence[Any]] | BindParameter[Any]
) -> ColumnElement[bool]:
    """`(a, b) IN ((1, 2), …)`, with every value in the type of its column; `keys` may be an expanding
    parameter that is bound later."""
    given = keys if isinstance(keys, BindParameter) else [tuple(key) for key in keys]
    return _OneOf(tuple_(*columns).in_(given))


async def insert_rows(
    connection: AsyncConnection, statement: Insert, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert all rows or none; raises `Duplicate` when a unique key is taken, and the transaction can go on.

    On MySQL the rows are one statement, which InnoDB undoes whole. SQLite's driver runs one a row, so
    there a savepoint takes back those before the refused one.
    """
    try:
        if connection.dialect.name == "sqlite" and len(rows) > 1:
            async with connection.begin_nested():
                await connection.execute(statement, rows)
        else:
            await connection.execute(statement, rows)
    except IntegrityError as error:
        raise Duplicate from error
