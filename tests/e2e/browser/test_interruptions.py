"""Networks go, servers restart, pages are loaded again: nothing is lost, nothing doubled, little is said."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable

import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.builders import a_direct_chat, a_group, a_user
from tests.e2e.browser.screens import WAIT_MS, Screen
from tests.e2e.browser.window import Windows
from tests.process import Process


async def two_who_talk(windows: Windows, service: Process) -> tuple[Screen, Screen]:
    ann, ben = await a_user(service), await a_user(service)
    path = f"/chats/{await a_direct_chat(ann, ben)}"
    return await windows.open(ann, path), await windows.open(ben, path)


async def test_who_goes_offline_reads_and_writes_on_and_catches_up(
    windows: Windows, service: Process
) -> None:
    ann, ben = await two_who_talk(windows, service)
    await ann.say("Before")
    await ben.reads("Before")
    async with ben.offline():
        await ben.is_told("connection.offline")
        await ben.reads("Before")
        await ben.write("Written without a network")
        await ben.write("And another")
        await ben.has_status("And another", "queued")
        await ann.say("Meanwhile one")
        await ann.say("Meanwhile two")
    await ben.reads("Meanwhile two")
    await ben.is_online()
    await ann.reads("And another")
    expected = ["Before", "Meanwhile one", "Meanwhile two", "Written without a network", "And another"]
    for screen in (ann, ben):
        await expect(screen.messages).to_have_count(5)
        assert await screen.contents() == expected


@pytest.mark.parametrize("end", [Process.stop, Process.kill], ids=["SIGTERM", "SIGKILL"])
async def test_a_server_that_restarts_is_one_quiet_line(
    windows: Windows, restarting: Process, end: Callable[[Process], None]
) -> None:
    ann, ben = await two_who_talk(windows, restarting)
    await ann.say("Before")
    await ben.reads("Before")
    await asyncio.to_thread(end, restarting)
    await ann.write("While it was away")
    await ben.write("Me too")
    await ann.is_told("connection.unreachable")
    await expect(ann.page.get_by_role("dialog")).to_have_count(0)
    await expect(ann.page.get_by_role("alert")).to_have_count(0)
    await ann.composer.press_sequentially("Still typ")
    await asyncio.to_thread(restarting.start)
    await expect(ann.message("Me too")).to_be_visible(timeout=2 * WAIT_MS)
    await expect(ben.message("While it was away")).to_be_visible(timeout=2 * WAIT_MS)
    await ann.is_online()
    await expect(ann.composer).to_have_value("Still typ")
    await ann.composer.press_sequentially("ing")
    await ann.composer.press("Enter")
    await ben.reads("Still typing")
    for screen in (ann, ben):
        await expect(screen.messages).to_have_count(4)


async def test_what_was_queued_outlives_the_page(windows: Windows, service: Process) -> None:
    ann, ben = await two_who_talk(windows, service)
    await ann.say("Before")
    await ben.reads("Before")
    await ann.keeps('"last_seq":1')
    await ann.page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    await ann.context.set_offline(True)
    await ann.write("Kept one")
    await ann.write("Kept two")
    await ann.has_status("Kept two", "queued")
    await ann.page.reload()
    await ann.reads("Before")
    await ann.has_status("Kept one", "queued")
    await ann.has_status("Kept two", "queued")
    await ann.is_told("connection.offline")
    await ann.page.goto("/settings/devices")
    await ann.page.go_back()
    await ann.has_status("Kept two", "queued")
    await ann.context.set_offline(False)
    await ben.reads("Kept two")
    await ann.has_status("Kept two", "read")
    assert await ben.contents() == ["Before", "Kept one", "Kept two"]


async def test_a_network_that_says_nothing_does_not_keep_the_page_white(
    windows: Windows, restarting: Process
) -> None:
    ann, _ = await two_who_talk(windows, restarting)
    await ann.say("Before")
    await ann.keeps('"last_seq":1')
    await ann.page.evaluate("async () => { await navigator.serviceWorker.ready; }")
    restarting.popen.send_signal(signal.SIGSTOP)
    try:
        await ann.page.reload(wait_until="commit")
        await ann.reads("Before")
    finally:
        restarting.popen.send_signal(signal.SIGCONT)
    await ann.is_online()
    await ann.say("After")


async def test_who_is_there_is_seen_again_after_an_interruption(windows: Windows, service: Process) -> None:
    ann, _ = await two_who_talk(windows, service)
    header = ann.page.get_by_role("main").locator("header").first
    await expect(header).to_contain_text(ann.words("presence.online"))
    async with ann.offline():
        await ann.is_told("connection.offline")
        await expect(header).not_to_contain_text(ann.words("presence.online"))
    await expect(header).to_contain_text(ann.words("presence.online"))


async def test_one_tab_too_many_comes_to_rest_and_goes_on_when_told_to(
    windows: Windows, service: Process
) -> None:
    """The service closes the oldest of too many sockets; here its close is sent in its place."""
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    screen = await windows.open(ann)
    sockets: list[WebSocketRoute] = []

    async def answer(socket: WebSocketRoute) -> None:
        socket.connect_to_server()
        sockets.append(socket)

    await screen.context.route_web_socket("**/api/**", answer)
    await screen.page.goto(f"/chats/{chat_id}")
    await ben.say(chat_id, "Before")
    await screen.reads("Before")
    await screen.is_online()
    await sockets[-1].close(code=4009, reason="too_many_connections")
    await screen.is_told("connection.stopped")
    await ben.say(chat_id, "Meanwhile")
    await screen.write("Me too")
    await screen.has_status("Me too", "queued")
    await screen.reads_nothing_of("Meanwhile")
    await screen.button("connection.start").first.click()
    await screen.reads("Meanwhile")
    await screen.has_status("Me too", "sent")
    await expect(
        screen.page.get_by_role("status").filter(has_text=screen.words("connection.stopped"))
    ).to_have_count(0)


async def test_a_server_that_does_not_take_the_pages_address_says_so(
    windows: Windows, service: Process
) -> None:
    """As behind a proxy that hands on another host; here its refusal is sent in its place."""
    screen = await windows.open(await a_user(service))

    async def refuse(socket: WebSocketRoute) -> None:
        await socket.close(code=4003, reason="forbidden")

    await screen.context.route_web_socket("**/api/**", refuse)
    await screen.page.reload()
    await screen.is_told("connection.forbidden")
    await expect(screen.button("connection.start")).to_have_count(0)


async def test_a_name_that_could_not_be_read_comes_with_the_network(
    windows: Windows, service: Process
) -> None:
    ann, ben = await a_user(service), await a_user(service)
    await ben.put("/users/me", {"full_name": "Ben Nevis"})
    chat_id = await a_group(ann, ben)
    await ben.say(chat_id, "I have to go")
    await ben.delete(f"/chats/{chat_id}")
    screen = await windows.open(ann)
    people = "**/api/v1/users/*"
    await screen.context.route(people, lambda route: route.abort("internetdisconnected"))
    async with screen.page.expect_event("requestfailed", lambda request: f"/users/{ben.id}" in request.url):
        await screen.page.goto(f"/chats/{chat_id}")
    await expect(screen.message("I have to go")).to_contain_text(ben.username)
    await screen.context.unroute(people)
    async with screen.offline():
        await screen.is_told("connection.offline")
    await expect(screen.message("I have to go")).to_contain_text("Ben Nevis")


async def test_every_cut_of_the_socket_is_made_up(windows: Windows, service: Process) -> None:
    """Twenty messages each way while Ben's network comes and goes."""
    ann, ben = await two_who_talk(windows, service)
    for number in range(1, 21):
        await asyncio.gather(ann.write(f"From Ann {number}."), ben.write(f"From Ben {number}."))
        if number % 4 == 0:
            await ben.context.set_offline(True)
        elif number % 4 == 2:
            await ben.context.set_offline(False)
    await ben.context.set_offline(False)
    for screen in (ann, ben):
        await screen.reads("From Ann 20.")
        await expect(screen.message("From Ben 20.")).to_be_visible(timeout=2 * WAIT_MS)
    for screen in (ann, ben):
        await expect(screen.page.get_by_role("img", name=screen.words("status.queued"))).to_have_count(0)
        await screen.page.reload()
        for name in ("Ann", "Ben"):  # what is kept is shown first, and may be a second old
            await screen.reads(f"From {name} 20.")
        texts = await screen.contents()
        for name in ("Ann", "Ben"):
            own = [text for text in texts if text.startswith(f"From {name}")]
            assert own == [f"From {name} {number}." for number in range(21 - len(own), 21)]
        assert len(texts) == len(set(texts))


async def test_a_part_that_could_not_be_loaded_comes_with_the_network(
    windows: Windows, service: Process
) -> None:
    """The pages for signing in are loaded when the page is idle; here that fails at first."""
    ann = await a_user(service)
    screen = await windows.open(ann, service_workers="block")
    part = "**/account-pages.js"
    await screen.context.route(part, lambda route: route.abort("internetdisconnected"))
    async with screen.page.expect_event("requestfailed", lambda request: "account-pages" in request.url):
        await screen.page.reload()
    await ann.post("/auth/logout-all", status=204)
    await screen.sees("lazy.failedTitle")
    # Some browsers keep the failure for as long as the page lives: then only another page helps.
    async with screen.page.expect_event("load"):
        await screen.button("action.tryAgain").click()
    await screen.sees("lazy.failedTitle")
    await screen.context.unroute(part)
    async with screen.offline():
        pass
    await screen.is_signed_out()


async def test_a_dialog_that_could_not_be_loaded_is_opened_when_asked_for_again(
    windows: Windows, service: Process
) -> None:
    screen = await windows.open(await a_user(service), service_workers="block")
    part = "**/new-chat-dialog.js"
    await screen.context.route(part, lambda route: route.abort("internetdisconnected"))
    await screen.page.reload()
    await screen.button("newChat.title").first.click()
    await screen.sees("lazy.failedText")
    # As for any part: where it fails again, only another page helps.
    async with screen.page.expect_event("load"):
        await screen.button("action.tryAgain").click()
    await screen.button("newChat.title").first.click()
    await screen.sees("lazy.failedText")
    await screen.context.unroute(part)
    await screen.button("action.tryAgain").click()
    await expect(screen.dialog("newChat.title")).to_be_visible()


async def test_a_language_that_could_not_be_loaded_is_spoken_when_asked_for_again(
    windows: Windows, service: Process
) -> None:
    screen = await windows.open(await a_user(service), "/settings/appearance", service_workers="block")
    vietnamese = screen.page.get_by_text("Tiếng Việt", exact=True)
    words = "**/i18n/vi.js"
    await screen.context.route(words, lambda route: route.abort("internetdisconnected"))
    await vietnamese.click()
    await screen.sees("lazy.failedText")
    async with screen.page.expect_event("load"):
        await screen.button("action.tryAgain").click()
    await screen.is_signed_in()  # in English still
    await screen.context.unroute(words)
    await vietnamese.click()
    await expect(screen.page.get_by_role("heading", name="Giao diện")).to_be_visible()
