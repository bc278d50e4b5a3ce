"""People and chats for tests, made through the public surface."""

from __future__ import annotations

import itertools
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import httpx2

from tests.client import ChatClient

PASSWORD = "correct horse battery"
_numbers = itertools.count(1)
_open: list[httpx2.AsyncClient] = []


class Server(Protocol):
    url: str
    ws_url: str


@dataclass
class TestUser:
    """Somebody who has registered and signed in."""

    __test__ = False

    server: Server
    id: int
    username: str
    password: str
    token: str
    refresh_token: str
    http: httpx2.AsyncClient

    def socket(self, path: str = "", **options: Any) -> ChatClient:
        """A socket of this user, to be opened with `async with`."""
        return ChatClient(self.server.ws_url + path, token=self.token, **options)

    async def get(self, path: str, status: int = 200, **params: Any) -> Any:
        return check(await self.http.get(path, params=params), status)

    async def post(self, path: str, body: Any = None, status: int = 201, **headers: str) -> Any:
        return check(await self.http.post(path, json=body, headers=headers), status)

    async def put(self, path: str, body: Any, status: int = 200, **headers: str) -> Any:
        return check(await self.http.put(path, json=body, headers=headers), status)

    async def delete(self, path: str, status: int = 204, **params: Any) -> Any:
        return check(await self.http.delete(path, params=params), status)

    async def say(self, chat_id: int, content: str, **fields: Any) -> Any:
        """Send a message over REST; the message as stored."""
        return await self.post("/messages", {"chat_id": chat_id, "content": content, **fields})


def check(response: httpx2.Response, status: int) -> Any:
    """The answer's JSON (None without a body), after checking its status; a refusal must be a problem."""
    assert response.status_code == status, f"{response.status_code} {response.text}"
    if status >= 400:
        problem = response.json()
        assert response.headers["content-type"] == "application/problem+json"
        fixed = {"type", "title", "status", "detail", "status_code", "code", "request_id"}
        assert fixed <= problem.keys() <= fixed | {"errors"}
        assert problem["status"] == problem["status_code"] == status
    return response.json() if response.content else None


async def a_user(server: Server, name: str | None = None) -> TestUser:
    """Register somebody and sign them in. Their HTTP client is closed by `close_clients`."""
    name = name or f"user{next(_numbers)}-{secrets.token_hex(3)}"
    http = httpx2.AsyncClient(base_url=f"{server.url}/api/v1", timeout=20)
    _open.append(http)
    account = {"username": name, "email": f"{secrets.token_hex(6)}@example.org", "password": PASSWORD}
    user = check(await http.post("/users/register", json=account), 201)
    login = check(await http.post("/users/login", json={"username": name, "password": PASSWORD}), 200)
    http.headers["Authorization"] = f"Bearer {login['access_token']}"
    return TestUser(server, user["id"], name, PASSWORD, login["access_token"], login["refresh_token"], http)


async def some_users(server: Server, count: int) -> list[TestUser]:
    return [await a_user(server) for _ in range(count)]


async def a_direct_chat(one: TestUser, other: TestUser) -> int:
    chat = await one.post("/chats", {"chat_type": "direct", "participant_ids": [other.id]})
    return int(chat["id"])


async def a_group(owner: TestUser, *others: TestUser, name: str = "A group") -> int:
    ids = [user.id for user in others]
    chat = await owner.post("/chats", {"chat_type": "group", "name": name, "participant_ids": ids})
    return int(chat["id"])


@asynccontextmanager
async def sockets(*users: TestUser) -> AsyncIterator[list[ChatClient]]:
    """One open socket for each user."""
    clients = [user.socket() for user in users]
    try:
        for client in clients:
            await client.open()
        yield clients
    finally:
        for client in clients:
            await client.close()


async def close_clients() -> None:
    """Called after every test."""
    while _open:
        await _open.pop().aclose()
