"""`/docs`: the pages of OpenAPI, with their scripts served from here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html, get_swagger_ui_oauth2_redirect_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from chat_service.routes.schemas import ProblemOut

PROBLEM_RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem; `code` says which (docs/protocol.md, section 4).",
        "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/ProblemOut"}}},
    }
}
"""For `FastAPI(responses=…)`: every refusal of every call has this one shape."""

_WEB = Path(__file__).parent.parent / "web"
_ASSETS = "/assets/swagger-ui"


def install_documentation(app: FastAPI) -> None:
    describe = app.openapi

    def describe_with_problems() -> dict[str, Any]:
        document = describe()
        schema = ProblemOut.model_json_schema(ref_template="#/components/schemas/{model}")
        document["components"]["schemas"] |= schema.pop("$defs", {}) | {"ProblemOut": schema}
        return document

    app.openapi = describe_with_problems  # type: ignore[method-assign]
    app.mount(_ASSETS, StaticFiles(directory=_WEB / "vendor" / "swagger-ui"), name="swagger-ui")

    @app.api_route("/docs", methods=["GET", "HEAD"], include_in_schema=False)
    async def get_docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=app.openapi_url or "/openapi.json",
            title=f"{app.title} API",
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon-32x32.png",
            oauth2_redirect_url="/docs/oauth2-redirect",
        )

    @app.get("/docs/oauth2-redirect", include_in_schema=False)
    async def get_oauth2_redirect() -> HTMLResponse:
        return get_swagger_ui_oauth2_redirect_html()
