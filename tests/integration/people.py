"""People who keep their accounts from test to test, because a password takes a tenth of a second.

They may be in chats of earlier tests. Who must not be is made by `builders.a_user`.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx2

from chat_service.domain.models import AccountState, GlobalRole, User
from chat_service.services.ports.metadata import Unit
from tests import builders
from tests.builders import TestUser, a_user
from tests.node import Node

_known: dict[str, list[TestUser]] = {}
_numbers = itertools.count(1)


async def people(server: Node, count: int) -> list[TestUser]:
    """Different people, each with a connection of this test's own."""
    known = _known.setdefault(server.url, [])
    while len(known) < count:
        known.append(await a_user(server))
    return [_connected(user) for user in known[:count]]


def _connected(user: TestUser) -> TestUser:
    headers = {"Authorization": f"Bearer {user.token}"}
    # Without `verify` it would read all certificates of the machine, for each test.
    http = httpx2.AsyncClient(base_url=f"{user.server.url}/api/v1", timeout=20, headers=headers, verify=False)
    builders._open.append(http)
    return replace(user, http=http)


async def a_crowd(server: Node, count: int) -> list[int]:
    """The ids of new accounts that nobody signs in to, past the hashing of passwords."""
    names = [f"crowd{next(_numbers)}-{secrets.token_hex(4)}" for _ in range(count)]

    async def add(unit: Unit) -> list[int]:
        return [(await _add_account(unit, name)).id for name in names]

    return await asyncio.wrap_future(server.run(server.services.metadata.transact(add)))


async def _add_account(unit: Unit, name: str) -> User:
    email = f"{name}@example.org"
    user = User(
        id=0,
        username=name,
        full_name=None,
        bio=None,
        avatar_url=None,
        is_bot=False,
        email=email,
        phone=None,
        role=GlobalRole.USER,
        state=AccountState.ACTIVE,
        created_at=datetime.now(UTC),
    )
    return await unit.accounts.add_user(
        user, username_fold=name, email_fold=email, password_hash="none", words=[]
    )


async def disable(server: Node, user: TestUser, state: AccountState = AccountState.DEACTIVATED) -> None:
    """What `chat-service set-user` does."""
    await asyncio.wrap_future(server.run(server.services.accounts.set_user(user.username, state, None)))


async def in_service(server: Node, work: Any) -> Any:
    """Await a coroutine of the node's services where they run."""
    return await asyncio.wrap_future(server.run(work))


def without_request_id(problem: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in problem.items() if key != "request_id"}
