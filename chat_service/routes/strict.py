"""JSON in and out of REST: strict about what a body is, fast about both directions.

Routers are built with `APIRouter(route_class=StrictRoute)` and answer with `JsonResponse`. Errors are
raised here and rendered by `routes.problems`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import orjson
from fastapi import params
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response

from chat_service.domain.errors import UnsupportedMediaType

_OPTIONS = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z


def encode_json(content: Any) -> bytes:
    """JSON as UTF-8. Times become ISO 8601 with `Z`, UUIDs and enumerations their text."""
    return orjson.dumps(content, option=_OPTIONS)


class JsonResponse(Response):
    """Encodes `content`, or sends it as it is where it is bytes (already encoded JSON)."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else encode_json(content)


class StrictRequest(Request):
    """Parses JSON with orjson, which refuses NaN, lone surrogates, invalid UTF-8 and deep nesting.

    Its error is a `json.JSONDecodeError`, which FastAPI turns into a `RequestValidationError`.
    """

    async def json(self) -> Any:
        if not hasattr(self, "_parsed"):
            self._parsed = orjson.loads(await self.body())
        return self._parsed


class StrictRoute(APIRoute):
    """A route whose JSON body is parsed by `StrictRequest` and must be declared as JSON (415)."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        field = self.body_field
        takes_json = field is not None and not isinstance(field.field_info, params.Form)

        async def answer(request: Request) -> Response:
            strict = StrictRequest(request.scope, request.receive)
            if takes_json and not _is_json(strict.headers.get("content-type", "")) and await strict.body():
                raise UnsupportedMediaType
            return await handle(strict)

        return answer


def _is_json(content_type: str) -> bool:
    media_type = content_type.partition(";")[0].strip().lower()
    return media_type == "application/json" or (
        media_type.startswith("application/") and media_type.endswith("+json")
    )
