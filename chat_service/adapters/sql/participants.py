"""Memberships, positions, and what is unread."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Insert,
    bindparam,
    case,
    or_,
    select,
    update,
)
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.base import ReadOnlyColumnCollection

from chat_service.adapters.sql.accounts import USER_COLUMNS, to_user
from chat_service.adapters.sql.chats import CHAT_COLUMNS, to_chat
from chat_service.adapters.sql.statements import is_one_of
from chat_service.adapters.sql.tables import chats, participants, users
from chat_service.domain.models import Chat, ChatType, Participant, Position, Role, User

_COLUMNS = (
    participants.c.chat_id,
    participants.c.user_id,
    users.c.username,
    users.c.full_name,
    participants.c.role,
    participants.c.joined_at,
    participants.c.left_at,
    participants.c.version,
    participants.c.read_seq,
    participants.c.delivered_seq,
    participants.c.muted_until,
    participants.c.is_archived,
)
_MEMBERSHIP = ("role", "joined_at", "left_at", "version")
_POSITIONS = ("read_seq", "delivered_seq")
_FROM = participants.join(users, users.c.id == participants.c.user_id)
# Built once: what uses these is short enough for the building of its statements to show.
_MEMBERSHIPS = (
    select(chats.c.id, chats.c.version)
    .join(participants, participants.c.chat_id == chats.c.id)
    .where(participants.c.user_id == bindparam("user_id"), participants.c.left_at.is_(None))
)
_PARTICIPANT = (
    select(*_COLUMNS)
    .select_from(_FROM)
    .where(participants.c.chat_id == bindparam("of_chat"), participants.c.user_id == bindparam("of_user"))
)
_ACCESS = (
    select(*_COLUMNS, *CHAT_COLUMNS)
    .select_from(_FROM.join(chats, chats.c.id == participants.c.chat_id))
    .where(participants.c.chat_id == bindparam("of_chat"), participants.c.user_id == bindparam("of_user"))
    .where(participants.c.left_at.is_(None))
)


def _to_participant(row: Sequence[Any]) -> Participant:
    fields: tuple[Any, ...] = (*row[:4], Role(row[4]), *row[5:12])
    return Participant(*fields)


class SqlParticipants:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_participant(self, chat_id: int, user_id: int) -> Participant | None:
        values = {"of_chat": chat_id, "of_user": user_id}
        row = (await self._connection.execute(_PARTICIPANT, values)).first()
        return None if row is None else _to_participant(row)

    async def find_membership(self, chat_id: int, user_id: int) -> tuple[Chat, Participant] | None:
        values = {"of_chat": chat_id, "of_user": user_id}
        row = (await self._connection.execute(_ACCESS, values)).first()
        return None if row is None else (to_chat(row[len(_COLUMNS) :]), _to_participant(row))

    async def list_participants(
        self, chat_id: int, *, user_ids: Collection[int] | None = None, ended: bool = False
    ) -> list[Participant]:
        query = (
            select(*_COLUMNS)
            .select_from(_FROM)
            .where(participants.c.chat_id == chat_id)
            .order_by(participants.c.user_id)
        )
        if user_ids is not None:
            query = query.where(participants.c.user_id.in_(user_ids))
        if not ended:
            query = query.where(participants.c.left_at.is_(None))
        return [_to_participant(row) for row in await self._connection.execute(query)]

    async def list_changed(self, chat_id: int, *, since: int, bound: int) -> list[Participant]:
        query = (
            select(*_COLUMNS)
            .select_from(_FROM)
            .where(*_changed_within(chat_id, since, bound))
            .order_by(participants.c.version, participants.c.user_id)
        )
        return [_to_participant(row) for row in await self._connection.execute(query)]

    async def list_joined(self, since: datetime) -> list[tuple[int, int]]:
        query = select(participants.c.chat_id, participants.c.user_id).where(
            participants.c.joined_at >= since
        )
        return [(row[0], row[1]) for row in await self._connection.execute(query)]

    async def get_positions(
        self, pairs: Collection[tuple[int, int]]
    ) -> dict[tuple[int, int], tuple[Position, int, int]]:
        query = (
            select(
                participants.c.chat_id,
                participants.c.user_id,
                participants.c.read_seq,
                participants.c.delivered_seq,
                chats.c.last_seq,
                chats.c.participant_count,
            )
            .join(chats, chats.c.id == participants.c.chat_id)
            .where(is_one_of((participants.c.chat_id, participants.c.user_id), pairs))
            .where(participants.c.left_at.is_(None))
        )
        rows = await self._connection.execute(query)
        return {(row[0], row[1]): (Position(*row[1:4]), row[4], row[5]) for row in rows}

    async def put_participants(self, changed: Sequence[Participant]) -> None:
        columns = ("chat_id", "user_id", *_MEMBERSHIP, *_POSITIONS, "muted_until", "is_archived")
        rows = [{name: getattr(one, name) for name in columns} for one in changed]
        await self._connection.execute(self._upsert(), rows)

    def _upsert(self) -> Insert:
        if self._connection.dialect.name == "sqlite":
            lite = sqlite_insert(participants)
            return lite.on_conflict_do_update(
                index_elements=["chat_id", "user_id"], set_=_merge(lite.excluded)
            )
        mysql = mysql_insert(participants)
        return mysql.on_duplicate_key_update(_merge(mysql.inserted))

    async def list_memberships(self, user_id: int) -> dict[int, int]:
        rows = await self._connection.execute(_MEMBERSHIPS, {"user_id": user_id})
        return {row[0]: row[1] for row in rows}

    async def list_peers(self, user_id: int) -> list[int]:
        mine, theirs = participants.alias("mine"), participants.alias("theirs")
        query = (
            select(theirs.c.user_id)
            .select_from(
                mine.join(chats, chats.c.id == mine.c.chat_id).join(theirs, theirs.c.chat_id == chats.c.id)
            )
            .where(mine.c.user_id == user_id, mine.c.left_at.is_(None))
            .where(chats.c.chat_type == ChatType.DIRECT, theirs.c.user_id != user_id)
        )
        return list((await self._connection.execute(query)).scalars())

    async def list_direct_peers(self, user_id: int, chat_ids: Collection[int]) -> dict[int, User]:
        query = (
            select(participants.c.chat_id, *USER_COLUMNS)
            .select_from(_FROM)
            .where(participants.c.chat_id.in_(chat_ids), participants.c.user_id != user_id)
        )
        return {row[0]: to_user(row[1:]) for row in await self._connection.execute(query)}

    async def advance_positions(self, positions: Mapping[tuple[int, int], tuple[int, int]]) -> None:
        if not positions:
            return
        read = bindparam("new_read", type_=BigInteger)
        delivered = bindparam("new_delivered", type_=BigInteger)
        statement = (
            update(participants)
            .where(
                participants.c.chat_id == bindparam("key_chat_id"),
                participants.c.user_id == bindparam("key_user_id"),
                or_(participants.c.read_seq < read, participants.c.delivered_seq < delivered),
            )
            .values(
                read_seq=_greater(participants.c.read_seq, read),
                delivered_seq=_greater(participants.c.delivered_seq, delivered),
            )
        )
        rows = [
            {"key_chat_id": key[0], "key_user_id": key[1], "new_read": value[0], "new_delivered": value[1]}
            for key, value in sorted(positions.items())
        ]
        await self._connection.execute(statement, rows)

    async def list_positions(self, chat_id: int) -> list[Position]:
        query = (
            select(participants.c.user_id, participants.c.read_seq, participants.c.delivered_seq)
            .where(participants.c.chat_id == chat_id, participants.c.left_at.is_(None))
            .order_by(participants.c.user_id)
        )
        return [Position(*row) for row in await self._connection.execute(query)]

    async def hide_chat(self, chat_id: int, user_id: int, until_seq: int) -> None:
        await self._connection.execute(
            update(participants)
            .where(participants.c.chat_id == chat_id, participants.c.user_id == user_id)
            .values(hidden_until_seq=until_seq)
        )


def _changed_within(chat_id: int, since: int, bound: int) -> tuple[ColumnElement[bool], ...]:
    version = participants.c.version
    return (participants.c.chat_id == chat_id, version > since, version <= bound)


def _merge(new: ReadOnlyColumnCollection[str, Any]) -> dict[str, ColumnElement[Any]]:
    """What a membership that exists becomes. Positions move without the chat's lock, so the ones that came
    with it may be behind those in the row."""
    replaced = {name: new[name] for name in _MEMBERSHIP}
    return replaced | {name: _greater(participants.c[name], new[name]) for name in _POSITIONS}


def _greater(column: ColumnElement[int], value: ColumnElement[int]) -> ColumnElement[int]:
    """The greater of the two; SQLite calls MAX what MySQL calls GREATEST."""
    return case((column < value, value), else_=column)
