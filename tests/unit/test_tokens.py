"""Access and refresh tokens: ours are read, everything else is refused."""

# ruff: noqa: RUF001 - letters that are mistaken for others are what some of this is about

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_service.domain.errors import TokenExpired, Unauthenticated
from chat_service.services.tokens import AccessClaims, Tokens, derive_key

SECRET = b"one secret of more than thirty-two bytes"
SESSION = UUID("01936f5e-7c1a-7b3e-9a55-3f0e5a2b8c11")
NOW = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)


class Watch:
    """A clock that tests turn."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def tokens_of(secret: bytes = SECRET, clock: Watch | None = None) -> Tokens:
    return Tokens(
        secret,
        access_lifetime=timedelta(minutes=15),
        refresh_lifetime=timedelta(days=30),
        clock=clock or Watch(),
    )


def forge(key: bytes | None = None, algorithm: str = "HS256", **changes: Any) -> str:
    """A token as we would sign it, with some claims changed (None leaves one out)."""
    claims: dict[str, Any] = {
        "sub": "7",
        "sid": str(SESSION),
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 900,
        "aud": "chat-service",
        "iss": "chat-service",
        "scope": "chat",
        "typ": "access",
    }
    claims = {name: value for name, value in (claims | changes).items() if value is not None}
    return jwt.encode(claims, derive_key(SECRET, "access-token") if key is None else key, algorithm)


# --- Access tokens


def test_an_access_token_says_who_in_which_session_until_when() -> None:
    token = tokens_of().make_access(7, SESSION)

    assert token.expires_in == 900
    assert tokens_of().read_access(token.text) == AccessClaims(7, SESSION, NOW + timedelta(minutes=15))
    assert tokens_of().read_access(forge()) == AccessClaims(7, SESSION, NOW + timedelta(minutes=15))


def test_an_access_token_expires() -> None:
    clock = Watch()
    tokens = tokens_of(clock=clock)
    token = tokens.make_access(7, SESSION).text

    clock.now += timedelta(minutes=15, seconds=-1)
    assert tokens.read_access(token).user_id == 7
    clock.now += timedelta(seconds=1)
    with pytest.raises(TokenExpired):
        tokens.read_access(token)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "another"},
        {"aud": None},
        {"iss": "another"},
        {"iss": None},
        {"typ": "refresh"},
        {"typ": None},
        {"scope": "admin"},
        {"scope": None},
        {"sid": "not a uuid"},
        {"sid": 5},
        {"sid": None},
        {"sub": None},
        {"sub": 7},
        {"sub": "0"},
        {"sub": "-7"},
        {"sub": "07"},
        {"sub": "٧"},
        {"sub": "7\n"},
        {"sub": str(2**53)},
        {"sub": "9" * 400},
        {"exp": None},
        {"exp": "soon"},
        {"exp": 2**60},
        {"exp": -1},
        {"iat": None},
    ],
)
def test_a_token_with_other_claims_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(Unauthenticated):
        tokens_of().read_access(forge(**changes))


def test_the_largest_id_is_accepted() -> None:
    assert tokens_of().read_access(forge(sub=str(2**53 - 1))).user_id == 2**53 - 1


def test_a_token_signed_with_another_key_is_refused() -> None:
    other = b"another secret of more than thirty-two bytes"
    for token in (tokens_of(other).make_access(7, SESSION).text, forge(SECRET), forge(other)):
        with pytest.raises(Unauthenticated):
            tokens_of().read_access(token)


def test_an_expired_token_with_a_wrong_signature_is_not_called_expired() -> None:
    with pytest.raises(Unauthenticated):
        tokens_of().read_access(forge(b"another key of at least thirty-two bytes", exp=1))


def test_other_algorithms_are_refused() -> None:
    key = derive_key(SECRET, "access-token")
    for token in (forge(key + key, "HS512"), _unsigned(forge())):
        with pytest.raises(Unauthenticated):
            tokens_of().read_access(token)


def _unsigned(token: str) -> str:
    header = base64.urlsafe_b64encode(json.dumps({"alg": "none", "typ": "JWT"}).encode()).decode().rstrip("=")
    return f"{header}.{token.split('.')[1]}."


@pytest.mark.parametrize("token", ["", ".", "..", "a.b.c", "é.b.c", "\ud800", "x" * 100_000, "null", "a b"])
def test_garbage_is_no_access_token(token: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens_of().read_access(token)


@given(st.text())
def test_no_text_is_an_access_token(token: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens_of().read_access(token)


# --- Refresh tokens


def test_a_refresh_token_names_its_session() -> None:
    token = tokens_of().make_refresh(SESSION)

    assert tokens_of().read_refresh(token.text) == token
    assert token.session_id == SESSION
    assert len(token.hash) == 32
    assert tokens_of().make_refresh(SESSION) != token


def test_every_node_gives_the_same_successor() -> None:
    token = tokens_of().make_refresh(SESSION)
    clock = Watch()
    clock.now += timedelta(seconds=9)

    successor = tokens_of().make_successor(token)

    assert tokens_of(clock=clock).make_successor(tokens_of().read_refresh(token.text)) == successor
    assert successor.session_id == SESSION
    assert successor.hash != token.hash
    assert tokens_of().read_refresh(successor.text) == successor
    assert tokens_of().make_successor(successor) != token


def test_tokens_of_another_secret_are_no_refresh_tokens() -> None:
    token = tokens_of(b"another secret of more than thirty-two bytes").make_refresh(SESSION)

    with pytest.raises(Unauthenticated):
        tokens_of().read_refresh(token.text)


def test_every_changed_character_is_noticed() -> None:
    text = tokens_of().make_refresh(SESSION).text

    for index in range(len(text)):
        changed = text[:index] + ("A" if text[index] != "A" else "B") + text[index + 1 :]
        with pytest.raises(Unauthenticated):
            tokens_of().read_refresh(changed)


def test_a_tag_of_another_session_is_noticed() -> None:
    one, other = tokens_of().make_refresh(SESSION), tokens_of().make_refresh(UUID(int=1))

    with pytest.raises(Unauthenticated):
        tokens_of().read_refresh(other.text[:20] + one.text[20:])


def test_other_spellings_of_a_refresh_token_are_refused() -> None:
    text = tokens_of().make_refresh(SESSION).text

    for other in (text + "=", text + "A", text + "\n", " " + text, text.removeprefix("crt_"), text.upper()):
        with pytest.raises(Unauthenticated):
            tokens_of().read_refresh(other)


@given(st.text())
def test_no_text_is_a_refresh_token(text: str) -> None:
    with pytest.raises(Unauthenticated):
        tokens_of().read_refresh(text)
    with pytest.raises(Unauthenticated):
        tokens_of().read_refresh("crt_" + text)


def test_neither_token_counts_as_the_other() -> None:
    tokens = tokens_of()

    with pytest.raises(Unauthenticated):
        tokens.read_access(tokens.make_refresh(SESSION).text)
    with pytest.raises(Unauthenticated):
        tokens.read_refresh(tokens.make_access(7, SESSION).text)


def test_keys_of_different_purposes_differ() -> None:
    assert len({derive_key(SECRET, purpose) for purpose in ("a", "b", "c")}) == 3
    assert derive_key(SECRET, "a") == derive_key(SECRET, "a")
    assert derive_key(SECRET, "a") != derive_key(SECRET + b"x", "a")
