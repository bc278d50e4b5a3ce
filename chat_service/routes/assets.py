"""The web client's files in memory: what there is, of which type, in which version, and how it is answered.

Nothing is read before the first request asks, so that a start does not wait for it. Afterwards a request is
a look-up in a dictionary: no path of a request ever reaches the file system.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from threading import Thread

import brotli
from starlette.requests import Request
from starlette.responses import Response

FOLDERS = ("app", "i18n", "icons", "sdk", "style", "vendor")
"""What is served of `web/`. In a checkout `sdk` is a link to the JavaScript client, in a wheel a folder."""

MEDIA_TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".svg": "image/svg+xml; charset=utf-8",
    ".txt": "text/plain; charset=utf-8",
    ".webmanifest": "application/manifest+json; charset=utf-8",
    ".woff2": "font/woff2",
}
"""Files of other types are not served. Not asked of the system, whose tables differ between machines."""

_PACKED_ALREADY = frozenset({".png", ".woff2"})
# Swagger UI has its own address, and weighs more than all the rest.
_ELSEWHERE = Path("vendor", "swagger-ui")
# Comments and indentation are what this project writes; what others wrote (their licences) is left as it is.
_OURS = frozenset({".css", ".js"})
_THEIRS = "vendor/"
_COMMENT = re.compile(r"^[ \t]*(?://[^\n]*|/\*(?:(?!\*/).)*\*/[ \t]*)$", re.DOTALL | re.MULTILINE)
_INDENT = re.compile(r"^[ \t]+", re.MULTILINE)
_SHEET = re.compile(r'[ \t]*<link rel="stylesheet" href="/assets/([^"]+)">\n')
_ALL_SHEETS = "style/page.css"
_PACK = {"br": brotli.compress, "gzip": partial(gzip.compress, mtime=0)}
"""The content codings, shortest first."""
_REFUSED_CODING = re.compile(r";\s*q=0(\.0{0,3})?\s*$")


@dataclass(frozen=True)
class Asset:
    """One file, ready to be sent."""

    content: bytes
    suffix: str
    packed: dict[str, bytes] = field(default_factory=dict, repr=False, compare=False)
    """What has been made of it, by content coding."""

    @cached_property
    def tag(self) -> str:
        """A name for these bytes, as long as it must be to be the only one."""
        return sha256(self.content).hexdigest()[:24]

    @cached_property
    def is_packable(self) -> bool:
        return self.suffix not in _PACKED_ALREADY and len(self.pack_with("gzip")) < len(self.content)

    def pack_with(self, coding: str) -> bytes:
        """The bytes in a content coding, kept from the first time on. The best of brotli takes a second for
        the whole client, so that is made on a thread of its own; gzip takes a hundredth of that."""
        if coding not in self.packed:
            self.packed[coding] = _PACK[coding](self.content)
        return self.packed[coding]

    def answer(self, request: Request, headers: Mapping[str, str]) -> Response:
        """This file, packed where the client takes it; 304 where it has this very form. Ranges are ignored.

        `headers` come on top, with `Vary` extended.
        """
        body, tag = self.content, f'"{self.tag}"'
        all_headers = {"Cross-Origin-Resource-Policy": "same-origin", **headers}
        if self.is_packable:
            all_headers["Vary"] = ", ".join(filter(None, [headers.get("Vary"), "Accept-Encoding"]))
            taken = request.headers.get("accept-encoding", "")
            # The shortest that there is already; gzip always is.
            coding = next((one for one in _PACK if one in self.packed and accepts(one, taken)), None)
            if coding is not None:
                # Other bytes, so another tag: it is a strong one (RFC 9110, 8.8.1).
                body, tag = self.packed[coding], f'"{self.tag}-{coding}"'
                all_headers["Content-Encoding"] = coding
        all_headers["ETag"] = tag
        if is_among(tag, request.headers.get("if-none-match", "")):
            all_headers.pop("Content-Encoding", None)
            return Response(status_code=304, headers=all_headers)
        return Response(body, headers=all_headers, media_type=MEDIA_TYPES[self.suffix])


def accepts(coding: str, accept_encoding: str) -> bool:
    """Whether this `Accept-Encoding` takes a coding by name; `*` alone is not worth a guess."""
    for taken in accept_encoding.lower().split(","):
        if taken.partition(";")[0].strip().removeprefix("x-") == coding:
            return not _REFUSED_CODING.search(taken)
    return False


def is_among(tag: str, if_none_match: str) -> bool:
    """Whether this `If-None-Match` names the tag; a weak form of it counts too (RFC 9110, 13.1.2)."""
    named = {one.strip().removeprefix("W/") for one in if_none_match.split(",")}
    return tag in named or "*" in named


@dataclass(frozen=True, eq=False)
class Release:
    """The files as they were read together."""

    version: str
    """Changes when any file does: part of the addresses that browsers may keep for ever."""
    files: Mapping[str, Asset]
    """By path below `web/`; `index.html`, the manifest and the service worker are among them."""
    merged_sheets: tuple[str, ...] = ()
    """Paths of the style sheets that have become one, which the page names in their place."""

    def pack(self) -> None:
        """Make every form of every file; takes about a second."""
        for asset in self.files.values():
            if asset.is_packable:
                for coding in _PACK:
                    asset.pack_with(coding)


class WebFiles:
    """Reads a folder once, or in development again as soon as a file in it has changed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._release: Release | None = None
        self._stamp: frozenset[tuple[str, int, int]] = frozenset()

    def get_release(self, *, may_change: bool) -> Release:
        """The files as they were read; with `may_change` their times are compared, for some milliseconds."""
        if self._release is None or may_change:
            found = dict(self._list_files())
            states = {path: file.stat() for path, file in found.items()}
            stamp = frozenset((path, state.st_mtime_ns, state.st_size) for path, state in states.items())
            if self._release is None or stamp != self._stamp:
                self._release, self._stamp = _read(found), stamp
                Thread(target=self._release.pack, name="packing", daemon=True).start()
        return self._release

    def _list_files(self) -> Iterator[tuple[str, Path]]:
        for file in self._folder.iterdir():
            if _is_served(file):
                yield file.name, file
        for name in FOLDERS:
            for file in (self._folder / name).rglob("*"):
                path = file.relative_to(self._folder)
                if _is_served(file) and not path.is_relative_to(_ELSEWHERE):
                    yield path.as_posix(), file


def _is_served(file: Path) -> bool:
    return file.suffix in MEDIA_TYPES and not file.name.startswith(".") and file.is_file()


def make_short(text: str) -> str:
    """Script or style without indentation, and without the comments that have lines of their own: a quarter
    of what would be sent.

    The lines stay, so that every error names the line of the file. A template literal of several lines loses
    its indentation too, which in a template of elements means nothing; there are no others.
    """
    return _INDENT.sub("", _COMMENT.sub(lambda comment: "\n" * comment[0].count("\n"), text))


def merge_sheets(files: dict[str, Asset]) -> tuple[str, ...]:
    """Make one of the style sheets that the page names: shorter together, and one request instead of many.
    Returns their paths."""
    page = files["index.html"].content.decode()
    paths = _SHEET.findall(page)
    if not paths:
        return ()
    files[_ALL_SHEETS] = Asset(b"\n".join(files[path].content for path in paths), ".css")
    before, *rest = _SHEET.split(page)[::2]
    link = f'    <link rel="stylesheet" href="/assets/{_ALL_SHEETS}">\n'
    files["index.html"] = Asset(f"{before}{link}{''.join(rest)}".encode(), ".html")
    return tuple(paths)


def _read(found: Mapping[str, Path]) -> Release:
    files = {path: _read_file(path, file) for path, file in sorted(found.items())}
    merged = merge_sheets(files)
    whole = sha256()
    for path, asset in files.items():
        whole.update(f"{path} {asset.tag}\n".encode())
    return Release(whole.hexdigest()[:12], files, merged)


def _read_file(path: str, file: Path) -> Asset:
    if file.suffix in _OURS and not path.startswith(_THEIRS):
        return Asset(make_short(file.read_text("utf-8")).encode(), file.suffix)
    return Asset(file.read_bytes(), file.suffix)
