"""Signing in and out, here and elsewhere, and what survives it."""

from __future__ import annotations

import asyncio
import re

from playwright.async_api import expect

from tests.builders import PASSWORD, a_direct_chat, a_group, a_user
from tests.e2e.browser.window import Windows
from tests.process import Process


async def test_a_refusal_says_what_to_do(windows: Windows, service: Process) -> None:
    ann = await a_user(service)
    screen = await windows.open()
    await screen.button("signIn.action").click()
    await screen.sees("field.login.missing")
    await screen.field("field.login").fill(ann.username)
    await screen.field("field.password").fill("a wrong password")
    await screen.button("signIn.action").click()
    await expect(screen.page.get_by_role("alert")).to_have_text(screen.words("error.invalid_credentials"))
    await screen.page.goto("/signup")
    await screen.field("field.username").fill(ann.username)
    await screen.field("field.email").fill("not an address")
    await screen.field("field.password").fill(PASSWORD)
    await screen.button("signUp.action").click()
    await screen.sees("field.email.wrong")
    await screen.field("field.email").fill("somebody@example.org")
    await screen.button("signUp.action").click()
    await screen.sees("error.username_taken")


async def test_no_token_lies_where_script_or_history_could_find_it(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    addresses: list[str] = []
    screen = await windows.open()
    screen.page.on("request", lambda request: addresses.append(request.url))
    screen.page.on("websocket", lambda socket: addresses.append(socket.url))
    await screen.sign_in(ann.username, ann.password)
    await screen.open_chat(ben.username)
    await screen.say("Hello")
    await screen.keeps("Hello")
    kept = await screen.read_storage()
    # Three parts of base64 and dots: every token of this service.
    token = re.compile(r"eyJ[\w-]+\.[\w-]+\.[\w-]+")
    assert not token.search(kept)
    assert not [address for address in addresses if token.search(address)]
    assert not [address for address in addresses if "ws" in address and "token=" in address]
    assert any("/api/v1/ws?ticket=" in address for address in addresses)
    assert f"/chats/{chat_id}" in screen.page.url


async def test_a_device_signed_out_elsewhere_goes_at_once(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    await a_direct_chat(ann, ben)
    lost = await windows.open(ann)
    await lost.open_chat(ben.username)
    here = await windows.open(ann, "/settings/devices")
    others = here.page.get_by_role("listitem").filter(
        has=here.page.get_by_role("button", name=re.compile("^Sign out"))
    )
    # The test's own session, the lost browser's and this one.
    await expect(others).to_have_count(3)
    await expect(others.first).to_contain_text(here.words("devices.current"))
    await others.nth(1).get_by_role("button").click()
    await lost.is_signed_out()
    await lost.sees("signedOut.session_revoked")
    await expect(others).to_have_count(2)
    await here.page.reload()
    await expect(others).to_have_count(2)


async def test_what_was_typed_outlives_the_session_and_is_sent_after_signing_in(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen, other = await windows.open(ann, f"/chats/{chat_id}"), await windows.open(ben, f"/chats/{chat_id}")
    await screen.composer.press_sequentially("A long thought, half wr")
    await ann.post("/auth/logout-all", status=204)
    await screen.is_signed_out()
    await screen.sees("signedOut.session_revoked")
    await screen.sign_in(ann.username, ann.password)
    await screen.is_at(f"/chats/{chat_id}")
    await expect(screen.composer).to_have_value("A long thought, half wr")
    await screen.composer.press_sequentially("itten")
    await screen.composer.press("Enter")
    await other.reads("A long thought, half written")


async def test_what_waits_to_be_sent_outlives_the_session(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen, other = await windows.open(ann, f"/chats/{chat_id}"), await windows.open(ben, f"/chats/{chat_id}")
    async with screen.offline():
        await screen.write("Sent into the void")
        await screen.has_status("Sent into the void", "queued")
        await ann.post("/auth/logout-all", status=204)
    await screen.is_signed_out()
    await screen.sign_in(ann.username, ann.password)
    await other.reads("Sent into the void")
    await screen.has_status("Sent into the void", "read")
    await expect(other.message("Sent into the void")).to_have_count(1)


async def test_a_new_password_signs_the_others_out_and_not_oneself(
    windows: Windows, service: Process
) -> None:
    ann = await a_user(service)
    here, there = await windows.open(ann, "/settings/password"), await windows.open(ann)
    await here.field("field.current_password").fill("not the present one")
    await here.field("field.new_password").fill("a better pass phrase")
    await here.button("password.action").click()
    await expect(here.page.get_by_role("alert")).to_be_visible()
    await here.field("field.current_password").fill(PASSWORD)
    await here.button("password.action").click()
    await here.sees("password.changed")
    await there.is_signed_out()
    await here.page.goto("/")
    await here.is_signed_in()
    await there.sign_in(ann.username, "a better pass phrase")


async def test_two_tabs_are_one_person(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    first = await windows.open(ann, f"/chats/{chat_id}")
    second = await windows.open_tab(first.context, f"/chats/{chat_id}")
    other = await windows.open(ben, f"/chats/{chat_id}")
    for number in range(5):
        await asyncio.gather(
            first.write(f"From the first {number}"), second.write(f"From the second {number}")
        )
    for screen in (first, second, other):
        for number in range(5):
            for tab in ("first", "second"):
                await expect(screen.message(f"From the {tab} {number}")).to_have_count(1)
        await expect(screen.messages).to_have_count(10)
    await other.say("I see")
    await first.reads("I see")
    await second.reads("I see")
    await first.sign_out()
    await second.is_signed_out()


async def test_signing_in_in_one_tab_signs_the_other_in(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    await a_group(ann, ben, name="Two tabs")
    first = await windows.open()
    second = await windows.open_tab(first.context)
    await first.sign_in(ann.username, ann.password)
    await second.page.reload()
    await second.is_signed_in()
    await second.open_chat("Two tabs")


async def test_the_next_person_does_not_begin_where_the_last_one_was(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_group(ann, ben, name="Both are in it")
    for number in range(60):
        await ann.say(chat_id, f"Line {number}.")
    await ben.put(f"/chats/{chat_id}/read", {"seq": 60})
    screen = await windows.open(ann, f"/chats/{chat_id}")
    await screen.reads("Line 59.")
    await screen.history.evaluate("element => { element.scrollTop = 0; }")
    await expect(screen.message("Line 0.")).to_be_in_viewport()
    await screen.sign_out()
    await screen.sign_in(ben.username, ben.password)
    await screen.open_chat("Both are in it")
    await expect(screen.message("Line 59.")).to_be_in_viewport()


async def test_a_menu_ends_with_the_place_that_it_was_opened_in(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    await ben.say(chat_id, "Hold on to me")
    screen = await windows.open(ann)
    menu = screen.page.get_by_role("menu")
    await screen.open_chat(ben.username)
    await screen.open_menu("Hold on to me")
    await screen.page.go_back()
    await expect(menu).to_have_count(0)
    await screen.open_chat(ben.username)
    await screen.open_menu("Hold on to me")
    await ann.post("/auth/logout-all", status=204)
    await screen.is_signed_out()
    await expect(menu).to_have_count(0)


async def test_the_profile_is_what_others_see(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    await a_direct_chat(ann, ben)
    screen = await windows.open(ann, "/settings/profile")
    await screen.field("field.full_name").fill("Ann of Green Gables")
    await screen.field("field.bio").fill("Reads much")
    await screen.button("action.save").click()
    await screen.sees("settings.saved")
    await screen.page.reload()
    await expect(screen.field("field.full_name")).to_have_value("Ann of Green Gables")
    other = await windows.open(ben)
    await other.open_chat("Ann of Green Gables")
    await other.open_details()
    await expect(other.details).to_contain_text("Reads much")


async def test_who_is_led_to_the_sign_in_page_hears_where_they_are_and_why(
    windows: Windows, service: Process
) -> None:
    ann = await a_user(service)
    screen = await windows.open(ann)
    await ann.post("/auth/logout-all", status=204)
    await screen.is_signed_out()
    heading = screen.page.get_by_role("heading", name=screen.words("signIn.title"), level=1)
    await expect(heading).to_be_focused()
    reason = screen.words("signedOut.session_revoked")
    await expect(screen.page.get_by_role("status").filter(has_text=reason)).to_have_count(1)
