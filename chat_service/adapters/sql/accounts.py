"""Accounts, the words they are found by, and when their people were last seen."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

from sqlalchemy import (
    ColumnElement,
    Insert,
    LargeBinary,
    Row,
    case,
    delete,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.statements import CHUNK
from chat_service.adapters.sql.tables import last_seen, user_words, users
from chat_service.domain.errors import EmailTaken, UsernameTaken
from chat_service.domain.models import AccountState, GlobalRole, User

USER_COLUMNS = (
    users.c.id,
    users.c.username,
    users.c.full_name,
    users.c.bio,
    users.c.avatar_url,
    users.c.is_bot,
    users.c.email,
    users.c.phone,
    users.c.role,
    users.c.state,
    users.c.created_at,
)
"""In the order of the fields of `User`; see `to_user`."""

_PROFILE = frozenset({"full_name", "bio", "phone", "avatar_url"})
_ABOVE_UTF8 = b"\xff"
"""Sorts behind every byte that UTF-8 has."""


def to_user(values: Sequence[Any] | Row[*tuple[Any, ...]]) -> User:
    """The user in a row's values of `USER_COLUMNS`."""
    fields = dict(zip((column.name for column in USER_COLUMNS), values, strict=True))
    return User(**fields | {"role": GlobalRole(fields["role"]), "state": AccountState(fields["state"])})


class SqlAccounts:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_user(
        self, user: User, *, username_fold: str, email_fold: str, password_hash: str, words: Collection[str]
    ) -> User:
        row = {column.name: getattr(user, column.name) for column in USER_COLUMNS if column.name != "id"}
        row |= {"username_fold": username_fold, "email_fold": email_fold, "password_hash": password_hash}
        try:
            result = await self._connection.execute(insert(users).values(row))
        except IntegrityError:
            if await self.find_user_by_username(username_fold):
                raise UsernameTaken from None
            if await self.find_user_by_email(email_fold):
                raise EmailTaken from None
            raise
        user_id = cast("Row[int]", result.inserted_primary_key)[0]
        await self._add_words(user_id, words)
        return replace(user, id=user_id)

    async def find_user(self, user_id: int) -> User | None:
        return await self._find(users.c.id == user_id)

    async def find_user_by_username(self, username_fold: str) -> User | None:
        return await self._find(users.c.username_fold == username_fold)

    async def find_user_by_email(self, email_fold: str) -> User | None:
        return await self._find(users.c.email_fold == email_fold)

    async def lock_user(self, user_id: int) -> tuple[User, str] | None:
        query = select(*USER_COLUMNS, users.c.password_hash).where(users.c.id == user_id).with_for_update()
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else (to_user(row[:-1]), row.password_hash)

    async def list_users(self, user_ids: Collection[int]) -> dict[int, User]:
        found: dict[int, User] = {}
        ids = sorted(set(user_ids))
        for start in range(0, len(ids), CHUNK):
            query = select(*USER_COLUMNS).where(users.c.id.in_(ids[start : start + CHUNK]))
            found |= {row.id: to_user(row) for row in await self._connection.execute(query)}
        return found

    async def search_users(self, words: Sequence[str], limit: int) -> list[User]:
        if not words:
            return []
        is_exact = case((users.c.username_fold.in_(words), 0), else_=1)
        query = (
            select(*USER_COLUMNS)
            .where(users.c.state == AccountState.ACTIVE, *(_has_word(word) for word in words))
            .order_by(is_exact, users.c.username_fold)
            .limit(limit)
        )
        return [to_user(row) for row in await self._connection.execute(query)]

    async def update_profile(self, user_id: int, fields: Mapping[str, Any], words: Collection[str]) -> None:
        if not fields.keys() <= _PROFILE:
            raise ValueError(f"not of the profile: {fields.keys() - _PROFILE}")
        if fields:
            await self._update(user_id, fields)
        await self._connection.execute(delete(user_words).where(user_words.c.user_id == user_id))
        await self._add_words(user_id, words)

    async def get_password_hash(self, user_id: int) -> str:
        query = select(users.c.password_hash).where(users.c.id == user_id)
        return str((await self._connection.execute(query)).scalar_one())

    async def set_password_hash(self, user_id: int, password_hash: str) -> None:
        await self._update(user_id, {"password_hash": password_hash})

    async def set_account(self, user_id: int, *, state: AccountState, role: GlobalRole) -> None:
        await self._update(user_id, {"state": state, "role": role})

    async def set_last_seen(self, user_ids: Collection[int], seen_at: datetime) -> None:
        rows = [{"user_id": user_id, "seen_at": seen_at} for user_id in sorted(set(user_ids))]
        if rows:
            await self._connection.execute(self._upsert_last_seen(), rows)

    async def get_last_seen(self, user_ids: Collection[int]) -> dict[int, datetime]:
        query = select(last_seen.c.user_id, last_seen.c.seen_at).where(last_seen.c.user_id.in_(user_ids))
        return {row[0]: row[1] for row in await self._connection.execute(query)}

    async def _find(self, condition: ColumnElement[bool]) -> User | None:
        row = (await self._connection.execute(select(*USER_COLUMNS).where(condition))).one_or_none()
        return None if row is None else to_user(row)

    async def _update(self, user_id: int, values: Mapping[str, Any]) -> None:
        await self._connection.execute(update(users).where(users.c.id == user_id).values(dict(values)))

    async def _add_words(self, user_id: int, words: Collection[str]) -> None:
        rows = [{"word": word, "user_id": user_id} for word in sorted(set(words))]
        if rows:
            await self._connection.execute(insert(user_words), rows)

    def _upsert_last_seen(self) -> Insert:
        if self._connection.dialect.name == "sqlite":
            lite = sqlite_insert(last_seen)
            return lite.on_conflict_do_update(
                index_elements=["user_id"], set_={"seen_at": lite.excluded.seen_at}
            )
        mysql = mysql_insert(last_seen)
        return mysql.on_duplicate_key_update(seen_at=mysql.inserted.seen_at)


def _has_word(prefix: str) -> ColumnElement[bool]:
    """Whether the user has a word that begins so: a range of bytes, in which no character is a wildcard."""
    end = literal(prefix.encode() + _ABOVE_UTF8, LargeBinary)
    owners = select(user_words.c.user_id).where(user_words.c.word >= prefix, user_words.c.word < end)
    return users.c.id.in_(owners)
