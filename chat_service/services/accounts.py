"""Accounts: registering, signing in, profiles, passwords, and what the command line may set.

Whatever takes a right away (a new password, a deactivation) ends the sessions in the same transaction, and
holds the user's row while it does, as a login does: no session begins in between.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import UUID

from chat_service.domain import names
from chat_service.domain.clock import Clock
from chat_service.domain.errors import (
    AccountDisabled,
    InvalidCredentials,
    NotFound,
    RegistrationClosed,
    Unauthenticated,
    UsernameTaken,
)
from chat_service.domain.models import AccountState, Caller, GlobalRole, User
from chat_service.services.passwords import Passwords
from chat_service.services.ports.metadata import MetadataStore, Unit
from chat_service.services.sessions import Device, SessionService, SignedIn

_LOGIN_ATTEMPTS = 3


class _PasswordChanged(InvalidCredentials):
    """Between the check of a password and its use: somebody set another, or upgraded the hash."""


@dataclass(frozen=True, slots=True)
class NewAccount:
    """What somebody asks for. Without an e-mail address (command line only) it gets one of nobody."""

    username: str
    password: str = field(repr=False)
    email: str | None = None
    full_name: str | None = None
    role: GlobalRole = GlobalRole.USER


class AccountService:
    """Rates are limited by whoever calls: see `services.limits`."""

    def __init__(
        self,
        metadata: MetadataStore,
        sessions: SessionService,
        passwords: Passwords,
        clock: Clock,
        *,
        registration_open: bool,
    ) -> None:
        self._metadata = metadata
        self._sessions = sessions
        self._passwords = passwords
        self._clock = clock
        self._registration_open = registration_open

    def close(self) -> None:
        """Give up the threads that hash; logins that wait for one are cancelled."""
        self._passwords.close()

    async def register(self, wish: NewAccount) -> User:
        """Raises `RegistrationClosed`, `InvalidRequest`, `UsernameTaken` or `EmailTaken`."""
        if not self._registration_open:
            raise RegistrationClosed
        return await self.create_user(wish)

    async def create_user(self, wish: NewAccount) -> User:
        """The same without asking whether registration is open."""
        draft = self._check_new(wish)
        password_hash = await self._passwords.hash(wish.password)

        async def add(unit: Unit) -> User:
            fold = names.fold(draft.username)
            try:
                return await unit.accounts.add_user(
                    draft,
                    username_fold=fold,
                    email_fold=names.fold_email(draft.email),
                    password_hash=password_hash,
                    words=names.list_words(draft.username, draft.full_name),
                )
            except UsernameTaken:
                # By ourselves, when only the answer to the first run's COMMIT was lost: hashes are unique.
                user = await unit.accounts.find_user_by_username(fold)
                if user is None or await unit.accounts.get_password_hash(user.id) != password_hash:
                    raise
                return user

        return await self._metadata.transact(add)

    async def login(self, name: str, password: str, device: Device) -> SignedIn:
        """Sign in by username, or by e-mail address where the name has an `@`.

        A refusal takes the same time whether or not the account exists; that it is disabled is told only
        to who knows the password. Raises `InvalidCredentials` or `AccountDisabled`.
        """
        for _ in range(_LOGIN_ATTEMPTS):
            with contextlib.suppress(_PasswordChanged):
                return await self._sign_in(name, password, device)
        raise InvalidCredentials

    async def _sign_in(self, name: str, password: str, device: Device) -> SignedIn:
        found = await self._metadata.read(lambda unit: _find_login(unit, name))
        user, old_hash, new_hash = await self._check_login(found, password)
        session, answer = self._sessions.make_session(user, device)

        async def sign_in(unit: Unit) -> None:
            await _lock_unchanged(unit, user.id, {old_hash, new_hash})
            if new_hash != old_hash:
                await unit.accounts.set_password_hash(user.id, new_hash)
            await unit.sessions.add_session(session)

        await self._metadata.transact(sign_in)
        return answer

    async def change_password(self, caller: Caller, current: str, new: str) -> None:
        """Set another password and end every other session of the caller.

        Raises `InvalidCredentials` when `current` is wrong.
        """
        names.check_password(new, "new_password")
        found = await self._metadata.read(lambda unit: _find_login_of(unit, caller.id))
        _, old_hash, _ = await self._check_login(found, current)
        new_hash, now = await self._passwords.hash(new), self._clock()

        async def change(unit: Unit) -> list[UUID]:
            await _lock_unchanged(unit, caller.id, {old_hash, new_hash})
            await unit.accounts.set_password_hash(caller.id, new_hash)
            return await unit.sessions.revoke_sessions(caller.id, now, but=caller.session_id)

        self._sessions.publish_ended(await self._metadata.transact(change))

    async def get_user(self, user_id: int) -> User:
        """Any account that exists, disabled ones too: their messages are still there."""
        user = await self._metadata.read(lambda unit: unit.accounts.find_user(user_id))
        if user is None:
            raise NotFound
        return user

    async def search_users(self, query: str, limit: int) -> list[User]:
        """Active users with a word for each word of the query that begins with it; exact names first."""
        words = names.split_query(query)
        return await self._metadata.read(lambda unit: unit.accounts.search_users(words, limit))

    async def update_profile(self, caller: Caller, fields: Mapping[str, str | None]) -> User:
        """Set those of `full_name`, `bio`, `phone` and `avatar_url` that are given."""
        checked = names.check_profile(fields)

        async def update(unit: Unit) -> User:
            user, _ = await _lock(unit, caller.id)
            full_name = checked.get("full_name", user.full_name)
            words = names.list_words(user.username, full_name)
            await unit.accounts.update_profile(caller.id, checked, words)
            return (await unit.accounts.find_user(caller.id)) or user

        user = await self._metadata.transact(update)
        self._sessions.forget([caller.session_id])
        return user

    # --- For the command line

    async def set_password(self, name: str, password: str) -> None:
        """Set the password of the user with that name or address, and end all of their sessions."""
        names.check_password(password)
        password_hash, now = await self._passwords.hash(password), self._clock()

        async def change(unit: Unit) -> list[UUID]:
            user = await _get_by_name(unit, name)
            await _lock(unit, user.id)
            await unit.accounts.set_password_hash(user.id, password_hash)
            return await unit.sessions.revoke_sessions(user.id, now)

        self._sessions.publish_ended(await self._metadata.transact(change))

    async def set_user(self, name: str, state: AccountState | None, role: GlobalRole | None) -> User:
        """Set state and role where given. Leaving the state `active` ends all sessions of the user."""
        now = self._clock()

        async def change(unit: Unit) -> tuple[User, list[UUID]]:
            user, _ = await _lock(unit, (await _get_by_name(unit, name)).id)
            new_state = state or user.state
            await unit.accounts.set_account(user.id, state=new_state, role=role or user.role)
            is_out = new_state is not AccountState.ACTIVE
            ended = await unit.sessions.revoke_sessions(user.id, now) if is_out else []
            return (await unit.accounts.find_user(user.id)) or user, ended

        user, ended = await self._metadata.transact(change)
        self._sessions.publish_ended(ended, AccountDisabled.code)
        return user

    # --- Parts

    def _check_new(self, wish: NewAccount) -> User:
        username = names.check_username(wish.username)
        email = f"{username}@localhost" if wish.email is None else names.check_email(wish.email)
        names.check_password(wish.password)
        full_name = names.check_profile({"full_name": wish.full_name})["full_name"]
        return User(
            id=0,
            username=username,
            full_name=full_name,
            bio=None,
            avatar_url=None,
            is_bot=False,
            email=email,
            phone=None,
            role=wish.role,
            state=AccountState.ACTIVE,
            created_at=self._clock(),
        )

    async def _check_login(self, found: tuple[User, str] | None, password: str) -> tuple[User, str, str]:
        """Raise unless the password is right and the account active; the user, the hash that the password
        was compared with, and the one to store (the same, unless it is outdated)."""
        if not names.is_encodable(password):
            raise InvalidCredentials
        verdict = await self._passwords.verify(password, found[1] if found else None)
        if found is None or not verdict.is_right:
            raise InvalidCredentials
        user, old_hash = found
        if user.state is not AccountState.ACTIVE:
            raise AccountDisabled
        return user, old_hash, verdict.new_hash or old_hash


async def _find_login(unit: Unit, name: str) -> tuple[User, str] | None:
    user = await _find_by_name(unit, name)
    return None if user is None else (user, await unit.accounts.get_password_hash(user.id))


async def _find_login_of(unit: Unit, user_id: int) -> tuple[User, str] | None:
    user = await unit.accounts.find_user(user_id)
    return None if user is None else (user, await unit.accounts.get_password_hash(user_id))


async def _find_by_name(unit: Unit, name: str) -> User | None:
    if not names.is_text(name):
        return None
    if "@" in name:
        return await unit.accounts.find_user_by_email(names.find_email_fold(name))
    return await unit.accounts.find_user_by_username(names.fold(name))


async def _get_by_name(unit: Unit, name: str) -> User:
    user = await _find_by_name(unit, name)
    if user is None:
        raise NotFound(f"There is no user called {name}.")
    return user


async def _lock(unit: Unit, user_id: int) -> tuple[User, str]:
    found = await unit.accounts.lock_user(user_id)
    if found is None:
        raise Unauthenticated
    return found


async def _lock_unchanged(unit: Unit, user_id: int, hashes: set[str]) -> None:
    """Lock the user; refuse when password or state have changed since the password was checked."""
    user, password_hash = await _lock(unit, user_id)
    if password_hash not in hashes:
        raise _PasswordChanged
    if user.state is not AccountState.ACTIVE:
        raise AccountDisabled
