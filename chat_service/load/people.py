"""Registers people and puts them into groups, over REST with the standard library's client in threads."""

from __future__ import annotations

import asyncio
import http.client
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from chat_service.load.options import LoadFailed, LoadOptions

TIMEOUT_S = 30.0
AT_ONCE = 8
"""Registrations and logins under way: each costs the server tens of milliseconds of hashing."""
_HINTS = {
    "registration_closed": "The server registers nobody; a load needs CHAT_REGISTRATION=open.",
    "rate_limited": "The server limits how often people register or log in; for a measurement start it "
    "with CHAT_RATE_LIMITS_ENABLED=false.",
}


@dataclass(frozen=True, slots=True)
class Person:
    id: int
    token: str


@dataclass(frozen=True, slots=True)
class Group:
    id: int
    version: int
    people: tuple[Person, ...]


def call(url: str, method: str, path: str, body: object = None, token: str | None = None) -> Any:
    """One request to `/api/v1`; its JSON. Raises `LoadFailed` for everything but a success."""
    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    connection = kind(parts.hostname or "", parts.port, timeout=TIMEOUT_S)
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    target = f"{parts.path.rstrip('/')}/api/v1{path}"
    try:
        connection.request(method, target, None if body is None else json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read() or b"null")
    except (OSError, http.client.HTTPException) as error:
        reason = str(error) or type(error).__name__
        raise LoadFailed(f"{url} does not answer: {reason}.") from error
    except ValueError as error:
        raise LoadFailed(
            f"What answers at {url} is not this service: {method} {target} gave no JSON."
        ) from error
    finally:
        connection.close()
    if response.status >= http.client.BAD_REQUEST:
        problem = answer if isinstance(answer, dict) else {}
        code = str(problem.get("code", response.status))
        raise LoadFailed(
            _HINTS.get(code, f"{method} {target} was refused with {code}: {problem.get('detail')}")
        )
    return answer


async def register_people(options: LoadOptions) -> list[Person]:
    """Everybody who takes part, registered and signed in; names are new in every run."""
    run = secrets.token_hex(4)
    room = asyncio.Semaphore(AT_ONCE)

    async def register(number: int) -> Person:
        async with room:
            return await asyncio.to_thread(_register, options.url, f"load-{run}-{number}")

    return await _gather([register(number) for number in range(options.registered)])


def _register(url: str, username: str) -> Person:
    password = secrets.token_urlsafe(16)
    account = {"username": username, "email": f"{username}@example.org", "password": password}
    user = call(url, "POST", "/users/register", account)
    login = call(url, "POST", "/users/login", {"username": username, "password": password})
    return Person(user["id"], login["access_token"])


async def make_groups(options: LoadOptions, people: Sequence[Person]) -> list[Group]:
    """The chats; with more people than a chat has, each chat begins where the one before ended."""
    room = asyncio.Semaphore(AT_ONCE)

    async def make(number: int) -> Group:
        first = number * options.people
        members = tuple(people[(first + index) % len(people)] for index in range(options.people))
        ids = [one.id for one in members[1:]]
        body = {"chat_type": "group", "name": f"Load {number}", "participant_ids": ids}
        async with room:
            chat = await asyncio.to_thread(call, options.url, "POST", "/chats", body, members[0].token)
        return Group(chat["id"], chat["version"], members)

    return await _gather([make(number) for number in range(options.chats)])


async def _gather(calls: Sequence[Any]) -> list[Any]:
    """All results in order; the first failure ends the others."""
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in calls]
    except* LoadFailed as errors:
        raise errors.exceptions[0] from None
    return [task.result() for task in tasks]
