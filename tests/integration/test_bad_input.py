"""What clients send by mistake or malice: every call of the OpenAPI document, so that new ones are met too.

Nothing here knows a call by its name but the story in which each of them succeeds.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import quote

import httpx2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from chat_service.app import create_app
from chat_service.domain.errors import every_error
from chat_service.domain.models import MAX_ID
from chat_service.routes.middleware import MAX_BODY_BYTES
from chat_service.services.tokens import Tokens
from tests.builders import PASSWORD, TestUser, a_direct_chat, a_group, a_user
from tests.integration.people import people
from tests.node import SECRET, Node, make_settings

UUID = "01936f5e-7c1a-7b3e-9a55-3f0e5a2b8c11"
JSON = {"content-type": "application/json"}
CODES = every_error()
FUZZED_FOR_S = 15.0
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE")


# --- The document


@cache
def document() -> dict[str, Any]:
    return create_app(make_settings()).openapi()


class Operation:
    """One call of the document."""

    def __init__(self, path: str, method: str, spec: dict[str, Any]) -> None:
        self.path, self.method, self.spec = path, method.upper(), spec
        self.parameters = spec.get("parameters", [])
        self.needs_token = bool(spec.get("security"))
        content = spec.get("requestBody", {}).get("content", {})
        self.takes_json = "application/json" in content
        self.body_schema = _resolve(content.get("application/json", {}).get("schema", {}))

    def __str__(self) -> str:
        return f"{self.method} {self.path}"

    def named(self, where: str) -> list[dict[str, Any]]:
        return [parameter for parameter in self.parameters if parameter["in"] == where]

    def fill(self, **ids: object) -> str:
        """The path with these parameters, and well-formed ones that nothing has for the others."""
        path = self.path
        for parameter in self.named("path"):
            filler = UUID if _resolve(parameter["schema"]).get("format") == "uuid" else MAX_ID
            path = path.replace("{" + parameter["name"] + "}", str(ids.get(parameter["name"], filler)))
        return path

    def example(self) -> Any:
        """A well-formed body."""
        return _example(self.body_schema)

    def fields(self) -> dict[str, Any]:
        return dict(self.body_schema.get("properties", {}))


def _resolve(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema behind references, of an optional one the part that is not null."""
    while "$ref" in schema or "anyOf" in schema:
        if "$ref" in schema:
            schema = document()["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
        else:
            schema = next(one for one in schema["anyOf"] if one.get("type") != "null")
    return schema


def _example(schema: dict[str, Any]) -> Any:
    schema = _resolve(schema)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    match schema.get("type"):
        case "object":
            return {name: _example(schema["properties"][name]) for name in schema.get("required", [])}
        case "array":
            return [_example(schema["items"])]
        case "integer":
            return int(schema.get("minimum", 1))
    return UUID if schema.get("format") == "uuid" else "x" * max(3, schema.get("minLength", 3))


def operations() -> list[Operation]:
    return [
        Operation(path, method, spec)
        for path, specs in document()["paths"].items()
        for method, spec in specs.items()
    ]


OPERATIONS = operations()
WITH_BODY = [one for one in OPERATIONS if one.takes_json]
WITH_TOKEN = [one for one in OPERATIONS if one.needs_token]
every_call = pytest.mark.parametrize("call", OPERATIONS, ids=str)
every_call_with_a_body = pytest.mark.parametrize("call", WITH_BODY, ids=str)
every_call_with_a_token = pytest.mark.parametrize("call", WITH_TOKEN, ids=str)


# --- Asking


_client: httpx2.AsyncClient


@pytest.fixture(autouse=True)
async def client() -> AsyncIterator[None]:
    """The connections of one test; redirects are not followed."""
    global _client
    async with httpx2.AsyncClient(verify=False, timeout=20) as _client:
        yield


async def ask(user: TestUser | None, server: Node, call: Operation, path: str, **request: Any) -> Any:
    """Call with the user's token (None: with none); follows no redirect."""
    headers = dict(request.pop("headers", {}))
    if user is not None and call.needs_token:
        headers.setdefault("Authorization", f"Bearer {user.token}")
    return await _client.request(call.method, server.url + path, headers=headers, **request)


def problem_of(response: httpx2.Response, *statuses: int) -> dict[str, Any]:
    """A refusal's problem document, checked."""
    assert response.status_code in statuses, f"{response.status_code} {response.text}"
    assert response.headers["content-type"] == "application/problem+json"
    problem: dict[str, Any] = response.json()
    assert_valid(problem, {"$ref": "#/components/schemas/ProblemOut"})
    assert problem["status"] == problem["status_code"] == response.status_code
    assert CODES[problem["code"]].status == response.status_code
    assert problem["request_id"] == response.headers["x-request-id"]
    if response.status_code == 401:
        assert response.headers["www-authenticate"].startswith("Bearer")
    return problem


def assert_valid(value: Any, schema: dict[str, Any]) -> None:
    errors = _validator(json.dumps(schema)).iter_errors(value)
    problems = [f"{error.json_path}: {error.message}" for error in errors]
    assert not problems, problems


@cache
def _validator(schema: str) -> Draft202012Validator:
    root = "urn:openapi"
    resource = Resource.from_contents(document(), DRAFT202012)
    absolute = json.loads(schema.replace('"#/components', f'"{root}#/components'))
    known: Registry[Any] = Registry().with_resource(root, resource)
    return Draft202012Validator(absolute, registry=known, format_checker=FormatChecker())


def assert_documented(call: Operation, response: httpx2.Response) -> None:
    """The answer has a status, a content type and a shape that the document has for this call."""
    assert response.status_code < 500, response.text
    if response.status_code >= 400:
        problem_of(response, response.status_code)
        return
    documented = call.spec["responses"].get(str(response.status_code))
    assert documented is not None, f"{call}: {response.status_code} is not documented"
    content = documented.get("content")
    if content is None:
        assert response.content == b""
        return
    assert response.headers["content-type"] == "application/json"
    assert_valid(response.json(), content["application/json"]["schema"])
    if response.status_code == 201:
        assert response.headers["location"].startswith("/api/v1/")
    if call.needs_token:
        assert response.headers["cache-control"] == "no-store"


@pytest.fixture
async def ann(server: Node) -> TestUser:
    return (await people(server, 1))[0]


# --- Bodies


NO_JSON = {
    "cut off": b'{"a":',
    "text": b"hello",
    "single quotes": b"{'a': 1}",
    "a comma too many": b'{"a": 1,}',
    "two values": b"{} {}",
    "not a number": b'{"a": NaN}',
    "no UTF-8": b'{"a": "\xff"}',
    "UTF-16": '{"a": 1}'.encode("utf-16"),
    "a lone surrogate": b'{"a": "\\ud800"}',
    "deep arrays": b"[" * 10_000 + b"]" * 10_000,
    "deep objects": b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
    "nothing": b"",
    "blanks": b"  ",
    "zero bytes": b"\0\0",
}


@every_call_with_a_body
async def test_what_is_not_json_is_invalid(server: Node, ann: TestUser, call: Operation) -> None:
    is_optional = not call.spec["requestBody"].get("required", False)
    for name, content in NO_JSON.items():
        response = await ask(ann, server, call, call.fill(), content=content, headers=JSON)
        if name == "nothing" and is_optional:
            assert response.status_code < 500
            continue
        assert problem_of(response, 422)["code"] == "invalid_request", name


@every_call_with_a_body
async def test_what_is_no_object_is_invalid(server: Node, ann: TestUser, call: Operation) -> None:
    for body in ([], [call.example()], "x", 5, 1.5, True):
        response = await ask(ann, server, call, call.fill(), json=body)
        assert problem_of(response, 422)["code"] == "invalid_request", body


@every_call_with_a_body
async def test_an_unknown_field_is_invalid(server: Node, ann: TestUser, call: Operation) -> None:
    for name in ("unknown", "$where", "__proto__", "constructor", "x" * 10_000, "", "\n", "id", "é"):
        response = await ask(ann, server, call, call.fill(), json={**call.example(), name: 1})
        problem = problem_of(response, 422)
        assert problem["code"] == "invalid_request"
        assert len(response.content) < 4096


@every_call_with_a_body
async def test_a_missing_field_is_invalid(server: Node, ann: TestUser, call: Operation) -> None:
    for name in call.body_schema.get("required", []):
        body = call.example()
        del body[name]
        problem = problem_of(await ask(ann, server, call, call.fill(), json=body), 422)
        assert [error["field"] for error in problem["errors"]] == [name]


def wrong_values(schema: dict[str, Any], *, nullable: bool) -> list[Any]:
    """What is never a value of a field, whatever its bounds are."""
    wrong: list[Any] = [{"$ne": 1}, {"$gt": ""}, {"$regex": ".*"}, {}, 1.5, True]
    wrong += [] if nullable else [None]
    if schema.get("type") == "integer":
        wrong += ["5", "", 5.0, -1, 2**53, 2**63, 2**64, -(2**63), 10**400, [1], []]
        wrong += [0] if schema.get("minimum") == 1 else []
    elif schema.get("type") == "array":
        wrong += [5, "5", "[1]", [[1]], [{"$ne": 1}], ["5"], [True], [None], [0], [2**64], [1.0]]
    else:
        wrong += [5, [], ["x"], [{"$ne": 1}], "x" * 20_000]
        wrong += ["x", "X"] if "enum" in schema or "const" in schema or "format" in schema else []
    return wrong


def _may_be_null(schema: dict[str, Any]) -> bool:
    return any(one.get("type") == "null" for one in schema.get("anyOf", []))


@every_call_with_a_body
async def test_a_wrong_type_is_invalid_in_every_field(server: Node, ann: TestUser, call: Operation) -> None:
    async with httpx2.AsyncClient(verify=False, base_url=server.url, timeout=20) as http:
        for name, schema in call.fields().items():
            for value in wrong_values(_resolve(schema), nullable=_may_be_null(schema)):
                body = {**call.example(), name: value}
                headers = {"Authorization": f"Bearer {ann.token}"} if call.needs_token else {}
                text = json.dumps(body)
                response = await http.request(
                    call.method, call.fill(), content=text, headers={**JSON, **headers}
                )
                problem = problem_of(response, 422)
                assert problem["code"] == "invalid_request", (name, value)
                assert str(value) not in problem["detail"] or len(str(value)) < 8  # it may be a password


@every_call_with_a_body
async def test_texts_that_the_stores_cannot_hold_are_invalid(
    server: Node, ann: TestUser, call: Operation
) -> None:
    texts = [name for name, schema in call.fields().items() if _resolve(schema).get("type") == "string"]
    for name in texts:
        body = json.dumps({**call.example(), name: "MARK"}).replace("MARK", "a\\udc00 and enough more of it")
        response = await ask(ann, server, call, call.fill(), content=body, headers=JSON)
        assert problem_of(response, 422)["code"] == "invalid_request", name
        if "password" not in name:
            body = body.replace("\\udc00", "\\u0000")
            response = await ask(ann, server, call, call.fill(), content=body, headers=JSON)
            assert problem_of(response, 422)["code"] == "invalid_request", name


@every_call
async def test_a_body_beyond_the_limit_is_too_large(server: Node, ann: TestUser, call: Operation) -> None:
    async def stream() -> AsyncIterator[bytes]:
        for _ in range(MAX_BODY_BYTES // 65536 + 1):
            yield b" " * 65536

    too_long = b" " * (MAX_BODY_BYTES + 1)
    response = await ask(ann, server, call, call.fill(), content=too_long, headers=JSON)
    assert problem_of(response, 413)["code"] == "too_large"
    if call.takes_json:
        response = await ask(ann, server, call, call.fill(), content=stream(), headers=JSON)
        assert problem_of(response, 413)["code"] == "too_large"


@every_call_with_a_body
async def test_another_content_type_is_unsupported(server: Node, ann: TestUser, call: Operation) -> None:
    content = json.dumps(call.example()).encode()
    for kind in (
        "text/plain",
        "application/x-www-form-urlencoded",
        "multipart/form-data; boundary=x",
        "application/xml",
        "application/jsonp",
        "json",
        "",
    ):
        headers = {"content-type": kind}
        response = await ask(ann, server, call, call.fill(), content=content, headers=headers)
        assert problem_of(response, 415)["code"] == "unsupported_media_type", kind
    for kind in ("application/json; charset=utf-8", "APPLICATION/JSON", "application/json;charset=latin-1"):
        response = await ask(ann, server, call, call.fill(), content=b"[]", headers={"content-type": kind})
        problem_of(response, 422)


# --- Paths and queries


WRONG_NUMBERS = (
    "0",
    "-1",
    "x",
    "1.0",
    "1e3",
    "01",
    "+1",
    "%201",
    "1%20",
    "0x1",
    "1_0",
    "%D9%A1",
    "null",
    "true",
)
TOO_LARGE = (str(2**53), str(2**63), str(2**64), "9" * 1000)


@pytest.mark.parametrize("call", [one for one in OPERATIONS if one.named("path")], ids=str)
async def test_malformed_ids_in_paths_are_invalid(server: Node, ann: TestUser, call: Operation) -> None:
    body = {"json": call.example()} if call.takes_json else {}
    for parameter in call.named("path"):
        is_uuid = _resolve(parameter["schema"]).get("format") == "uuid"
        wrong = (
            "x",
            "5",
            UUID.replace("-", ""),
            f"%7B{UUID}%7D",
            UUID + "0",
            "%00",
            "%FF",
            "$ne",
            UUID[:-1] + "g",
        )
        for value in wrong if is_uuid else (*WRONG_NUMBERS, *TOO_LARGE, "%00", "%FF", "%7B%22$ne%22:1%7D"):
            response = await ask(ann, server, call, call.fill(**{parameter["name"]: value}), **body)
            problem = problem_of(response, 422)
            assert problem["code"] == "invalid_request", (parameter["name"], value)


@pytest.mark.parametrize("call", [one for one in OPERATIONS if one.named("path")], ids=str)
async def test_ids_that_nobody_has_are_not_found(server: Node, ann: TestUser, call: Operation) -> None:
    body = {"json": call.example()} if call.takes_json else {}
    problem = problem_of(await ask(ann, server, call, call.fill(), **body), 404)
    assert problem["code"] == "not_found"


@pytest.mark.parametrize("call", [one for one in OPERATIONS if one.named("query")], ids=str)
async def test_malformed_queries_are_invalid(server: Node, ann: TestUser, call: Operation) -> None:
    group = await a_group(ann)
    message = await ann.say(group, "x")
    path = call.fill(chat_id=group, message_id=message["id"])
    for parameter in call.named("query"):
        schema = _resolve(parameter["schema"])
        if schema.get("type") == "integer":
            wrong = ["-1", "", "x", "1.0", "+1", "01", " 1", "\u0661", "1e3", *TOO_LARGE, "[1]", '{"$ne":1}']
            wrong += [str(int(schema["minimum"]) - 1), str(int(schema["maximum"]) + 1)]
        elif "enum" in schema or "format" in schema:
            wrong = ["", "x", "5", '{"$ne":1}', "\0", "x" * 5000]
        else:
            wrong = ["\0", "a\0b", "x" * 5000]
        needed = {"q": "ab"} if any(one["name"] == "q" for one in call.named("query")) else {}
        for value in wrong:
            params = {**needed, parameter["name"]: value}
            # A cursor of any length is a text, and not one that was given out.
            status, code = (422, "invalid_request")
            if parameter["name"] == "cursor" and "\0" not in value:
                status, code = (400, "invalid_cursor")
            problem = problem_of(await ask(ann, server, call, path, params=params), status)
            assert problem["code"] == code, (parameter["name"], value)


@every_call
async def test_odd_queries_are_no_defects(server: Node, ann: TestUser, call: Operation) -> None:
    if call.method != "GET":
        ann = await a_user(server)  # the call may be one that ends the session
    body = {"json": call.example()} if call.takes_json else {}
    for query in ("%", "%zz", "%ff=%fe", "a[]=1&a[$ne]=1", "=", "&&&", "limit=%00", "x" * 5000, "q=%F0%9F"):
        response = await ask(ann, server, call, f"{call.fill()}?{query}", **body)
        assert response.status_code < 500, (query, response.text)


# --- Tokens


@every_call_with_a_token
async def test_who_shows_no_valid_token_is_refused_first(
    server: Node, ann: TestUser, call: Operation
) -> None:
    lifetimes = {"access_lifetime": timedelta(minutes=-1), "refresh_lifetime": timedelta(days=1)}
    tokens = Tokens(SECRET.encode(), clock=server.services.clock, **lifetimes)
    expired = tokens.make_access(ann.id, tokens.read_access(ann.token).session_id)
    head, claims, signature = ann.token.split(".")
    credentials: list[tuple[str, str]] = [
        ("", "unauthenticated"),
        ("Bearer", "unauthenticated"),
        ("Bearer ", "unauthenticated"),
        ("Basic YTpi", "unauthenticated"),
        (f"Token {ann.token}", "unauthenticated"),
        ("Bearer garbage", "unauthenticated"),
        ("Bearer a.b.c", "unauthenticated"),
        (f"Bearer {head}.{claims}.", "unauthenticated"),
        (f"Bearer {head}.{claims}.{signature[:-4]}AAAA", "unauthenticated"),
        (f"Bearer {ann.refresh_token}", "unauthenticated"),
        (f"Bearer {ann.token} x", "unauthenticated"),
        ("Bearer " + "x" * 8000, "unauthenticated"),
        (f"Bearer {expired.text}", "token_expired"),
    ]
    body = {"json": call.example()} if call.takes_json else {}
    for credential, code in credentials:
        headers = {"Authorization": credential.strip()} if credential else {}
        response = await _client.request(call.method, server.url + call.fill(), headers=headers, **body)
        assert problem_of(response, 401)["code"] == code, credential


# --- Addresses and methods


@pytest.mark.parametrize(
    "path",
    [
        "/nothing",
        "/api",
        "/api/v1",
        "/api/v1/nothing",
        "/api/v1/chats/1/nothing",
        "/api/v2/chats",
        "/%00",
        "/..%2f",
    ],
)
async def test_an_unknown_path_is_not_found(server: Node, ann: TestUser, path: str) -> None:
    for user in (ann, None):
        headers = {"Authorization": f"Bearer {user.token}"} if user else {}
        async with httpx2.AsyncClient(verify=False, base_url=server.url, headers=headers) as http:
            for method in ("GET", "POST", "DELETE"):
                response = await http.request(method, path)
                assert problem_of(response, 404)["code"] == "not_found"


def methods_of(path: str) -> set[str]:
    """Of everything in the document that answers at a filled-in path."""
    patterns = {one: re.sub(r"\{\w+\}", "[^/]+", one) for one in document()["paths"]}
    found = [one for one, pattern in patterns.items() if re.fullmatch(pattern, path)]
    return {method.upper() for one in found for method in document()["paths"][one]}


@pytest.mark.parametrize("path", list(document()["paths"]))
async def test_a_method_that_a_path_does_not_know_is_told_which_it_knows(
    server: Node, ann: TestUser, path: str
) -> None:
    call = next(one for one in OPERATIONS if one.path == path)
    async with httpx2.AsyncClient(verify=False, base_url=server.url, headers=ann.http.headers) as http:
        for method in METHODS:
            if method in methods_of(call.fill()):
                continue
            response = await http.request(method, call.fill())
            assert response.status_code == 405, (method, response.status_code)
            allowed = {name.strip() for name in response.headers["allow"].split(",")}
            assert allowed == methods_of(call.fill())
            if method != "HEAD":
                assert problem_of(response, 405)["code"] == "method_not_allowed"


@every_call
async def test_every_path_answers_alike_with_a_slash_at_the_end(
    server: Node, ann: TestUser, call: Operation
) -> None:
    if not call.path.startswith("/api/v1"):
        return
    body = {"content": b"[]", "headers": JSON} if call.takes_json else {}
    user = None if call.needs_token else ann  # a refusal that changes nothing
    plain, slashed = [await ask(user, server, call, call.fill() + end, **body) for end in ("", "/")]
    assert plain.status_code == slashed.status_code
    assert "location" not in slashed.headers
    keys = ("request_id", "timestamp")
    both = [{k: v for k, v in one.json().items() if k not in keys} for one in (plain, slashed)]
    assert both[0] == both[1]


# --- Successes


class Story:
    """Every call of the document, made so that it succeeds; each answer is checked against its schema."""

    def __init__(self, server: Node, ann: TestUser, ben: TestUser, eva: TestUser) -> None:
        self.server, self.ann, self.ben, self.eva = server, ann, ben, eva
        self.seen: set[str] = set()
        self.calls = {str(call): call for call in OPERATIONS}

    async def __call__(
        self, user: TestUser | None, name: str, status: int, body: Any = None, /, **options: Any
    ) -> Any:
        """`options` are parameters of the path, the query, and `headers` and `form`."""
        call = self.calls[name]
        in_path = {one["name"] for one in call.named("path")}
        ids = {key: value for key, value in options.items() if key in in_path}
        request: dict[str, Any] = {"json": body} if body is not None else {}
        if "form" in options:
            request["data"] = options.pop("form")
        request["headers"] = options.pop("headers", {})
        request["params"] = {key: value for key, value in options.items() if key not in in_path}
        response = await ask(user, self.server, call, call.fill(**ids), **request)
        assert response.status_code == status, f"{name}: {response.status_code} {response.text}"
        assert_documented(call, response)
        self.seen.add(name)
        return response.json() if response.content else None


async def test_every_call_succeeds_in_the_documented_shape(server: Node) -> None:
    ann, ben, eva = [await a_user(server) for _ in range(3)]
    story = Story(server, ann, ben, eva)
    for name in ("GET /health", "GET /livez", "GET /readyz", "GET /api/v1/info"):
        await story(None, name, 200)
    await _live_as_a_user(story)
    await _live_in_chats(story)
    await _live_with_messages(story)
    await _leave(story)
    assert story.seen == set(story.calls), set(story.calls) - story.seen


async def _live_as_a_user(story: Story) -> None:
    ann = story.ann
    name = f"new{secrets.token_hex(4)}"
    account = {"username": name, "email": f"{name}@example.org", "password": PASSWORD, "full_name": "N N"}
    new = await story(None, "POST /api/v1/users/register", 201, account)
    login = await story(None, "POST /api/v1/users/login", 200, {"username": name, "password": PASSWORD})
    cookie = {"X-Chat-Session": "cookie"}
    body = {"username": name, "password": PASSWORD}
    assert (await story(None, "POST /api/v1/users/login", 200, body, headers=cookie))["refresh_token"] is None
    form = {"username": name, "password": PASSWORD}
    await story(None, "POST /api/v1/auth/token", 200, form=form)
    refresh = {"refresh_token": login["refresh_token"]}
    await story(None, "POST /api/v1/auth/refresh", 200, refresh)
    await story(ann, "GET /api/v1/users/me", 200)
    await story(
        ann, "PUT /api/v1/users/me", 200, {"full_name": "Ann", "bio": "x", "phone": "1", "avatar_url": None}
    )
    await story(ann, "GET /api/v1/users/{user_id}", 200, user_id=new["id"])
    found = await story(ann, "GET /api/v1/users/search", 200, q=name[:6], limit=5)
    assert new["id"] in [one["id"] for one in found["items"]]
    await story(ann, "POST /api/v1/auth/ws-ticket", 200)
    sessions = await story(ann, "GET /api/v1/auth/sessions", 200)
    assert len(sessions["items"]) == 1
    passwords = {"current_password": PASSWORD, "new_password": PASSWORD + "!"}
    await story(ann, "PUT /api/v1/users/me/password", 204, passwords)


async def _live_in_chats(story: Story) -> None:
    ann, ben, eva = story.ann, story.ben, story.eva
    direct = {"chat_type": "direct", "participant_ids": [ben.id]}
    await story(ann, "POST /api/v1/chats", 201, direct)
    await story(ben, "POST /api/v1/chats", 200, direct | {"participant_ids": [ann.id]})
    group = {"chat_type": "group", "name": "G", "participant_ids": [ben.id]}
    chat_id = (await story(ann, "POST /api/v1/chats", 201, group))["id"]
    await ann.say(chat_id, "x")
    await story(ann, "GET /api/v1/chats", 200)
    await story(ann, "GET /api/v1/chats", 200, cursor="", limit=1)
    await story(ann, "GET /api/v1/chats/{chat_id}", 200, chat_id=chat_id)
    await story(ann, "PUT /api/v1/chats/{chat_id}", 200, {"name": "H"}, chat_id=chat_id)
    people_of = "/api/v1/chats/{chat_id}/participants"
    await story(ann, f"POST {people_of}", 200, {"user_ids": [eva.id]}, chat_id=chat_id)
    await story(ann, f"GET {people_of}", 200, chat_id=chat_id)
    await story(ann, f"PUT {people_of}/{{user_id}}", 200, {"role": "admin"}, chat_id=chat_id, user_id=ben.id)
    await story(ann, f"DELETE {people_of}/{{user_id}}", 204, chat_id=chat_id, user_id=eva.id)
    await story(ann, f"DELETE {people_of}", 204, {"user_id": ben.id}, chat_id=chat_id)
    await story(ann, "PUT /api/v1/chats/{chat_id}/read", 200, {"seq": 1}, chat_id=chat_id)
    await story(ann, "PUT /api/v1/chats/{chat_id}/delivered", 200, {"seq": 1}, chat_id=chat_id)
    await story(ann, "GET /api/v1/chats/{chat_id}/online", 200, chat_id=chat_id)
    await story(ann, "GET /api/v1/chats/{chat_id}/changes", 200, chat_id=chat_id, since=0, limit=2)
    await story(ann, "GET /api/v1/chats/{chat_id}/changes", 200, chat_id=chat_id)
    await story(ann, "DELETE /api/v1/chats/{chat_id}", 204, chat_id=chat_id)


async def _live_with_messages(story: Story) -> None:
    ann = story.ann
    chat_id = await a_group(ann, story.ben)
    body = {"chat_id": chat_id, "content": "x", "client_message_id": "k"}
    message = await story(ann, "POST /api/v1/messages", 201, body)
    await story(ann, "POST /api/v1/messages", 200, body)
    one = {"message_id": message["id"]}
    reply = {"chat_id": chat_id, "content": "y", "reply_to_id": message["id"], "message_type": "text"}
    await story(ann, "POST /api/v1/messages", 201, reply)
    history = "GET /api/v1/messages/chat/{chat_id}"
    for params in ({}, {"page": 1}, {"before": 2}, {"after": 0}, {"around": 1}, {"at": message["timestamp"]}):
        assert (await story(ann, history, 200, chat_id=chat_id, **params))["items"]
    await story(ann, "GET /api/v1/messages/{message_id}", 200, **one)
    await story(ann, "PUT /api/v1/messages/{message_id}", 200, {"content": "z"}, **one)
    await story(ann, "GET /api/v1/messages/{message_id}/revisions", 200, **one)
    await story(story.ben, "DELETE /api/v1/messages/{message_id}", 204, scope="me", **one)
    await story(ann, "DELETE /api/v1/messages/{message_id}", 200, **one)
    await story(ann, "GET /api/v1/chats", 200)


async def _leave(story: Story) -> None:
    ben = story.ben
    login = {"username": ben.username, "password": PASSWORD}
    await story(None, "POST /api/v1/users/login", 200, login)
    sessions = (await story(ben, "GET /api/v1/auth/sessions", 200))["items"]
    other = next(one["id"] for one in sessions if not one["current"])
    await story(ben, "DELETE /api/v1/auth/sessions/{session_id}", 204, session_id=other)
    await story(ben, "POST /api/v1/auth/logout", 204)
    await story(story.eva, "POST /api/v1/auth/logout-all", 204)


# --- Fuzzing


class Fuzz:
    """Random requests made from the document, about chats, people and messages that exist."""

    def __init__(self, server: Node, user: TestUser, ids: dict[str, list[Any]]) -> None:
        self.http = httpx2.Client(base_url=server.url, timeout=20, verify=False)
        self.user, self.ids = user, ids
        self.statuses: Counter[int] = Counter()

    def log_in(self) -> None:
        body = {"username": self.user.username, "password": PASSWORD}
        token = self.http.post("/api/v1/users/login", json=body).json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {token}"

    def run(self, seconds: float) -> None:
        """Give every call its share of the time."""
        self.log_in()
        schema = schemathesis.openapi.from_dict(copy.deepcopy(document()))
        known = {str(call): call for call in OPERATIONS}
        found = [one.ok() for one in schema.get_all_operations()]
        for operation in found:
            self.run_one(
                known[f"{operation.method.upper()} {operation.path}"], operation, seconds / len(found)
            )

    def run_one(self, call: Operation, operation: Any, seconds: float) -> None:
        until = time.monotonic() + seconds
        modes = schemathesis.GenerationMode
        cases = [operation.as_strategy(generation_mode=mode) for mode in (modes.POSITIVE, modes.NEGATIVE)]

        @settings(
            max_examples=10,
            deadline=None,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=st.one_of(*cases), data=st.data())
        def try_out(case: Any, data: Any) -> None:
            self.try_one(call, case, data.draw)

        while time.monotonic() < until:
            try_out()

    def try_one(self, call: Operation, case: Any, draw: Callable[[Any], Any]) -> None:
        path, request = call.path, {"params": dict(case.query or {})}
        for name, value in (case.path_parameters or {}).items():
            path = path.replace("{" + name + "}", _quote(self.maybe_known(name, value, draw)))
        if call.takes_json and isinstance(case.body, dict):
            known = {"reply_to_id": "message_id", "participant_ids": "user_ids"}
            body = {
                name: self.maybe_known(known.get(name, name), value, draw)
                for name, value in case.body.items()
            }
            request["content"], request["headers"] = json.dumps(body).encode(), JSON
        response = self.http.request(call.method, path, **request)
        self.statuses[response.status_code] += 1
        assert_documented(call, response)
        if response.status_code == 401 and call.needs_token:
            self.log_in()

    def maybe_known(self, name: str, value: Any, draw: Callable[[Any], Any]) -> Any:
        """Half of the time something that exists."""
        if name in self.ids and draw(st.booleans()):
            return draw(st.sampled_from(self.ids[name]))
        return value


def _quote(value: Any) -> str:
    text = quote(str(value).encode("utf-8", "replace"), safe="")
    return {".": "%2E", "..": "%2E%2E", "": "%20"}.get(text, text)


async def test_random_requests_meet_no_defect_and_get_documented_answers(server: Node) -> None:
    ann, ben, eva = await a_user(server), *(await people(server, 2))
    chats = [await a_group(ann, ben, eva), await a_group(ben, ann), await a_direct_chat(ann, ben)]
    said = [await user.say(chats[0], f"{number}") for number in range(10) for user in (ann, ben)]
    ids = {
        "chat_id": chats,
        "user_id": [ann.id, ben.id, eva.id],
        "user_ids": [[ben.id], [eva.id, ben.id], [ann.id]],
        "message_id": [message["id"] for message in said],
        "seq": [0, 1, 20, 21],
    }
    fuzz = Fuzz(server, ann, ids)
    with fuzz.http:
        await asyncio.to_thread(fuzz.run, FUZZED_FOR_S)
    assert fuzz.statuses[200] > 50
    assert fuzz.statuses[422] > 50
    assert fuzz.statuses[404] > 20
