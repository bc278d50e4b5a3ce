"""No serious or critical finding of axe-core on any screen, in both themes, wide and narrow."""

from __future__ import annotations

import json
from pathlib import Path

import axe_playwright_python
import pytest
from playwright.async_api import WebSocketRoute, expect

from tests.builders import TestUser, a_direct_chat, a_group, a_user
from tests.e2e.browser.screens import Screen
from tests.e2e.browser.window import PHONE, Windows
from tests.process import Process

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text()
# Its own styles break the page's policy, so these windows go without it.
LOOSE = {"bypass_csp": True}
RUN = """async () => {
  const {violations} = await axe.run({resultTypes: ["violations"], preload: false});
  return violations
    .filter(({impact}) => impact === "serious" || impact === "critical")
    .map(({id, nodes}) => [id, ...nodes.slice(0, 3).map((node) => `${node.html} ${node.failureSummary}`)]);
}"""


class Auditor:
    """Looks at one screen after the other, and remembers what it did not like."""

    def __init__(self) -> None:
        self.findings: list[str] = []

    async def look_at(self, screen: Screen, name: str) -> None:
        if not await screen.page.evaluate("typeof axe === 'object'"):
            await screen.page.evaluate(AXE)
        self.findings += [f"{name}: {finding}" for finding in await screen.page.evaluate(RUN)]


@pytest.fixture(params=["light", "dark"])
def theme(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def somebody_with_chats(service: Process) -> tuple[TestUser, int, int]:
    """With a group and a direct chat, which have a bit of everything in them."""
    ann, ben, cem = [await a_user(service) for _ in range(3)]
    group, direct = await a_group(ann, ben, cem, name="Sunday walk"), await a_direct_chat(ann, ben)
    question = await ben.say(group, "Where do we **meet**? See https://example.org/map")
    await ann.say(group, "At the *old* mill", reply_to_id=question["id"])
    gone = await cem.say(group, "Oops")
    await cem.http.delete(f"/messages/{gone['id']}", params={"scope": "everyone"})
    changed = await ann.say(group, "At nine")
    await ann.put(
        f"/messages/{changed['id']}", {"content": "At ten\n> or so\n\n- bring `water`\n- and bread"}
    )
    await ann.say(direct, "Hello")
    await ben.say(direct, "Unread")
    return ann, group, direct


async def test_before_signing_in(windows: Windows, theme: str) -> None:
    audit = Auditor()
    screen = await windows.open(color_scheme=theme, **LOOSE)
    await screen.is_signed_out()
    await audit.look_at(screen, "sign-in")
    await screen.button("signIn.action").click()
    await screen.sees("field.login.missing")
    await audit.look_at(screen, "sign-in with errors")
    await screen.page.goto("/signup")
    await expect(screen.button("signUp.action")).to_be_visible()
    await audit.look_at(screen, "sign-up")
    assert audit.findings == []


async def test_in_a_chat(windows: Windows, service: Process, theme: str) -> None:
    audit = Auditor()
    ann, _, direct = await somebody_with_chats(service)
    screen = await windows.open(ann, color_scheme=theme, **LOOSE)
    await expect(screen.chat("Sunday walk")).to_be_visible()
    await audit.look_at(screen, "list")
    await screen.open_chat("Sunday walk")
    await screen.reads("At ten")
    await audit.look_at(screen, "chat")
    await screen.open_menu("At ten")
    await audit.look_at(screen, "menu of a message")
    await screen.choose("chat.action.history")
    first_version = screen.words("chat.revisions.first")
    await expect(screen.dialog("chat.revisions.title")).to_contain_text(first_version)
    await audit.look_at(screen, "edit history")
    await screen.page.keyboard.press("Escape")
    await screen.act("At ten", "readers")
    await expect(screen.dialog("chat.readers.title")).to_be_visible()
    await audit.look_at(screen, "readers")
    await screen.page.keyboard.press("Escape")
    await screen.act("Where do we", "reply")
    await audit.look_at(screen, "reply")
    await screen.page.keyboard.press("Escape")
    await screen.button("chat.jumpToDate").first.click()
    await expect(screen.dialog("chat.date.title")).to_be_visible()
    await audit.look_at(screen, "date")
    await screen.page.keyboard.press("Escape")
    await screen.open_details()
    await expect(screen.member(ann.username)).to_be_visible()
    await audit.look_at(screen, "details of a group")
    await screen.button("details.leave").click()
    await audit.look_at(screen, "handing over")
    await screen.page.keyboard.press("Escape")
    await screen.page.goto(f"/chats/{direct}/details")
    await screen.reads("Unread")
    await audit.look_at(screen, "details of a person")
    assert audit.findings == []


async def test_what_opens_over_a_group(windows: Windows, service: Process, theme: str) -> None:
    audit = Auditor()
    stranger = await a_user(service)
    ann, group, _ = await somebody_with_chats(service)
    screen = await windows.open(ann, f"/chats/{group}/details", color_scheme=theme, **LOOSE)
    others = screen.details.get_by_role("listitem").get_by_role("button")
    await others.first.click()
    await expect(screen.page.get_by_role("menu")).to_be_visible()
    await audit.look_at(screen, "menu of a person")
    await screen.choose("details.remove")
    await expect(screen.page.get_by_role("alertdialog")).to_be_visible()
    await audit.look_at(screen, "removing somebody")
    await screen.page.keyboard.press("Escape")
    await screen.button("details.rename").click()
    await expect(screen.dialog("details.rename")).to_be_visible()
    await audit.look_at(screen, "renaming")
    await screen.page.keyboard.press("Escape")
    await screen.button("details.addPeople").click()
    dialog = screen.dialog("details.addPeople")
    await screen.pick(dialog, stranger.username)
    await audit.look_at(screen, "adding people")
    await screen.page.keyboard.press("Escape")
    await screen.page.goto(f"/chats/{group}")
    await screen.act("At ten", "deleteForEveryone")
    await expect(screen.page.get_by_role("alertdialog")).to_be_visible()
    await audit.look_at(screen, "deleting a message")
    await screen.page.keyboard.press("Escape")
    await screen.page.get_by_role("button", name=screen.words("shell.ownMenu", name="")).click()
    await expect(screen.page.get_by_role("menu")).to_be_visible()
    await audit.look_at(screen, "one's own menu")
    await screen.page.keyboard.press("Escape")
    await screen.field("chats.search").fill(stranger.username)
    await screen.sees("people.title")
    await audit.look_at(screen, "search results")
    assert audit.findings == []


async def test_when_something_fails(windows: Windows, service: Process, theme: str) -> None:
    """A refusal of the service is sent in its place: whatever the client itself would not let through."""
    audit = Auditor()
    ann, _, direct = await somebody_with_chats(service)
    screen = await windows.open(ann, color_scheme=theme, **LOOSE)

    async def refuse_messages(socket: WebSocketRoute) -> None:
        server = socket.connect_to_server()

        def judge(text: str | bytes) -> None:
            frame = json.loads(text)
            if frame["type"] == "send_message":
                refusal = {
                    "type": "error",
                    "ref": frame["ref"],
                    "code": "forbidden",
                    "detail": "",
                    "retry_after_ms": None,
                }
                socket.send(json.dumps(refusal))
            else:
                server.send(text)

        socket.on_message(judge)

    await screen.context.route_web_socket("**/api/**", refuse_messages)
    await screen.page.goto(f"/chats/{direct}")
    await screen.reads("Unread")
    await screen.write("Not to be sent")
    await screen.has_status("Not to be sent", "failed")
    await audit.look_at(screen, "a message that failed")
    async with screen.offline():
        await screen.is_told("connection.offline")
        await audit.look_at(screen, "without a network")
    assert audit.findings == []


async def test_dialogs_settings_and_what_is_not_there(windows: Windows, service: Process, theme: str) -> None:
    audit = Auditor()
    ann = await a_user(service)
    screen = await windows.open(ann, color_scheme=theme, **LOOSE)
    await screen.sees("chats.emptyTitle")
    await audit.look_at(screen, "no chats")
    await screen.button("newChat.title").first.click()
    dialog = screen.dialog("newChat.title")
    await dialog.get_by_role("searchbox").fill("nobody of that name")
    await screen.sees("people.noneFound", query="nobody of that name")
    await audit.look_at(screen, "new chat")
    await dialog.get_by_role("searchbox").fill("")
    await dialog.get_by_role("button", name=screen.words("newGroup.title")).click()
    await audit.look_at(screen, "new group")
    await screen.page.keyboard.press("Escape")
    await screen.page.keyboard.press("?")
    await expect(screen.dialog("shortcuts.title")).to_be_visible()
    await audit.look_at(screen, "shortcuts")
    for section in ("profile", "appearance", "notifications", "devices", "password"):
        await screen.page.goto(f"/settings/{section}")
        heading = screen.page.get_by_role("heading", name=screen.words(f"settings.{section}"), exact=True)
        await expect(heading).to_be_visible()
        if section == "devices":
            await screen.sees("devices.current")
        await audit.look_at(screen, section)
    await screen.page.goto("/chats/999999")
    await screen.sees("gone.title")
    await audit.look_at(screen, "gone")
    await screen.page.goto("/nowhere")
    await screen.sees("unknown.title")
    await audit.look_at(screen, "unknown")
    assert audit.findings == []


async def test_on_a_phone(windows: Windows, service: Process, theme: str) -> None:
    audit = Auditor()
    ann, group, _ = await somebody_with_chats(service)
    screen = await windows.open(ann, color_scheme=theme, viewport=PHONE, has_touch=True, **LOOSE)
    await expect(screen.chat("Sunday walk")).to_be_visible()
    await audit.look_at(screen, "list")
    await screen.open_chat("Sunday walk")
    await screen.reads("At ten")
    await audit.look_at(screen, "chat")
    await screen.page.goto(f"/chats/{group}/details")
    await expect(screen.member(ann.username)).to_be_visible()
    await audit.look_at(screen, "details")
    assert await screen.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert audit.findings == []
