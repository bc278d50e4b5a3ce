"""The one place that renders errors: as problem documents (REST), error frames and close codes (sockets).

`type` is `about:blank`, so that `title` is the phrase of the HTTP status (RFC 9457, 4.2.1); what went wrong
is said by `code`, which is stable, and by `detail`, which is for people. No answer repeats the value that was
refused: it may be a password.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import Any

import structlog
from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError, WebSocketRequestValidationError
from fastapi.routing import iter_route_contexts
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, HTTPConnection, Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketState

from chat_service.domain.errors import (
    ChatError,
    Conflict,
    Forbidden,
    Internal,
    InvalidFrame,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    RateLimited,
    TooLarge,
    Unauthenticated,
    Unavailable,
    UnsupportedMediaType,
)
from chat_service.routes.strict import JsonResponse, encode_json

MAX_FIELD_ERRORS = 20
MAX_FIELD_NAME_CHARS = 64

_SOURCES = ("body", "query", "path", "header", "cookie")
_BY_STATUS: dict[int, type[ChatError]] = {
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: TooLarge,
    415: UnsupportedMediaType,
    429: RateLimited,
    503: Unavailable,
}
_log = structlog.stdlib.get_logger(__name__)


class ProblemResponse(JsonResponse):
    media_type = "application/problem+json"


# --- What an error looks like -------------------------------------------------------------------------


def problem(error: ChatError, request_id: str | None) -> ProblemResponse:
    """The problem document of an error, with the headers that its status asks for."""
    content: dict[str, object] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.detail,
        "status_code": error.status,
        "code": error.code,
        "request_id": request_id,
    }
    if error.errors is not None:
        content["errors"] = error.errors
    headers: dict[str, str] = {}
    if error.status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if error.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_s or 1)))
    return ProblemResponse(content, error.status, headers)


def error_frame(error: ChatError, ref: str | None) -> bytes:
    """The `error` reply that ends the command with this `ref` (None: it had none that could be read)."""
    frame: dict[str, object] = {"type": "error", "ref": ref, "code": error.code, "detail": error.detail}
    if error.retry_after_s is not None:
        frame["retry_after_ms"] = max(1, math.ceil(error.retry_after_s * 1000))
    return encode_json(frame)


def close_code(error: ChatError) -> tuple[int, str]:
    """The code and the reason (always the error code) that end a socket because of this error.

    A disabled account is 4003, as its status is 403: a new token would not help. So is a chat that the
    caller may not see.
    """
    if error.status == HTTPStatus.UNAUTHORIZED:
        return 4001, error.code
    if error.status in {HTTPStatus.FORBIDDEN, HTTPStatus.NOT_FOUND}:
        return 4003, error.code
    if isinstance(error, Unavailable):
        return 1013, error.code
    if isinstance(error, TooLarge):
        return 1009, error.code
    if isinstance(error, RateLimited | InvalidFrame | InvalidRequest):
        return 1008, error.code
    return 1011, error.code


# --- What is wrong with a request ---------------------------------------------------------------------


def invalid_request(errors: Iterable[Mapping[str, Any]], *, whole: str = "body") -> InvalidRequest:
    """Pydantic's errors as one `InvalidRequest`: the first as its sentence, at most 20 of them listed.

    `whole` names what was parsed, for errors that are about no single field.
    """
    found = [_field_error(error, whole) for _, error in zip(range(MAX_FIELD_ERRORS), errors, strict=False)]
    detail = found[0]["message"] if found else None
    return InvalidRequest(detail, errors=found)


def _field_error(error: Mapping[str, Any], whole: str) -> dict[str, str]:
    path = list(error["loc"])
    if path and path[0] in _SOURCES and whole == "body":
        del path[0]
    kind, said = error["type"], str(error["msg"]).removeprefix("Value error, ").rstrip(".")
    if kind == "json_invalid":
        return {"field": whole, "message": f"The {whole} is not valid JSON."}
    name = ".".join(map(str, path)) or whole
    name = "".join(char if char.isprintable() else "?" for char in name[:MAX_FIELD_NAME_CHARS])
    noun = f"field {name}" if path else whole
    if kind == "missing":
        message = f"The {noun} is missing."
    elif kind == "extra_forbidden":
        message = f"The {noun} is not known."
    elif not path and kind in {"model_attributes_type", "model_type", "dict_type"}:
        message = f"The {whole} must be a JSON object."
    else:
        message = f"The {noun} is not valid: {said[:1].lower()}{said[1:]}."
    return {"field": name, "message": message}


# --- Handlers -----------------------------------------------------------------------------------------


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every error of this application with a problem, and every refused socket with a close code.

    May be called before or after middleware is added: what catches defects is put innermost.
    """
    # Starlette's type for handlers knows requests or sockets, not their common base.
    handlers: dict[type[Exception], Any] = {
        ChatError: _render,
        RequestValidationError: _handle_validation_error,
        WebSocketRequestValidationError: _handle_socket_validation_error,
        HTTPException: _handle_http_exception,
        # Only what middleware itself raises gets here; `CatchAll` has the rest.
        Exception: _handle_defect,
    }
    for kind, handler in handlers.items():
        app.add_exception_handler(kind, handler)
    app.user_middleware.append(Middleware(CatchAll))


class CatchAll:
    """Turns an exception that nobody expected into `internal`, logged with its traceback.

    It sits inside the other middleware, so that the answer gets their headers and their log line.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_begun = False

        async def watch(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except ClientDisconnect:
            return
        except Exception:
            if has_begun:
                # Too late for a problem; the server must cut the connection.
                raise
            _log.exception("request failed", method=scope["method"], path=scope["path"])
            count_refusal(scope, Internal())
            await problem(Internal(), request_id_of(scope))(scope, receive, send)


def request_id_of(scope: Scope) -> str | None:
    found = scope.get("state", {}).get("request_id")
    return found if isinstance(found, str) else None


def count_refusal(scope: Scope, error: ChatError) -> None:
    """Add to the metrics of the node, where the application has any."""
    services = getattr(scope["app"].state, "services", None)
    if services is not None:
        services.metrics.refusals.labels(error.code).inc()


async def _render(connection: HTTPConnection, error: ChatError) -> ProblemResponse | None:
    if isinstance(connection, WebSocket):
        await refuse_socket(connection, error)
        return None
    count_refusal(connection.scope, error)
    return problem(error, request_id_of(connection.scope))


async def _handle_validation_error(request: Request, error: RequestValidationError) -> ProblemResponse:
    refusal = invalid_request(error.errors())
    count_refusal(request.scope, refusal)
    return problem(refusal, request_id_of(request.scope))


async def _handle_socket_validation_error(websocket: WebSocket, _: Exception) -> None:
    """A chat id that is none is a chat that does not exist."""
    await _render(websocket, NotFound())


async def _handle_http_exception(connection: HTTPConnection, error: HTTPException) -> ProblemResponse | None:
    """What Starlette and FastAPI raise themselves: unknown paths and methods, bodies that break off."""
    if error.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
        kind = _BY_STATUS.get(error.status_code, Internal)
    else:
        kind = _BY_STATUS.get(error.status_code, InvalidRequest)
    answer = await _render(connection, kind())
    if answer is not None and error.headers:
        answer.headers.update(error.headers)
    if answer is not None and kind is MethodNotAllowed:
        answer.headers["Allow"] = ", ".join(_list_methods(connection))
    return answer


def _list_methods(connection: HTTPConnection) -> list[str]:
    """All methods of the address (RFC 9110, 15.5.6); Starlette names those of its first route alone."""
    path = connection.scope["path"].removeprefix(connection.scope.get("root_path", ""))
    found: set[str] = set()
    for route in iter_route_contexts(connection.app.routes):
        if route.methods and route.path_format and route.path_regex.match(path):
            found |= route.methods
    return sorted(found)


async def _handle_defect(request: Request, error: Exception) -> ProblemResponse:
    _log.error("middleware failed", path=request.scope["path"], exc_info=error)
    return problem(Internal(), request_id_of(request.scope))


async def refuse_socket(websocket: WebSocket, error: ChatError) -> None:
    """Close a socket because of an error; accept it first, since a browser cannot read an HTTP 403."""
    if websocket.application_state is WebSocketState.CONNECTING:
        await websocket.accept()
    if websocket.application_state is WebSocketState.CONNECTED:
        code, reason = close_code(error)
        await websocket.close(code, reason)
