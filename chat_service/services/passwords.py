"""Hashing and checking passwords: Argon2id, off the event loop, a few at a time.

Argon2 takes 64 MiB and a tenth of a second on purpose (`CHAT_PASSWORD_MEMORY_MIB`); unbounded, a flood of
logins would take the whole machine. Whether an account exists must not show in the time a refusal takes, so a
login without an account is checked against a hash that no password has.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import PwdlibError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from chat_service.domain.errors import Unavailable

T = TypeVar("T")

THREADS = 2
MAX_WAITING = 64
_BCRYPT_BYTES = 72
"""bcrypt never looked further; passlib cut there silently, today's library refuses to."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether the password was right, and the hash to store in place of an outdated one."""

    is_right: bool
    new_hash: str | None = None


def make_argon2(memory_mib: int) -> Argon2Hasher:
    """Three passes in four lanes: with 64 MiB the second recommendation of RFC 9106, section 4."""
    return Argon2Hasher(time_cost=3, memory_cost=memory_mib * 1024, parallelism=4)


class Passwords:
    """Call `close` at the end. `max_waiting` is None where nothing is limited."""

    def __init__(self, argon2: Argon2Hasher, max_waiting: int | None = MAX_WAITING) -> None:
        self._argon2 = PasswordHash((argon2,))
        self._bcrypt = BcryptHasher()
        self._nobody = self._argon2.hash(secrets.token_hex(32))
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="passwords")
        self._places = None if max_waiting is None else BoundedSemaphore(THREADS + max_waiting)

    async def hash(self, password: str) -> str:
        """A new hash. Raises `Unavailable` when too many are waiting, as `verify` does."""
        return await self._run(lambda: self._argon2.hash(password))

    async def verify(self, password: str, stored: str | None) -> Verdict:
        """Compare with a stored hash, or with nobody's where there is no account: that takes as long.

        An old bcrypt hash, or one of other cost, comes with its replacement when the password is right.
        """
        return await self._run(lambda: self._verify(password, stored or self._nobody))

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _verify(self, password: str, stored: str) -> Verdict:
        if BcryptHasher.identify(stored):
            is_right = self._bcrypt.verify(password.encode()[:_BCRYPT_BYTES], stored)
            return Verdict(is_right, self._argon2.hash(password) if is_right else None)
        try:
            is_right, new_hash = self._argon2.verify_and_update(password, stored)
        except PwdlibError:
            return Verdict(is_right=False)
        return Verdict(is_right, new_hash)

    async def _run(self, work: Callable[[], T]) -> T:
        """Run it on one of the threads. A caller who is cancelled gives the place back when it is done."""
        places = self._places
        if places is not None and not places.acquire(blocking=False):
            raise Unavailable("Too many logins at once; try again in a moment.", retry_after_s=1)
        future = self._threads.submit(work)
        if places is not None:
            future.add_done_callback(lambda _: places.release())
        return await asyncio.wrap_future(future)
