"""Messages: history by ranges of the primary key, changes by version, earlier texts and hides."""

from __future__ import annotations

import operator
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Select,
    and_,
    bindparam,
    delete,
    exists,
    false,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.chats import CHAT_COLUMNS, to_chat
from chat_service.adapters.sql.packets import Row, read_chat, read_time, read_uuid, run_together, write_out
from chat_service.adapters.sql.statements import insert_rows, is_one_of
from chat_service.adapters.sql.tables import (
    chats,
    discarded_bodies,
    hides,
    messages,
    participants,
    revisions,
    users,
)
from chat_service.domain.models import MessageRow, ReplyTo, Revision
from chat_service.services.ports.metadata import Duplicate, HistoryRows

_COLUMNS = (
    messages.c.id,
    messages.c.chat_id,
    messages.c.seq,
    messages.c.version,
    messages.c.revision,
    messages.c.sender_id,
    users.c.username,
    messages.c.message_type,
    messages.c.dedupe_key,
    messages.c.request_mac,
    messages.c.body_id,
    messages.c.body_sha256,
    messages.c.created_at,
    messages.c.edited_at,
    messages.c.is_deleted,
    messages.c.reply_to_id,
    messages.c.reply_to_seq,
    messages.c.reply_to_sender_id,
)
# Every sender has a row. An outer join all the same: it makes the optimizer read messages first, in the order
# of their key; with few users MariaDB joins and sorts half of a long chat for one page instead.
_FROM = messages.outerjoin(users, users.c.id == messages.c.sender_id)
_CHANGEABLE = ("version", "revision", "body_id", "body_sha256", "edited_at", "is_deleted")


def to_message(row: Sequence[Any]) -> MessageRow:
    reply = None if row[15] is None else ReplyTo(row[15], row[16], row[17])
    return MessageRow._make((*row[:15], reply))


def select_messages() -> Select[Any]:
    return select(*_COLUMNS).select_from(_FROM)


def is_visible_to(viewer_id: int | BindParameter[int]) -> ColumnElement[bool]:
    hidden = exists().where(
        hides.c.user_id == viewer_id, hides.c.chat_id == messages.c.chat_id, hides.c.seq == messages.c.seq
    )
    return ~hidden


# The pages of history, built once: with statements made anew a page costs a good part more.
_HISTORY = (
    select_messages()
    .where(messages.c.chat_id == bindparam("chat_id"), is_visible_to(bindparam("viewer_id")))
    .limit(bindparam("limit"))
)
_AFTER = _HISTORY.where(messages.c.seq > bindparam("after")).order_by(messages.c.seq)
_NEWEST = _HISTORY.order_by(messages.c.seq.desc())
_BEFORE = _NEWEST.where(messages.c.seq < bindparam("before"))


def _is_in(chat_id: ColumnElement[int]) -> ColumnElement[bool]:
    """Whether the viewer is in the chat."""
    return exists().where(
        participants.c.chat_id == chat_id,
        participants.c.user_id == bindparam("viewer_id"),
        participants.c.left_at.is_(None),
    )


_CHAT = select(*CHAT_COLUMNS).where(chats.c.id == bindparam("chat_id"), _is_in(bindparam("chat_id")))
_VISIBLE = select_messages().where(
    messages.c.id == bindparam("message_id"),
    _is_in(messages.c.chat_id),
    is_visible_to(bindparam("viewer_id")),
)


def _list_steps(
    chat_id: int, viewer_id: int, limit: int, before: int | None, after: int | None
) -> list[tuple[Select[Any], dict[str, int | None]]]:
    """The statements of a page: its chat, its rows, and one row of the other side, if that is asked."""
    values = {"chat_id": chat_id, "viewer_id": viewer_id, "limit": limit, "before": before, "after": after}
    if after is not None:
        return [(_CHAT, values), (_AFTER, values), (_BEFORE, values | {"before": after + 1, "limit": 1})]
    if before is not None:
        return [(_CHAT, values), (_BEFORE, values), (_AFTER, values | {"after": before - 1, "limit": 1})]
    return [(_CHAT, values), (_NEWEST, values)]


_NAMED = select_messages().where(
    is_one_of((messages.c.chat_id, messages.c.seq), bindparam("keys", expanding=True)),
    is_visible_to(bindparam("viewer_id")),
)


class SqlMessages:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_message(self, message_id: UUID) -> MessageRow | None:
        return (await self.find_messages([message_id])).get(message_id)

    async def find_visible(self, message_id: UUID, viewer_id: int) -> MessageRow | None:
        rows = await self._list(_VISIBLE, {"message_id": message_id, "viewer_id": viewer_id})
        return rows[0] if rows else None

    async def find_messages(self, message_ids: Collection[UUID]) -> dict[UUID, MessageRow]:
        rows = await self._list(select_messages().where(messages.c.id.in_(message_ids)))
        return {row.id: row for row in rows}

    async def find_replays(
        self, keys: Collection[tuple[int, int, str]]
    ) -> dict[tuple[int, int, str], MessageRow]:
        # Not as one list: SQLite would then go through all messages of each sender.
        columns = (messages.c.chat_id, messages.c.sender_id, messages.c.dedupe_key)
        wanted = (and_(*map(operator.eq, columns, key)) for key in keys)
        rows = await self._list(select_messages().where(or_(false(), *wanted)))
        return {(row.chat_id, row.sender_id, row.dedupe_key): row for row in rows}

    async def update_message(self, row: MessageRow) -> None:
        values = {name: getattr(row, name) for name in _CHANGEABLE}
        await self._connection.execute(
            update(messages)
            .where(messages.c.chat_id == row.chat_id, messages.c.seq == row.seq)
            .values(values)
        )

    async def list_history(
        self,
        chat_id: int,
        viewer_id: int,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> list[MessageRow]:
        query, values = _list_steps(chat_id, viewer_id, limit, before, after)[1]
        rows = await self._list(query, values)
        return rows if after is not None else rows[::-1]

    async def read_history(
        self,
        chat_id: int,
        viewer_id: int,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> HistoryRows | None:
        steps = _list_steps(chat_id, viewer_id, limit, before, after)
        found = (await self._connection.execute(*steps[0])).first()
        if found is None:
            return None
        page, *beyond = [await self._list(query, values) for query, values in steps[1:]]
        return HistoryRows(to_chat(found), page if after is not None else page[::-1], any(beyond))

    async def list_page(self, chat_id: int, viewer_id: int, *, limit: int, offset: int) -> list[MessageRow]:
        query = (
            select_messages()
            .where(messages.c.chat_id == chat_id, is_visible_to(viewer_id))
            .order_by(messages.c.seq.desc())
            .limit(limit)
            .offset(offset)
        )
        return (await self._list(query))[::-1]

    async def find_seq_at(self, chat_id: int, at: datetime) -> int | None:
        query = (
            select(messages.c.seq)
            .where(messages.c.chat_id == chat_id, messages.c.created_at >= at)
            .order_by(messages.c.created_at, messages.c.seq)
            .limit(1)
        )
        return (await self._connection.execute(query)).scalar()

    async def list_newest(self, viewer_id: int, last_seqs: Mapping[int, int]) -> dict[int, MessageRow]:
        # Not as "the last one that is not hidden": MySQL would sort all messages of every chat for that.
        if not (last := [(chat_id, seq) for chat_id, seq in last_seqs.items() if seq]):
            return {}
        rows = await self._list(_NAMED, {"keys": last, "viewer_id": viewer_id})
        for chat_id in dict(last).keys() - {row.chat_id for row in rows}:  # whose last one is hidden
            rows += await self.list_history(chat_id, viewer_id, limit=1)
        return {row.chat_id: row for row in rows}

    async def count_hides(self, user_id: int, chat_id: int) -> int:
        query = select(func.count()).where(hides.c.user_id == user_id, hides.c.chat_id == chat_id)
        return int((await self._connection.execute(query)).scalar_one())

    async def add_hide(self, user_id: int, chat_id: int, seq: int, chat_version: int) -> bool:
        values = {"user_id": user_id, "chat_id": chat_id, "seq": seq, "chat_version": chat_version}
        try:
            await insert_rows(self._connection, insert(hides), [values])
        except Duplicate:
            return False
        return True

    async def add_revision(self, message_id: UUID, revision: Revision) -> None:
        await self._connection.execute(
            insert(revisions).values(
                message_id=message_id,
                revision=revision.revision,
                body_id=revision.body_id,
                body_sha256=revision.body_sha256,
                edited_at=revision.edited_at,
            )
        )

    async def list_revisions(self, message_id: UUID) -> list[Revision]:
        query = (
            select(revisions.c.revision, revisions.c.body_id, revisions.c.body_sha256, revisions.c.edited_at)
            .where(revisions.c.message_id == message_id)
            .order_by(revisions.c.revision)
        )
        return [Revision(*row) for row in await self._connection.execute(query)]

    async def discard_bodies(self, message: MessageRow, due_at: datetime) -> None:
        earlier = await self.list_revisions(message.id)
        body_ids = {revision.body_id for revision in earlier} | ({message.body_id} - {None})
        rows = [{"body_id": body_id, "chat_id": message.chat_id, "due_at": due_at} for body_id in body_ids]
        if rows:
            await self._connection.execute(insert(discarded_bodies), rows)
        await self._connection.execute(delete(revisions).where(revisions.c.message_id == message.id))

    async def list_discarded(self, now: datetime, limit: int) -> list[tuple[int, UUID]]:
        query = (
            select(discarded_bodies.c.chat_id, discarded_bodies.c.body_id)
            .where(discarded_bodies.c.due_at <= now)
            .order_by(discarded_bodies.c.due_at)
            .limit(limit)
        )
        return [(row[0], row[1]) for row in await self._connection.execute(query)]

    async def forget_discarded(self, body_ids: Collection[UUID]) -> None:
        await self._connection.execute(
            delete(discarded_bodies).where(discarded_bodies.c.body_id.in_(body_ids))
        )

    async def _list(self, query: Select[Any], values: Mapping[str, Any] | None = None) -> list[MessageRow]:
        return [to_message(row) for row in await self._connection.execute(query, values)]


_WRITTEN = {query: write_out(query) for query in (_CHAT, _AFTER, _BEFORE, _NEWEST)}


class PacketMessages(SqlMessages):
    """The same on MySQL and MariaDB, with a page of history in one round trip."""

    async def read_history(
        self,
        chat_id: int,
        viewer_id: int,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> HistoryRows | None:
        steps = _list_steps(chat_id, viewer_id, limit, before, after)
        statements = [_WRITTEN[query] % values for query, values in steps]
        found, rows, *beyond = await run_together(self._connection, *statements)
        if not found:
            return None
        page = list(map(read_message, rows))
        return HistoryRows(read_chat(found[0]), page if after is not None else page[::-1], any(beyond))


def read_message(row: Row) -> MessageRow:
    """A message from `_COLUMNS` as the driver gives them."""
    reply = None if row[15] is None else ReplyTo(UUID(bytes=row[15]), row[16], row[17])
    times = (row[12].replace(tzinfo=UTC), read_time(row[13]))
    message_id = UUID(bytes=row[0])
    body_id = message_id if row[10] == row[0] else read_uuid(row[10])  # unless it has been edited
    texts = (row[7].decode(), row[8].decode())
    return MessageRow._make(
        (message_id, *row[1:7], *texts, row[9], body_id, row[11], *times, bool(row[14]), reply)
    )
