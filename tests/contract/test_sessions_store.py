"""Sessions and tickets in the metadata store, on every engine."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

from chat_service.domain.models import AccountState, GlobalRole, Session, User
from chat_service.services.ports.metadata import MetadataStore, Unit

NOW = datetime(2026, 11, 20, 9, 30, 0, 123456, tzinfo=UTC)
LATER = NOW + timedelta(days=30)


def digest(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


def session_of(user_id: int, **changes: object) -> Session:
    session = Session(
        id=uuid4(),
        user_id=user_id,
        created_at=NOW,
        last_used_at=NOW,
        expires_at=LATER,
        ip="2001:db8::1",
        user_agent="Ünit/1.0",
        refresh_hash=digest("first"),
        previous_hash=None,
        rotated_at=NOW,
        revoked_at=None,
    )
    return replace(session, **changes)  # type: ignore[arg-type]


async def store_user(store: MetadataStore, username: str) -> User:
    user = User(
        id=0,
        username=username,
        full_name=None,
        bio=None,
        avatar_url=None,
        is_bot=False,
        email=f"{username}@example.org",
        phone=None,
        role=GlobalRole.USER,
        state=AccountState.ACTIVE,
        created_at=NOW,
    )
    return await store.transact(
        lambda unit: unit.accounts.add_user(
            user, username_fold=username, email_fold=user.email, password_hash="hash", words=[username]
        )
    )


async def store_session(store: MetadataStore, user_id: int, **changes: object) -> Session:
    session = session_of(user_id, **changes)
    await store.transact(lambda unit: unit.sessions.add_session(session))
    return session


async def find(store: MetadataStore, session_id: UUID) -> Session | None:
    return await store.read(lambda unit: unit.sessions.find_session(session_id))


async def revoke(
    store: MetadataStore, user_id: int, now: datetime, *, only: UUID | None = None, but: UUID | None = None
) -> set[UUID]:
    return set(
        await store.transact(lambda unit: unit.sessions.revoke_sessions(user_id, now, only=only, but=but))
    )


async def rotate(store: MetadataStore, session: Session, old: str, new: str, now: datetime = NOW) -> bool:
    return await store.transact(
        lambda unit: unit.sessions.rotate_session(
            session.id,
            old_hash=digest(old),
            new_hash=digest(new),
            now=now,
            expires_at=now + timedelta(days=30),
        )
    )


async def test_a_session_is_found_with_its_user(metadata_store: MetadataStore) -> None:
    anna = await store_user(metadata_store, "anna")
    session = await store_session(metadata_store, anna.id)

    assert await find(metadata_store, session.id) == session
    both = await metadata_store.read(lambda unit: unit.sessions.find_session_with_user(session.id))
    assert both == (session, anna)
    assert await find(metadata_store, uuid4()) is None
    assert await metadata_store.read(lambda unit: unit.sessions.find_session_with_user(uuid4())) is None


async def test_a_session_can_be_stored_once_more(metadata_store: MetadataStore) -> None:
    """The transaction of a login runs again when the answer to its COMMIT was lost."""
    session = await store_session(metadata_store, 1)

    await metadata_store.transact(lambda unit: unit.sessions.add_session(session))

    assert await find(metadata_store, session.id) == session


async def test_the_list_has_the_live_sessions_of_one_user(metadata_store: MetadataStore) -> None:
    older = await store_session(metadata_store, 1)
    newer = await store_session(metadata_store, 1, last_used_at=NOW + timedelta(seconds=1))
    await store_session(metadata_store, 1, expires_at=NOW)
    await store_session(metadata_store, 1, revoked_at=NOW)
    await store_session(metadata_store, 2)

    assert await metadata_store.read(lambda unit: unit.sessions.list_sessions(1, NOW)) == [newer, older]


async def test_a_rotation_replaces_the_present_hash(metadata_store: MetadataStore) -> None:
    session = await store_session(metadata_store, 1)
    then = NOW + timedelta(minutes=1)

    assert await rotate(metadata_store, session, "first", "second", then)

    assert await find(metadata_store, session.id) == replace(
        session,
        refresh_hash=digest("second"),
        previous_hash=digest("first"),
        rotated_at=then,
        last_used_at=then,
        expires_at=then + timedelta(days=30),
    )


async def test_a_rotation_needs_the_present_hash_and_a_live_session(metadata_store: MetadataStore) -> None:
    rotated = await store_session(metadata_store, 1)
    revoked = await store_session(metadata_store, 1, revoked_at=NOW)
    expired = await store_session(metadata_store, 1, expires_at=NOW)
    assert await rotate(metadata_store, rotated, "first", "second")

    assert not await rotate(metadata_store, rotated, "first", "third")
    assert not await rotate(metadata_store, revoked, "first", "second")
    assert not await rotate(metadata_store, expired, "first", "second")


async def test_of_many_rotations_at_once_one_is_made(metadata_store: MetadataStore) -> None:
    session = await store_session(metadata_store, 1)

    made = await asyncio.gather(*(rotate(metadata_store, session, "first", "second") for _ in range(8)))

    assert sum(made) == 1


async def test_all_one_or_all_but_one_session_ends(metadata_store: MetadataStore) -> None:
    first, second, third = [(await store_session(metadata_store, 1)).id for _ in range(3)]
    other = await store_session(metadata_store, 2)

    assert await revoke(metadata_store, 1, NOW, only=first) == {first}
    assert await revoke(metadata_store, 1, NOW + timedelta(seconds=1), but=second) == {third}
    assert await revoke(metadata_store, 1, NOW + timedelta(seconds=2), only=other.id) == set()
    assert await revoke(metadata_store, 1, NOW + timedelta(seconds=3)) == {second}
    ended = await find(metadata_store, first)
    assert ended is not None
    assert ended.revoked_at == NOW
    assert await find(metadata_store, other.id) == other


async def test_ending_again_at_the_same_time_names_the_same_sessions(metadata_store: MetadataStore) -> None:
    session = await store_session(metadata_store, 1)

    assert await revoke(metadata_store, 1, NOW) == {session.id}
    assert await revoke(metadata_store, 1, NOW) == {session.id}
    assert await revoke(metadata_store, 1, NOW + timedelta(microseconds=1)) == set()


async def test_ended_sessions_are_told_from_live_ones(metadata_store: MetadataStore) -> None:
    anna, berta = await store_user(metadata_store, "anna"), await store_user(metadata_store, "berta")
    live = (await store_session(metadata_store, anna.id)).id
    revoked = (await store_session(metadata_store, anna.id, revoked_at=NOW)).id
    expired = (await store_session(metadata_store, anna.id, expires_at=NOW)).id
    disabled = (await store_session(metadata_store, berta.id)).id
    gone = [uuid4() for _ in range(1200)]
    await metadata_store.transact(
        lambda unit: unit.accounts.set_account(berta.id, state=AccountState.DEACTIVATED, role=GlobalRole.USER)
    )

    asked = [live, revoked, expired, disabled, *gone]
    ended = await metadata_store.read(lambda unit: unit.sessions.list_ended(asked, NOW))

    assert ended == {revoked: False, expired: False, disabled: True, **dict.fromkeys(gone, False)}
    assert await metadata_store.read(lambda unit: unit.sessions.list_ended([], NOW)) == {}


async def test_expired_sessions_and_tickets_are_removed(metadata_store: MetadataStore) -> None:
    live = await store_session(metadata_store, 1)
    expired = await store_session(metadata_store, 1, expires_at=NOW - timedelta(microseconds=1))

    async def add_tickets(unit: Unit) -> None:
        for text, expires_at in (("old", NOW - timedelta(seconds=1)), ("new", NOW + timedelta(seconds=1))):
            await unit.sessions.add_ticket(
                digest(text), live.id, expires_at=expires_at, access_expires_at=LATER
            )

    await metadata_store.transact(add_tickets)

    assert await metadata_store.transact(lambda unit: unit.sessions.delete_expired(NOW)) == 2
    assert await metadata_store.transact(lambda unit: unit.sessions.delete_expired(NOW)) == 0
    assert await find(metadata_store, expired.id) is None
    assert await find(metadata_store, live.id) == live
    assert await take(metadata_store, "new") == (live.id, LATER)


async def add_ticket(store: MetadataStore, text: str, session_id: UUID) -> None:
    await store.transact(
        lambda unit: unit.sessions.add_ticket(
            digest(text), session_id, expires_at=NOW + timedelta(seconds=30), access_expires_at=LATER
        )
    )


async def take(store: MetadataStore, text: str, now: datetime = NOW) -> tuple[UUID, datetime] | None:
    return await store.transact(lambda unit: unit.sessions.take_ticket(digest(text), now))


async def test_a_ticket_is_taken_once(metadata_store: MetadataStore) -> None:
    session_id = uuid4()
    await add_ticket(metadata_store, "ticket", session_id)
    await add_ticket(metadata_store, "ticket", session_id)

    assert await take(metadata_store, "ticket") == (session_id, LATER)
    assert await take(metadata_store, "ticket") is None
    assert await take(metadata_store, "another") is None


async def test_a_ticket_runs_out(metadata_store: MetadataStore) -> None:
    await add_ticket(metadata_store, "ticket", uuid4())

    assert await take(metadata_store, "ticket", NOW + timedelta(seconds=30)) is None


async def test_of_many_takers_at_once_one_gets_the_ticket(metadata_store: MetadataStore) -> None:
    await add_ticket(metadata_store, "ticket", uuid4())

    taken = await asyncio.gather(*(take(metadata_store, "ticket") for _ in range(8)))

    assert sum(ticket is not None for ticket in taken) == 1
