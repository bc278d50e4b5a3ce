"""One service and one Chromium for the tests of a file, and windows in which nothing may go wrong unseen."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.builders import close_clients
from tests.e2e.browser.chromium import chromium
from tests.e2e.browser.window import Windows
from tests.e2e.browser.words import Words, read_words
from tests.process import Process, serving
from tests.programs import find_headless_chromium

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All tests of this folder share a loop, because the browser lives on it from test to test."""
    for item in items:
        if item.path.is_relative_to(HERE) and inspect.iscoroutinefunction(getattr(item, "function", None)):
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium(find_headless_chromium()) as started:
        yield started


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Process]:
    """A real process on embedded stores. Who stops it, starts it again."""
    with serving(tmp_path_factory.mktemp("service") / "data") as process:
        yield process


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def words(browser: Browser, service: Process) -> dict[str, Words]:
    """What the interface says, by language."""
    return await read_words(browser, service.url)


@pytest_asyncio.fixture(loop_scope="session")
async def windows(browser: Browser, service: Process, words: dict[str, Words]) -> AsyncIterator[Windows]:
    """Opens windows; at the end each must have been without errors, refused content and foreign requests."""
    opened = Windows(browser, service, words)
    try:
        yield opened
    finally:
        await opened.close()
        await close_clients()
    assert not opened.problems


@pytest_asyncio.fixture(loop_scope="session")
async def restarting(service: Process) -> AsyncIterator[Process]:
    """The service, for a test that ends it; it runs again afterwards in any case."""
    yield service
    if service.popen.poll() is not None:
        await asyncio.to_thread(service.start)
