"""The edge of a tiny application: errors as problems, strict bodies and parameters, the middleware."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx2
import orjson
import pytest
import structlog
from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.security import OAuth2PasswordRequestForm
from starlette.testclient import TestClient
from starlette.websockets import WebSocket, WebSocketDisconnect

from chat_service.domain.errors import (
    AccountDisabled,
    ChatError,
    Forbidden,
    Internal,
    InvalidRequest,
    NotFound,
    RateLimited,
    SessionRevoked,
    TooLarge,
    Unauthenticated,
    Unavailable,
    every_error,
)
from chat_service.routes.middleware import MAX_BODY_BYTES, BodyLimit, install_middleware
from chat_service.routes.parameters import DEFAULT_LIMIT, ChatId, Limit, MessageId, SeqQuery, TimeQuery
from chat_service.routes.problems import close_code, error_frame, install_problem_handlers, problem
from chat_service.routes.schemas import LoginIn, ProblemOut, RefreshIn, SendMessageIn
from chat_service.routes.strict import JsonResponse, StrictRoute

JSON = {"content-type": "application/json"}
MESSAGE_ID = "01936f5e-7c1a-7b3e-9a55-3f0e5a2b8c11"
router = APIRouter(prefix="/api/v1", route_class=StrictRoute)


@router.post("/messages")
async def post_message(body: SendMessageIn) -> JsonResponse:
    return JsonResponse({"content": body.content}, 201, {"Location": "/api/v1/messages/1"})


@router.post("/users/login")
async def login(body: LoginIn) -> JsonResponse:
    raise Unauthenticated(body.username)


@router.post("/auth/refresh")
async def refresh(body: RefreshIn | None = None) -> JsonResponse:
    return JsonResponse({"has_body": body is not None})


@router.post("/auth/token")
async def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> JsonResponse:
    return JsonResponse({"username": form.username})


@router.post("/auth/logout")
async def logout() -> JsonResponse:
    return JsonResponse(b'{"ready":1}')


@router.get("/chats/{chat_id}")
async def get_chat(
    chat_id: ChatId,
    request: Request,
    *,
    limit: Limit = DEFAULT_LIMIT,
    before: SeqQuery | None = None,
    at: TimeQuery | None = None,
) -> JsonResponse:
    request.state.user_id = 7
    return JsonResponse({"chat_id": chat_id, "limit": limit, "before": before, "at": at})


@router.get("/messages/{message_id}")
async def get_message(message_id: MessageId) -> JsonResponse:
    return JsonResponse({"id": message_id})


@router.get("/errors/{code}")
async def fail(code: str) -> JsonResponse:
    if code == "defect":
        raise ZeroDivisionError("secret detail")
    raise every_error()[code](retry_after_s=1.2)


@router.websocket("/ws")
async def socket(websocket: WebSocket) -> None:
    raise SessionRevoked


@router.websocket("/ws/{chat_id}")
async def chat_socket(websocket: WebSocket, chat_id: ChatId) -> None:
    await websocket.accept()
    raise Unavailable


@pytest.fixture
def app() -> FastAPI:
    found = FastAPI(redirect_slashes=False)
    found.include_router(router)
    install_problem_handlers(found)
    install_middleware(found)
    return found


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app, raise_app_exceptions=True), base_url="http://test"
    ) as found:
        yield found


def assert_problem(answer: httpx2.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    ProblemOut.model_validate(body)
    assert (body["status"], body["status_code"], body["code"]) == (status, status, code)
    assert body["request_id"] == answer.headers["x-request-id"]
    assert body["detail"].endswith(".")
    return body


# --- Errors -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("code", "kind"), every_error().items())
async def test_every_error_is_a_problem(client: httpx2.AsyncClient, code: str, kind: type[ChatError]) -> None:
    answer = await client.get(f"/api/v1/errors/{code}")
    assert_problem(answer, kind.status, code)
    assert answer.headers.get("www-authenticate") == ("Bearer" if kind.status == 401 else None)
    assert answer.headers.get("retry-after") == ("2" if kind.status in {429, 503} else None)


async def test_a_defect_is_internal_and_only_the_log_knows_more(client: httpx2.AsyncClient) -> None:
    with structlog.testing.capture_logs() as logs:
        answer = await client.get("/api/v1/errors/defect")
    assert_problem(answer, 500, "internal")
    assert "secret" not in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    (defect,) = (entry for entry in logs if entry["event"] == "request failed")
    assert defect["exc_info"] is True
    (line,) = (entry for entry in logs if entry["event"] == "request")
    assert line["status"] == 500


async def test_what_middleware_raises_is_internal_too(app: FastAPI) -> None:
    async def broken(*_: object) -> None:
        raise ZeroDivisionError

    app.add_middleware(lambda _: broken)
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.get("/api/v1/chats/1")
    assert (answer.status_code, answer.json()["code"]) == (500, "internal")


async def test_unknown_paths_and_methods_are_problems(client: httpx2.AsyncClient) -> None:
    assert_problem(await client.get("/nowhere"), 404, "not_found")
    answer = await client.put("/api/v1/messages")
    assert_problem(answer, 405, "method_not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (Unauthenticated(), (4001, "unauthenticated")),
        (SessionRevoked(), (4001, "session_revoked")),
        (Forbidden(), (4003, "forbidden")),
        (AccountDisabled(), (4003, "account_disabled")),
        (NotFound(), (4003, "not_found")),
        (Unavailable(), (1013, "unavailable")),
        (TooLarge(), (1009, "too_large")),
        (RateLimited(), (1008, "rate_limited")),
        (InvalidRequest(), (1008, "invalid_request")),
        (Internal(), (1011, "internal")),
    ],
)
def test_errors_close_sockets_with_their_code(error: ChatError, expected: tuple[int, str]) -> None:
    assert close_code(error) == expected


def test_error_frames_have_their_type_first_and_whole_milliseconds() -> None:
    assert (
        error_frame(NotFound("No."), "r") == b'{"type":"error","ref":"r","code":"not_found","detail":"No."}'
    )
    assert orjson.loads(error_frame(RateLimited(retry_after_s=0.0001), None)) == {
        "type": "error",
        "ref": None,
        "code": "rate_limited",
        "detail": RateLimited.default,
        "retry_after_ms": 1,
    }


def test_retry_after_is_always_there_and_at_least_a_second() -> None:
    assert problem(Unavailable(), None).headers["retry-after"] == "1"
    assert problem(RateLimited(retry_after_s=0.01), None).headers["retry-after"] == "1"


# --- Sockets ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "code", "reason"),
    [
        ("/api/v1/ws", 4001, "session_revoked"),
        ("/api/v1/ws/", 4001, "session_revoked"),
        ("/api/v1/ws/5", 1013, "unavailable"),
        ("/api/v1/ws/0", 4003, "not_found"),
        ("/api/v1/ws/x", 4003, "not_found"),
    ],
)
def test_a_refused_socket_is_accepted_and_closed(app: FastAPI, path: str, code: int, reason: str) -> None:
    with TestClient(app).websocket_connect(path) as websocket, pytest.raises(WebSocketDisconnect) as caught:
        websocket.receive_text()
    assert (caught.value.code, caught.value.reason) == (code, reason)


# --- Bodies -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"{",
        b"",
        b"nonsense",
        b'{"chat_id":NaN,"content":"x"}',
        b'{"chat_id":1,"content":"\\ud800"}',
        b'{"chat_id":1,"content":"\xff"}',
        b"[" * 5000 + b"]" * 5000,
        b"[]",
        b'"text"',
        b"null",
        b'{"chat_id":"1","content":"x"}',
        b'{"chat_id":true,"content":"x"}',
        b'{"chat_id":1,"content":"x","more":1}',
    ],
)
async def test_bad_bodies_are_invalid_requests(client: httpx2.AsyncClient, body: bytes) -> None:
    answer = await client.post("/api/v1/messages", content=body, headers=JSON)
    found = assert_problem(answer, 422, "invalid_request")
    assert found["errors"]
    assert found["detail"] == found["errors"][0]["message"]


async def test_fields_are_named_without_where_they_were(client: httpx2.AsyncClient) -> None:
    answer = await client.post("/api/v1/messages", json={"chat_id": 0})
    assert [error["field"] for error in answer.json()["errors"]] == ["chat_id", "content"]


async def test_refused_values_are_never_repeated(client: httpx2.AsyncClient) -> None:
    body = {"username": "mai", "password": ["hunter2hunter2"], "other": "hunter2hunter2"}
    answer = await client.post("/api/v1/users/login", json=body)
    assert_problem(answer, 422, "invalid_request")
    assert "hunter2" not in answer.text


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "", "nonsense"])
async def test_json_must_be_declared(client: httpx2.AsyncClient, content_type: str) -> None:
    headers = {"content-type": content_type} if content_type else {}
    answer = await client.post("/api/v1/messages", content=b'{"chat_id":1,"content":"x"}', headers=headers)
    assert_problem(answer, 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=utf-8", "Application/JSON"])
async def test_json_may_be_declared_in_any_way(client: httpx2.AsyncClient, content_type: str) -> None:
    answer = await client.post(
        "/api/v1/messages", content=b'{"chat_id":1,"content":"x"}', headers={"content-type": content_type}
    )
    assert answer.status_code == 201
    assert answer.headers["location"]
    assert answer.headers["content-type"] == "application/json"


async def test_bodies_may_be_optional_forms_or_none(client: httpx2.AsyncClient) -> None:
    assert (await client.post("/api/v1/auth/refresh")).json() == {"has_body": False}
    assert (await client.post("/api/v1/auth/refresh", json={})).json() == {"has_body": True}
    form = {"username": "mai", "password": "x"}
    assert (await client.post("/api/v1/auth/token", data=form)).json() == {"username": "mai"}
    assert_problem(await client.post("/api/v1/auth/token", data={"username": "mai"}), 422, "invalid_request")
    assert (await client.post("/api/v1/auth/logout", content=b"x")).json() == {"ready": 1}


# --- Parameters ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "chat_id", ["0", "-1", "5.0", "+5", "05", "1_0", "%D9%A5", "x", str(2**53), "9" * 5000, "%00", "%205"]
)
async def test_ids_in_paths_are_plain_numbers_in_range(client: httpx2.AsyncClient, chat_id: str) -> None:
    assert_problem(await client.get(f"/api/v1/chats/{chat_id}"), 422, "invalid_request")


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=101",
        "limit=x",
        "limit=",
        "limit=5.0",
        "before=-1",
        "at=5",
        "at=2026-13-01T00:00:00Z",
    ],
)
async def test_bad_parameters_are_invalid_requests(client: httpx2.AsyncClient, query: str) -> None:
    body = assert_problem(await client.get(f"/api/v1/chats/1?{query}"), 422, "invalid_request")
    assert body["errors"][0]["field"] == query.partition("=")[0]


async def test_good_parameters_arrive(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/v1/chats/9007199254740991")).json() == {
        "chat_id": 2**53 - 1,
        "limit": 50,
        "before": None,
        "at": None,
    }
    query = "limit=1&limit=100&before=0&unknown=1&at=2026-11-20T11:30:00+02:00"
    assert (await client.get(f"/api/v1/chats/1?{query}")).json() == {
        "chat_id": 1,
        "limit": 100,
        "before": 0,
        "at": "2026-11-20T09:30:00Z",
    }


async def test_message_ids_are_uuids(client: httpx2.AsyncClient) -> None:
    assert (await client.get(f"/api/v1/messages/{MESSAGE_ID.upper()}")).json() == {"id": MESSAGE_ID}
    for bad in ("1", MESSAGE_ID.replace("-", ""), f"{MESSAGE_ID}0"):
        assert_problem(await client.get(f"/api/v1/messages/{bad}"), 422, "invalid_request")


# --- Middleware ---------------------------------------------------------------------------------------


async def test_a_sane_request_id_is_kept_and_others_are_replaced(client: httpx2.AsyncClient) -> None:
    answer = await client.get("/api/v1/chats/1", headers={"x-request-id": "trace-1.a_B"})
    assert answer.headers["x-request-id"] == "trace-1.a_B"
    for bad in (b"", b"a b", b"x" * 65, "é".encode(), b'a"b'):
        answer = await client.get("/api/v1/chats/1", headers={b"x-request-id": bad})
        assert len(answer.headers["x-request-id"]) == 32


async def test_the_log_line_has_the_path_but_not_the_query(client: httpx2.AsyncClient) -> None:
    merge = structlog.contextvars.merge_contextvars
    with structlog.testing.capture_logs(processors=[merge]) as logs:
        await client.get("/api/v1/chats/1/?token=abc", headers={"x-request-id": "r1"})
    (line,) = (entry for entry in logs if entry["event"] == "request")
    assert line.pop("duration_ms") >= 0
    assert line == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/api/v1/chats/1/",
        "status": 200,
        "user_id": 7,
        "request_id": "r1",
    }


@pytest.mark.parametrize(
    "path", ["/livez", "/metrics", "/assets/app/main.js", "/assets/0123456789ab/app/main.js"]
)
async def test_what_is_asked_for_all_the_time_is_logged_for_the_curious(
    client: httpx2.AsyncClient, path: str
) -> None:
    with structlog.testing.capture_logs() as logs:
        await client.get(path)
    assert [entry["log_level"] for entry in logs if entry["event"] == "request"] == ["debug"]


@pytest.mark.parametrize(
    ("method", "path", "headers", "is_private"),
    [
        ("GET", "/api/v1/chats/1", {"authorization": "Bearer x"}, True),
        ("GET", "/api/v1/chats/1", {}, False),
        ("POST", "/api/v1/auth/refresh", {}, True),
        ("POST", "/api/v1/users/login/", {}, True),
        ("GET", "/nowhere", {"authorization": "Bearer x"}, False),
    ],
)
async def test_private_answers_are_not_stored(
    client: httpx2.AsyncClient, method: str, path: str, headers: dict[str, str], is_private: bool
) -> None:
    answer = await client.request(method, path, headers=headers)
    assert answer.headers.get("cache-control") == ("no-store" if is_private else None)
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"


async def test_paths_answer_with_one_trailing_slash(client: httpx2.AsyncClient) -> None:
    assert (await client.get("/api/v1/chats/1/?limit=3")).json()["limit"] == 3
    assert (await client.post("/api/v1/messages/", json={"chat_id": 1, "content": "x"})).status_code == 201
    assert (await client.get("/api/v1/chats/1//")).status_code == 404
    assert (await client.get("/api/v1/chats/1%2F")).status_code == 404


async def test_a_mounted_application_answers_with_a_slash_too(app: FastAPI) -> None:
    outer = FastAPI(redirect_slashes=False)
    outer.mount("/chat", app)
    async with httpx2.AsyncClient(transport=httpx2.ASGITransport(outer), base_url="http://test") as client:
        answer = await client.get("/chat/api/v1/chats/1/", headers={"authorization": "Bearer x"})
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-store"


async def test_declared_bodies_beyond_the_limit_are_too_large(client: httpx2.AsyncClient) -> None:
    body = orjson.dumps({"chat_id": 1, "content": "x" * MAX_BODY_BYTES})
    assert_problem(await client.post("/api/v1/messages", content=body, headers=JSON), 413, "too_large")
    headers = JSON | {"content-length": "9" * 100}
    assert_problem(await client.post("/api/v1/messages", content=b"{}", headers=headers), 413, "too_large")


async def test_streamed_bodies_beyond_the_limit_are_too_large(client: httpx2.AsyncClient) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b" " * (MAX_BODY_BYTES // 4)

    assert_problem(await client.post("/api/v1/messages", content=stream(), headers=JSON), 413, "too_large")
    answer = await client.post(
        "/api/v1/auth/token", content=stream(), headers={"content-type": "application/x-www-form-urlencoded"}
    )
    assert_problem(answer, 413, "too_large")


async def test_a_body_of_exactly_the_limit_passes(client: httpx2.AsyncClient) -> None:
    body = b'{"chat_id":1,"content":"x"}'.ljust(MAX_BODY_BYTES)
    assert (await client.post("/api/v1/messages", content=body, headers=JSON)).status_code == 201


def test_the_body_limit_equals_that_of_frames() -> None:
    assert BodyLimit(lambda *_: None).max_bytes == 256 * 1024  # type: ignore[arg-type]
