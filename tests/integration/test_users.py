"""Accounts over REST: registering, profiles, passwords, and finding each other."""

# ruff: noqa: RUF001 - letters that are mistaken for others are what some of this is about

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import httpx2
import pytest

from tests.builders import a_user

PASSWORD = "correct horse"


def code_of(response: httpx2.Response, status: int) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    return str(response.json()["code"])


def fields_of(response: httpx2.Response) -> list[str]:
    """The fields that a refused request is told about."""
    assert code_of(response, 422) == "invalid_request"
    return [error["field"] for error in response.json()["errors"]]


def anonymous(server: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=server.url + "/api/v1")


def a_name(prefix: str = "user") -> str:
    return f"{prefix}{secrets.token_hex(4)}"


async def register(server: Any, **fields: Any) -> httpx2.Response:
    name = a_name()
    body = {"username": name, "email": f"{name}@example.org", "password": PASSWORD} | fields
    async with anonymous(server) as http:
        return await http.post("/users/register", json=body)


async def log_in(server: Any, name: str, password: str) -> httpx2.Response:
    async with anonymous(server) as http:
        return await http.post("/users/login", json={"username": name, "password": password})


# --- Registering


async def test_a_registration_makes_an_account(server: Any) -> None:
    name = a_name("Änne")
    response = await register(server, username=name, email=f"{name}@Example.org", full_name="Änne 😀")

    assert response.status_code == 201
    me = response.json()
    assert response.headers["location"] == f"/api/v1/users/{me['id']}"
    assert response.headers["cache-control"] == "no-store"
    assert me == {
        "id": me["id"],
        "username": name,
        "full_name": "Änne 😀",
        "bio": None,
        "avatar_url": None,
        "is_bot": False,
        "email": f"{name}@example.org",
        "phone": None,
        "role": "user",
        "created_at": me["created_at"],
    }
    assert me["created_at"].endswith("Z")
    assert (await log_in(server, name, PASSWORD)).json()["user"] == me


async def test_names_and_addresses_are_taken_in_every_spelling(server: Any) -> None:
    suffix = secrets.token_hex(4)
    await register(server, username=f"Søren{suffix}", email=f"soren{suffix}@example.org")

    for name in (f"soren{suffix}", f"SÖREN{suffix}", f"sｏren{suffix}"):
        assert code_of(await register(server, username=name), 409) == "username_taken"
    taken = await register(server, email=f"SOREN{suffix}@EXAMPLE.ORG")
    assert code_of(taken, 409) == "email_taken"


async def test_of_registrations_at_once_one_gets_the_name(server: Any) -> None:
    name = a_name()

    responses = await asyncio.gather(*(register(server, username=name) for _ in range(5)))

    assert sorted(response.status_code for response in responses) == [201, 409, 409, 409, 409]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"username": "ab"}, "username"),
        ({"username": "a" * 33}, "username"),
        ({"username": "a b c"}, "username"),
        ({"username": "a@example.org"}, "username"),
        ({"username": "pаypal"}, "username"),
        ({"username": "bob\u200b"}, "username"),
        ({"username": "..."}, "username"),
        ({"username": 12345}, "username"),
        ({"email": "no address"}, "email"),
        ({"email": None}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
        ({"full_name": "a\nb"}, "full_name"),
        ({"full_name": "a" * 101}, "full_name"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_a_bad_registration_names_the_field(server: Any, fields: dict[str, Any], field: str) -> None:
    assert field in fields_of(await register(server, **fields))


@pytest.mark.parametrize("password", ["\x00" * 8, "😀" * 128, "  spaces around  ", "ｆｕｌｌｗｉｄｔｈ"])
async def test_a_password_is_taken_as_it_is(server: Any, password: str) -> None:
    username = (await register(server, password=password)).json()["username"]

    assert (await log_in(server, username, password)).status_code == 200
    assert code_of(await log_in(server, username, password.strip() + "x"), 401) == "invalid_credentials"


# --- One's own account


async def test_a_profile_changes_where_fields_are_sent(server: Any) -> None:
    user = await a_user(server)
    fields = {
        "full_name": "Anna-Lena",
        "bio": "Two\nlines",
        "phone": "+49 30 123",
        "avatar_url": "https://example.org/a.png",
    }

    changed = await user.http.put("/users/me", json=fields)
    assert changed.status_code == 200
    me = changed.json()
    assert {name: me[name] for name in fields} == fields
    assert (await user.http.get("/users/me")).json() == me

    cleared = (await user.http.put("/users/me", json={"bio": None, "phone": None})).json()
    assert cleared == me | {"bio": None, "phone": None}
    assert (await user.http.put("/users/me", json={})).json() == cleared


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"full_name": "a\u202eb"}, "full_name"),
        ({"bio": "a" * 501}, "bio"),
        ({"phone": "1" * 33}, "phone"),
        ({"avatar_url": "javascript:alert(1)"}, "avatar_url"),
        ({"avatar_url": "data:image/png;base64,AA"}, "avatar_url"),
        ({"username": "another"}, "username"),
        ({"email": "another@example.org"}, "email"),
        ({"role": "admin"}, "role"),
    ],
)
async def test_what_a_profile_may_not_hold_is_refused(
    server: Any, fields: dict[str, Any], field: str
) -> None:
    user = await a_user(server)

    assert field in fields_of(await user.http.put("/users/me", json=fields))


async def test_a_new_password_ends_the_other_sessions(server: Any) -> None:
    user = await a_user(server)
    other = (await log_in(server, user.username, user.password)).json()
    body = {"current_password": user.password, "new_password": "another password"}

    assert (await user.http.put("/users/me/password", json=body)).status_code == 204

    assert (await user.http.get("/users/me")).status_code == 200
    async with anonymous(server) as http:
        gone = await http.get("/users/me", headers={"Authorization": f"Bearer {other['access_token']}"})
        assert code_of(gone, 401) == "session_revoked"
        refreshed = await http.post("/auth/refresh", json={"refresh_token": other["refresh_token"]})
        assert code_of(refreshed, 401) == "session_revoked"
        own = await http.post("/auth/refresh", json={"refresh_token": user.refresh_token})
        assert own.status_code == 200
    assert code_of(await log_in(server, user.username, user.password), 401) == "invalid_credentials"
    assert (await log_in(server, user.username, "another password")).status_code == 200


async def test_a_new_password_needs_the_old_one(server: Any) -> None:
    user = await a_user(server)

    wrong = {"current_password": "wrong password", "new_password": "another password"}
    assert code_of(await user.http.put("/users/me/password", json=wrong), 401) == "invalid_credentials"
    short = {"current_password": user.password, "new_password": "short"}
    assert fields_of(await user.http.put("/users/me/password", json=short)) == ["new_password"]
    assert (await user.http.get("/users/me")).status_code == 200
    assert (await log_in(server, user.username, user.password)).status_code == 200


# --- Others


async def test_others_see_no_private_fields(server: Any) -> None:
    user, other = await a_user(server), await a_user(server)
    await other.http.put("/users/me", json={"full_name": "Berta", "phone": "+49 30 123"})

    assert (await user.http.get(f"/users/{other.id}")).json() == {
        "id": other.id,
        "username": other.username,
        "full_name": "Berta",
        "bio": None,
        "avatar_url": None,
        "is_bot": False,
    }


@pytest.mark.parametrize(
    ("user_id", "status"),
    [
        (str(2**53 - 1), 404),
        ("0", 422),
        ("-1", 422),
        (str(2**53), 422),
        ("5.0", 422),
        ("+5", 422),
        ("x", 422),
    ],
)
async def test_ids_of_nobody_are_unknown_or_malformed(server: Any, user_id: str, status: int) -> None:
    user = await a_user(server)

    expected = "not_found" if status == 404 else "invalid_request"
    assert code_of(await user.http.get(f"/users/{user_id}"), status) == expected


async def test_strangers_get_nothing(server: Any) -> None:
    user = await a_user(server)

    async with anonymous(server) as http:
        for path in ("/users/me", f"/users/{user.id}", "/users/search?q=an"):
            assert code_of(await http.get(path), 401) == "unauthenticated"


async def test_users_are_found_by_the_beginning_of_their_words(server: Any) -> None:
    mark = secrets.token_hex(4)
    user, other = await a_user(server), await a_user(server)
    await other.http.put("/users/me", json={"full_name": f"Änne Q{mark}-Z{mark}"})

    async def found(query: str) -> list[int]:
        response = await user.http.get("/users/search", params={"q": query})
        assert response.status_code == 200
        return [item["id"] for item in response.json()["items"]]

    assert await found(f"q{mark}") == [other.id]
    assert await found(f"Z{mark} anne") == [other.id]
    assert await found(f"q{mark[:6]}") == [other.id]
    assert await found(f"q{mark} berta") == []
    for query in ("%%", "__", f"q{mark[:6]}%", f"q{mark[:6]}_", "%" + mark):
        assert await found(query) == []
    items = (await user.http.get("/users/search", params={"q": f"q{mark}"})).json()["items"]
    assert set(items[0]) == {"id", "username", "full_name", "bio", "avatar_url", "is_bot"}


async def test_a_search_has_limits(server: Any) -> None:
    user = await a_user(server)
    mark = a_name("many")
    for number in range(3):
        await a_user(server, f"{mark}.{number}")

    async def search(**params: str) -> httpx2.Response:
        return await user.http.get("/users/search", params=params)

    items = (await search(q=mark, limit="2")).json()["items"]
    assert [item["username"] for item in items] == [f"{mark}.0", f"{mark}.1"]
    for params in ({}, {"q": "a"}, {"q": " a"}, {"q": "an", "limit": "0"}, {"q": "an", "limit": "101"}):
        assert code_of(await search(**params), 422) == "invalid_request"
