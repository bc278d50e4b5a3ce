"""The statements of a batch of sends: lock and authorise, then insert and count."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, insert, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.chats import CHAT_COLUMNS, SqlChats
from chat_service.adapters.sql.packets import literal, quote_time, read_chat, run_together, write_out
from chat_service.adapters.sql.statements import insert_rows, is_one_of
from chat_service.adapters.sql.tables import chats, messages, participants
from chat_service.domain.models import Chat, MessageRow
from chat_service.services.ports.metadata import Duplicate

_COLUMNS = (
    "chat_id",
    "seq",
    "id",
    "version",
    "revision",
    "sender_id",
    "message_type",
    "dedupe_key",
    "request_mac",
    "body_id",
    "body_sha256",
    "created_at",
    "edited_at",
    "is_deleted",
    "reply_to_id",
    "reply_to_seq",
    "reply_to_sender_id",
)
_INSERT = insert(messages)
_PRESENT = select(participants.c.chat_id, participants.c.user_id).where(
    is_one_of((participants.c.chat_id, participants.c.user_id), bindparam("pairs", expanding=True)),
    participants.c.left_at.is_(None),
)


class SqlSends:
    """One statement after the other, on any engine."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(
        self, senders: Collection[tuple[int, int]], *, skip_locked: bool = False
    ) -> tuple[dict[int, Chat], set[tuple[int, int]]]:
        locked = await SqlChats(self._connection).lock_chats(
            {chat_id for chat_id, _ in senders}, skip_locked=skip_locked
        )
        present = await self._connection.execute(_PRESENT, {"pairs": [tuple(pair) for pair in senders]})
        return locked, {(row[0], row[1]) for row in present}

    async def add(self, rows: Sequence[MessageRow], advanced: Sequence[Chat]) -> None:
        if rows:
            values = [dict(zip(_COLUMNS, _list_values(row), strict=True)) for row in rows]
            await insert_rows(self._connection, _INSERT, values)
        if advanced:
            await self._connection.exec_driver_sql(_advance(advanced))


_LOCK = select(*CHAT_COLUMNS).where(chats.c.id.op("IN")(bindparam("ids"))).order_by(chats.c.id)
_LOCK_ALL = write_out(_LOCK.with_for_update())
_LOCK_FREE = write_out(_LOCK.with_for_update(skip_locked=True))
_PRESENT_OF = write_out(
    select(participants.c.chat_id, participants.c.user_id).where(
        tuple_(participants.c.chat_id, participants.c.user_id).op("IN")(bindparam("pairs")),
        participants.c.left_at.is_(None),
    )
)
_INSERT_INTO = f"INSERT INTO messages ({', '.join(_COLUMNS)}) VALUES "  # noqa: S608 - names of columns


class PacketSends:
    """The same on MySQL and MariaDB, each in one round trip."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def lock(
        self, senders: Collection[tuple[int, int]], *, skip_locked: bool = False
    ) -> tuple[dict[int, Chat], set[tuple[int, int]]]:
        locked, present = await run_together(self._connection, *write_lock(senders, skip_locked=skip_locked))
        return {row[0]: read_chat(row) for row in locked}, {(row[0], row[1]) for row in present}

    async def add(self, rows: Sequence[MessageRow], advanced: Sequence[Chat]) -> None:
        statements = []
        if rows:
            statements.append(_INSERT_INTO + ",".join(map(_write_row, rows)))
        if advanced:
            statements.append(_advance(advanced))
        if not statements:
            return
        try:
            await run_together(self._connection, *statements)
        except IntegrityError as error:
            raise Duplicate from error


def write_lock(senders: Collection[tuple[int, int]], *, skip_locked: bool) -> tuple[str, str]:
    """The statements that lock the chats and find the senders who are in them, for MySQL."""
    ids = ",".join(f"{chat_id:d}" for chat_id in sorted({chat_id for chat_id, _ in senders}))
    pairs = ",".join(f"({chat_id:d},{user_id:d})" for chat_id, user_id in senders)
    lock = _LOCK_FREE if skip_locked else _LOCK_ALL
    return lock % {"ids": f"({ids})"}, _PRESENT_OF % {"pairs": f"({pairs})"}


def _write_row(row: MessageRow) -> str:
    return f"({','.join(map(_write_value, _list_values(row)))})"


def _write_value(value: Any) -> str:
    return literal(value.bytes if isinstance(value, UUID) else value)


def _list_values(row: MessageRow) -> tuple[Any, ...]:
    """In the order of the columns above."""
    reply = row.reply_to
    answered = (None, None, None) if reply is None else (reply.id, reply.seq, reply.sender_id)
    return (*(getattr(row, name) for name in _COLUMNS[:-3]), *answered)


def _advance(advanced: Sequence[Chat]) -> str:
    """The UPDATE of many chats' counters, written out: every transaction of sends has one, and as an
    expression it costs more than all its other statements. It holds nothing but numbers and times."""

    def cases(values: Iterable[object]) -> str:
        pairs = zip(advanced, values, strict=True)
        return f"CASE id {' '.join(f'WHEN {chat.id:d} THEN {value}' for chat, value in pairs)} END"

    ids = ", ".join(f"{chat.id:d}" for chat in advanced)
    return (
        f"UPDATE chats SET version = {cases(f'{chat.version:d}' for chat in advanced)}, "  # noqa: S608 - see above
        f"last_seq = {cases(f'{chat.last_seq:d}' for chat in advanced)}, "
        f"last_activity_at = {cases(quote_time(chat.last_activity_at) for chat in advanced)} "
        f"WHERE id IN ({ids})"
    )
