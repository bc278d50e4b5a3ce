"""Structured logs on stderr, without secrets: one JSON object a line, or colours on a developer's terminal.

All loggers end in one handler, uvicorn's included. Secrets are taken out twice: by a filter on the loggers
that are known to carry them, so that no other handler sees them either, and from every value of every line.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from typing import Any, TextIO

import orjson
import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from chat_service.settings import Environment

REDACTED = "[redacted]"

_SECRET_KEYS = frozenset(
    {
        "access_token",
        "authorization",
        "cookie",
        "current_password",
        "new_password",
        "password",
        "refresh_token",
        "secret_key",
        "set-cookie",
        "ticket",
        "token",
    }
)
_NAMES = r"(?:access_token|refresh_token|chat_refresh|token|ticket|[a-z_]*password|secret_key)"
_VALUE_CHARS = r"[A-Za-z0-9._~+/=-]"
_RULES: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(pattern, re.IGNORECASE), replacement)
    for pattern, replacement in (
        # ?token=… of a query string, form fields, cookies
        (rf"\b({_NAMES})=[^&;\s\"'<>\\]+", rf"\1={REDACTED}"),
        # "password": "…" of JSON and of repr(dict), also where JSON is quoted within JSON
        (rf"(\\?[\"']{_NAMES}\\?[\"']\s*:\s*\\?[\"'])(?:[^\"'\\]|\\[^\"'])+", rf"\1{REDACTED}"),
        # the WebSocket subprotocol that carries a token
        (rf"\bbearer\.{_VALUE_CHARS}+", f"bearer.{REDACTED}"),
        # the header, and its value alone
        (r"(authorization\\?[\"']?\s*[:=,]\s*b?\\?[\"']?)[^\"'\r\n\\]+", rf"\1{REDACTED}"),
        (rf"\b(bearer|basic)\s+{_VALUE_CHARS}{{8,}}", rf"\1 {REDACTED}"),
        # a JWT wherever it stands
        (r"\beyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)?", REDACTED),
        # scheme://user:password@host; the password may hold anything but blanks and quotes
        (r"\b([a-z][a-z0-9+.-]*://[^\s:/@\"']*):[^\s\"']+@", rf"\1:{REDACTED}@"),
    )
)
# Every rule needs one of these; looking for them is ten times as fast, and most texts have none.
_HINTS = (
    "token",
    "ticket",
    "password",
    "secret_key",
    "chat_refresh",
    "bearer",
    "basic",
    "authorization",
    "eyj",
    "@",
)
_UVICORN_LOGGERS = ("uvicorn", "uvicorn.error", "uvicorn.access", "uvicorn.asgi")
# At DEBUG these write statements with their values, and so what people say to each other.
_TALKATIVE = ("aiosqlite", "asyncmy", "pymongo", "redis", "sqlalchemy", "multipart", "python_multipart")
# Of no use to anybody who starts the service: six lines on its own parts at each first start.
_IDLE_TALK = ("alembic.runtime.plugins",)


def redact(text: str) -> str:
    """The text with every secret that can be recognised replaced by `[redacted]`."""
    lower = text.lower()
    if not any(hint in lower for hint in _HINTS):
        return text
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text


class RedactingFilter(logging.Filter):
    """Takes secrets out of a record before any handler sees it; lets every record pass."""

    def filter(self, record: logging.LogRecord) -> bool:
        if not isinstance(record.msg, str):
            # An event of structlog's, which the formatter's last step sees to.
            return True
        try:
            message = record.getMessage()
        except (TypeError, ValueError):
            # The standard library would print such a record with its arguments as they are.
            message, record.args = f"{record.msg} {record.args!r}", ()
            record.msg = message
        clean = redact(message)
        if clean != message:
            # A formatter of uvicorn's takes the arguments apart, so their number stays if it can.
            if isinstance(record.args, tuple):
                record.args = tuple(redact(arg) if isinstance(arg, str) else arg for arg in record.args)
            if record.getMessage() != clean:
                record.msg, record.args = clean, ()
        return True


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Marks the handler as ours, and takes secrets out of what a console renderer adds (tracebacks)."""

    is_console = False

    def format(self, record: logging.LogRecord) -> str:
        text = super().format(record)
        # A line of JSON is clean already, and a rule might cut through its escapes.
        return redact(text) if self.is_console else text


def configure_logging(level: str, environment: Environment | str, *, stream: TextIO | None = None) -> None:
    """Send every log record of the process to `stream` (stderr), from `level` (`info`, …) upwards.

    May be called again. uvicorn must be started with `log_config=None`, or it puts its own handlers back.
    """
    stream = sys.stderr if stream is None else stream
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=False,
    )
    is_console = Environment(environment) is Environment.DEVELOPMENT and stream.isatty()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_build_formatter(shared, is_console=is_console))
    handler.addFilter(RedactingFilter())
    root = logging.getLogger()
    for old in [found for found in root.handlers if isinstance(found.formatter, _Formatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(level.upper())
    logging.captureWarnings(capture=True)
    _tame_libraries()


def _build_formatter(shared: list[Processor], *, is_console: bool) -> _Formatter:
    last: list[Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if is_console:
        last += [
            _hide_secrets,
            structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback),
        ]
    else:
        last += [
            structlog.processors.format_exc_info,
            _hide_secrets,
            structlog.processors.JSONRenderer(serializer=_to_json),
        ]
    formatter = _Formatter(foreign_pre_chain=shared, processors=last)
    formatter.is_console = is_console
    return formatter


def _hide_secrets(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    return {key: _hide(key, value) for key, value in event.items()}


def _hide(key: object, value: object) -> object:
    """Whatever stands under the name of a secret, and what looks like one anywhere else."""
    if isinstance(key, str) and key.lower() in _SECRET_KEYS:
        return REDACTED
    if isinstance(value, str):
        return redact(value)
    if isinstance(value, dict):
        return {inner: _hide(inner, item) for inner, item in value.items()}
    if isinstance(value, list | tuple):
        return [_hide(None, item) for item in value]
    return value


def _to_json(event: EventDict, **_: Any) -> str:
    try:
        return orjson.dumps(event, default=_describe, option=orjson.OPT_NON_STR_KEYS).decode()
    except TypeError:
        # A lone surrogate or an integer beyond 64 bits.
        return json.dumps(event, default=_describe)


def _describe(value: object) -> str:
    return redact(repr(value))


def _tame_libraries() -> None:
    for name in _UVICORN_LOGGERS:
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        if not any(isinstance(found, RedactingFilter) for found in logger.filters):
            logger.addFilter(RedactingFilter())
    for name in _TALKATIVE + _IDLE_TALK:
        logging.getLogger(name).setLevel(logging.WARNING)
