"""The web client: its page at `/` and at every address that nothing else has, its files below `/assets`.

The page is asked for anew each time (`no-cache`); everything that it refers to lies below
`/assets/<version>/`, which browsers keep for a year. So a second visit costs one request, however many
modules there are, and nobody ever runs modules of two versions together. The price is that the page is
rewritten while it is sent: its addresses get the version, and the prefix below which the service is mounted.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import quote

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from chat_service.routes.assets import FOLDERS, Asset, Release, WebFiles
from chat_service.routes.middleware import inner_path
from chat_service.settings import Environment

FOLDER = Path(__file__).parent.parent / "web"

_REVALIDATED = {"Cache-Control": "no-cache"}
_IMMUTABLE = {"Cache-Control": "public, max-age=31536000, immutable"}
_PAGE_HEADERS = {
    **_REVALIDATED,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), payment=(), usb=()",
    "Vary": "Accept",
    "X-Frame-Options": "DENY",
}
_WORKER_HEADERS = {**_REVALIDATED, "Content-Security-Policy": "default-src 'none'; connect-src 'self'"}
# Below these an unknown address is a mistake, never a place in the client.
NO_PLACES = frozenset(
    {"api", "assets", "asyncapi.json", "docs", "health", "livez", "metrics", "openapi.json", "readyz"}
)
_ASSETS = "/assets/"
_WORKER_RELEASE = '{ version: "", files: [""] }'
_KEPT_ICONS = frozenset({"icons/icon.svg", "icons/icon-192.png"})
_IMPORT_MAP = re.compile(r'<script type="importmap">(.*?)</script>', re.DOTALL)
_MODULE_SCRIPT = re.compile(r'<script type="module" src="/assets/([^"]+)">')
# What a module imports when it is loaded; `import(…)` comes later, if ever.
_IMPORT = re.compile(r"""(?:^|[;}\s])(?:import|export)\b[^"'();]*?["']([^"']+)["']""")


def install_web(app: FastAPI) -> None:
    client = WebClient(FOLDER)
    for path, answer in {
        "/": client.get_page,
        "/assets/{path:path}": client.get_asset,
        "/manifest.webmanifest": client.get_manifest,
        "/service-worker.js": client.get_service_worker,
        "/favicon.ico": client.get_favicon,
    }.items():
        app.add_route(path, answer, methods=["GET", "HEAD"], include_in_schema=False)
    answer_unknown = app.router.default

    async def answer_other(scope: Scope, receive: Receive, send: Send) -> None:
        """Not a route for every path: that would make 404 of each refused method."""
        if is_place(scope):
            await (await client.get_page(Request(scope)))(scope, receive, send)
        else:
            await answer_unknown(scope, receive, send)

    app.router.default = answer_other


class WebClient:
    """The answers to everything that the client's pages ask for besides the API."""

    def __init__(self, folder: Path) -> None:
        self._files = WebFiles(folder)

    async def get_page(self, request: Request) -> Response:
        """In development with the files as they are now; all others follow the last page."""
        environment = request.app.state.services.settings.environment
        release = self._files.get_release(may_change=environment is Environment.DEVELOPMENT)
        page, headers = build_page(release, quote(request.scope.get("root_path", "").rstrip("/")))
        return page.answer(request, headers)

    async def get_asset(self, request: Request) -> Response:
        """With the version, or without it for who brings an address of their own."""
        release = self._files.get_release(may_change=False)
        version, path = "", request.path_params["path"]
        if path.partition("/")[0] not in FOLDERS:
            version, _, path = path.partition("/")
        asset = release.files.get(path) if "/" in path else None
        if asset is None:
            raise HTTPException(404)
        # Another version's address was given out by a node before or after an update. What is here is the
        # best answer there is, but not one to keep.
        return asset.answer(request, _IMMUTABLE if version == release.version else _REVALIDATED)

    async def get_manifest(self, request: Request) -> Response:
        return self._answer_file(request, "manifest.webmanifest")

    async def get_service_worker(self, request: Request) -> Response:
        """Beside the page, because a worker has no say above its own address."""
        environment = request.app.state.services.settings.environment
        release = self._files.get_release(may_change=environment is Environment.DEVELOPMENT)
        return build_worker(release).answer(request, _WORKER_HEADERS)

    async def get_favicon(self, request: Request) -> Response:
        """For who does not read the page, which names its icon."""
        return self._answer_file(request, "icons/icon.svg")

    def _answer_file(self, request: Request, path: str) -> Response:
        return self._files.get_release(may_change=False).files[path].answer(request, _REVALIDATED)


def is_place(scope: Scope) -> bool:
    """Whether somebody navigates to an address that only the client could know."""
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
        return False
    if inner_path(scope).lstrip("/").partition("/")[0] in NO_PLACES:
        return False
    return "text/html" in Request(scope).headers.get("accept", "")


@lru_cache(maxsize=8)
def build_page(release: Release, prefix: str) -> tuple[Asset, Mapping[str, str]]:
    """The page and its headers, made once: to find out what its modules import takes milliseconds."""
    page = render_page(release, prefix)
    return Asset(page.encode(), ".html"), {
        **_PAGE_HEADERS,
        "Content-Security-Policy": content_security_policy(page),
    }


def render_page(release: Release, prefix: str) -> str:
    """`index.html` for a service below `prefix` ("" or "/chat"), with its modules named in advance.

    Without that a browser would find them one level of imports after the other, a round trip for each.
    """
    source = release.files["index.html"].content.decode()
    links = "".join(
        f'<link rel="modulepreload" href="{_ASSETS}{path}">\n' for path in list_modules(source, release.files)
    )
    page = source.replace("</head>", f"{links}</head>", 1)
    return (
        page.replace(f'"{_ASSETS}', f'"{prefix}{_ASSETS}{release.version}/')
        .replace('"/manifest.webmanifest"', f'"{prefix}/manifest.webmanifest"')
        .replace('<meta name="service-path" content="/">', f'<meta name="service-path" content="{prefix}/">')
    )


@lru_cache(maxsize=8)
def build_worker(release: Release) -> Asset:
    """The service worker, which names the version and what it keeps of it."""
    kept = {"version": release.version, "files": list_kept(release)}
    source = release.files["service-worker.js"].content.decode()
    return Asset(source.replace(_WORKER_RELEASE, json.dumps(kept), 1).encode(), ".js")


def list_kept(release: Release) -> list[str]:
    """Paths of what the page needs now or later: not the sheets that have become one, nor the icons that only
    an installation asks for."""
    merged = set(release.merged_sheets)
    return [
        path
        for path in release.files
        if (path.endswith((".js", ".css")) and "/" in path and path not in merged) or path in _KEPT_ICONS
    ]


def list_modules(page: str, files: Mapping[str, Asset]) -> list[str]:
    """Paths of the modules that the page's module scripts import, directly or not, nearest first."""
    import_map = _IMPORT_MAP.search(page)
    names: dict[str, str] = json.loads(import_map[1])["imports"] if import_map else {}
    found: list[str] = []
    waiting = _MODULE_SCRIPT.findall(page)
    while waiting:
        path = waiting.pop(0)
        if path in files and path not in found:
            found.append(path)
            for name in _IMPORT.findall(files[path].content.decode()):
                is_near = name.startswith(".")
                waiting.append(
                    normpath(join(dirname(path), name))
                    if is_near
                    else names.get(name, "").removeprefix(_ASSETS)
                )
    return found


def content_security_policy(page: str) -> str:
    """Only files of this origin; of inline code only the page's import map, by its hash.

    `connect-src 'self'` covers the socket in every browser that knows import maps. Images of other origins
    are left out on purpose: they would tell whoever owns them who reads, when, and from which address.
    Browsers ask for a trusted address of the service worker, hence one policy, which has no other to give.
    """
    hashes = [b64encode(sha256(text.encode()).digest()).decode() for text in _IMPORT_MAP.findall(page)]
    return "; ".join(
        [
            "default-src 'none'",
            " ".join(["script-src 'self'", *(f"'sha256-{one}'" for one in hashes)]),
            "style-src 'self'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "font-src 'self'",
            "manifest-src 'self'",
            "worker-src 'self'",
            "base-uri 'none'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types service-worker",
        ]
    )
