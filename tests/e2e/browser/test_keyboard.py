"""Everything without a mouse."""

from __future__ import annotations

import secrets

from playwright.async_api import Locator, Page, expect

from tests.builders import PASSWORD, a_direct_chat, a_group, a_user
from tests.e2e.browser.window import Windows
from tests.process import Process

MOST_TABS = 40


async def tab_to(page: Page, target: Locator, key: str = "Tab") -> None:
    """Press Tab until the focus is there, as somebody does who sees where it is."""
    for _ in range(MOST_TABS):
        if await target.evaluate(
            "element => element === document.activeElement || element.contains(document.activeElement)"
        ):
            return
        await page.keyboard.press(key)
    raise AssertionError(f"{target} cannot be reached by {key}")


async def test_from_signing_in_to_a_reply(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    await ben.say(chat_id, "Tea or coffee?")
    screen = await windows.open()
    page, press = screen.page, screen.page.keyboard.press
    await expect(screen.field("field.login")).to_be_visible()
    await tab_to(page, screen.field("field.login"))
    await page.keyboard.type(ann.username)
    await press("Tab")
    await page.keyboard.type(PASSWORD)
    await press("Enter")
    await screen.is_signed_in()

    await expect(screen.chat(ben.username)).to_be_visible()
    await tab_to(page, screen.chat(ben.username))
    await press("Enter")
    await expect(screen.composer).to_be_focused()
    await press("Shift+Tab")
    await expect(screen.message("Tea or coffee?")).to_be_focused()
    await press("Enter")
    await expect(page.get_by_role("menuitem").first).to_be_focused()
    await expect(page.get_by_role("menuitem").first).to_have_text(screen.words("chat.action.reply"))
    await press("Enter")
    await expect(screen.composer).to_be_focused()
    await page.keyboard.type("Tea, please")
    await press("Enter")
    await screen.has_status("Tea, please", "sent")
    (stored,) = (await ben.get(f"/messages/chat/{chat_id}", after=1))["items"]
    assert stored["content"] == "Tea, please"
    assert stored["reply_to"]["seq"] == 1

    await press("ArrowUp")
    await expect(screen.composer).to_have_value("Tea, please")
    await page.keyboard.type("!")
    await press("Enter")
    await screen.reads("Tea, please!")
    await press("Escape")
    await expect(screen.composer).to_be_focused()


async def test_a_group_is_made_and_its_details_are_read(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service, f"ben-{secrets.token_hex(3)}")
    screen = await windows.open(ann)
    page, press = screen.page, screen.page.keyboard.press
    await expect(screen.button("newChat.title").first).to_be_visible()
    await press("Alt+n")
    dialog = screen.dialog("newChat.title")
    await expect(dialog.get_by_role("searchbox")).to_be_focused()
    await tab_to(page, dialog.get_by_role("button", name=screen.words("newGroup.title")))
    await press("Enter")
    dialog = screen.dialog("newGroup.title")
    await expect(dialog.get_by_label(screen.words("field.name"))).to_be_focused()
    await page.keyboard.type("By keyboard")
    await tab_to(page, dialog.get_by_role("searchbox"))
    await page.keyboard.type(ben.username)
    await expect(dialog.get_by_role("option", name=ben.username)).to_be_visible()
    await press("Enter")
    said = screen.words("people.chosen", name=ben.username)
    await expect(dialog.get_by_role("status").filter(has_text=said)).to_have_count(1)
    await tab_to(page, dialog.get_by_role("button", name=screen.words("newGroup.create")))
    await press("Enter")
    await expect(page.get_by_role("heading", name="By keyboard", level=1)).to_be_visible()
    await press("Alt+i")
    await expect(screen.details).to_be_visible()
    await expect(screen.member(ben.username)).to_be_visible()
    await tab_to(page, screen.details.get_by_role("list"))
    await press("End")
    await press("Enter")
    await expect(page.get_by_role("menuitem").first).to_be_focused()
    await press("Escape")
    await expect(page.get_by_role("menu")).to_have_count(0)
    await press("Escape")
    await expect(screen.details).to_have_count(0)


async def test_the_sheet_of_shortcuts_and_what_is_on_it(windows: Windows, service: Process) -> None:
    ann, ben, cem = [await a_user(service) for _ in range(3)]
    first = await a_group(ann, ben, name="Older")
    second = await a_group(ann, cem, name="Newer")
    await ben.say(first, "one")
    await cem.say(second, "two")
    screen = await windows.open(ann)
    page, press = screen.page, screen.page.keyboard.press
    await expect(screen.chat("Newer")).to_be_visible()
    await press("?")
    sheet = screen.dialog("shortcuts.title")
    await expect(sheet).to_contain_text(screen.words("chat.shortcut.editLast"))
    await press("Escape")
    await expect(sheet).to_be_hidden()
    await press("Control+k")
    await expect(screen.field("chats.search")).to_be_focused()
    await page.keyboard.type("old")
    await press("Enter")
    await screen.is_at(f"/chats/{first}")
    await expect(screen.composer).to_be_focused()
    await press("Alt+ArrowUp")
    await screen.is_at(f"/chats/{second}")
    await press("Alt+ArrowDown")
    await screen.is_at(f"/chats/{first}")


async def test_who_comes_by_keyboard_may_skip_to_the_content(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen = await windows.open(ann, f"/chats/{chat_id}")
    await expect(screen.composer).to_be_visible()
    skip = screen.page.get_by_role("link", name=screen.words("shell.skipToContent"))
    await screen.page.evaluate("document.activeElement.blur()")
    await tab_to(screen.page, skip, "Shift+Tab")
    await expect(skip).to_be_in_viewport()
    await screen.page.keyboard.press("Enter")
    await expect(screen.page.get_by_role("main")).to_be_focused()
    await screen.is_at(f"/chats/{chat_id}")


async def test_on_a_mac_the_option_key_writes_signs(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    path = f"/chats/{await a_direct_chat(ann, ben)}"
    screen = await windows.open(ann)
    await screen.context.add_init_script(
        "Object.defineProperty(Navigator.prototype, 'platform', {get: () => 'MacIntel'})"
    )
    await screen.page.goto(path)
    await screen.composer.fill("Two words")
    for key in ("Alt+n", "Alt+i", "Alt+ArrowUp"):
        await screen.page.keyboard.press(key)
    await expect(screen.page.get_by_role("dialog")).to_have_count(0)
    await screen.is_at(path)
    await expect(screen.composer).to_be_focused()
    await screen.history.or_(screen.page.get_by_role("main")).last.focus()
    await screen.page.keyboard.press("Alt+n")
    await expect(screen.dialog("newChat.title")).to_be_visible()
