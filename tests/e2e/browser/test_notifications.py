"""What the browser is asked to show while nobody looks, and what goes to its clipboard."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import expect

from tests.builders import a_direct_chat, a_user
from tests.e2e.browser.screens import WAIT_MS, Screen
from tests.e2e.browser.window import Windows
from tests.process import Process

# A browser without windows shows none, so this stands in for what it would show.
RECORD = """
window.shown = [];
window.Notification = class {
  static permission = "granted";
  static requestPermission = async () => "granted";
  constructor(title, {body, tag, renotify}) {
    this.entry = {title, body, tag, renotify, isClosed: false};
    window.shown.push(this.entry);
  }
  close() { this.entry.isClosed = true; }
};
"""
HIDE = """
Object.defineProperty(document, "hidden", {configurable: true, get: () => true});
Object.defineProperty(document, "visibilityState", {configurable: true, get: () => "hidden"});
document.dispatchEvent(new Event("visibilitychange"));
"""


async def shows(screen: Screen, *bodies: str) -> None:
    """These, in this order, and no others."""
    shown: list[str] = []
    for _ in range(WAIT_MS // 50):
        shown = await screen.page.evaluate("window.shown.map((one) => one.body)")
        if shown == list(bodies):
            return
        await asyncio.sleep(0.05)
    raise AssertionError(f"{shown} was shown")


async def shown_by(*screens: Screen) -> list[str]:
    return [body for screen in screens for body in await screen.page.evaluate("shown.map((one) => one.body)")]


async def test_what_comes_while_nobody_looks_is_notified(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen = await windows.open(ann)
    await screen.context.add_init_script(RECORD)
    await screen.page.goto("/settings/notifications")
    await screen.page.get_by_role("switch").check()
    await shows(screen, screen.words("notifications.sample"))
    await screen.page.goto("/")
    # What a page does besides what one sees begins when that is drawn, and this is the last of it.
    await screen.page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    await ben.say(chat_id, "Seen in the list")
    await expect(screen.page).to_have_title(re.compile(r"^\(1\) "))
    await screen.page.evaluate(HIDE)
    await ben.say(chat_id, "Are **you** there?")
    await shows(screen, "Are you there?")
    async with screen.offline():
        await screen.is_told("connection.offline")
        await ben.say(chat_id, "One more")
        await ben.say(chat_id, "And the last")
    await shows(screen, "Are you there?", "And the last")
    notes = await screen.page.evaluate("window.shown")
    assert [note["title"] for note in notes] == [ben.username] * 2
    assert all(note["tag"] and note["renotify"] for note in notes), "each one is heard"
    assert not notes[-1]["isClosed"]
    phone = await windows.open(ann, f"/chats/{chat_id}")
    await phone.reads("And the last")
    for _ in range(WAIT_MS // 50):
        if await screen.page.evaluate("window.shown.at(-1).isClosed"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("what was read on another device is still shown")


async def test_two_hidden_tabs_tell_of_a_message_once_and_of_a_deleted_one_not_at_all(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    await ben.say(chat_id, "Seen in the list")
    first = await windows.open(ann)
    await first.context.add_init_script(RECORD)
    await first.page.goto("/settings/notifications")
    await first.page.get_by_role("switch").check()
    await shows(first, first.words("notifications.sample"))
    second = await windows.open_tab(first.context)
    for screen in (first, second):
        await screen.page.goto("/")
        await screen.page.evaluate("async () => { await navigator.serviceWorker.ready; }")
        await expect(screen.page).to_have_title(re.compile(r"^\(1\) "))
        await screen.page.evaluate(HIDE)
    async with first.offline():
        await first.is_told("connection.offline")
        gone = await ben.say(chat_id, "Better not")
        await ben.delete(f"/messages/{gone['id']}", 200)
    for screen in (first, second):
        await screen.is_online()
        await expect(screen.page).to_have_title(re.compile(r"^\(2\) "))
    await ben.say(chat_id, "Are you there?")
    for _ in range(WAIT_MS // 50):
        if await shown_by(first, second):
            break
        await asyncio.sleep(0.05)
    await asyncio.sleep(1)  # for one too many
    assert await shown_by(first, second) == ["Are you there?"]


async def test_the_text_of_a_message_is_copied_as_it_was_written(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    await ben.say(chat_id, "Take **this**\nwith you")
    screen = await windows.open(ann, f"/chats/{chat_id}", permissions=["clipboard-read", "clipboard-write"])
    await screen.reads("with you")
    await screen.act("with you", "copy")
    await screen.sees("chat.copied")
    assert await screen.page.evaluate("navigator.clipboard.readText()") == "Take **this**\nwith you"
