"""Browser windows of people: their own cookies and storage, and a record of everything that goes wrong."""

from __future__ import annotations

import re
from typing import Any

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request

from tests.builders import TestUser
from tests.e2e.browser.screens import WAIT_MS, Screen
from tests.e2e.browser.words import Words
from tests.process import Process

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 390, "height": 844}

# The browser's own reports of requests that got no answer, or a refusal: those are what many tests are about.
_GONE = re.compile(r"net::ERR_(CONNECTION_\w+|INTERNET_DISCONNECTED|EMPTY_RESPONSE|NETWORK_CHANGED)")
_EXPECTED = re.compile(r"Failed to load resource: |WebSocket connection to ")
# Of its registration: switched off with `service_workers="block"`, where requests must fail that it would
# answer, or met by a server that is gone.
_OF_WORKER = (
    "Service Worker registration blocked by Playwright",
    "An unknown error occurred when fetching the script.",
)
_WATCH = """
addEventListener("securitypolicyviolation", (event) => {
  console.error(`policy: ${event.violatedDirective} ${event.blockedURI} ${event.sample}`);
});
"""


class Windows:
    """Every window of one test."""

    def __init__(self, browser: Browser, service: Process, words: dict[str, Words]) -> None:
        self.problems: list[str] = []
        self._browser = browser
        self._service = service
        self._words = words
        self._contexts: list[BrowserContext] = []

    async def open(self, user: TestUser | None = None, path: str = "/", **options: Any) -> Screen:
        """A new browser at `path`, in which `user` is signed in. `options` are Playwright's of a context."""
        context = await self._new_context(options)
        if user is not None:
            answer = await context.request.post(
                "/api/v1/users/login",
                data={"username": user.username, "password": user.password},
                headers={"X-Chat-Session": "cookie"},
            )
            assert answer.ok, await answer.text()
        screen = await self.open_tab(context, path, language=options.get("locale", "en")[:2])
        if user is not None:
            await screen.is_signed_in()
        return screen

    async def open_tab(self, context: BrowserContext, path: str = "/", *, language: str = "en") -> Screen:
        """One more tab of that browser."""
        screen = Screen(await context.new_page(), self._words[language])
        await screen.page.goto(path)
        return screen

    async def close(self) -> None:
        for context in self._contexts:
            await context.close()

    async def _new_context(self, options: dict[str, Any]) -> BrowserContext:
        settings: dict[str, Any] = {
            "base_url": self._service.url,
            "locale": "en-GB",
            "timezone_id": "Asia/Ho_Chi_Minh",
            "viewport": DESKTOP,
            "reduced_motion": "reduce",
        }
        context = await self._browser.new_context(**settings | options)
        context.set_default_timeout(WAIT_MS)
        await context.add_init_script(_WATCH)
        context.on("page", self._watch)
        context.on("request", self._hear_request)
        self._contexts.append(context)
        return context

    def _watch(self, page: Page) -> None:
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.problems.append(f"error: {error.stack or error.message}"))
        page.on("dialog", self._refuse)
        page.on("crash", lambda _: self.problems.append("the page crashed"))

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type in {"error", "warning"} and not self._is_expected(message):
            self.problems.append(f"{message.type}: {message.text} ({message.location})")

    def _is_expected(self, message: ConsoleMessage) -> bool:
        """A refused call, a socket that ended, and what is asked of a server that is gone."""
        if message.text in _OF_WORKER:
            return True
        url = str(message.location.get("url", ""))
        is_call = url.startswith(f"{self._service.url}/api/") or "WebSocket" in message.text
        is_gone = url.startswith(self._service.url) and _GONE.search(message.text) is not None
        return bool(_EXPECTED.match(message.text)) and (is_call or is_gone)

    async def _refuse(self, dialog: Dialog) -> None:
        """No part of the client opens one, so script that should not have run did."""
        self.problems.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def _hear_request(self, request: Request) -> None:
        if not request.url.startswith((self._service.url, "data:", "blob:")):
            self.problems.append(f"foreign request: {request.url}")
