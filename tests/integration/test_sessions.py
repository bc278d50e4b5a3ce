"""Sessions and accounts on their services and a real store, where time must pass and answers get lost."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import bcrypt
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from chat_service.adapters.bus_memory import MemoryBus
from chat_service.adapters.sql import migrate
from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.domain.errors import (
    AccountDisabled,
    ChatError,
    InvalidCredentials,
    NotFound,
    RegistrationClosed,
    SessionRevoked,
    TokenExpired,
    Unauthenticated,
    UsernameTaken,
)
from chat_service.domain.events import Event, SessionsEnded
from chat_service.domain.models import AccountState, GlobalRole, User
from chat_service.services.accounts import AccountService, NewAccount
from chat_service.services.passwords import Passwords
from chat_service.services.sessions import CACHED_SESSIONS, Device, SessionService
from chat_service.services.tokens import Tokens

PASSWORD = "correct horse"


class Watch:
    """A clock and a timer that tests turn."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def timer(self) -> float:
        return self.now.timestamp()

    def turn(self, **by: float) -> None:
        self.now += timedelta(**by)


@dataclass
class Node:
    """The account services of one node."""

    accounts: AccountService
    sessions: SessionService
    events: list[Event]

    @property
    def ended(self) -> list[tuple[int, str]]:
        """How many sessions each notice names, and why they ended."""
        return [(len(one.session_ids), one.reason) for one in self.events if isinstance(one, SessionsEnded)]


@dataclass
class Deployment:
    """Nodes on one embedded store, with one clock."""

    store: SqlMetadataStore
    passwords: Passwords
    watch: Watch

    def node(self, *, registration_open: bool = True) -> Node:
        tokens = Tokens(
            b"x" * 32,
            access_lifetime=timedelta(minutes=15),
            refresh_lifetime=timedelta(days=30),
            clock=self.watch,
        )
        events: list[Event] = []
        bus = MemoryBus()
        bus.subscribe(events.extend)
        sessions = SessionService(self.store, bus, tokens, self.watch, self.watch.timer)
        accounts = AccountService(
            self.store, sessions, self.passwords, self.watch, registration_open=registration_open
        )
        return Node(accounts, sessions, events)

    async def a_user(self, username: str = "anna") -> User:
        return await self.node().accounts.create_user(
            NewAccount(username, PASSWORD, f"{username}@example.org")
        )

    async def set_hash(self, user: User, password_hash: str) -> None:
        await self.store.transact(lambda unit: unit.accounts.set_password_hash(user.id, password_hash))


@pytest.fixture(scope="module")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("accounts") / "metadata.db"
    migrate.upgrade(f"sqlite+aiosqlite:///{path}")
    return path


@pytest.fixture
async def deployment(empty_store: Path, tmp_path: Path) -> AsyncIterator[Deployment]:
    path = shutil.copy(empty_store, tmp_path / "metadata.db")
    store = SqlMetadataStore(f"sqlite+aiosqlite:///{path}")
    passwords = Passwords(Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1))
    await store.connect()
    yield Deployment(store, passwords, Watch())
    passwords.close()
    await store.close()


async def test_a_refresh_token_is_answered_for_ten_seconds_more(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    first = (await node.accounts.login(user.username, PASSWORD, Device())).refresh_token
    second = (await node.sessions.refresh(first)).refresh_token

    deployment.watch.turn(seconds=10)
    assert (await deployment.node().sessions.refresh(first)).refresh_token == second
    assert (await node.sessions.refresh(second)).refresh_token not in (first, second)


async def test_a_refresh_token_that_comes_back_later_ends_the_session(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    signed_in = await node.accounts.login(user.username, PASSWORD, Device())
    second = await node.sessions.refresh(signed_in.refresh_token)
    await node.sessions.authenticate(second.access_token)

    deployment.watch.turn(seconds=10, microseconds=1)
    with pytest.raises(SessionRevoked):
        await node.sessions.refresh(signed_in.refresh_token)

    assert node.ended == [(1, "session_revoked")]
    with pytest.raises(SessionRevoked):
        await node.sessions.refresh(second.refresh_token)
    with pytest.raises(SessionRevoked):
        await node.sessions.authenticate(second.access_token)


async def test_an_older_token_than_the_last_ends_the_session_at_once(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    first = (await node.accounts.login(user.username, PASSWORD, Device())).refresh_token
    second = (await node.sessions.refresh(first)).refresh_token
    await node.sessions.refresh(second)

    with pytest.raises(SessionRevoked):
        await node.sessions.refresh(first)


async def test_a_session_expires_when_it_is_not_refreshed(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    token = (await node.accounts.login(user.username, PASSWORD, Device())).refresh_token
    deployment.watch.turn(days=29)
    token = (await node.sessions.refresh(token)).refresh_token
    deployment.watch.turn(days=29)
    token = (await node.sessions.refresh(token)).refresh_token

    deployment.watch.turn(days=30)
    with pytest.raises(TokenExpired):
        await node.sessions.refresh(token)


async def test_expired_sessions_are_purged(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    signed_in = await node.accounts.login(user.username, PASSWORD, Device())
    caller = await node.sessions.authenticate(signed_in.access_token)
    await node.sessions.issue_ticket(caller)
    assert await node.sessions.purge_expired() == 0

    deployment.watch.turn(days=31)

    assert await node.sessions.purge_expired() == 2
    with pytest.raises(SessionRevoked):
        await node.sessions.refresh(signed_in.refresh_token)


async def test_an_access_token_expires(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    signed_in = await node.accounts.login(user.username, PASSWORD, Device())
    caller = await node.sessions.authenticate(signed_in.access_token)
    assert caller.expires_at == deployment.watch.now + timedelta(minutes=15)

    deployment.watch.turn(minutes=15)
    with pytest.raises(TokenExpired):
        await node.sessions.authenticate(signed_in.access_token)
    with pytest.raises(TokenExpired):
        await node.sessions.check_caller(caller)


async def test_another_node_notices_a_logout_within_a_second(deployment: Deployment) -> None:
    user, here, there = await deployment.a_user(), deployment.node(), deployment.node()
    token = (await here.accounts.login(user.username, PASSWORD, Device())).access_token
    caller = await there.sessions.authenticate(token)
    await here.sessions.logout(await here.sessions.authenticate(token))

    with pytest.raises(SessionRevoked):
        await here.sessions.authenticate(token)
    with pytest.raises(SessionRevoked):
        await there.sessions.authenticate_afresh(token)
    with pytest.raises(SessionRevoked):
        await there.sessions.check_caller(caller)
    deployment.watch.turn(seconds=1)
    with pytest.raises(SessionRevoked):
        await there.sessions.authenticate(token)


async def test_another_node_notices_a_logout_at_once_by_its_event(deployment: Deployment) -> None:
    user, here, there = await deployment.a_user(), deployment.node(), deployment.node()
    token = (await here.accounts.login(user.username, PASSWORD, Device())).access_token
    caller = await there.sessions.authenticate(token)
    await here.sessions.logout(caller)
    await there.sessions.authenticate(token)

    there.sessions.forget([caller.session_id])

    with pytest.raises(SessionRevoked):
        await there.sessions.authenticate(token)


async def test_a_row_read_before_a_notice_is_not_cached_after_it(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    token = (await node.accounts.login(user.username, PASSWORD, Device())).access_token
    caller = await node.sessions.authenticate_afresh(token)
    node.sessions.forget([caller.session_id])

    reading = asyncio.ensure_future(node.sessions.authenticate(token))
    await asyncio.sleep(0)
    node.sessions.forget([uuid4()])
    await reading

    assert node.sessions._cache.find(caller.session_id) is None


async def test_the_cache_has_an_end(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    await node.accounts.login(user.username, PASSWORD, Device())
    session, _ = node.sessions.make_session(user, Device())
    cache = node.sessions._cache

    for _ in range(CACHED_SESSIONS + 10):
        cache.put(uuid4(), (session, user), cache.ask())

    assert len(cache._rows) == CACHED_SESSIONS


async def test_a_ticket_opens_one_socket_for_as_long_as_its_token(deployment: Deployment) -> None:
    user, here, there = await deployment.a_user(), deployment.node(), deployment.node()
    signed_in = await here.accounts.login(user.username, PASSWORD, Device())
    caller = await here.sessions.authenticate(signed_in.access_token)
    ticket = (await here.sessions.issue_ticket(caller)).text
    deployment.watch.turn(seconds=29)

    taken = await asyncio.gather(
        *(node.sessions.take_ticket(ticket) for node in (here, there, here, there)), return_exceptions=True
    )

    assert [one for one in taken if not isinstance(one, BaseException)] == [caller]
    assert sum(isinstance(one, Unauthenticated) for one in taken) == 3


async def test_a_ticket_is_refused_when_it_is_old_or_its_session_over(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    signed_in = await node.accounts.login(user.username, PASSWORD, Device())
    caller = await node.sessions.authenticate(signed_in.access_token)
    old, of_ended = [(await node.sessions.issue_ticket(caller)).text for _ in range(2)]

    await node.sessions.logout(caller)
    with pytest.raises(SessionRevoked):
        await node.sessions.take_ticket(of_ended)
    deployment.watch.turn(seconds=30)
    for ticket in (old, "", "x", "\ud800"):
        with pytest.raises(Unauthenticated):
            await node.sessions.take_ticket(ticket)


async def test_a_ticket_does_not_outlive_its_access_token(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    signed_in = await node.accounts.login(user.username, PASSWORD, Device())
    deployment.watch.turn(minutes=14, seconds=50)
    caller = await node.sessions.authenticate(signed_in.access_token)
    ticket = (await node.sessions.issue_ticket(caller)).text
    deployment.watch.turn(seconds=11)

    with pytest.raises(TokenExpired):
        await node.sessions.take_ticket(ticket)


async def test_a_disabled_account_is_told_only_to_its_owner(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    signed_in = await node.accounts.login(user.username, PASSWORD, Device())
    ticket = (await node.sessions.issue_ticket(await node.sessions.authenticate(signed_in.access_token))).text

    changed = await node.accounts.set_user(user.username, AccountState.DEACTIVATED, None)

    assert changed.state is AccountState.DEACTIVATED
    assert node.ended == [(1, "account_disabled")]
    for attempt in (
        node.accounts.login(user.username, PASSWORD, Device()),
        node.sessions.authenticate(signed_in.access_token),
        node.sessions.refresh(signed_in.refresh_token),
        node.sessions.take_ticket(ticket),
    ):
        with pytest.raises(AccountDisabled):
            await attempt
    with pytest.raises(InvalidCredentials):
        await node.accounts.login(user.username, "wrong password", Device())
    ended = await node.sessions.list_ended([signed_in.session_id])
    assert isinstance(ended[signed_in.session_id], AccountDisabled)


async def test_a_restored_account_signs_in_again_but_old_sessions_stay_over(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    signed_in = await node.accounts.login(user.username, PASSWORD, Device())
    await node.accounts.set_user(user.username, AccountState.DELETED, None)

    restored = await node.accounts.set_user(user.username, AccountState.ACTIVE, GlobalRole.ADMIN)

    assert (restored.state, restored.role) == (AccountState.ACTIVE, GlobalRole.ADMIN)
    assert (await node.accounts.login(user.username, PASSWORD, Device())).user == restored
    deployment.watch.turn(seconds=1)
    with pytest.raises(SessionRevoked):
        await node.sessions.authenticate(signed_in.access_token)


async def test_a_new_password_from_the_command_line_ends_all_sessions(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    await node.accounts.login(user.username, PASSWORD, Device())
    await node.accounts.login(user.username, PASSWORD, Device())

    await node.accounts.set_password("ANNA@example.org", "another password")

    assert node.ended == [(2, "session_revoked")]
    assert await node.accounts.login(user.username, "another password", Device())
    with pytest.raises(NotFound):
        await node.accounts.set_password("nobody", "another password")
    with pytest.raises(NotFound):
        await node.accounts.set_user("nobody", AccountState.ACTIVE, None)


async def test_no_session_begins_with_a_password_that_is_being_changed(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The password changes between its check and the start of the session."""
    user, node = await deployment.a_user(), deployment.node()
    checked, changed = asyncio.Event(), asyncio.Event()
    verify = deployment.passwords.verify

    async def verify_slowly(password: str, stored: str | None) -> Any:
        verdict = await verify(password, stored)
        checked.set()
        await changed.wait()
        return verdict

    monkeypatch.setattr(deployment.passwords, "verify", verify_slowly)
    login = asyncio.ensure_future(node.accounts.login(user.username, PASSWORD, Device()))
    await checked.wait()
    await node.accounts.set_password(user.username, "another password")
    changed.set()

    with pytest.raises(InvalidCredentials):
        await login


async def test_an_old_bcrypt_hash_is_upgraded_by_the_login(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    await deployment.set_hash(user, bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(4)).decode())

    logins = await asyncio.gather(*(node.accounts.login(user.username, PASSWORD, Device()) for _ in range(4)))

    assert len({login.session_id for login in logins}) == 4
    stored = await deployment.store.read(lambda unit: unit.accounts.get_password_hash(user.id))
    assert stored.startswith("$argon2id$")
    assert await node.accounts.login(user.username, PASSWORD, Device())


async def test_a_hash_is_computed_for_unknown_names(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    node, asked = deployment.node(), []
    verify = deployment.passwords.verify

    async def record(password: str, stored: str | None) -> Any:
        asked.append(stored)
        return await verify(password, stored)

    monkeypatch.setattr(deployment.passwords, "verify", record)

    for name in ("nobody", "nobody@example.org", "\x00", "\ud800"):
        with pytest.raises(InvalidCredentials):
            await node.accounts.login(name, PASSWORD, Device())
    assert asked == [None] * 4


async def test_a_closed_registration_leaves_the_command_line_open(deployment: Deployment) -> None:
    node = deployment.node(registration_open=False)

    with pytest.raises(RegistrationClosed):
        await node.accounts.register(NewAccount("berta", PASSWORD, "berta@example.org"))
    user = await node.accounts.create_user(NewAccount("berta", PASSWORD, role=GlobalRole.ADMIN))

    assert user.role is GlobalRole.ADMIN
    assert (await node.accounts.login("berta", PASSWORD, Device())).user == user


async def test_a_registration_whose_answer_was_lost_is_no_conflict(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store runs the work again when it did not hear whether the COMMIT had succeeded."""
    node, transact = deployment.node(), deployment.store.transact

    async def transact_twice(work: Any) -> Any:
        await transact(work)
        return await transact(work)

    monkeypatch.setattr(deployment.store, "transact", transact_twice)

    user = await node.accounts.create_user(NewAccount("anna", PASSWORD))
    signed_in = await node.accounts.login("anna", PASSWORD, Device())
    caller = await node.sessions.authenticate(signed_in.access_token)
    await node.accounts.change_password(caller, PASSWORD, "another password")
    refreshed = await node.sessions.refresh(signed_in.refresh_token)
    other = await node.accounts.login("anna", "another password", Device())
    await node.sessions.issue_ticket(caller)
    await node.sessions.delete_session(caller, other.session_id)

    assert refreshed.user == user
    with pytest.raises(SessionRevoked):
        await node.sessions.authenticate(other.access_token)
    monkeypatch.undo()
    with pytest.raises(UsernameTaken):
        await node.accounts.create_user(NewAccount("anna", PASSWORD))


async def test_the_watch_over_sessions_names_those_that_ended(deployment: Deployment) -> None:
    user, node = await deployment.a_user(), deployment.node()
    live, ended = [await node.accounts.login(user.username, PASSWORD, Device()) for _ in range(2)]
    await node.sessions.logout(await node.sessions.authenticate(ended.access_token))

    found: dict[Any, ChatError] = await node.sessions.list_ended([live.session_id, ended.session_id])

    assert list(found) == [ended.session_id]
    assert isinstance(found[ended.session_id], SessionRevoked)
    assert await node.sessions.list_ended([]) == {}
