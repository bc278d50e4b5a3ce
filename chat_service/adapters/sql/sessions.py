"""Sessions of signed-in devices, and the tickets that open their sockets."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from sqlalchemy import Column, ColumnElement, Table, and_, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.accounts import USER_COLUMNS, to_user
from chat_service.adapters.sql.statements import CHUNK
from chat_service.adapters.sql.tables import sessions, tickets, users
from chat_service.domain.models import AccountState, Session, User

_COLUMNS = tuple(sessions.c)
_PURGED_AT_ONCE = 1000
# Built once: every handshake and, now and then, every request asks for it.
_WITH_USER = (
    select(*_COLUMNS, *USER_COLUMNS)
    .join(users, users.c.id == sessions.c.user_id)
    .where(sessions.c.id == bindparam("session_id"))
)


class SqlSessions:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def add_session(self, session: Session) -> None:
        row = {column.name: getattr(session, column.name) for column in _COLUMNS}
        try:
            await self._connection.execute(insert(sessions).values(row))
        except IntegrityError:
            if await self.find_session(session.id) is None:
                raise

    async def find_session(self, session_id: UUID) -> Session | None:
        query = select(*_COLUMNS).where(sessions.c.id == session_id)
        row = (await self._connection.execute(query)).one_or_none()
        return None if row is None else Session(*row)

    async def find_session_with_user(self, session_id: UUID) -> tuple[Session, User] | None:
        row = (await self._connection.execute(_WITH_USER, {"session_id": session_id})).one_or_none()
        if row is None:
            return None
        return Session(*row[: len(_COLUMNS)]), to_user(row[len(_COLUMNS) :])

    async def list_sessions(self, user_id: int, now: datetime) -> list[Session]:
        query = (
            select(*_COLUMNS)
            .where(sessions.c.user_id == user_id, _is_live(now))
            .order_by(sessions.c.last_used_at.desc(), sessions.c.id)
        )
        return [Session(*row) for row in await self._connection.execute(query)]

    async def rotate_session(
        self, session_id: UUID, *, old_hash: bytes, new_hash: bytes, now: datetime, expires_at: datetime
    ) -> bool:
        result = await self._connection.execute(
            update(sessions)
            .where(sessions.c.id == session_id, sessions.c.refresh_hash == old_hash, _is_live(now))
            .values(
                refresh_hash=new_hash,
                previous_hash=old_hash,
                rotated_at=now,
                last_used_at=now,
                expires_at=expires_at,
            )
        )
        return result.rowcount == 1

    async def revoke_sessions(
        self, user_id: int, now: datetime, *, only: UUID | None = None, but: UUID | None = None
    ) -> list[UUID]:
        chosen: list[ColumnElement[bool]] = [sessions.c.user_id == user_id]
        if only is not None:
            chosen.append(sessions.c.id == only)
        if but is not None:
            chosen.append(sessions.c.id != but)
        await self._connection.execute(update(sessions).where(*chosen, _is_live(now)).values(revoked_at=now))
        ended = select(sessions.c.id).where(*chosen, sessions.c.revoked_at == now)
        return list((await self._connection.execute(ended)).scalars())

    async def list_ended(self, session_ids: Collection[UUID], now: datetime) -> dict[UUID, bool]:
        ids = list(session_ids)
        alive: set[UUID] = set()
        disabled: set[UUID] = set()
        for start in range(0, len(ids), CHUNK):
            query = (
                select(sessions.c.id, sessions.c.revoked_at, sessions.c.expires_at, users.c.state)
                .join(users, users.c.id == sessions.c.user_id)
                .where(sessions.c.id.in_(ids[start : start + CHUNK]))
            )
            for row in await self._connection.execute(query):
                if row.state != AccountState.ACTIVE:
                    disabled.add(row.id)
                elif row.revoked_at is None and row.expires_at > now:
                    alive.add(row.id)
        return {session_id: session_id in disabled for session_id in ids if session_id not in alive}

    async def delete_expired(self, before: datetime) -> int:
        return await self._delete_some(sessions, sessions.c.id, before) + await self._delete_some(
            tickets, tickets.c.hash, before
        )

    async def add_ticket(
        self, ticket_hash: bytes, session_id: UUID, *, expires_at: datetime, access_expires_at: datetime
    ) -> None:
        row = {
            "hash": ticket_hash,
            "session_id": session_id,
            "expires_at": expires_at,
            "access_expires_at": access_expires_at,
        }
        try:
            await self._connection.execute(insert(tickets).values(row))
        except IntegrityError:
            known = select(tickets.c.hash).where(tickets.c.hash == ticket_hash)
            if (await self._connection.execute(known)).one_or_none() is None:
                raise

    async def take_ticket(self, ticket_hash: bytes, now: datetime) -> tuple[UUID, datetime] | None:
        query = select(tickets.c.session_id, tickets.c.access_expires_at).where(tickets.c.hash == ticket_hash)
        row = (await self._connection.execute(query)).one_or_none()
        if row is None:
            return None
        taken = await self._connection.execute(
            delete(tickets).where(tickets.c.hash == ticket_hash, tickets.c.expires_at > now)
        )
        return (row.session_id, row.access_expires_at) if taken.rowcount == 1 else None

    async def _delete_some(self, table: Table, key: Column[bytes] | Column[UUID], before: datetime) -> int:
        """A limited number a transaction, so that no lock is held for long."""
        query = select(key).where(table.c.expires_at < before).limit(_PURGED_AT_ONCE)
        keys = list((await self._connection.execute(query)).scalars())
        if keys:
            await self._connection.execute(delete(table).where(key.in_(keys)))
        return len(keys)


def _is_live(now: datetime) -> ColumnElement[bool]:
    return and_(sessions.c.revoked_at.is_(None), sessions.c.expires_at > now)
