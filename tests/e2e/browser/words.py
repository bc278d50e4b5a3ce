"""The sentences of the interface, read from the client's own files: tests say which one, not how it reads."""

from __future__ import annotations

from typing import Any

from playwright.async_api import Browser

Entry = str | dict[str, str]
"""A sentence, or its plural forms by their categories (`one`, `other`)."""


class Words:
    """One language."""

    def __init__(self, entries: dict[str, Entry]) -> None:
        self.entries = entries

    def __call__(self, key: str, **values: Any) -> str:
        """The sentence as it is shown; `count` chooses among plural forms."""
        entry = self.entries[key]
        if not isinstance(entry, str):
            entry = entry.get("one" if values["count"] == 1 else "other", entry["other"])
        for name, value in values.items():
            entry = entry.replace(f"{{{name}}}", str(value))
        return entry


async def read_words(browser: Browser, url: str) -> dict[str, Words]:
    """Both languages, by their codes."""
    page = await browser.new_page()
    await page.goto(f"{url}/assets/i18n/en.js")
    found = {}
    for language in ("en", "vi"):
        address = f"{url}/assets/i18n/{language}.js"
        found[language] = Words(
            await page.evaluate("async (address) => (await import(address)).default", address)
        )
    await page.close()
    return found
