"""Statements for migrations that a second run, after a crash in the middle of the first, skips.

MySQL and MariaDB cannot roll back a CREATE or a DROP, but each one alone is whole or absent.
"""

from __future__ import annotations

from typing import Any

from alembic import op
from sqlalchemy import Column, Index, UniqueConstraint, inspect

MYSQL: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
    "mysql_row_format": "DYNAMIC",
}


def create_table(name: str, *parts: Column[Any] | UniqueConstraint | Index, **options: Any) -> None:
    """Make the table and then its indexes, those of them that are not there yet."""
    present = inspect(op.get_bind())
    indexes = [part for part in parts if isinstance(part, Index)]
    if present.has_table(name):
        held = {index["name"] for index in present.get_indexes(name)}
    else:
        op.create_table(name, *(part for part in parts if not isinstance(part, Index)), **MYSQL, **options)
        held = set()
    for index in indexes:
        if index.name not in held:
            op.create_index(index.name, name, list(index.expressions), unique=index.unique)


def drop_table(name: str) -> None:
    """Drop the table and its indexes, if it is there."""
    op.drop_table(name, if_exists=True)
