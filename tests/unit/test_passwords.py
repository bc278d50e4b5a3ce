"""Hashing: what is right, what is upgraded, and how much of it happens at once."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator

import bcrypt
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from chat_service.domain.errors import Unavailable
from chat_service.services.passwords import MAX_WAITING, THREADS, Passwords, Verdict, make_argon2
from chat_service.settings import Settings

CHEAP = Argon2Hasher(time_cost=1, memory_cost=64, parallelism=1)


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    created = Passwords(CHEAP)
    yield created
    created.close()


@pytest.mark.parametrize("password", ["12345678", "😀" * 128, "\x00" * 8, " pass word ", "x" * 128])
async def test_a_password_fits_its_own_hash_only(passwords: Passwords, password: str) -> None:
    stored = await passwords.hash(password)

    assert stored.startswith("$argon2id$")
    assert await passwords.verify(password, stored) == Verdict(is_right=True)
    assert await passwords.verify(password + " ", stored) == Verdict(is_right=False)
    assert await passwords.hash(password) != stored


async def test_hashes_cost_what_argon2_recommends() -> None:
    passwords = Passwords(make_argon2(Settings.model_fields["password_memory_mib"].default))
    try:
        assert "$m=65536,t=3,p=4$" in await passwords.hash("12345678")
    finally:
        passwords.close()


async def test_a_hash_of_another_cost_is_replaced(passwords: Passwords) -> None:
    stored = Argon2Hasher(time_cost=2, memory_cost=64, parallelism=1).hash("12345678")

    verdict = await passwords.verify("12345678", stored)

    assert verdict.is_right
    assert verdict.new_hash is not None
    assert await passwords.verify("12345678", verdict.new_hash) == Verdict(is_right=True)


@pytest.mark.parametrize("prefix", ["$2a$", "$2b$", "$2y$"])
async def test_an_old_bcrypt_hash_is_verified_and_replaced(passwords: Passwords, prefix: str) -> None:
    stored = prefix + bcrypt.hashpw(b"old password", bcrypt.gensalt(4)).decode()[4:]

    assert await passwords.verify("Old password", stored) == Verdict(is_right=False)
    verdict = await passwords.verify("old password", stored)

    assert verdict.is_right
    assert (verdict.new_hash or "").startswith("$argon2id$")


async def test_a_long_password_fits_the_bcrypt_hash_of_its_first_72_bytes(passwords: Passwords) -> None:
    long = "ä" * 50
    stored = bcrypt.hashpw(long.encode()[:72], bcrypt.gensalt(4)).decode()

    verdict = await passwords.verify(long, stored)

    assert verdict.is_right
    assert await passwords.verify(long, verdict.new_hash) == Verdict(is_right=True)
    assert await passwords.verify(long[:40], verdict.new_hash) == Verdict(is_right=False)


@pytest.mark.parametrize("stored", ["!", "x", "$2b$12$short", "$argon2id$broken", "plain text"])
async def test_nothing_fits_a_hash_that_is_none(passwords: Passwords, stored: str) -> None:
    assert await passwords.verify(stored, stored) == Verdict(is_right=False)


async def test_an_unknown_account_takes_a_whole_verification(
    passwords: Passwords, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    verify = CHEAP.verify

    def record(password: str | bytes, stored: str | bytes) -> bool:
        seen.append(str(stored))
        return verify(password, stored)

    monkeypatch.setattr(CHEAP, "verify", record)

    assert await passwords.verify("12345678", None) == Verdict(is_right=False)
    (stored,) = seen
    known = await passwords.hash("12345678")
    assert stored.rpartition("p=1$")[0] == known.rpartition("p=1$")[0]


async def test_too_many_at_once_are_turned_away_and_the_others_are_served() -> None:
    gate = threading.Event()
    passwords = Passwords(_Gated(gate))
    gate.clear()
    try:
        waiting = [asyncio.ensure_future(passwords.hash("12345678")) for _ in range(THREADS + MAX_WAITING)]
        await asyncio.sleep(0)

        with pytest.raises(Unavailable):
            await passwords.hash("12345678")

        gate.set()
        assert len(await asyncio.gather(*waiting)) == THREADS + MAX_WAITING
        assert await passwords.hash("12345678")
    finally:
        gate.set()
        passwords.close()


async def test_without_limits_nobody_is_turned_away() -> None:
    gate = threading.Event()
    passwords = Passwords(_Gated(gate), max_waiting=None)
    gate.clear()
    try:
        waiting = [asyncio.ensure_future(passwords.hash("12345678")) for _ in range(2 * MAX_WAITING)]
        await asyncio.sleep(0)
        gate.set()
        assert len(await asyncio.gather(*waiting)) == 2 * MAX_WAITING
    finally:
        gate.set()
        passwords.close()


async def test_who_is_cancelled_gives_the_place_back() -> None:
    gate = threading.Event()
    passwords = Passwords(_Gated(gate))
    gate.clear()
    try:
        waiting = [asyncio.ensure_future(passwords.hash("12345678")) for _ in range(THREADS + MAX_WAITING)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        ended = await asyncio.gather(*waiting, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended)

        gate.set()
        assert await passwords.hash("12345678")
    finally:
        gate.set()
        passwords.close()


class _Gated(Argon2Hasher):
    """Hashes while the gate is open, as it is at first."""

    def __init__(self, gate: threading.Event) -> None:
        super().__init__(time_cost=1, memory_cost=64, parallelism=1)
        self._gate = gate
        gate.set()

    def hash(self, password: str | bytes, *, salt: bytes | None = None) -> str:
        self._gate.wait(10)
        return super().hash(password, salt=salt)
