"""Column types that give the same schema on MySQL, MariaDB and SQLite.

SQLAlchemy's own `Uuid` makes two different columns on MySQL and MariaDB, and its `DateTime` loses the
zone; collations such as `utf8mb4_unicode_ci` hold different emoji equal, and `utf8mb4_bin` ignores
trailing blanks. Whatever is compared as a key is therefore the bytes of its UTF-8.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BINARY, VARBINARY, BigInteger, DateTime, Dialect, Integer, LargeBinary
from sqlalchemy.dialects.mysql import DATETIME
from sqlalchemy.types import TypeDecorator, TypeEngine

BigId = BigInteger().with_variant(Integer, "sqlite")
"""A 64-bit integer; SQLite increments only a column that is called INTEGER."""


class UuidBytes(TypeDecorator[UUID]):
    """A UUID as its 16 bytes, so that version 7 sorts by time."""

    impl = BINARY(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(LargeBinary(16) if dialect.name == "sqlite" else BINARY(16))

    def process_bind_param(self, value: UUID | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.bytes

    def process_result_value(self, value: Any | None, dialect: Dialect) -> UUID | None:
        return None if value is None else UUID(bytes=bytes(value))


class Utc(TypeDecorator[datetime]):
    """An aware time in UTC with microseconds."""

    impl = DateTime()
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime() if dialect.name == "sqlite" else DATETIME(fsp=6))

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC).replace(tzinfo=None)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC)


class Key(TypeDecorator[str]):
    """Text that is compared byte by byte: names in folded form, tokens, client ids, roles."""

    impl = VARBINARY(255)
    cache_ok = True

    def __init__(self, length: int) -> None:
        super().__init__(length)
        self.length = length

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        binary = LargeBinary(self.length) if dialect.name == "sqlite" else VARBINARY(self.length)
        return dialect.type_descriptor(binary)

    def process_bind_param(self, value: str | None, dialect: Dialect) -> bytes | None:
        return None if value is None else value.encode()

    def process_result_value(self, value: Any | None, dialect: Dialect) -> str | None:
        return None if value is None else bytes(value).decode()


class Digest(TypeDecorator[bytes]):
    """The 32 bytes of a SHA-256."""

    impl = BINARY(32)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(LargeBinary(32) if dialect.name == "sqlite" else BINARY(32))

    def process_result_value(self, value: Any | None, dialect: Dialect) -> bytes | None:
        return None if value is None else bytes(value)
