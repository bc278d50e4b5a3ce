"""Logs: one JSON object a line from every logger, the request id in it, and no secret in any."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from chat_service.logs import REDACTED, RedactingFilter, configure_logging, redact

JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl-_"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    found = io.StringIO()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("info", "production", stream=found)
    yield found
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


@pytest.mark.parametrize(
    "text",
    [
        'GET "/api/v1/ws?token=s3cret HTTP/1.1"',
        "/api/v1/ws?a=1&ticket=s3cret&b=2",
        "/x?access_token=s3cret",
        "refresh_token=s3cret&x",
        "Cookie: chat_refresh=s3cret; a=b",
        "chat.v1, bearer.s3cret",
        "Authorization: Bearer s3cret",
        "authorization: Basic s3cret",
        "{'authorization': 'Bearer s3cret'}",
        "(b'authorization', b'Bearer s3cret')",
        "sent Bearer s3cret-s3cret",
        '{"password": "s3cret", "a": 1}',
        '{\\"new_password\\": \\"s3cret\\"}',
        "{'refresh_token': 's3cret'}",
        "mysql+asyncmy://chat:s3cret@db:3306/chat",
        "mysql+asyncmy://chat:s3/cr@et-s3cret@db:3306/chat",
        "redis://:s3cret@cache:6379/0",
        "mongodb+srv://chat:s3cret@a,b/chat?replicaSet=rs",
        "PASSWORD=s3cret",
    ],
)
def test_secrets_are_recognised(text: str) -> None:
    assert "s3c" not in redact(text)
    assert "et-s" not in redact(text)
    assert REDACTED in redact(text)


def test_a_token_is_recognised_anywhere() -> None:
    assert redact(f"decode of {JWT} failed") == f"decode of {REDACTED} failed"


@pytest.mark.parametrize(
    "text",
    [
        "/api/v1/chats/1?limit=5&before=7",
        "token expired",
        "http://127.0.0.1:8000/health",
        "mysql+asyncmy://db:3306/chat",
        "user 5 at a@example.org",
        "{'user_id': 5, 'tokens': 3}",
    ],
)
def test_harmless_text_stays(text: str) -> None:
    assert redact(text) == text


def test_what_stands_beside_a_secret_stays() -> None:
    assert redact("/ws?a=1&token=x&b=2") == f"/ws?a=1&token={REDACTED}&b=2"
    assert redact("redis://:x@cache:6379/0") == f"redis://:{REDACTED}@cache:6379/0"


def test_events_are_one_json_object_a_line_with_the_request_id(stream: io.StringIO) -> None:
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        structlog.stdlib.get_logger("chat_service.test").info("request\nsecond", status=200)
    (line,) = lines(stream)
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "request\nsecond",
        "status": 200,
        "level": "info",
        "logger": "chat_service.test",
        "request_id": "r1",
    }


def test_events_below_the_level_are_left_out(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger("chat_service.test").debug("quiet")
    logging.getLogger("pymongo.command").info("find {'content': 'private'}")
    logging.getLogger("alembic.runtime.plugins").info("setup plugin")
    assert stream.getvalue() == ""


def test_values_under_the_name_of_a_secret_are_hidden(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger().warning("login", password="x y z", token=5, url="redis://:pw@h/0")
    (line,) = lines(stream)
    assert (line["password"], line["token"]) == (REDACTED, REDACTED)
    assert "pw" not in line["url"]


def test_the_standard_library_goes_the_same_way(stream: io.StringIO) -> None:
    logging.getLogger("somebody.else").warning("token=%s of %d", "s3cret", 5)
    (line,) = lines(stream)
    assert line["event"] == f"token={REDACTED} of 5"
    assert (line["level"], line["logger"]) == ("warning", "somebody.else")


def test_uvicorn_logs_a_socket_without_its_token(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info(
        '%s - "WebSocket %s" [accepted]', ("127.0.0.1", 1), f"/api/v1/ws?token={JWT}"
    )
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "127.0.0.1:1", "GET", f"/api/v1/ws?ticket={JWT}", "1.1", 200
    )
    assert JWT not in stream.getvalue()
    assert [line["logger"] for line in lines(stream)] == ["uvicorn.error", "uvicorn.access"]


@pytest.mark.parametrize("name", ["uvicorn.error", "uvicorn.access"])
def test_other_handlers_of_uvicorn_see_no_token(
    stream: io.StringIO, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    logging.getLogger(name).warning('%s - "%s"', "client", f"/api/v1/ws?token={JWT}")
    (record,) = caplog.records
    assert JWT not in f"{record.getMessage()}{record.args}"
    assert isinstance(record.args, tuple)
    assert len(record.args) == 2


def test_tracebacks_are_in_the_line_without_secrets(stream: io.StringIO) -> None:
    try:
        int("mysql+asyncmy://chat:s3cret@db/chat")
    except ValueError:
        structlog.stdlib.get_logger().exception("store failed")
        logging.getLogger("other").exception("store failed")
    for line in lines(stream):
        assert "Traceback" in line["exception"]
    assert "s3cret" not in stream.getvalue()


def test_a_record_that_cannot_be_formatted_is_still_redacted(stream: io.StringIO) -> None:
    logging.getLogger("somebody.else").warning("%d", f"token={JWT}")
    (line,) = lines(stream)
    assert JWT not in line["event"]
    assert "%d" in line["event"]


def test_a_percent_sign_in_a_redacted_line_is_harmless(stream: io.StringIO) -> None:
    logging.getLogger("somebody.else").warning("token=%s of %s", "a%20b", "100%")
    (line,) = lines(stream)
    assert line["event"] == f"token={REDACTED} of 100%"


def test_values_that_are_no_json_are_written_as_python(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger().info("odd", value={1, 2}, broken="\ud800")
    (line,) = lines(stream)
    assert (line["value"], line["broken"]) == ("{1, 2}", "\ud800")


def test_secrets_within_values_are_hidden_too(stream: io.StringIO) -> None:
    structlog.stdlib.get_logger().info(
        "deep", headers={"Authorization": "x"}, seen=[{"token": "x"}, "?ticket=x"]
    )
    (line,) = lines(stream)
    assert line["headers"] == {"Authorization": REDACTED}
    assert line["seen"] == [{"token": REDACTED}, f"?ticket={REDACTED}"]


def test_a_developers_terminal_gets_readable_lines() -> None:
    terminal = Terminal()
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configure_logging("info", "development", stream=terminal)
    structlog.stdlib.get_logger().info("hello", url="/ws?token=s3cret")
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    assert "hello" in terminal.getvalue()
    assert not terminal.getvalue().startswith("{")
    assert "s3cret" not in terminal.getvalue()


def test_configuring_twice_writes_each_line_once(stream: io.StringIO) -> None:
    configure_logging("info", "production", stream=stream)
    logging.getLogger("uvicorn.error").info("started")
    assert len(lines(stream)) == 1
    found = [f for f in logging.getLogger("uvicorn.error").filters if isinstance(f, RedactingFilter)]
    assert len(found) == 1
