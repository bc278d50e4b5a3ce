"""Access and refresh tokens: making them and reading them. Whether their session lives is not known here.

An access token is a JWT that says who, in which session, until when. A refresh token is opaque to clients:
the session's id, a secret and an HMAC tag, so that only a token that was once given out can count as
reused; and its successor is an HMAC of itself, so that every node gives the same one although stores keep
hashes only. Each purpose has its own key, derived from CHAT_SECRET_KEY.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any
from uuid import UUID

import jwt

from chat_service.domain.clock import Clock
from chat_service.domain.errors import TokenExpired, Unauthenticated
from chat_service.domain.models import MAX_ID

ALGORITHM = "HS256"
ISSUER = "chat-service"
AUDIENCE = "chat-service"
SCOPE = "chat"
MAX_TOKEN_CHARS = 2048
"""Longer ones are not read at all; ours have some 400."""

_TOKENS_REMEMBERED = 4096
_CLAIMS = ("sub", "sid", "iat", "exp", "aud", "iss", "scope", "typ")
_REFRESH_PREFIX = "crt_"
_ID_BYTES, _SECRET_BYTES, _TAG_BYTES = 16, 32, 32


def derive_key(secret: bytes, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose; keys of different purposes tell nothing about each other."""
    return hmac.digest(secret, f"chat-service/{purpose}".encode(), "sha256")


def hash_token(token: str) -> bytes:
    """What stores keep of a token: its SHA-256. Tokens have 256 random bits, so no salt is needed."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


@dataclass(frozen=True, slots=True)
class AccessToken:
    text: str = field(repr=False)
    expires_in: int
    """Seconds."""


@dataclass(frozen=True, slots=True)
class AccessClaims:
    user_id: int
    session_id: UUID
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RefreshToken:
    """A refresh token that this deployment has given out, now or once."""

    session_id: UUID
    secret: bytes = field(repr=False)
    text: str = field(repr=False)

    @property
    def hash(self) -> bytes:
        return hash_token(self.text)


class Tokens:
    """`secret` is CHAT_SECRET_KEY; all nodes of a deployment have the same one.

    A refresh token does not say when it ends: the row of its session does, `refresh_lifetime` after it was
    given out.
    """

    def __init__(
        self, secret: bytes, *, access_lifetime: timedelta, refresh_lifetime: timedelta, clock: Clock
    ) -> None:
        self._access_key = derive_key(secret, "access-token")
        self._tag_key = derive_key(secret, "refresh-token-tag")
        self._successor_key = derive_key(secret, "refresh-token-successor")
        self._access_lifetime = access_lifetime
        self.refresh_lifetime = refresh_lifetime
        self._clock = clock
        # What a signature has proven stays proven; a client sends the same token hundreds of times.
        self._verify_access = lru_cache(_TOKENS_REMEMBERED)(self._read_signed)

    def make_access(self, user_id: int, session_id: UUID) -> AccessToken:
        issued_at = int(self._clock().timestamp())
        lifetime_s = int(self._access_lifetime.total_seconds())
        claims = {
            "sub": str(user_id),
            "sid": str(session_id),
            "iat": issued_at,
            "exp": issued_at + lifetime_s,
            "aud": AUDIENCE,
            "iss": ISSUER,
            "scope": SCOPE,
            "typ": "access",
        }
        return AccessToken(jwt.encode(claims, self._access_key, ALGORITHM), lifetime_s)

    def read_access(self, token: str) -> AccessClaims:
        """Raises `TokenExpired` for one of ours whose time is over, `Unauthenticated` for everything else."""
        claims = self._verify_access(token)
        if claims.expires_at <= self._clock():
            raise TokenExpired
        return claims

    def _read_signed(self, token: str) -> AccessClaims:
        claims = self._decode(token)
        if claims["typ"] != "access" or claims["scope"] != SCOPE:
            raise Unauthenticated
        return AccessClaims(_read_id(claims["sub"]), _read_uuid(claims["sid"]), _read_time(claims["exp"]))

    def make_refresh(self, session_id: UUID) -> RefreshToken:
        return self._refresh(session_id, secrets.token_bytes(_SECRET_BYTES))

    def read_refresh(self, token: str) -> RefreshToken:
        """Raises `Unauthenticated` for what was never given out."""
        text = token if token.isascii() and len(token) <= MAX_TOKEN_CHARS else ""
        try:
            raw = base64.b64decode(_padded(text.removeprefix(_REFRESH_PREFIX)), altchars=b"-_", validate=True)
        except binascii.Error as error:
            raise Unauthenticated("The refresh token is not valid.") from error
        session_id, secret = raw[:_ID_BYTES], raw[_ID_BYTES:-_TAG_BYTES]
        if len(raw) != _ID_BYTES + _SECRET_BYTES + _TAG_BYTES:
            raise Unauthenticated("The refresh token is not valid.")
        genuine = self._refresh(UUID(bytes=session_id), secret)
        if not hmac.compare_digest(genuine.text, text):
            raise Unauthenticated("The refresh token is not valid.")
        return genuine

    def make_successor(self, token: RefreshToken) -> RefreshToken:
        """The token that follows this one, the same whoever asks and whenever."""
        content = token.session_id.bytes + token.secret
        return self._refresh(token.session_id, hmac.digest(self._successor_key, content, "sha256"))

    def _refresh(self, session_id: UUID, secret: bytes) -> RefreshToken:
        content = session_id.bytes + secret
        raw = content + hmac.digest(self._tag_key, content, "sha256")
        text = _REFRESH_PREFIX + base64.urlsafe_b64encode(raw).decode().rstrip("=")
        return RefreshToken(session_id, secret, text)

    def _decode(self, token: str) -> dict[str, Any]:
        """The claims of a token with our signature. Its time is compared by `read_access`, by our clock."""
        if len(token) > MAX_TOKEN_CHARS:
            raise Unauthenticated
        try:
            return jwt.decode(
                token,
                self._access_key,
                algorithms=[ALGORITHM],
                audience=AUDIENCE,
                issuer=ISSUER,
                options={"require": list(_CLAIMS), "verify_exp": False, "verify_iat": False},
            )
        except (jwt.InvalidTokenError, UnicodeError) as error:
            raise Unauthenticated from error


def _read_id(value: object) -> int:
    if not isinstance(value, str) or not re.fullmatch("[1-9][0-9]{0,15}", value) or int(value) > MAX_ID:
        raise Unauthenticated
    return int(value)


def _read_uuid(value: object) -> UUID:
    try:
        return UUID(str(value))
    except ValueError as error:
        raise Unauthenticated from error


def _read_time(value: object) -> datetime:
    if not isinstance(value, int) or not 0 <= value < 2**36:
        raise Unauthenticated
    return datetime.fromtimestamp(value, UTC)


def _padded(text: str) -> str:
    return text + "=" * (-len(text) % 4)
