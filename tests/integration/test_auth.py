"""Signing in and out, refreshing, the cookie and the list of devices, over REST."""

from __future__ import annotations

import asyncio
from http.cookies import SimpleCookie
from typing import Any
from uuid import uuid4

import httpx2
import jwt

from tests.builders import a_user


def code_of(response: httpx2.Response, status: int) -> str:
    """The error code of a problem, which must be whole."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    problem = response.json()
    assert problem["status"] == problem["status_code"] == status
    if status == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    return str(problem["code"])


def anonymous(server: Any) -> httpx2.AsyncClient:
    return httpx2.AsyncClient(base_url=server.url + "/api/v1")


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


async def log_in(http: httpx2.AsyncClient, user: Any, **headers: str) -> httpx2.Response:
    body = {"username": user.username, "password": user.password}
    return await http.post("/users/login", json=body, headers=headers)


async def refresh(http: httpx2.AsyncClient, token: str) -> httpx2.Response:
    return await http.post("/auth/refresh", json={"refresh_token": token})


# --- Signing in


async def test_a_login_by_name_or_address_gives_tokens(server: Any) -> None:
    user = await a_user(server)
    me = (await user.http.get("/users/me")).json()

    async with anonymous(server) as http:
        for name in (user.username, user.username.upper(), me["email"], me["email"].upper()):
            response = await http.post("/users/login", json={"username": name, "password": user.password})
            assert response.status_code == 200
            assert response.headers["cache-control"] == "no-store"
            answer = response.json()
            assert set(answer) == {"access_token", "token_type", "expires_in", "refresh_token", "user"}
            assert answer["token_type"] == "bearer"
            assert answer["expires_in"] == 900
            assert answer["user"] == me
            found = await http.get("/users/me", headers=bearer(answer["access_token"]))
            assert found.json() == me


async def test_wrong_names_and_passwords_are_refused_alike(server: Any) -> None:
    user = await a_user(server)

    async with anonymous(server) as http:
        wrong = await http.post(
            "/users/login", json={"username": user.username, "password": "wrong password"}
        )
        unknown = await http.post("/users/login", json={"username": f"no-{user.username}", "password": "x"})
        address = await http.post("/users/login", json={"username": "no@example.org", "password": "\x00" * 8})

    for response in (wrong, unknown, address):
        assert code_of(response, 401) == "invalid_credentials"
    assert wrong.json()["detail"] == unknown.json()["detail"] == address.json()["detail"]


async def test_the_oauth2_form_signs_in_too(server: Any) -> None:
    user = await a_user(server)

    async with anonymous(server) as http:
        form = {"username": user.username, "password": user.password, "grant_type": "password"}
        response = await http.post("/auth/token", data=form)
        assert response.status_code == 200
        assert response.json()["token_type"] == "bearer"
        token = response.json()["access_token"]
        assert (await http.get("/users/me", headers=bearer(token))).json()["id"] == user.id

        assert code_of(await http.post("/auth/token", data=form | {"password": "wrong"}), 401) == (
            "invalid_credentials"
        )
        long = form | {"username": "x" * 255}
        assert code_of(await http.post("/auth/token", data=long), 401) == "invalid_credentials"
        assert code_of(await http.post("/auth/token", data={"username": "x"}), 422) == "invalid_request"
        assert code_of(await http.post("/auth/token", data=form | {"grant_type": "implicit"}), 422) == (
            "invalid_request"
        )


async def test_only_a_bearer_header_with_a_good_token_is_a_caller(server: Any) -> None:
    user = await a_user(server)
    claims = jwt.decode(user.token, options={"verify_signature": False})
    forged = jwt.encode(claims, "a key of at least thirty-two bytes, not ours", "HS256")

    async with anonymous(server) as http:
        for scheme in ("Bearer", "bearer", "BEARER"):
            found = await http.get("/users/me", headers={"Authorization": f"{scheme} {user.token}"})
            assert found.status_code == 200
        for value in ("", "Bearer", f"Basic {user.token}", user.token, f"Bearer {forged}"):
            response = await http.get("/users/me", headers={"Authorization": value})
            assert code_of(response, 401) == "unauthenticated"
        for response in (
            await http.get("/users/me"),
            await http.get("/users/me", params={"token": user.token, "access_token": user.token}),
            await http.get("/users/me", headers=bearer(user.refresh_token)),
        ):
            assert code_of(response, 401) == "unauthenticated"


async def test_a_foreign_key_algorithm_or_audience_does_not_pass(server: Any) -> None:
    user = await a_user(server)
    claims = jwt.decode(user.token, options={"verify_signature": False})
    key = "a key of at least thirty-two bytes, not ours, and long enough for every algorithm"

    for token in (
        jwt.encode(claims, None, "none"),
        jwt.encode(claims, key, "HS512"),
        jwt.encode(claims | {"aud": "another"}, key, "HS256"),
        user.token[:-4] + "AAAA",
    ):
        async with anonymous(server) as http:
            response = await http.get("/users/me", headers=bearer(token))
        assert code_of(response, 401) == "unauthenticated"


# --- Refreshing


async def test_a_refresh_gives_the_next_tokens(server: Any) -> None:
    user = await a_user(server)

    async with anonymous(server) as http:
        answer = (await refresh(http, user.refresh_token)).json()
        assert answer["refresh_token"] not in (None, user.refresh_token)
        assert (await http.get("/users/me", headers=bearer(answer["access_token"]))).status_code == 200
        assert (await http.get("/users/me", headers=bearer(user.token))).status_code == 200
        assert (await refresh(http, answer["refresh_token"])).status_code == 200


async def test_refreshes_at_the_same_time_get_the_same_successor(server: Any) -> None:
    user = await a_user(server)

    async with anonymous(server) as http:
        answers = await asyncio.gather(*(refresh(http, user.refresh_token) for _ in range(6)))
        again = await refresh(http, user.refresh_token)

    assert {answer.json()["refresh_token"] for answer in (*answers, again)} == {again.json()["refresh_token"]}


async def test_a_forged_refresh_token_harms_nobody(server: Any) -> None:
    user = await a_user(server)

    async with anonymous(server) as http:
        for token in (user.refresh_token[:-2] + "AA", user.token, "crt_", "x", "crt_" + "A" * 107):
            assert code_of(await refresh(http, token), 401) == "unauthenticated"
        assert (await refresh(http, user.refresh_token)).status_code == 200


async def test_a_refresh_needs_a_token(server: Any) -> None:
    async with anonymous(server) as http:
        for response in (
            await http.post("/auth/refresh"),
            await http.post("/auth/refresh", json={}),
            await http.post("/auth/refresh", json={"refresh_token": None}),
            await http.post("/auth/refresh", json={"refresh_token": 5}),
            await http.post("/auth/refresh", json={"token": "x"}),
        ):
            assert code_of(response, 422) == "invalid_request"


# --- The cookie


def cookie_of(response: httpx2.Response) -> tuple[str, dict[str, Any]]:
    """Value and attributes of the one cookie that the answer sets."""
    (header,) = response.headers.get_list("set-cookie")
    ((name, morsel),) = SimpleCookie(header).items()
    assert name == "chat_refresh"
    return morsel.value, {key: value for key, value in morsel.items() if value}


async def test_in_cookie_mode_scripts_never_see_the_refresh_token(server: Any) -> None:
    user = await a_user(server)
    mode = {"X-Chat-Session": "cookie"}

    async with anonymous(server) as http:
        signed_in = await log_in(http, user, **mode)
        assert signed_in.json()["refresh_token"] is None
        first, attributes = cookie_of(signed_in)
        assert attributes == {
            "path": "/api/v1/auth",
            "httponly": True,
            "samesite": "strict",
            "max-age": str(30 * 86_400),
        }
        http.cookies.clear()

        refreshed = await http.post("/auth/refresh", headers=mode | {"Cookie": f"chat_refresh={first}"})
        assert refreshed.status_code == 200
        assert refreshed.json()["refresh_token"] is None
        second, _ = cookie_of(refreshed)
        assert second != first


async def test_the_cookie_is_secure_off_loopback(server: Any) -> None:
    user = await a_user(server)

    async with anonymous(server) as http:
        answer = await log_in(http, user, **{"X-Chat-Session": "cookie", "Host": "chat.example.org"})

    assert cookie_of(answer)[1]["secure"] is True


async def test_the_cookie_counts_only_with_the_header(server: Any) -> None:
    user = await a_user(server)
    cookie = {"Cookie": f"chat_refresh={user.refresh_token}"}

    async with anonymous(server) as http:
        assert code_of(await http.post("/auth/refresh", headers=cookie), 422) == "invalid_request"
        assert code_of(await http.post("/auth/logout", headers=cookie), 401) == "unauthenticated"
        without = await http.post("/auth/refresh", headers={"X-Chat-Session": "cookie"})
        assert code_of(without, 401) == "unauthenticated"
    assert (await user.http.get("/users/me")).status_code == 200


async def test_a_logout_in_cookie_mode_needs_no_access_token(server: Any) -> None:
    user = await a_user(server)
    headers = {"X-Chat-Session": "cookie", "Cookie": f"chat_refresh={user.refresh_token}"}

    async with anonymous(server) as http:
        response = await http.post("/auth/logout", headers=headers)

    assert response.status_code == 204
    assert cookie_of(response)[0] == ""
    assert code_of(await user.http.get("/users/me"), 401) == "session_revoked"


async def test_a_logout_in_cookie_mode_takes_token_and_cookie_together(server: Any) -> None:
    user = await a_user(server)
    headers = {"X-Chat-Session": "cookie", "Cookie": f"chat_refresh={user.refresh_token}"}

    assert (await user.http.post("/auth/logout", headers=headers)).status_code == 204
    assert code_of(await user.http.get("/users/me"), 401) == "session_revoked"


# --- Sessions


async def test_a_logout_ends_its_session_and_no_other(server: Any) -> None:
    user = await a_user(server)

    async with anonymous(server) as http:
        other = (await log_in(http, user)).json()
        assert (await user.http.post("/auth/logout")).status_code == 204

        assert code_of(await user.http.get("/users/me"), 401) == "session_revoked"
        assert code_of(await user.http.post("/auth/logout"), 401) == "session_revoked"
        assert code_of(await refresh(http, user.refresh_token), 401) == "session_revoked"
        assert (await http.get("/users/me", headers=bearer(other["access_token"]))).status_code == 200
        assert (await refresh(http, other["refresh_token"])).status_code == 200


async def test_a_logout_everywhere_ends_all_sessions_of_the_user(server: Any) -> None:
    user, stranger = await a_user(server), await a_user(server)

    async with anonymous(server) as http:
        other = (await log_in(http, user)).json()
        assert (await user.http.post("/auth/logout-all")).status_code == 204
        for token in (user.token, other["access_token"]):
            assert code_of(await http.get("/users/me", headers=bearer(token)), 401) == "session_revoked"
    assert (await stranger.http.get("/users/me")).status_code == 200


async def test_the_list_shows_every_device_and_one_is_signed_out(server: Any) -> None:
    user = await a_user(server)
    async with anonymous(server) as http:
        other = (await log_in(http, user, **{"User-Agent": "Phone/1.0"})).json()

        items = (await user.http.get("/auth/sessions")).json()["items"]
        assert [item["current"] for item in items].count(True) == 1
        (phone,) = [item for item in items if item["user_agent"] == "Phone/1.0"]
        assert set(phone) == {"id", "created_at", "last_used_at", "ip", "user_agent", "current"}
        assert phone["ip"] == "127.0.0.1"
        assert phone["created_at"].endswith("Z")
        assert not phone["current"]

        assert (await user.http.delete(f"/auth/sessions/{phone['id']}")).status_code == 204
        signed_out = await http.get("/users/me", headers=bearer(other["access_token"]))
        assert code_of(signed_out, 401) == "session_revoked"
        assert code_of(await user.http.delete(f"/auth/sessions/{phone['id']}"), 404) == "not_found"
        remaining = (await user.http.get("/auth/sessions")).json()["items"]
        assert phone["id"] not in {item["id"] for item in remaining}


async def test_only_ones_own_sessions_are_ended(server: Any) -> None:
    user, stranger = await a_user(server), await a_user(server)
    (session,) = (await stranger.http.get("/auth/sessions")).json()["items"]

    assert code_of(await user.http.delete(f"/auth/sessions/{session['id']}"), 404) == "not_found"
    assert code_of(await user.http.delete(f"/auth/sessions/{uuid4()}"), 404) == "not_found"
    assert code_of(await user.http.delete("/auth/sessions/x"), 422) == "invalid_request"
    assert (await stranger.http.get("/users/me")).status_code == 200


async def test_a_ticket_is_issued_to_callers(server: Any) -> None:
    user = await a_user(server)

    first, second = [(await user.http.post("/auth/ws-ticket")).json() for _ in range(2)]

    assert first["expires_in"] == 30
    assert len(first["ticket"]) >= 32
    assert first["ticket"] != second["ticket"]
    async with anonymous(server) as http:
        assert code_of(await http.post("/auth/ws-ticket"), 401) == "unauthenticated"
