"""Browsers that keep nothing, addresses made by hand, other languages, odd names, small windows."""

from __future__ import annotations

import re
import secrets

from playwright.async_api import expect

from tests.builders import PASSWORD, a_direct_chat, a_group, a_user
from tests.e2e.browser.window import PHONE, Windows
from tests.process import Process

REFUSE_STORAGE = """
for (const name of ["localStorage", "sessionStorage", "indexedDB"]) {
  Object.defineProperty(window, name, { get() { throw new DOMException("denied", "SecurityError"); } });
}
"""
WRONG_CLOCK = """
const ahead = 3 * 365 * 86400000, now = Date.now;
Date.now = () => now() + ahead;
const Real = Date;
Date = class extends Real {
  constructor(...given) { given.length ? super(...given) : super(Real.now()); }
};
"""
WATCH_WIDTH = """
window.widest = 0;
(function look() {
  const page = document.documentElement;
  if (page) window.widest = Math.max(window.widest, page.scrollWidth - innerWidth);
  requestAnimationFrame(look);
})();
"""
BEGINNING_IN_VIEW = """element => {
  const range = document.createRange();
  range.setStart(element.firstChild, 0);
  range.setEnd(element.firstChild, 1);
  const first = range.getBoundingClientRect(), box = element.getBoundingClientRect();
  return first.left >= box.left - 1 && first.right <= box.right + 1;
}"""
ADDRESSES = (
    "/chats/999999",
    "/chats/0",
    "/chats/-1",
    "/chats/1e3",
    "/chats/99999999999999999999",
    "/chats/x",
    "/chats/1/../../../etc",
    "/settings/nothing",
    "/%00",
    "/%E0%A4%A",
    "//evil.example/",
    "/chats?x=<script>alert(1)</script>",
    "/#<img src=x onerror=alert(1)>",
    "/signin?next=https://evil.example/",
    "/signin?next=//evil.example/",
    "/signin?next=javascript:alert(1)",
    "/signup/",
)
LONG_NAME = "Anna-Sophia Maximiliane von und zu Hohenlohe-Waldenburg-Schillingsfürst " + "é" * 28
NAMES = [
    LONG_NAME,
    "محمد عبد الله الأنصاري",
    "דוד בן־גוריון",
    "李小龍",
    "สมชาย ใจดี",
    "Nguyễn Thị Minh Khai",
    "👩‍👩‍👧‍👦 family",
    "Z̴a̵l̶g̷o̸" + "\u0335" * 20,
    "WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW",
]


async def test_a_browser_that_refuses_storage_chats_as_long_as_the_page_lives(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen = await windows.open()
    await screen.context.add_init_script(REFUSE_STORAGE)
    await screen.page.goto(f"/chats/{chat_id}")
    await screen.sign_in(ann.username, ann.password)
    other = await windows.open(ben, f"/chats/{chat_id}")
    await screen.say("Nothing is kept here")
    await other.reads("Nothing is kept here")
    await other.say("But it arrives")
    await screen.reads("But it arrives")
    await screen.edit("Nothing is kept here", "Nothing at all")
    await screen.page.goto("/settings/appearance")
    await screen.page.get_by_text(screen.words("settings.theme.dark"), exact=True).click()
    await expect(screen.page.locator("html")).to_have_attribute("data-theme", "dark")
    await screen.page.reload()
    await screen.is_signed_in()


async def test_an_address_made_by_hand_does_no_harm(windows: Windows, service: Process) -> None:
    ann = await a_user(service)
    screen = await windows.open(ann)
    for address in ADDRESSES:
        await screen.page.evaluate("address => { location.href = location.origin + address; }", address)
        await screen.page.wait_for_load_state()
        await screen.is_signed_in()
        assert screen.page.url.startswith(service.url), address
        await screen.button("newChat.title").first.click()
        await expect(screen.dialog("newChat.title")).to_be_visible()


async def test_after_signing_in_one_is_where_one_wanted_to_be(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen = await windows.open(path=f"/chats/{chat_id}")
    await screen.is_signed_out()
    await screen.sign_in(ann.username, ann.password)
    await screen.is_at(f"/chats/{chat_id}")
    await expect(screen.composer).to_be_visible()
    elsewhere = await windows.open(path="/signin?next=https%3A%2F%2Fevil.example%2F")
    await elsewhere.sign_in(ann.username, ann.password)
    await elsewhere.is_at("/")


async def test_in_vietnamese(windows: Windows, service: Process) -> None:
    """All that a talk needs, by the Vietnamese names of everything."""
    mark = secrets.token_hex(3)
    ben = await a_user(service, f"ben-{mark}")
    screen = await windows.open(path="/signup", locale="vi-VN")
    await screen.sign_up(f"mai-{mark}", PASSWORD, "Mai Thị Lựu")
    await expect(screen.page.locator("html")).to_have_attribute("lang", "vi")
    await screen.begin_chat(ben.username)
    await screen.say("Xin chào!")
    await screen.edit("Xin chào!", "Chào bạn!")
    await screen.delete("Chào bạn!", everywhere=True)
    await screen.sees("chat.deletedMessage")
    await screen.page.goto("/settings/appearance")
    await screen.page.get_by_text("English", exact=True).click()
    await expect(screen.page.locator("html")).to_have_attribute("lang", "en")
    await expect(screen.page.get_by_role("heading", name="Appearance")).to_be_visible()
    await screen.page.reload()
    await expect(screen.page.get_by_role("heading", name="Appearance")).to_be_visible()


async def test_long_and_right_to_left_names_fit_and_keep_apart(windows: Windows, service: Process) -> None:
    ann = await a_user(service)
    people = [await a_user(service) for _ in NAMES]
    for user, name in zip(people, NAMES, strict=True):
        await user.put("/users/me", {"full_name": name})
    group = await a_group(ann, *people, name="שלום " + "w" * 90)
    for user in people:
        await user.say(group, "مرحبا\nhello " + "x" * 300)
        await user.say(await a_direct_chat(user, ann), "שלום (hello) 123")
    for viewport in ({"width": 1280, "height": 800}, PHONE, {"width": 320, "height": 640}):
        screen = await windows.open(ann, viewport=viewport)
        await screen.context.add_init_script(WATCH_WIDTH)
        await expect(screen.rows).to_have_count(len(NAMES) + 1)
        for path in ("/", f"/chats/{group}", f"/chats/{group}/details"):
            await screen.page.goto(path)
            await screen.is_signed_in()
            shown = (
                screen.member(LONG_NAME)
                if path.endswith("/details")
                else screen.page.get_by_text("hello").first
            )
            await expect(shown).to_be_attached()
            assert await screen.page.evaluate("widest") <= 0, (viewport, path)
        for name in NAMES[1:4]:
            await expect(screen.member(name)).to_be_attached()


async def test_what_is_written_from_right_to_left_is_not_cut_off_at_its_beginning(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    group = await a_group(ann, ben, name="Both ways")
    await ben.say(group, "- ראשון\n- שני")
    await ben.say(group, "שלום " * 60)
    screen = await windows.open(ann, f"/chats/{group}", viewport=PHONE)
    marks = (
        await screen.message("ראשון")
        .get_by_role("list")
        .evaluate(
            "list => [getComputedStyle(list).direction, getComputedStyle(list.firstElementChild).direction]"
        )
    )
    assert marks == ["rtl", "rtl"]
    await screen.page.goto("/")
    seen = await screen.chat("Both ways").get_by_text("שלום").last.evaluate(BEGINNING_IN_VIEW)
    assert seen


async def test_a_clock_that_is_years_ahead_does_no_harm(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen = await windows.open()
    await screen.context.add_init_script(WRONG_CLOCK)
    await screen.page.goto(f"/chats/{chat_id}")
    await screen.sign_in(ann.username, ann.password)
    other = await windows.open(ben, f"/chats/{chat_id}")
    await screen.say("What time is it?")
    await other.reads("What time is it?")
    await other.say("Now")
    await screen.reads("Now")
    assert await screen.contents() == ["What time is it?", "Now"]
    await screen.page.reload()
    await screen.reads("Now")


async def test_on_a_phone_one_thing_is_seen_at_a_time(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    await ben.say(await a_group(ann, ben, name="Pocket"), "Hello")
    screen = await windows.open(ann, viewport=PHONE, has_touch=True)
    await screen.open_chat("Pocket")
    await screen.reads("Hello")
    await expect(screen.chat("Pocket")).to_be_hidden()
    await screen.composer.fill("Hi")
    await screen.button("chat.composer.send").tap()
    await screen.reads("Hi")
    await screen.button("details.region").tap()
    await expect(screen.member(ben.username)).to_be_visible()
    await expect(screen.composer).to_be_hidden()
    await screen.page.go_back()
    await expect(screen.composer).to_be_visible()
    await screen.page.go_back()
    await expect(screen.chat("Pocket")).to_be_visible()
    await expect(screen.composer).to_be_hidden()


async def test_on_a_phone_nothing_is_read_behind_the_details(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    path = f"/chats/{await a_direct_chat(ann, ben)}"
    screen = await windows.open(ann, path, viewport=PHONE, has_touch=True)
    other = await windows.open(ben, path)
    await screen.button("details.region").tap()
    await expect(screen.composer).to_be_hidden()
    await other.say("Are you reading this?")
    await expect(screen.page).to_have_title(re.compile(r"^\(1\) "))
    await other.has_status("Are you reading this?", "delivered")
    await screen.page.go_back()
    await other.has_status("Are you reading this?", "read")
    await expect(screen.page).not_to_have_title(re.compile(r"^\("))


async def test_a_menu_stays_when_the_keyboard_on_the_screen_goes(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    await ben.say(chat_id, "Press me")
    low = {"width": PHONE["width"], "height": 480}
    screen = await windows.open(ann, f"/chats/{chat_id}", viewport=low, has_touch=True, is_mobile=True)
    await screen.reads("Press me")
    await screen.composer.tap()
    await screen.open_menu("Press me")
    async with screen.page.expect_event("console", lambda message: message.text == "resized"):
        await screen.page.evaluate("addEventListener('resize', () => console.info('resized'), {once: true})")
        await screen.page.set_viewport_size(PHONE)
    menu = screen.page.get_by_role("menu")
    await expect(menu).to_be_visible()
    for item in await menu.get_by_role("menuitem").all():
        await expect(item).to_be_in_viewport(ratio=1)
    await screen.page.keyboard.press("Escape")
    await expect(menu).to_have_count(0)
    await expect(screen.composer).not_to_be_focused()
    await screen.act("Press me", "reply")
    await expect(screen.composer).to_be_focused()


async def test_a_menu_closes_when_the_browser_asks_for_it(windows: Windows, service: Process) -> None:
    """As for Back on a phone; here for Escape, which the menu itself hears only while it has the focus."""
    ann = await a_user(service)
    screen = await windows.open(ann, viewport=PHONE, has_touch=True)
    own = screen.page.get_by_role("button", name=screen.words("shell.ownMenu", name=ann.username))
    menu = screen.page.get_by_role("menu")
    for _ in range(2):
        await own.tap()
        await expect(menu.get_by_role("menuitem").first).to_be_focused()
        await screen.page.evaluate("document.activeElement.blur()")
        await screen.page.keyboard.press("Escape")
        await expect(menu).to_have_count(0)


async def test_a_dialog_closes_by_a_click_beside_it_and_by_nothing_less(
    windows: Windows, service: Process
) -> None:
    screen = await windows.open(await a_user(service))
    mouse = screen.page.mouse
    await screen.button("newChat.title").first.click()
    dialog = screen.dialog("newChat.title")
    await dialog.get_by_role("searchbox").hover()
    await mouse.down()
    await mouse.move(5, 400)
    await mouse.up()
    await expect(dialog).to_be_visible()
    await mouse.down()
    await expect(dialog).to_be_visible()
    await mouse.up()
    await expect(dialog).to_be_hidden()
