"""The web client as browsers get it: every address, its type, how long it may be kept, and its policy."""

from __future__ import annotations

import asyncio
import base64
import gzip
import hashlib
import json
import re
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from chat_service.app import create_app
from chat_service.routes.assets import FOLDERS, MEDIA_TYPES, make_short
from chat_service.routes.web import FOLDER, NO_PLACES
from tests.builders import PASSWORD
from tests.node import Node, make_settings

ROOT = Path(__file__).parents[2]
NAVIGATION = {"accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"}
YEAR = "public, max-age=31536000, immutable"


def list_files() -> list[str]:
    """Paths below `web/` of what must be served."""
    found = [file for name in FOLDERS for file in (FOLDER / name).rglob("*") if file.suffix in MEDIA_TYPES]
    paths = [file.relative_to(FOLDER).as_posix() for file in found]
    return sorted(path for path in paths if not path.startswith("vendor/swagger-ui/"))


def as_sent(path: str) -> bytes:
    content = (FOLDER / path).read_bytes()
    is_ours = not path.startswith("vendor/") and path.endswith((".js", ".css"))
    return make_short(content.decode()).encode() if is_ours else content


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """The stores have no part in any of this."""
    with Node(make_settings(data_dir=tmp_path_factory.mktemp("node"))) as running:
        yield running


@pytest.fixture
async def http(node: Node) -> AsyncIterator[httpx2.AsyncClient]:
    async with httpx2.AsyncClient(base_url=node.url, headers={"accept-encoding": "identity"}) as client:
        yield client


def version_in(page: str) -> str:
    (version,) = set(re.findall(r'"/assets/(\w+)/', page))
    return str(version)


# --- The page --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path", ["/", "/chats/7", "/chats/7/details", "/settings/devices", "/nowhere/at-all"]
)
async def test_places_of_the_client_answer_its_page(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.get(path, headers=NAVIGATION)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.text == (await http.get("/")).text


async def test_the_page_is_asked_for_again_and_costs_little_then(http: httpx2.AsyncClient) -> None:
    first = await http.get("/")
    again = await http.get("/", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["content-security-policy"] == first.headers["content-security-policy"]
    packed = await http.get("/", headers={"accept-encoding": "gzip"})
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["etag"] != first.headers["etag"]
    assert packed.text == first.text
    assert first.headers["vary"] == packed.headers["vary"] == "Accept, Accept-Encoding"


async def test_the_policy_lets_nothing_in_but_files_of_this_origin(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/")
    policy = dict(part.partition(" ")[::2] for part in answer.headers["content-security-policy"].split("; "))
    inline = re.findall(r"<script(?![^>]* src=)[^>]*>(.*?)</script>", answer.text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in inline]
    assert len(hashes) == 1
    assert policy == {
        "default-src": "'none'",
        "script-src": f"'self' 'sha256-{hashes[0]}'",
        "style-src": "'self'",
        "img-src": "'self' data:",
        "connect-src": "'self'",
        "font-src": "'self'",
        "manifest-src": "'self'",
        "worker-src": "'self'",
        "base-uri": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "require-trusted-types-for": "'script'",
        "trusted-types": "service-worker",
    }
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["referrer-policy"] == "no-referrer"
    assert answer.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in answer.headers["permissions-policy"]


async def test_the_page_has_no_inline_code_besides_its_import_map(http: httpx2.AsyncClient) -> None:
    page = (await http.get("/")).text
    scripts = re.findall(r"<script([^>]*)>", page)
    assert [one for one in scripts if " src=" not in one] == [' type="importmap"']
    assert "<style" not in page
    assert not re.search(r"<[^>]+\s(style|on\w+)=", page)


async def test_all_that_the_page_names_is_there_and_may_be_kept(http: httpx2.AsyncClient) -> None:
    page = (await http.get("/")).text
    addresses = set(re.findall(r'"(/[^"]*\.\w+)"', page))
    assert len(addresses) > 20
    for address in addresses:
        answer = await http.get(address)
        assert answer.status_code == 200, address
        kept = "no-cache" if address == "/manifest.webmanifest" else YEAR
        assert answer.headers["cache-control"] == kept, address


# --- Its files -------------------------------------------------------------------------------------------


async def test_every_file_has_its_type_and_is_itself(http: httpx2.AsyncClient) -> None:
    version = version_in((await http.get("/")).text)
    paths = list_files()
    assert {path.partition("/")[0] for path in paths} == set(FOLDERS)
    for path in paths:
        kept = await http.get(f"/assets/{version}/{path}")
        plain = await http.get(f"/assets/{path}")
        assert kept.content == plain.content == as_sent(path), path
        assert kept.headers["content-type"] == plain.headers["content-type"] == MEDIA_TYPES[Path(path).suffix]
        assert (kept.headers["cache-control"], plain.headers["cache-control"]) == (YEAR, "no-cache")
        assert kept.headers["x-content-type-options"] == "nosniff"
        assert kept.headers["cross-origin-resource-policy"] == "same-origin"
        assert kept.headers["etag"] == plain.headers["etag"]
        again = await http.get(f"/assets/{path}", headers={"if-none-match": plain.headers["etag"]})
        assert again.status_code == 304


async def test_scripts_are_sent_packed_to_who_takes_that(http: httpx2.AsyncClient) -> None:
    async with http.stream("GET", "/assets/app/main.js", headers={"accept-encoding": "gzip"}) as answer:
        sent = b"".join([part async for part in answer.aiter_raw()])
        assert answer.headers["content-encoding"] == "gzip"
        assert answer.headers["vary"] == "Accept-Encoding"
        assert int(answer.headers["content-length"]) == len(sent)
    assert gzip.decompress(sent) == as_sent("app/main.js")


async def test_the_answer_to_head_has_the_headers_alone(http: httpx2.AsyncClient) -> None:
    for path in ("/", "/assets/app/main.js", "/manifest.webmanifest", "/favicon.ico"):
        whole, head = await http.get(path), await http.head(path)
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-length", "content-type", "etag", "cache-control"):
            assert head.headers[name] == whole.headers[name]


async def test_ranges_are_answered_with_the_whole_file(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/assets/app/main.js", headers={"range": "bytes=0-9"})
    assert answer.status_code == 200
    assert answer.content == as_sent("app/main.js")


async def test_another_version_s_address_is_answered_but_not_to_be_kept(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/assets/0123456789ab/app/main.js")
    assert answer.status_code == 200
    assert answer.headers["cache-control"] == "no-cache"


async def test_the_service_worker_names_what_it_keeps_and_reaches_nothing_else(
    http: httpx2.AsyncClient,
) -> None:
    version = version_in((await http.get("/")).text)
    answer = await http.get("/service-worker.js")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["content-security-policy"] == "default-src 'none'; connect-src 'self'"
    (release,) = re.findall(r"= (\{.*\});$", answer.text, re.MULTILINE)
    kept = json.loads(release)
    assert kept["version"] == version
    assert {"app/main.js", "i18n/vi.js", "sdk/index.js", "style/page.css", "style/panels.css"} <= set(
        kept["files"]
    )
    assert "style/base.css" not in kept["files"]
    for path in kept["files"]:
        file = await http.get(f"/assets/{version}/{path}")
        assert (file.status_code, file.headers["cache-control"]) == (200, YEAR), path
    (elsewhere,) = re.findall(r"ELSEWHERE = (\[.*\]);", answer.text)
    assert set(json.loads(elsewhere)) == NO_PLACES


async def test_manifest_and_icon(http: httpx2.AsyncClient) -> None:
    manifest = await http.get("/manifest.webmanifest")
    assert manifest.headers["content-type"] == "application/manifest+json; charset=utf-8"
    described = manifest.json()
    for icon in described["icons"]:
        assert (await http.get(f"/{icon['src']}")).status_code == 200
    assert (await http.get(f"/{described['start_url'].removeprefix('.')}")).status_code == 200
    icon = await http.get("/favicon.ico")
    assert icon.headers["content-type"] == "image/svg+xml; charset=utf-8"


# --- What is not there -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "/assets/",
        "/assets/app",
        "/assets/app/",
        "/assets/app/nothing.js",
        "/assets/main.js",
        "/assets/index.html",
        "/assets/x/index.html",
        "/assets/x/manifest.webmanifest",
        "/assets/../index.html",
        "/assets/app/../../../settings.py",
        "/assets/app/..%2f..%2f..%2fsettings.py",
        "/assets/app/%2e%2e/%2e%2e/settings.py",
        "/assets/app/..%5c..%5csettings.py",
        "/assets/%2fetc/passwd",
        "/assets//etc/passwd",
        "/assets/app//main.js",
        "/assets/app/./main.js",
        "/assets/app/main.js%00",
        "/assets/app/main.js/",
        "/assets/app/.gitignore",
        "/assets/vendor/swagger-ui/swagger-ui.css",
        "/assets/vendor/VERSIONS",
        "/assets/sdk/../package.json",
        "/assets/sdk/%2e%2e/package.json",
    ],
)
async def test_nothing_else_of_the_file_system_can_be_reached(node: Node, path: str) -> None:
    """Sent by hand: a client would resolve the dots by itself."""
    answer = await raw_get(node, path)
    assert b" 404 " in answer.splitlines()[0]
    assert b"application/problem+json" in answer


async def raw_get(node: Node, path: str) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", node.port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nConnection: close\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


@pytest.mark.parametrize(
    "path",
    ["/api", "/api/v1/nothing", "/api/v2/info", "/docs/nothing", "/health/x", "/metrics/x", "/assets/a"],
)
async def test_navigation_to_what_the_service_itself_lacks_is_a_problem(
    http: httpx2.AsyncClient, path: str
) -> None:
    answer = await http.get(path, headers=NAVIGATION)
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "not_found"


async def test_programs_get_a_problem_where_browsers_get_the_page(http: httpx2.AsyncClient) -> None:
    assert (await http.get("/nowhere", headers={"accept": "application/json"})).status_code == 404
    assert (await http.get("/nowhere")).status_code == 404
    refused = await http.post("/nowhere", headers=NAVIGATION)
    assert refused.status_code == 404
    assert (await http.post("/", headers=NAVIGATION)).headers["allow"] == "GET, HEAD"
    wrong_method = await http.get("/api/v1/auth/refresh", headers=NAVIGATION)
    assert (wrong_method.status_code, wrong_method.headers["allow"]) == (405, "POST")


async def test_the_documentation_stays_where_it_was(http: httpx2.AsyncClient) -> None:
    page = await http.get("/docs")
    assert page.status_code == 200
    assert "content-security-policy" not in page.headers
    for address in re.findall(r'(?:src|href)="(/assets/[^"]+)"', page.text):
        assert (await http.get(address)).status_code == 200


# --- Below another application's path --------------------------------------------------------------------


@pytest.fixture
async def mounted(tmp_path: Path) -> AsyncIterator[httpx2.AsyncClient]:
    inner = create_app(make_settings(data_dir=tmp_path))
    outer = FastAPI(lifespan=inner.router.lifespan_context, redirect_slashes=False)
    outer.mount("/chat", inner)
    transport = httpx2.ASGITransport(outer)
    async with (
        outer.router.lifespan_context(outer),
        httpx2.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        yield client


async def test_a_mounted_service_s_page_asks_for_everything_below_its_path(
    mounted: httpx2.AsyncClient,
) -> None:
    answer = await mounted.get("/chat/chats/7", headers=NAVIGATION)
    assert '<meta name="service-path" content="/chat/">' in answer.text
    addresses = set(re.findall(r'"(/[^"]*\.\w+)"', answer.text))
    assert len(addresses) > 20
    for address in addresses:
        assert address.startswith("/chat/")
        assert (await mounted.get(address)).status_code == 200, address
    assert (await mounted.get("/chats/7", headers=NAVIGATION)).status_code == 404
    assert (await mounted.get("/chat/service-worker.js")).status_code == 200
    assert (await mounted.get("/chat/api/nothing", headers=NAVIGATION)).status_code == 404


async def test_a_mounted_service_s_cookie_comes_back_to_it(mounted: httpx2.AsyncClient) -> None:
    account = {"username": "mai", "email": "mai@example.org", "password": PASSWORD}
    cookie_mode = {"X-Chat-Session": "cookie"}
    assert (await mounted.post("/chat/api/v1/users/register", json=account)).status_code == 201
    login = {"username": "mai", "password": PASSWORD}
    signed_in = await mounted.post("/chat/api/v1/users/login", json=login, headers=cookie_mode)
    assert "Path=/chat/api/v1/auth;" in signed_in.headers["set-cookie"]
    assert (await mounted.post("/chat/api/v1/auth/refresh", headers=cookie_mode)).status_code == 200
    assert (await mounted.post("/chat/api/v1/auth/logout", headers=cookie_mode)).status_code == 204
    assert (await mounted.post("/chat/api/v1/auth/refresh", headers=cookie_mode)).status_code == 401


# --- The package -----------------------------------------------------------------------------------------


def build(kind: str, target: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (built,) = target.iterdir()
    return built


def test_the_wheel_holds_the_client_and_the_sdk_as_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(build("wheel", tmp_path)) as wheel:
        packed: dict[str, Any] = {one.filename: one for one in wheel.infolist()}
        for path in ["index.html", "manifest.webmanifest", "service-worker.js", *list_files()]:
            entry = packed[f"chat_service/web/{path}"]
            assert entry.external_attr >> 28 != 0o12, path  # a symbolic link
            assert wheel.read(entry) == (FOLDER / path).read_bytes()


def test_a_wheel_can_be_built_from_the_source_distribution(tmp_path: Path) -> None:
    with tarfile.open(build("sdist", tmp_path)) as archive:
        names = {member.name.partition("/")[2]: member for member in archive.getmembers()}
        for path in list_files():
            assert names[f"chat_service/web/{path}"].isreg(), path
