"""Chats: their rows, their locks, and the list of one user."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    case,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.tables import chats, messages, participants
from chat_service.domain.models import Chat, ChatType, OwnMembership, Role
from chat_service.services.ports.metadata import Duplicate, ListedRow

_COUNTERS = ("version", "last_seq", "last_activity_at")
_SETTINGS = ("name", "settings_version", "participant_count")
CHAT_COLUMNS = (
    chats.c.id,
    chats.c.chat_type,
    chats.c.name,
    chats.c.created_by,
    chats.c.created_at,
    chats.c.version,
    chats.c.settings_version,
    chats.c.last_seq,
    chats.c.last_activity_at,
    chats.c.participant_count,
)
_OWN = (
    participants.c.role,
    participants.c.read_seq,
    participants.c.delivered_seq,
    participants.c.muted_until,
    participants.c.is_archived,
)
_BY_IDS = select(*CHAT_COLUMNS).where(chats.c.id.in_(bindparam("ids", expanding=True))).order_by(chats.c.id)
# Built once: a send's transaction is short enough for the building of its statements to show.
_LOCK, _LOCK_FREE = _BY_IDS.with_for_update(), _BY_IDS.with_for_update(skip_locked=True)


def to_chat(row: Sequence[Any]) -> Chat:
    return Chat(row[0], ChatType(row[1]), *row[2:10])


class SqlChats:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_chat(
        self, chat: Chat, *, direct_key: str | None, creation_key: str | None, creation_mac: bytes | None
    ) -> Chat:
        values = {column.name: getattr(chat, column.name) for column in CHAT_COLUMNS if column.name != "id"}
        statement = insert(chats).values(
            **values, direct_key=direct_key, creation_key=creation_key, creation_mac=creation_mac
        )
        try:
            result = await self._connection.execute(statement)
        except IntegrityError as error:
            raise Duplicate from error
        key = result.inserted_primary_key
        assert key is not None  # noqa: S101 - an insert of one row has one
        return replace(chat, id=key[0])

    async def find_chat(self, chat_id: int) -> Chat | None:
        return await self._find(select(*CHAT_COLUMNS).where(chats.c.id == chat_id))

    async def find_direct_chat(self, direct_key: str) -> Chat | None:
        return await self._find(select(*CHAT_COLUMNS).where(chats.c.direct_key == direct_key))

    async def find_created_chat(self, created_by: int, creation_key: str) -> tuple[Chat, bytes] | None:
        query = select(*CHAT_COLUMNS, chats.c.creation_mac).where(
            chats.c.created_by == created_by, chats.c.creation_key == creation_key
        )
        row = (await self._connection.execute(query)).first()
        return None if row is None else (to_chat(row), row.creation_mac)

    async def lock_chats(self, chat_ids: Collection[int], *, skip_locked: bool = False) -> dict[int, Chat]:
        statement = _LOCK_FREE if skip_locked else _LOCK
        rows = await self._connection.execute(statement, {"ids": sorted(chat_ids)})
        return {row[0]: to_chat(row) for row in rows}

    async def update_chat(self, chat: Chat) -> None:
        values = {field: getattr(chat, field) for field in (*_COUNTERS, *_SETTINGS)}
        await self._connection.execute(update(chats).where(chats.c.id == chat.id).values(values))

    async def get_chats(self, chat_ids: Collection[int]) -> list[Chat]:
        query = select(*CHAT_COLUMNS).where(chats.c.id.in_(chat_ids)).order_by(chats.c.id)
        return [to_chat(row) for row in await self._connection.execute(query)]

    async def get_versions(self, chat_ids: Collection[int]) -> dict[int, int]:
        if not chat_ids:
            return {}
        query = select(chats.c.id, chats.c.version).where(chats.c.id.in_(chat_ids))
        return {row.id: row.version for row in await self._connection.execute(query)}

    async def list_chats(
        self,
        user_id: int,
        *,
        limit: int,
        offset: int = 0,
        as_of: datetime | None = None,
        after: tuple[datetime, int] | None = None,
    ) -> list[ListedRow]:
        at, chat_id = after or (None, None)
        query = _list_of_chats(is_as_of=as_of is not None, is_after=after is not None)
        values = {"user_id": user_id, "limit": limit, "offset": offset, "as_of": as_of}
        rows = await self._connection.execute(query, {**values, "after_at": at, "after_id": chat_id})
        return [_to_listed(row) for row in rows]

    async def count_chats(self, user_id: int) -> int:
        return int((await self._connection.execute(_COUNT, {"user_id": user_id})).scalar_one())

    async def _find(self, query: Select[Any]) -> Chat | None:
        row = (await self._connection.execute(query)).first()
        return None if row is None else to_chat(row)


# In a user's list are the chats one is in, but for hidden direct chats without a newer message.
_LISTED = (
    participants.c.user_id == bindparam("user_id"),
    participants.c.left_at.is_(None),
    participants.c.chat_id == chats.c.id,
    or_(participants.c.hidden_until_seq.is_(None), chats.c.last_seq > participants.c.hidden_until_seq),
)
_COUNT = select(func.count()).select_from(chats).where(*_LISTED)


@cache
def _list_of_chats(*, is_as_of: bool, is_after: bool) -> Select[Any]:
    """A page of the list. Built once: that took half of the time of a page."""
    activity = _activity_as_of() if is_as_of else chats.c.last_activity_at
    query = (
        select(*CHAT_COLUMNS, activity.label("activity"), *_OWN)
        .where(*_LISTED)
        .order_by(activity.desc(), chats.c.id.desc())
        .limit(bindparam("limit"))
        .offset(bindparam("offset"))
    )
    if is_as_of:
        query = query.where(chats.c.created_at <= bindparam("as_of"))
    if is_after:
        at: BindParameter[datetime] = bindparam("after_at")
        is_before = and_(activity == at, chats.c.id < bindparam("after_id"))
        query = query.where(or_(activity < at, is_before))
    return _with_own_newest(query)


def _activity_as_of() -> ColumnElement[Any]:
    """When the chat was last active, as it was seen at that moment."""
    earlier = (
        select(messages.c.created_at)
        .where(messages.c.chat_id == chats.c.id, messages.c.created_at <= bindparam("as_of"))
        .order_by(messages.c.created_at.desc())
        .limit(1)
        .scalar_subquery()
    )
    return case(
        (chats.c.last_activity_at <= bindparam("as_of"), chats.c.last_activity_at),
        else_=func.coalesce(earlier, chats.c.created_at),
    )


def _with_own_newest(query: Select[Any]) -> Select[Any]:
    """The page with the seq of the user's own newest message in each chat, which is looked for in the chats
    of the page alone: beside the sorting it would be looked for in all of them."""
    page = query.subquery("page")
    # Not as the MAX: for that MariaDB and MySQL read all that the user ever sent to each of these chats.
    own = (
        select(messages.c.seq)
        .where(messages.c.chat_id == page.c.id, messages.c.sender_id == bindparam("user_id"))
        .order_by(messages.c.seq.desc())
        .limit(1)
        .scalar_subquery()
    )
    return select(*page.c, func.coalesce(own, 0)).order_by(page.c.activity.desc(), page.c.id.desc())


def _to_listed(row: Sequence[Any]) -> ListedRow:
    chat = to_chat(row)
    activity_at, role, *rest, own_newest = row[len(CHAT_COLUMNS) :]
    me = OwnMembership(Role(role), *rest)
    return ListedRow(chat, activity_at, me, max(0, chat.last_seq - max(me.read_seq, own_newest)))
