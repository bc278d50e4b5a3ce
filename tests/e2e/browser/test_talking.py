"""Two people talk in two browsers."""

from __future__ import annotations

import re
import secrets

from playwright.async_api import expect

from tests.builders import PASSWORD, TestUser, a_direct_chat, a_user
from tests.e2e.browser.screens import Screen
from tests.e2e.browser.window import Windows
from tests.process import Process


async def two_who_talk(windows: Windows, service: Process) -> tuple[Screen, Screen, TestUser, TestUser]:
    """Ann's and Ben's windows, with their direct chat open in both."""
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    path = f"/chats/{chat_id}"
    return await windows.open(ann, path), await windows.open(ben, path), ann, ben


async def test_two_new_people_find_each_other_and_talk(windows: Windows) -> None:
    mark = secrets.token_hex(3)
    ann, ben = await windows.open(path="/signup"), await windows.open()
    await ann.sign_up(f"ann-{mark}", PASSWORD, f"Ann Ånström {mark}")
    await ben.page.get_by_role("link", name=ben.words("signUp.action")).click()
    await ben.sign_up(f"ben-{mark}", PASSWORD, f"Ben {mark}")

    await ann.begin_chat(f"Ben {mark}")
    await ann.say("Hello, Ben!")
    await ben.open_chat(f"Ann Ånström {mark}")
    await ben.reads("Hello, Ben!")
    await ann.has_status("Hello, Ben!", "read")
    await ben.say("Hello, Ann!\nHow are you?")
    await ann.reads("How are you?")
    await ben.has_status("How are you?", "read")

    await ann.page.reload()
    await ann.reads("Hello, Ben!")
    await ann.reads("How are you?")
    await ann.sign_out()


async def test_a_message_is_ticked_as_far_as_it_has_come(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    writing = await windows.open(ann, f"/chats/{chat_id}")
    await writing.say("Is anybody there?")
    await writing.has_status("Is anybody there?", "sent")
    elsewhere = await windows.open(ben)
    await writing.has_status("Is anybody there?", "delivered")
    await elsewhere.open_chat(ann.username)
    await writing.has_status("Is anybody there?", "read")


async def test_an_edit_is_seen_at_once_with_its_history(windows: Windows, service: Process) -> None:
    ann, ben, *_ = await two_who_talk(windows, service)
    await ann.say("See you at five")
    await ben.reads("See you at five")
    await ann.edit("See you at five", "See you at six")
    await ben.reads("See you at six")
    await ben.reads_nothing_of("See you at five")
    await expect(ben.message("See you at six")).to_contain_text(ben.words("chat.edited"))
    await ben.act("See you at six", "history")
    dialog = ben.dialog("chat.revisions.title")
    await expect(dialog.get_by_role("listitem")).to_have_count(2)
    await expect(dialog.get_by_role("listitem").last).to_contain_text("See you at five")
    await ben.page.keyboard.press("Escape")
    await expect(dialog).to_be_hidden()


async def test_what_is_deleted_for_everyone_leaves_a_mark_for_everyone(
    windows: Windows, service: Process
) -> None:
    ann, ben, *_ = await two_who_talk(windows, service)
    await ann.say("Forget this")
    await ben.reads("Forget this")
    await ann.delete("Forget this", everywhere=True)
    for screen in (ann, ben):
        await screen.reads_nothing_of("Forget this")
        await expect(screen.messages).to_contain_text([screen.words("chat.deletedMessage")])


async def test_what_is_deleted_for_oneself_stays_for_the_other(windows: Windows, service: Process) -> None:
    ann, ben, *_ = await two_who_talk(windows, service)
    for text in ("One", "Two", "Three"):
        await ann.say(text)
        await ben.reads(text)
    await ben.delete("Two", everywhere=False)
    await ben.reads_nothing_of("Two")
    await expect(ben.messages).to_have_count(2)
    for text in ("One", "Three"):
        await ben.delete(text, everywhere=False)
    await ben.sees("chat.empty.title")
    await ann.reads("Two")
    await ben.page.reload()
    await ben.sees("chat.empty.title")
    await ann.say("Four")
    await ben.reads("Four")
    await expect(ben.messages).to_have_count(1)


async def test_a_reply_quotes_what_it_answers_and_leads_there(windows: Windows, service: Process) -> None:
    ann, ben, _, ben_user = await two_who_talk(windows, service)
    await ben.say("Which day?")
    await ann.reads("Which day?")
    await ann.act("Which day?", "reply")
    await ann.sees("chat.composer.replying", name=ben_user.username)
    await ann.say("Friday")
    for screen in (ann, ben):
        quote = screen.message("Friday").get_by_role("button").filter(has_text="Which day?")
        await expect(quote).to_be_visible()
    await expect(
        ann.page.get_by_text(ann.words("chat.composer.replying", name=ben_user.username))
    ).to_have_count(0)


async def test_what_is_answered_is_not_kept_when_it_is_deleted(windows: Windows, service: Process) -> None:
    ann, ben, _, ben_user = await two_who_talk(windows, service)
    await ben.say("A slip of the tongue")
    await ann.reads("A slip of the tongue")
    await ann.act("A slip of the tongue", "reply")
    await ann.composer.fill("Never mind")
    await ann.keeps("Never mind")
    assert "A slip" not in await ann.page.evaluate("JSON.stringify({...sessionStorage})")
    await ben.delete("A slip of the tongue", everywhere=True)
    await ann.reads_nothing_of("A slip of the tongue")
    await expect(ann.page.get_by_role("button").filter(has_text="A slip")).to_have_count(0)
    await ann.page.reload()
    await ann.sees("chat.composer.replying", name=ben_user.username)
    await expect(ann.composer).to_have_value("Never mind")
    await ann.composer.press("Enter")
    await ann.has_status("Never mind", "read")


async def test_who_types_and_who_is_there_is_seen(windows: Windows, service: Process) -> None:
    ann, ben, *_ = await two_who_talk(windows, service)
    header = ann.page.get_by_role("main").locator("header").first
    await expect(header).to_contain_text(ann.words("presence.online"))
    await ben.composer.press_sequentially("Well")
    await expect(header).to_contain_text(ann.words("chat.typing"))
    await ben.composer.fill("")
    await expect(header).not_to_contain_text(ann.words("chat.typing"))
    await ben.page.close()
    seen = ann.words("presence.lastSeen", when="")
    await expect(header).to_contain_text(seen)


async def test_what_came_while_one_was_elsewhere_is_counted_and_marked(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen = await windows.open(ben)
    await ann.say(chat_id, "First")
    await ann.say(chat_id, "Second")
    await expect(screen.chat(ann.username)).to_contain_text(screen.words("chats.unread", count=2))
    await expect(screen.page).to_have_title(re.compile(r"^\(2\) "))
    await screen.open_chat(ann.username)
    await screen.reads("Second")
    await expect(screen.message("First")).to_contain_text(screen.words("chat.newMessages"))
    await expect(screen.chat(ann.username)).not_to_contain_text(screen.words("chats.unread", count=2))
    await expect(screen.page).not_to_have_title(re.compile(r"^\("))


async def test_who_reads_above_is_not_pulled_down_but_told(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    for number in range(60):
        await ann.say(chat_id, f"Line {number}\nand more")
    await ben.put(f"/chats/{chat_id}/read", {"seq": 60})
    screen = await windows.open(ben, f"/chats/{chat_id}")
    await screen.reads("Line 59")
    await screen.history.hover()
    await screen.page.mouse.wheel(0, -1500)
    await expect(screen.button("chat.toNewest")).to_be_visible()
    seen = screen.message("Line 40\n")
    before = await seen.bounding_box()
    await ann.say(chat_id, "Come down")
    newest = screen.button("chat.toNewestOf", count=1)
    await expect(newest).to_be_visible()
    assert await seen.bounding_box() == before
    await newest.click()
    await expect(screen.message("Come down")).to_be_in_viewport()
    await expect(newest).to_have_count(0)
    await expect(screen.history).to_be_focused()


async def test_one_jumps_to_a_date_and_back_to_the_newest(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    for number in range(1, 151):
        await ann.say(chat_id, f"Line {number}.")
    screen = await windows.open(ann, f"/chats/{chat_id}")
    await screen.reads("Line 150.")
    await screen.button("chat.jumpToDate").first.click()
    dialog = screen.dialog("chat.date.title")
    today = await screen.page.evaluate("new Date().toLocaleDateString('sv')")
    await dialog.get_by_label(screen.words("chat.date.label")).fill(today)
    await dialog.get_by_role("button", name=screen.words("chat.date.go")).click()
    await expect(screen.message("Line 1.")).to_be_in_viewport()
    await screen.button("chat.toNewest").click()
    await expect(screen.message("Line 150.")).to_be_in_viewport()


async def test_a_draft_outlives_the_page(windows: Windows, service: Process) -> None:
    ann, ben, _, ben_user = await two_who_talk(windows, service)
    await ann.composer.press_sequentially("Not finished")
    await ann.page.reload()
    await expect(ann.composer).to_have_value("Not finished")
    await ann.page.goto("/")
    await expect(ann.chat(ben_user.username)).to_contain_text("Not finished")
    await ann.open_chat(ben_user.username)
    await ann.composer.press("Enter")
    await ben.reads("Not finished")
    await ann.page.reload()
    await ann.reads("Not finished")
    await expect(ann.composer).to_have_value("")


async def test_a_message_that_is_too_long_is_counted_down_and_not_lost(
    windows: Windows, service: Process
) -> None:
    ann, ben, *_ = await two_who_talk(windows, service)
    await ann.composer.fill("x" * 9_990)
    await ann.sees("chat.composer.left", count=10)
    await ann.composer.fill("x" * 10_003)
    await ann.sees("chat.composer.tooLong", count=3)
    await ann.composer.press("Enter")
    await expect(ann.composer).to_have_value("x" * 10_003)
    await ann.composer.press("Backspace")
    await ann.composer.press("Backspace")
    await ann.composer.press("Backspace")
    await ann.composer.press("Enter")
    await expect(ann.composer).to_have_value("")
    await ben.reads("xxx")
