"""Sessions: who is asking, rotating refresh tokens, signing out, and the tickets that open sockets.

A session is one signed-in device. Its row decides at every request, at most a second late; the notice
`SessionsEnded` on the bus only makes that sooner.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from uuid import UUID

from chat_service.domain.clock import Clock
from chat_service.domain.errors import (
    AccountDisabled,
    ChatError,
    NotFound,
    SessionRevoked,
    TokenExpired,
    Unauthenticated,
)
from chat_service.domain.events import SessionsEnded
from chat_service.domain.ids import new_id
from chat_service.domain.models import AccountState, Caller, Session, User
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.metadata import MetadataStore, Unit
from chat_service.services.tokens import AccessClaims, RefreshToken, Tokens, hash_token

REUSE_GRACE = timedelta(seconds=10)
"""How long the token before the present one is answered: a client may have lost the answer."""
TICKET_LIFETIME = timedelta(seconds=30)
CACHE_S = 1.0
CACHED_SESSIONS = 20_000
_PURGE_DELAY = timedelta(hours=1)
_MAX_IP, _MAX_USER_AGENT = 45, 255


@dataclass(frozen=True, slots=True)
class Device:
    """Where somebody signs in from, as the list of sessions shows it."""

    ip: str | None = None
    user_agent: str | None = None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a login or a refresh answers."""

    user: User
    session_id: UUID
    access_token: str = field(repr=False)
    expires_in: int
    """Seconds until the access token ends."""
    refresh_token: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Ticket:
    text: str = field(repr=False)
    expires_in: int
    """Seconds in which it can be taken, once."""


class SessionService:
    """`timer` gives monotonic seconds and measures the age of cached rows."""

    def __init__(
        self,
        metadata: MetadataStore,
        bus: Bus,
        tokens: Tokens,
        clock: Clock,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._metadata = metadata
        self._bus = bus
        self._tokens = tokens
        self._clock = clock
        self._cache = _Cache(timer)

    # --- Who is asking

    async def authenticate(self, access_token: str) -> Caller:
        """The caller with this token, whose session was alive a second ago or later.

        Raises `TokenExpired`, `Unauthenticated`, `SessionRevoked`, or `AccountDisabled`.
        """
        claims = self._tokens.read_access(access_token)
        return await self._check_recent(claims)

    async def authenticate_afresh(self, access_token: str) -> Caller:
        """The same by the row as it stands now: for handshakes."""
        claims = self._tokens.read_access(access_token)
        return self._check(claims, await self._load(claims.session_id))

    async def check_caller(self, caller: Caller) -> Caller:
        """The caller of a handshake once its socket is registered, or the error that ends the connection. By
        the row that `authenticate_afresh` has just read, unless its end has been heard of since; one that is
        not heard of is found by `list_ended`."""
        if caller.expires_at <= self._clock():
            raise TokenExpired
        return await self._check_recent(AccessClaims(caller.id, caller.session_id, caller.expires_at))

    async def list_ended(self, session_ids: Collection[UUID]) -> dict[UUID, ChatError]:
        """Which of these sessions are over, each with the error that its sockets close with."""
        if not session_ids:
            return {}
        now = self._clock()
        ended = await self._metadata.read(lambda unit: unit.sessions.list_ended(session_ids, now))
        return {
            key: AccountDisabled() if is_disabled else SessionRevoked() for key, is_disabled in ended.items()
        }

    def forget(self, session_ids: Collection[UUID]) -> None:
        """Drop cached rows; called with every `SessionsEnded`, also for sessions of other nodes."""
        self._cache.forget(session_ids)

    # --- Beginning, renewing and ending sessions

    def make_session(self, user: User, device: Device) -> tuple[Session, SignedIn]:
        """A new session, to be stored by the transaction of a login, and what the login answers."""
        now, session_id = self._clock(), new_id()
        refresh = self._tokens.make_refresh(session_id)
        session = Session(
            id=session_id,
            user_id=user.id,
            created_at=now,
            last_used_at=now,
            expires_at=now + self._tokens.refresh_lifetime,
            ip=(device.ip or "")[:_MAX_IP] or None,
            user_agent=(device.user_agent or "")[:_MAX_USER_AGENT] or None,
            refresh_hash=refresh.hash,
            previous_hash=None,
            rotated_at=now,
            revoked_at=None,
        )
        return session, self._answer(user, refresh)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """Exchange a refresh token for its successor and a new access token.

        The same token again within `REUSE_GRACE` of the exchange gets the same successor, from any node.
        Later somebody has a copy of it, and the whole session ends: `SessionRevoked`.
        """
        token, now = self._tokens.read_refresh(refresh_token), self._clock()
        user = await self._metadata.transact(lambda unit: self._rotate(unit, token, now))
        if user is None:
            self.publish_ended([token.session_id])
            raise SessionRevoked("The refresh token was used before, so its session has been ended.")
        return self._answer(user, self._tokens.make_successor(token))

    async def logout(self, caller: Caller) -> None:
        """End the caller's session: its refresh tokens, its access tokens, its sockets."""
        await self._end(caller.id, only=caller.session_id)

    async def logout_by_refresh(self, refresh_token: str) -> None:
        """End the session of a refresh token, which may have been rotated since."""
        token = self._tokens.read_refresh(refresh_token)
        session = await self._metadata.read(lambda unit: unit.sessions.find_session(token.session_id))
        if session is not None:
            await self._end(session.user_id, only=session.id)

    async def logout_all(self, caller: Caller) -> None:
        await self._end(caller.id)

    async def list_sessions(self, caller: Caller) -> list[Session]:
        now = self._clock()
        return await self._metadata.read(lambda unit: unit.sessions.list_sessions(caller.id, now))

    async def delete_session(self, caller: Caller, session_id: UUID) -> None:
        """End one of the caller's sessions; what is no live session of theirs is `NotFound`."""
        if not await self._end(caller.id, only=session_id):
            raise NotFound

    def publish_ended(self, session_ids: Collection[UUID], reason: str = SessionRevoked.code) -> None:
        """Tell every node, this one at once. Call it after the commit."""
        if session_ids:
            self._cache.forget(session_ids)
            self._bus.publish([SessionsEnded(tuple(session_ids), reason)])

    async def purge_expired(self) -> int:
        """Remove the rows of sessions and tickets that ended by time; count them."""
        before, removed = self._clock() - _PURGE_DELAY, 0
        while count := await self._metadata.transact(lambda unit: unit.sessions.delete_expired(before)):
            removed += count
        return removed

    # --- Tickets

    async def issue_ticket(self, caller: Caller) -> Ticket:
        """A one-time credential for the URL of a socket, where a token must not appear."""
        text, expires_at = secrets.token_urlsafe(32), self._clock() + TICKET_LIFETIME

        async def add(unit: Unit) -> None:
            await unit.sessions.add_ticket(
                hash_token(text),
                caller.session_id,
                expires_at=expires_at,
                access_expires_at=caller.expires_at,
            )

        await self._metadata.transact(add)
        return Ticket(text, int(TICKET_LIFETIME.total_seconds()))

    async def take_ticket(self, ticket: str) -> Caller:
        """Use a ticket up. The caller's `expires_at` is that of the access token which asked for it.

        Raises `Unauthenticated` for one that is unknown, used or too old, else as `authenticate` does.
        """
        now, ticket_hash = self._clock(), hash_token(ticket)
        taken = await self._metadata.transact(lambda unit: unit.sessions.take_ticket(ticket_hash, now))
        if taken is None:
            raise Unauthenticated("The ticket is unknown, used or too old.")
        session_id, access_expires_at = taken
        if access_expires_at <= now:
            raise TokenExpired
        found = await self._load(session_id)
        if found is None:
            raise SessionRevoked
        return self._check(AccessClaims(found[1].id, session_id, access_expires_at), found)

    # --- Parts

    async def _check_recent(self, claims: AccessClaims) -> Caller:
        return self._check(claims, self._cache.find(claims.session_id) or await self._load(claims.session_id))

    def _check(self, claims: AccessClaims, found: tuple[Session, User] | None) -> Caller:
        if found is None:
            raise SessionRevoked
        session, user = found
        if claims.user_id != user.id:
            raise Unauthenticated
        _check_live(session, user, self._clock())
        return Caller(user, session.id, claims.expires_at)

    async def _load(self, session_id: UUID) -> tuple[Session, User] | None:
        asked = self._cache.ask()
        found = await self._metadata.read(lambda unit: unit.sessions.find_session_with_user(session_id))
        if found is not None:
            self._cache.put(session_id, found, asked)
        return found

    async def _rotate(self, unit: Unit, token: RefreshToken, now: datetime) -> User | None:
        """The user for whom the token counts; None when it was reused and the session has been ended."""
        found = await unit.sessions.find_session_with_user(token.session_id)
        if found is None:
            raise SessionRevoked
        session, user = found
        _check_live(session, user, now)
        rotated = await unit.sessions.rotate_session(
            session.id,
            old_hash=token.hash,
            new_hash=self._tokens.make_successor(token).hash,
            now=now,
            expires_at=now + self._tokens.refresh_lifetime,
        )
        if rotated:
            return user
        # Another request may have rotated it since the row was read.
        present = await unit.sessions.find_session(session.id)
        if present is None or present.revoked_at is not None:
            raise SessionRevoked
        if present.previous_hash == token.hash and now - present.rotated_at <= REUSE_GRACE:
            return user
        await unit.sessions.revoke_sessions(user.id, now, only=session.id)
        return None

    async def _end(self, user_id: int, *, only: UUID | None = None) -> list[UUID]:
        now = self._clock()
        ended = await self._metadata.transact(
            lambda unit: unit.sessions.revoke_sessions(user_id, now, only=only)
        )
        self.publish_ended(ended)
        return ended

    def _answer(self, user: User, refresh: RefreshToken) -> SignedIn:
        access = self._tokens.make_access(user.id, refresh.session_id)
        return SignedIn(user, refresh.session_id, access.text, access.expires_in, refresh.text)


def _check_live(session: Session, user: User, now: datetime) -> None:
    if user.state is not AccountState.ACTIVE:
        raise AccountDisabled
    if session.revoked_at is not None:
        raise SessionRevoked
    if session.expires_at <= now:
        raise TokenExpired("The session has expired.")


class _Cache:
    """Rows of sessions as they stood when they were asked for, at most `CACHE_S` ago.

    A row that was asked for before a `forget` is not kept: it may be the one that has just changed.
    """

    def __init__(self, timer: Callable[[], float]) -> None:
        self._timer = timer
        self._rows: dict[UUID, tuple[float, tuple[Session, User]]] = {}
        self._forgotten = 0

    def ask(self) -> tuple[int, float]:
        """What `put` needs to know about the moment of asking."""
        return self._forgotten, self._timer()

    def find(self, session_id: UUID) -> tuple[Session, User] | None:
        kept = self._rows.get(session_id)
        return kept[1] if kept and self._timer() - kept[0] < CACHE_S else None

    def put(self, session_id: UUID, row: tuple[Session, User], asked: tuple[int, float]) -> None:
        forgotten, asked_at = asked
        if forgotten != self._forgotten:
            return
        self._rows.pop(session_id, None)
        self._rows[session_id] = (asked_at, row)
        if len(self._rows) > CACHED_SESSIONS:
            del self._rows[next(iter(self._rows))]

    def forget(self, session_ids: Collection[UUID]) -> None:
        self._forgotten += 1
        for session_id in session_ids:
            self._rows.pop(session_id, None)
