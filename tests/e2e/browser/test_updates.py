"""One release of the client takes the place of another in a browser that keeps it."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from playwright.async_api import Browser, Page

from tests.builders import a_user
from tests.e2e.browser.window import Windows
from tests.e2e.browser.words import Words
from tests.process import ROOT, serving

WAIT_S = 30.0
CHANGED = "app/afterwards.js"
_LIST_KEPT = "() => caches.keys()"
# The page is kept last, when all of its files are.
_IS_ANOTHER_KEPT = """async (before) => {
  const [name] = (await caches.keys()).filter((one) => !before.includes(one));
  return name !== undefined && Boolean(await (await caches.open(name)).match("/"));
}"""
_IS_FIRST_GONE = "async (first) => !(await caches.keys()).includes(first)"
_READ_CHANGED = f"async (version) => (await fetch(`/assets/${{version}}/{CHANGED}`)).text()"


async def until(page: Page, question: str, argument: object) -> None:
    """Playwright's own waiting does not await what is answered."""
    async with asyncio.timeout(WAIT_S):
        while not await page.evaluate(question, argument):  # noqa: ASYNC110 - the page cannot tell
            await asyncio.sleep(0.05)


async def test_an_updated_client_takes_the_place_of_the_kept_one(
    browser: Browser, words: dict[str, Words], tmp_path: Path
) -> None:
    """Open pages keep the parts of their own release; a reload brings the new one, also without a network."""
    shutil.copytree(ROOT / "chat_service", tmp_path / "chat_service")
    module = tmp_path / "chat_service/web" / CHANGED
    source = module.read_text()

    def release(number: int) -> None:
        module.write_text(f"{source}\nglobalThis.release = {number};\n")

    release(1)
    with serving(tmp_path / "data", PYTHONPATH=str(tmp_path)) as service:
        windows = Windows(browser, service, words)
        try:
            ann = await windows.open(await a_user(service))
            await ann.page.wait_for_function("() => globalThis.release === 1")
            await ann.page.evaluate("async () => { await navigator.serviceWorker.ready; }")
            [first] = await ann.page.evaluate(_LIST_KEPT)
            for number in (2, 3):
                await asyncio.to_thread(service.stop)
                release(number)
                await asyncio.to_thread(service.start)
                before = await ann.page.evaluate(_LIST_KEPT)
                tab = await windows.open_tab(ann.context)
                await tab.page.wait_for_function(f"() => globalThis.release === {number}")
                await until(tab.page, _IS_ANOTHER_KEPT, before)
                await tab.page.close()
                if number == 2:
                    await ann.is_online()
                    assert await ann.page.evaluate("() => globalThis.release") == 1
                    old = await ann.page.evaluate(_READ_CHANGED, first.rpartition(" ")[2])
                    assert "globalThis.release = 1;" in old
            await until(ann.page, _IS_FIRST_GONE, first)
            assert len(await ann.page.evaluate(_LIST_KEPT)) == 2
            await ann.context.set_offline(True)
            await ann.page.reload()
            await ann.page.wait_for_function("() => globalThis.release === 3")
        finally:
            await windows.close()
    assert not windows.problems
