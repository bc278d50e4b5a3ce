"""Pure ASGI middleware around every request: identity and log line, path, size.

None of it is a `BaseHTTPMiddleware`, which would put a task and a queue between a handler and its client.
Sockets pass with their `send` and `receive` untouched, because the path of their frames must stay short.
"""

from __future__ import annotations

import re
import time
from uuid import uuid4

import structlog
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from chat_service.domain.errors import TooLarge
from chat_service.routes.problems import count_refusal, problem, request_id_of

MAX_BODY_BYTES = 256 * 1024
API_PREFIX = "/api/v1"

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_QUIET_PATHS = frozenset({"/health", "/livez", "/readyz", "/metrics"})
_ASSETS = "/assets/"
_SECRET_PATHS = (f"{API_PREFIX}/auth/", f"{API_PREFIX}/users/login", f"{API_PREFIX}/users/register")
_log = structlog.stdlib.get_logger("chat_service.access")


def install_middleware(app: FastAPI) -> None:
    """Add all of this module in its order, outermost last.

    What is added before (CORS) lies inside, and its answers get a request id and a log line too.
    """
    app.add_middleware(BodyLimit)
    app.add_middleware(TrailingSlash)
    app.add_middleware(RequestContext)


class RequestContext:
    """Gives every request an id, a log line without its query string, and the security headers.

    The id is the client's `X-Request-ID` where that is harmless. It is in the log context, in
    `scope["state"]["request_id"]` and in the answer. Who sets `scope["state"]["user_id"]` gets it logged.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in {"http", "websocket"}:
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        request_id = given if _REQUEST_ID.fullmatch(given) else uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        tokens = structlog.contextvars.bind_contextvars(request_id=request_id)
        try:
            if scope["type"] == "http":
                await self._answer(scope, receive, send, has_token="authorization" in headers)
            else:
                await self.app(scope, receive, send)
        finally:
            structlog.contextvars.reset_contextvars(**tokens)

    async def _answer(self, scope: Scope, receive: Receive, send: Send, *, has_token: bool) -> None:
        # Inner middleware and mounts change the scope's path; the log says what was asked for.
        path, began, status = scope["path"], time.perf_counter(), 500
        inner = inner_path(scope)
        is_secret = _is_secret(inner, has_token=has_token)
        # Of a first visit to the web client the page is worth a line, not its hundred files.
        is_quiet = inner in _QUIET_PATHS or inner.startswith(_ASSETS)

        async def add_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers["X-Request-ID"] = scope["state"]["request_id"]
                headers.setdefault("X-Content-Type-Options", "nosniff")
                headers.setdefault("Referrer-Policy", "no-referrer")
                if is_secret:
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self.app(scope, receive, add_headers)
        finally:
            say = _log.debug if is_quiet else _log.info
            say(
                "request",
                method=scope["method"],
                path=path,
                status=status,
                duration_ms=round((time.perf_counter() - began) * 1000, 2),
                user_id=scope["state"].get("user_id"),
            )


def _is_secret(path: str, *, has_token: bool) -> bool:
    return path.startswith(f"{API_PREFIX}/") and (has_token or path.startswith(_SECRET_PATHS))


def inner_path(scope: Scope) -> str:
    """The path within this application, which may be mounted below another one's."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


class TrailingSlash:
    """Lets every path below `/api/v1` answer with one trailing slash as without, and without a redirect.

    Routes are declared without it. A `%2F` at the end is data and stays.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in {"http", "websocket"} and scope["path"].endswith("/"):
            raw: bytes | None = scope.get("raw_path")
            if inner_path(scope).startswith(f"{API_PREFIX}/") and (raw is None or raw.endswith(b"/")):
                scope = {**scope, "path": scope["path"][:-1]}
                if raw is not None:
                    scope["raw_path"] = raw[:-1]
        await self.app(scope, receive, send)


class BodyLimit:
    """Refuses bodies above `max_bytes` with `too_large`, as soon as it is known that they are."""

    def __init__(self, app: ASGIApp, max_bytes: int = MAX_BODY_BYTES) -> None:
        self.app = app
        self.max_bytes = max_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        declared = Headers(scope=scope).get("content-length", "")
        # Longer than any number that could pass, and `int` refuses thousands of digits.
        if declared.isdecimal() and (len(declared) > 18 or int(declared) > self.max_bytes):
            count_refusal(scope, TooLarge())
            await problem(TooLarge(), request_id_of(scope))(scope, receive, send)
            return
        received = 0

        async def count() -> Message:
            nonlocal received
            message = await receive()
            if message["type"] == "http.request":
                received += len(message.get("body", b""))
                if received > self.max_bytes:
                    # FastAPI passes this kind on while it reads a body, and makes 400 of all others.
                    raise HTTPException(TooLarge.status)
            return message

        await self.app(scope, count, send)
