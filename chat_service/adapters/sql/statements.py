"""What several tables' statements share: rows in pairs, and errors of unique keys."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Column, ColumnElement, Insert, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.services.ports.metadata import Duplicate

CHUNK = 500
"""Rows named in one statement at most: SQLite takes 32,766 parameters, MySQL a packet of some megabytes."""


def is_one_of(columns: Sequence[Column[Any]], keys: Collection[Sequence[Any]]) -> ColumnElement[bool]:
    """`(a, b) IN ((1, 2), …)`, with every value in the type of its column."""
    return tuple_(*columns).in_([tuple(key) for key in keys])


async def insert_rows(
    connection: AsyncConnection, statement: Insert, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows; raises `Duplicate` when a unique key is taken, and the transaction can go on."""
    try:
        await connection.execute(statement, rows)
    except IntegrityError as error:
        raise Duplicate from error
