"""Annotated types of path and query parameters, as strict as bodies are.

Unknown query parameters are ignored (proxies and trackers add them); of a repeated one the last counts.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Path, Query
from pydantic import AfterValidator, BeforeValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from chat_service.domain.models import MAX_ID
from chat_service.routes.schemas import Uuid, check_text

_DIGITS = re.compile(r"0|[1-9][0-9]{0,15}")
_TIME = re.compile(
    r"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:(\.\d{1,6})\d{0,3})?(Z|[+ -]\d{2}:\d{2})", re.ASCII
)


def parse_digits(value: object) -> object:
    """A number in plain ASCII digits. `int` alone takes `+5`, `5.0`, `1_0`, blanks and other scripts too."""
    if isinstance(value, str):
        if _DIGITS.fullmatch(value) is None:
            raise PydanticCustomError("digits", "input should be a whole number in ASCII digits")
        return int(value)
    return value


def parse_time(value: object) -> object:
    """ISO 8601 with `Z` or an offset; a `+` that became a blank on the way counts as a `+`, and nanoseconds
    are left out."""
    if isinstance(value, str):
        found = _TIME.fullmatch(value)
        try:
            if found is not None:
                day_and_time, fraction, offset = found.groups(default="")
                text = day_and_time + fraction + offset.replace(" ", "+")
                return datetime.fromisoformat(text).astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        raise PydanticCustomError("time", "input should be a time such as 2026-11-20T09:30:00Z")
    return value


_Digits = BeforeValidator(parse_digits)
"""Stands behind the bounds: OpenAPI does not see those that follow it."""

ChatId = Annotated[int, Path(ge=1, le=MAX_ID), _Digits]
UserId = Annotated[int, Path(ge=1, le=MAX_ID), _Digits]
MessageId = Annotated[Uuid, Path()]
SessionId = Annotated[Uuid, Path()]

Limit = Annotated[int, Query(ge=1, le=100), _Digits]
"""Declare it as `limit: Limit = DEFAULT_LIMIT`."""
DEFAULT_LIMIT = 50
Page = Annotated[int, Query(ge=1, le=MAX_ID), _Digits]
SeqQuery = Annotated[int, Query(ge=0, le=MAX_ID), _Digits]
"""A seq or a version; optional ones are declared as `before: SeqQuery | None = None`."""
TimeQuery = Annotated[
    datetime, BeforeValidator(parse_time), WithJsonSchema({"type": "string", "format": "date-time"}), Query()
]
CursorQuery = Annotated[str, AfterValidator(check_text), Query()]
EpochQuery = Annotated[str, AfterValidator(check_text), Query(max_length=64)]
SearchQuery = Annotated[str, AfterValidator(check_text), Query(min_length=2, max_length=100)]
