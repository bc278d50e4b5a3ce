"""How Chromium is started: without a window, silent towards everybody but the service."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, async_playwright

ARGUMENTS = (
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-gpu",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
)


@asynccontextmanager
async def chromium(executable: str) -> AsyncIterator[Browser]:
    """Chromium for the length of the block; `executable` is the path of one of its kinds."""
    # Its sandbox needs what root in a container does not have, and refuses to start.
    sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=executable, args=[*ARGUMENTS, *sandbox])
        try:
            yield browser
        finally:
            await browser.close()
