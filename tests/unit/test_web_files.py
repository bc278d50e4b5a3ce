"""How files of the web client are read, versioned and packed, and what becomes of the page."""

from __future__ import annotations

import base64
import gzip
import hashlib
import os
import re
from pathlib import Path

import brotli
import pytest
from starlette.requests import Request
from starlette.responses import Response

from chat_service.routes import assets
from chat_service.routes.assets import Asset, Release, WebFiles, accepts, is_among, make_short
from chat_service.routes.web import FOLDER, content_security_policy, is_place, list_modules, render_page

PAGE = """<!doctype html><html lang="en"><head>
<meta name="service-path" content="/">
<link rel="manifest" href="/manifest.webmanifest">
<link rel="stylesheet" href="/assets/style/base.css">
<script type="importmap">{"imports": {"preact": "/assets/vendor/preact.js"}}</script>
<script type="module" src="/assets/app/main.js"></script>
</head><body></body></html>
"""
FILES = {
    "index.html": PAGE,
    "manifest.webmanifest": "{}",
    "app/main.js": 'import { h } from "preact";\nimport "./chat/list.js";\nf = () => import("./later.js");',
    "app/chat/list.js": 'import{a}from"../a.js";export * from "./b.js";\nimport {\n  c,\n} from "../a.js";',
    "app/chat/b.js": "import '../main.js';",
    "app/a.js": "export const a = 1, c = 2; // ".ljust(500, "a"),
    "app/later.js": "",
    "vendor/preact.js": "export function h() {}",
    "vendor/swagger-ui/swagger-ui.js": "",
    "style/base.css": "body{}",
    "style/.secret.css": "",
    "app/notes.md": "",
    "other/file.js": "",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for path, content in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
    return tmp_path


@pytest.fixture
def release(folder: Path) -> Release:
    return WebFiles(folder).get_release(may_change=False)


def a_request(path: str = "/", method: str = "GET", root_path: str = "", **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    return Request({"type": "http", "method": method, "path": path, "root_path": root_path, "headers": raw})


def answer(content: bytes, suffix: str = ".js", **headers: str) -> Response:
    return Asset(content, suffix).answer(a_request(**headers), {})


# --- Reading ---------------------------------------------------------------------------------------------


def test_only_files_of_known_types_in_known_folders_are_served(release: Release) -> None:
    assert set(release.files) == {
        "app/a.js",
        "app/chat/b.js",
        "app/chat/list.js",
        "app/later.js",
        "app/main.js",
        "index.html",
        "manifest.webmanifest",
        "style/base.css",
        "style/page.css",  # made of the sheets that the page names
        "vendor/preact.js",
    }


def test_the_version_tells_files_apart_whatever_their_times(folder: Path) -> None:
    first = WebFiles(folder).get_release(may_change=False).version
    os.utime(folder / "app" / "a.js", (1, 1))
    assert WebFiles(folder).get_release(may_change=False).version == first
    (folder / "app" / "a.js").rename(folder / "app" / "z.js")
    assert WebFiles(folder).get_release(may_change=False).version != first


def test_in_development_a_changed_file_makes_a_new_version(folder: Path) -> None:
    web = WebFiles(folder)
    first = web.get_release(may_change=True)
    assert web.get_release(may_change=True) is first
    (folder / "app" / "a.js").write_text("export const a = 3;")
    assert web.get_release(may_change=False) is first
    second = web.get_release(may_change=True)
    assert second.version != first.version
    assert second.files["app/a.js"].content == b"export const a = 3;"


# --- Comments --------------------------------------------------------------------------------------------


def test_comments_of_whole_lines_are_left_out_and_lines_keep_their_numbers() -> None:
    text = (
        "/** What it is.\n * More. */\nlet a = 1; // why\n  // a reason\nlet b = a /* two */ * 2;\n/* x */\n"
    )
    assert make_short(text) == "\n\nlet a = 1; // why\n\nlet b = a /* two */ * 2;\n\n"
    assert make_short("/* a */ let b;\n/* c */\n") == "/* a */ let b;\n\n"
    assert make_short('let a = "http://x";\n') == 'let a = "http://x";\n'


def test_indentation_is_left_out() -> None:
    assert make_short("if (a) {\n  b();\n\t  c( 1 );\n}\n") == "if (a) {\nb();\nc( 1 );\n}\n"


def test_the_page_gets_its_style_sheets_as_one(folder: Path) -> None:
    (folder / "style" / "more.css").write_text("p{}")
    link = '<link rel="stylesheet" href="/assets/style/base.css">\n'
    (folder / "index.html").write_text(PAGE.replace(link, link + link.replace("base", "more")))
    files = WebFiles(folder).get_release(may_change=False).files
    assert files["style/page.css"].content == b"body{}\np{}"
    page = files["index.html"].content.decode()
    assert re.findall('"stylesheet" href="([^"]*)"', page) == ["/assets/style/page.css"]
    assert page.replace('    <link rel="stylesheet" href="/assets/style/page.css">\n', link) == PAGE
    assert files["style/base.css"].content == b"body{}"


# A comment, a text in quotes, a whole template, or an expression between slashes where one can stand.
TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*'
      | (?P<tick>`)
      | (?<=[(,=:\[!&|?{};\n>])[ ]*/(?![/*])(?:\\.|\[(?:\\.|[^\]\\])*\]|[^/\\\[\n])+/""",
    re.DOTALL | re.VERBOSE,
)


def find_comments(text: str) -> list[tuple[int, int]]:
    """Where JavaScript has comments, read token by token; not in expressions of templates."""
    found = []
    at = 0
    while (token := TOKEN.search(text, at)) is not None:
        at = token.end()
        if token["comment"]:
            found.append(token.span("comment"))
        elif token["tick"]:
            at = end_of_template(text, at, [])
    return found


def find_templates(text: str) -> list[tuple[int, int]]:
    """Where JavaScript has templates, from backtick to backtick, those within others too."""
    found: list[tuple[int, int]] = []
    at = 0
    while (token := TOKEN.search(text, at)) is not None:
        at = end_of_template(text, token.end(), found) if token["tick"] else token.end()
    return found


def end_of_template(text: str, at: int, found: list[tuple[int, int]]) -> int:
    """The place after the backtick that ends the template whose beginning is before `at`; adds it to those
    that were found, after those within it."""
    start = at - 1
    while text[at] != "`":
        if text.startswith("${", at):
            at = end_of_expression(text, at + 2, found)
        else:
            at += 2 if text[at] == "\\" else 1
    found.append((start, at + 1))
    return at + 1


def end_of_expression(text: str, at: int, found: list[tuple[int, int]]) -> int:
    depth = 1
    while depth:
        if text[at] == "`":
            at = end_of_template(text, at + 1, found)
            continue
        quoted = re.compile(r""""(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""").match(text, at)
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at = quoted.end() if quoted else at + 1
    return at


SCRIPTS = [file for name in ("app", "i18n", "sdk") for file in sorted((FOLDER / name).rglob("*.js"))]


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: str(file.relative_to(FOLDER)))
def test_nothing_but_comments_is_left_out_of_a_script(file: Path) -> None:
    text = file.read_text()
    comments = find_comments(text)
    left_out = [found.span() for found in assets._COMMENT.finditer(text)]
    for start, end in left_out:
        within = text[start:end].strip()
        assert any(text[first:last] == within for first, last in comments), within


@pytest.mark.parametrize("file", SCRIPTS, ids=lambda file: str(file.relative_to(FOLDER)))
def test_only_templates_of_elements_have_several_lines(file: Path) -> None:
    """In these indentation means nothing, so that it may be left out."""
    text = file.read_text()
    for start, end in find_templates(text):
        assert "\n" not in text[start:end] or text[:start].endswith("html"), text[start:end]


def test_a_text_of_several_lines_would_be_noticed() -> None:
    text = "a = html`<p>\n${b.map((c) => `${c}\n`)}</p>`; d = '`';"
    assert [text[start:end] for start, end in find_templates(text)] == [
        "`${c}\n`",
        "`<p>\n${b.map((c) => `${c}\n`)}</p>`",
    ]


# --- Answering -------------------------------------------------------------------------------------------


def test_who_takes_gzip_gets_it_where_it_is_shorter() -> None:
    packed = answer(b"a" * 500, accept_encoding="gzip, br")
    assert gzip.decompress(packed.body) == b"a" * 500
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.headers["vary"] == "Accept-Encoding"
    plain = answer(b"a" * 500)
    assert plain.body == b"a" * 500
    assert "content-encoding" not in plain.headers
    assert plain.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != packed.headers["etag"]
    short = answer(b"a", accept_encoding="gzip")
    assert short.body == b"a"
    assert "vary" not in short.headers
    picture = answer(b"a" * 500, ".png", accept_encoding="gzip")
    assert picture.body == b"a" * 500


def test_who_takes_brotli_gets_it_as_soon_as_it_is_there() -> None:
    asset = Asset(b"export const a = 1;" * 50, ".js")
    release = Release("1", {"app/a.js": asset, "icons/a.png": Asset(b"a" * 500, ".png")})
    request = a_request(accept_encoding="gzip, deflate, br")
    at_first = asset.answer(request, {})
    assert at_first.headers["content-encoding"] == "gzip"
    release.pack()
    assert [set(one.packed) for one in release.files.values()] == [{"br", "gzip"}, set()]
    later = asset.answer(request, {})
    assert later.headers["content-encoding"] == "br"
    assert brotli.decompress(later.body) == asset.content
    assert len(later.body) < len(at_first.body)
    tags = {one.headers["etag"] for one in (at_first, later, asset.answer(a_request(), {}))}
    assert len(tags) == 3
    assert asset.answer(a_request(accept_encoding="gzip, br;q=0"), {}).headers["content-encoding"] == "gzip"


def test_a_browser_that_has_this_very_form_is_told_so() -> None:
    for headers in ({}, {"accept_encoding": "gzip"}):
        tag = answer(b"a" * 500, **headers).headers["etag"]
        again = answer(b"a" * 500, if_none_match=tag, **headers)
        assert (again.status_code, again.body) == (304, b"")
        assert again.headers["etag"] == tag
        assert again.headers["vary"] == "Accept-Encoding"
        assert "content-length" not in again.headers
        assert answer(b"b" * 500, if_none_match=tag, **headers).status_code == 200
    packed_tag = answer(b"a" * 500, accept_encoding="gzip").headers["etag"]
    assert answer(b"a" * 500, if_none_match=packed_tag).status_code == 200


@pytest.mark.parametrize(
    ("accept_encoding", "takes"),
    [
        ("gzip", True),
        ("br, GZIP;q=0.5", True),
        ("x-gzip", True),
        ("gzip;q=0", False),
        ("gzip; q=0.000, br", False),
        ("gzip;q=0.001", True),
        ("identity", False),
        ("*", False),
        ("", False),
        ("gzipped", False),
    ],
)
def test_accept_encoding_is_read_as_it_is_meant(accept_encoding: str, *, takes: bool) -> None:
    assert accepts("gzip", accept_encoding) is takes


@pytest.mark.parametrize(
    ("if_none_match", "has"),
    [
        ('"a"', True),
        ('W/"a"', True),
        ('"b", "a"', True),
        ("*", True),
        ('"b"', False),
        ("a", False),
        ("", False),
    ],
)
def test_if_none_match_is_read_as_it_is_meant(if_none_match: str, *, has: bool) -> None:
    assert is_among('"a"', if_none_match) is has


# --- The page --------------------------------------------------------------------------------------------


def test_all_addresses_of_the_page_get_version_and_prefix(release: Release) -> None:
    page = render_page(release, "/chat")
    base = f"/chat/assets/{release.version}"
    assert f'<link rel="stylesheet" href="{base}/style/page.css">' in page
    assert f'{{"imports": {{"preact": "{base}/vendor/preact.js"}}}}' in page
    assert f'<script type="module" src="{base}/app/main.js">' in page
    assert '<meta name="service-path" content="/chat/">' in page
    assert 'href="/chat/manifest.webmanifest"' in page
    assert '"/assets/' not in page
    assert f'"/assets/{release.version}/app/main.js"' in render_page(release, "")


def test_the_page_names_in_advance_what_its_modules_import(release: Release) -> None:
    modules = ["app/main.js", "vendor/preact.js", "app/chat/list.js", "app/a.js", "app/chat/b.js"]
    assert list_modules(PAGE, release.files) == modules
    page = render_page(release, "")
    links = [f'<link rel="modulepreload" href="/assets/{release.version}/{path}">' for path in modules]
    assert re.findall(r'<link rel="modulepreload".*?>', page) == links
    assert page.index(links[-1]) < page.index("</head>")


def test_the_policy_names_the_import_map_by_the_hash_of_what_is_sent(release: Release) -> None:
    for prefix in ("", "/chat"):
        page = render_page(release, prefix)
        (inline,) = re.findall(r'<script type="importmap">(.*?)</script>', page)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"script-src 'self' 'sha256-{digest}';" in content_security_policy(page)


@pytest.mark.parametrize(
    "path", ["/chats/7", "/anything", "/chats/7/api", "/apis", "/%2e%2e", "//", "/wp-login.php", "/chat\x00"]
)
def test_navigation_to_an_unknown_address_is_the_client_s(path: str) -> None:
    browser = "text/html,application/xhtml+xml,*/*;q=0.8"
    assert is_place(a_request(path, accept=browser).scope)
    assert is_place(a_request(path, "HEAD", accept=browser).scope)
    assert is_place(a_request(f"/chat{path}", root_path="/chat", accept=browser).scope)
    assert not is_place(a_request(path, "POST", accept=browser).scope)
    assert not is_place(a_request(path, accept="*/*").scope)
    assert not is_place(a_request(path).scope)


@pytest.mark.parametrize(
    "path",
    [
        "/api",
        "/api/v1/nothing",
        "/assets/x.js",
        "/docs/x",
        "/health/x",
        "/livez/",
        "/metrics/x",
        "//api/v1/x",
    ],
)
def test_below_the_service_s_own_addresses_nothing_is_the_client_s(path: str) -> None:
    assert not is_place(a_request(path, accept="text/html").scope)
    assert not is_place(a_request(f"/chat{path}", root_path="/chat", accept="text/html").scope)
