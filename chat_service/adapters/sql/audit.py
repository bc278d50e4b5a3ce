"""Pages of keys without joins, for the check and the sweeper, and the few counters that a repair sets."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import Column, Select, and_, case, func, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.chats import CHAT_COLUMNS, to_chat
from chat_service.adapters.sql.statements import CHUNK, is_one_of
from chat_service.adapters.sql.tables import (
    chats,
    deployment,
    discarded_bodies,
    hides,
    messages,
    participants,
    revisions,
    users,
)
from chat_service.domain.models import Chat, Role
from chat_service.services.ports.audit import (
    AuditedMembership,
    AuditedMessage,
    AuditedRevision,
    Proven,
    Stretch,
)

_MESSAGE = (
    messages.c.chat_id,
    messages.c.seq,
    messages.c.id,
    messages.c.version,
    messages.c.revision,
    messages.c.sender_id,
    messages.c.body_id,
    messages.c.body_sha256,
    messages.c.created_at,
    messages.c.is_deleted,
)
_MEMBERSHIP = (
    participants.c.chat_id,
    participants.c.user_id,
    participants.c.role,
    participants.c.version,
    participants.c.read_seq,
    participants.c.delivered_seq,
    participants.c.hidden_until_seq,
    participants.c.left_at.is_(None),
)
_REVISION = (
    revisions.c.message_id,
    revisions.c.revision,
    revisions.c.body_id,
    revisions.c.body_sha256,
)
_POSITIONS = (participants.c.read_seq, participants.c.delivered_seq, participants.c.hidden_until_seq)


class SqlAudit:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_deployment_id(self) -> str | None:
        query = select(deployment.c.value).where(deployment.c.name == "deployment_id")
        return (await self._connection.execute(query)).scalar()

    async def count_chats(self, after: int) -> int:
        query = select(func.count()).select_from(chats).where(chats.c.id > after)
        return int((await self._connection.execute(query)).scalar_one())

    async def list_chats(self, after: int, limit: int) -> list[Chat]:
        query = select(*CHAT_COLUMNS).where(chats.c.id > after).order_by(chats.c.id).limit(limit)
        return [to_chat(row) for row in await self._connection.execute(query)]

    async def list_messages(
        self, after: tuple[int, int], last_chat_id: int, limit: int
    ) -> list[AuditedMessage]:
        query = select(*_MESSAGE).where(messages.c.chat_id <= last_chat_id)
        rows = await self._page(query, (messages.c.chat_id, messages.c.seq), after, limit)
        return [AuditedMessage(*row) for row in rows]

    async def list_memberships(
        self, after: tuple[int, int], last_chat_id: int, limit: int
    ) -> list[AuditedMembership]:
        query = select(*_MEMBERSHIP).where(participants.c.chat_id <= last_chat_id)
        rows = await self._page(query, (participants.c.chat_id, participants.c.user_id), after, limit)
        return [_to_membership(row) for row in rows]

    async def list_seqs_of_version(self, chat_id: int, version: int) -> list[int]:
        query = (
            select(messages.c.seq)
            .where(messages.c.chat_id == chat_id, messages.c.version == version)
            .order_by(messages.c.seq)
            .limit(10)
        )
        return list((await self._connection.execute(query)).scalars())

    async def find_messages(self, message_ids: Collection[UUID]) -> dict[UUID, AuditedMessage]:
        rows = await self._pick(select(*_MESSAGE), messages.c.id, message_ids)
        return {row.id: AuditedMessage(*row) for row in rows}

    async def find_seqs(self, keys: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        columns = (messages.c.chat_id, messages.c.seq)
        found: set[tuple[int, int]] = set()
        for some in _chunks(keys):
            rows = await self._connection.execute(select(*columns).where(is_one_of(columns, some)))
            found.update((row[0], row[1]) for row in rows)
        return found

    async def find_users(self, user_ids: Collection[int]) -> set[int]:
        return {row[0] for row in await self._pick(select(users.c.id), users.c.id, user_ids)}

    async def list_revisions(self, message_ids: Collection[UUID]) -> list[AuditedRevision]:
        rows = await self._pick(select(*_REVISION), revisions.c.message_id, message_ids)
        return sorted((AuditedRevision(*row) for row in rows), key=lambda one: (one.message_id, one.revision))

    async def list_all_revisions(self, after: tuple[UUID, int], limit: int) -> list[AuditedRevision]:
        keys = (revisions.c.message_id, revisions.c.revision)
        return [AuditedRevision(*row) for row in await self._page(select(*_REVISION), keys, after, limit)]

    async def list_hides(self, after: tuple[int, int, int], limit: int) -> list[tuple[int, int, int]]:
        keys = (hides.c.user_id, hides.c.chat_id, hides.c.seq)
        return [(row[0], row[1], row[2]) for row in await self._page(select(*keys), keys, after, limit)]

    async def list_discarded(self, after: UUID, limit: int) -> list[tuple[UUID, int]]:
        query = select(discarded_bodies.c.body_id, discarded_bodies.c.chat_id)
        rows = await self._page(query, (discarded_bodies.c.body_id,), (after,), limit)
        return [(row[0], row[1]) for row in rows]

    async def find_named(self, body_ids: Collection[UUID]) -> set[UUID]:
        firsts = select(messages.c.id).where(messages.c.body_id.is_not(None))
        found = {row[0] for row in await self._pick(firsts, messages.c.id, body_ids)}
        others = [body_id for body_id in body_ids if body_id not in found]
        edited = await self._pick(select(revisions.c.body_id), revisions.c.body_id, others)
        return found | {row[0] for row in edited}

    async def find_discarded(self, body_ids: Collection[UUID]) -> set[UUID]:
        column = discarded_bodies.c.body_id
        return {row[0] for row in await self._pick(select(column), column, body_ids)}

    async def read_stretch(
        self, chat_id: int, body_ids: Collection[UUID], after_seq: int, limit: int
    ) -> Stretch:
        where = [messages.c.chat_id == chat_id, messages.c.seq > after_seq]
        last = select(messages.c.seq).where(*where).order_by(messages.c.seq).offset(limit - 1).limit(1)
        until = (await self._connection.execute(last)).scalar()
        if until is not None:
            where.append(messages.c.seq <= until)
        points = select(messages.c.body_id).where(*where)
        pointed = {row[0] for row in await self._pick(points, messages.c.body_id, body_ids)}
        is_alive = messages.c.is_deleted.is_(False)
        is_edited = and_(is_alive, messages.c.revision > 1)
        counts = select(
            func.count(),
            func.sum(case((is_edited, messages.c.revision), else_=0)),
            func.sum(case((and_(is_alive, messages.c.body_id.is_(None)), 1), else_=0)),
        ).where(*where)
        rows, expected, unnamed = (await self._connection.execute(counts)).one()
        # Counted last: an edit in between adds one, and a deletion at worst puts a removal off.
        held = (
            select(func.count())
            .select_from(messages.join(revisions, revisions.c.message_id == messages.c.id))
            .where(*where, is_edited)
        )
        missing = int(expected or 0) - int((await self._connection.execute(held)).scalar_one())
        return Stretch(frozenset(pointed), rows, max(0, missing) + int(unnamed or 0), until)

    async def get_proven(self, chat_id: int) -> Proven:
        here, there = messages.c.chat_id == chat_id, participants.c.chat_id == chat_id
        last_seq = select(func.max(messages.c.seq)).where(here)
        message_version = select(func.max(messages.c.version)).where(here)
        membership_version = select(func.max(participants.c.version)).where(there)
        owners = func.sum(case((participants.c.role == Role.OWNER, 1), else_=0))
        present = select(func.count(), owners).where(there, participants.c.left_at.is_(None))
        tops = [
            int((await self._connection.execute(query)).scalar() or 0)
            for query in (last_seq, message_version, membership_version)
        ]
        row = (await self._connection.execute(present)).one()
        return Proven(tops[0], tops[1], tops[2], present=int(row[0]), owners=int(row[1] or 0))

    async def list_beyond(self, chat_id: int, seq: int, limit: int) -> list[AuditedMembership]:
        query = (
            select(*_MEMBERSHIP)
            .where(participants.c.chat_id == chat_id, or_(*(column > seq for column in _POSITIONS)))
            .order_by(participants.c.user_id)
            .limit(limit)
        )
        return [_to_membership(row) for row in await self._connection.execute(query)]

    async def set_counters(
        self, chat_id: int, *, last_seq: int, version: int, participant_count: int
    ) -> None:
        values = {"last_seq": last_seq, "version": version, "participant_count": participant_count}
        await self._connection.execute(update(chats).where(chats.c.id == chat_id).values(values))

    async def clamp_positions(self, chat_id: int, seq: int) -> None:
        clamped = {column.name: case((column > seq, seq), else_=column) for column in _POSITIONS}
        beyond = and_(participants.c.chat_id == chat_id, or_(*(column > seq for column in _POSITIONS)))
        await self._connection.execute(update(participants).where(beyond).values(clamped))

    async def _page(
        self, query: Select[Any], keys: Sequence[Column[Any]], after: Sequence[Any], limit: int
    ) -> list[Any]:
        """The next rows in the order of `keys`: a range for each of its columns, because MySQL reads the
        whole table for `(a, b) > (1, 2)`."""
        rows: list[Any] = []
        for depth in range(len(keys) - 1, -1, -1):
            same = [keys[index] == after[index] for index in range(depth)]
            page = query.where(*same, keys[depth] > after[depth])
            rows += await self._connection.execute(page.order_by(*keys).limit(limit - len(rows)))
            if len(rows) == limit:
                break
        return rows

    async def _pick(self, query: Select[Any], column: Column[Any], values: Collection[Any]) -> list[Any]:
        """The rows whose column has one of the values."""
        rows: list[Any] = []
        for some in _chunks(values):
            rows += await self._connection.execute(query.where(column.in_(some)))
        return rows


def _to_membership(row: Any) -> AuditedMembership:
    fields: tuple[Any, ...] = (*row[:7], bool(row[7]))
    return AuditedMembership(*fields)


def _chunks(values: Collection[Any]) -> list[list[Any]]:
    listed = list(values)
    return [listed[start : start + CHUNK] for start in range(0, len(listed), CHUNK)]
