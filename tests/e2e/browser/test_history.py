"""What a history shows that lies far apart, and what it says when it shows nothing."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import Route, expect

from tests.builders import a_direct_chat, a_user
from tests.e2e.browser.window import Windows
from tests.process import Process


async def test_replies_to_what_lies_all_over_a_long_chat_keep_their_quotes(
    windows: Windows, service: Process
) -> None:
    """More lies between the originals than a client keeps of a chat."""
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    stored = []
    for start in range(0, 1_600, 20):
        texts = [f"Original {start + number}." for number in range(20)]
        stored += await asyncio.gather(*(ann.say(chat_id, text) for text in texts))
    for message in sorted(stored, key=lambda one: one["seq"])[::80]:
        await ben.say(chat_id, f"About: {message['content']}", reply_to_id=message["id"])
    await ann.put(f"/chats/{chat_id}/read", {"seq": 1_620})
    screen = await windows.open(ann, f"/chats/{chat_id}", viewport={"width": 1280, "height": 2400})
    replies = screen.message("About: ")
    await expect(replies).to_have_count(20)
    await expect(replies.get_by_role("button").filter(has_text="Original ")).to_have_count(20)
    async with screen.offline():
        await screen.is_told("connection.offline")
    await screen.is_online()
    await screen.say("Still there?")
    await expect(replies.get_by_role("button").filter(has_text="Original ")).to_have_count(20)


async def test_what_arrives_while_nobody_looks_is_not_scrolled_past(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    await ben.say(chat_id, "Before")
    screen = await windows.open(ann, f"/chats/{chat_id}")
    await screen.reads("Before")
    await screen.page.evaluate("document.hasFocus = () => false; dispatchEvent(new Event('blur'))")
    for number in range(1, 41):
        await ben.say(chat_id, f"Line {number}.")
    await expect(screen.page).to_have_title(re.compile(r"^\(40\) "))
    await expect(screen.message("Line 1.")).to_be_in_viewport()
    await expect(screen.message("Line 1.")).to_contain_text(screen.words("chat.newMessages"))
    await screen.page.evaluate("delete document.hasFocus; dispatchEvent(new Event('focus'))")
    await expect(screen.page).not_to_have_title(re.compile(r"^\(40\) "))
    await expect(screen.page).to_have_title(re.compile(r"^\(\d+\) "))
    newest = screen.words("chat.toNewestOf", count=r"\d+")
    await screen.page.get_by_role("button", name=re.compile(newest)).click()
    await expect(screen.message("Line 40.")).to_be_in_viewport()
    await expect(screen.page).not_to_have_title(re.compile(r"^\("))


async def test_who_searches_while_a_message_is_loaded_is_not_called_away(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    await ann.say(chat_id, "The first")
    for _ in range(20):
        await asyncio.gather(*(ann.say(chat_id, "One of many") for _ in range(20)))
    await ann.say(chat_id, "The last")
    screen = await windows.open(ann, f"/chats/{chat_id}")
    await screen.reads("The last")

    async def pass_late(route: Route) -> None:
        await asyncio.sleep(1)
        await route.continue_()

    await screen.page.route("**/api/v1/messages/chat/**", pass_late)
    await screen.message("The last").focus()
    await screen.page.keyboard.press("Home")
    await screen.page.keyboard.press("Control+k")
    search = screen.field("chats.search")
    await expect(search).to_be_focused()
    await expect(screen.message("The first")).to_be_in_viewport()
    await screen.page.keyboard.type("who")
    await expect(search).to_have_value("who")
