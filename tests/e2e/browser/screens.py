"""What one sees in a window and does there, by the roles and names that a screen reader would say."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.e2e.browser.words import Words

WAIT_MS = 30_000
"""For everything that must appear; far more than it takes, because the machine is shared, and more than the
10 s that the SDK gives a storage which is slow to open."""

expect.set_options(timeout=WAIT_MS)

_READ_STORAGE = """async () => {
  const result = (request) => new Promise((resolve) => {
    request.onsuccess = () => resolve(request.result);
  });
  const found = [document.cookie, JSON.stringify({...localStorage}), JSON.stringify({...sessionStorage})];
  for (const {name} of await indexedDB.databases()) {
    const database = await result(indexedDB.open(name));
    for (const store of database.objectStoreNames) {
      found.push(JSON.stringify(await result(database.transaction(store).objectStore(store).getAll())));
    }
    database.close();
  }
  return found.join();
}"""


class Screen:
    """One tab. `words` is the language that it is expected to speak."""

    def __init__(self, page: Page, words: Words) -> None:
        self.page = page
        self.words = words

    @property
    def context(self) -> BrowserContext:
        return self.page.context

    def button(self, key: str, **values: object) -> Locator:
        return self.page.get_by_role("button", name=self.words(key, **values), exact=True)

    def field(self, key: str) -> Locator:
        return self.page.get_by_label(self.words(key), exact=True)

    def dialog(self, key: str, **values: object) -> Locator:
        name = self.words(key, **values)
        return self.page.get_by_role("dialog", name=name).or_(self.page.get_by_role("alertdialog", name=name))

    async def sees(self, key: str, **values: object) -> None:
        await expect(self.page.get_by_text(self.words(key, **values), exact=True).first).to_be_visible()

    async def sees_text(self, text: str) -> None:
        await expect(self.page.get_by_text(text, exact=True).first).to_be_visible()

    # --- Who one is ----------------------------------------------------------------------------------------

    async def sign_up(self, username: str, password: str, full_name: str = "") -> None:
        await self.field("field.username").fill(username)
        await self.field("field.fullNameOptional").fill(full_name)
        await self.field("field.email").fill(f"{username}@example.org")
        await self.field("field.password").fill(password)
        await self.button("signUp.action").click()
        await self.is_signed_in()

    async def sign_in(self, username: str, password: str) -> None:
        await self.field("field.login").fill(username)
        await self.field("field.password").fill(password)
        await self.button("signIn.action").click()
        await self.is_signed_in()

    async def is_signed_in(self) -> None:
        """The frame around everything is there, whatever is in it."""
        await expect(self.page.get_by_role("link", name=self.words("shell.skipToContent"))).to_have_count(1)

    async def is_signed_out(self) -> None:
        await expect(self.button("signIn.action")).to_be_visible()

    async def sign_out(self) -> None:
        await self.page.get_by_role("button", name=self.words("shell.ownMenu", name="")).click()
        await self.choose("signOut.action")
        await self.is_signed_out()

    # --- The list of chats ---------------------------------------------------------------------------------

    @property
    def rows(self) -> Locator:
        """What is drawn of the list of chats, newest activity first."""
        return self.page.get_by_role("list", name=self.words("chats.title")).get_by_role("listitem")

    @property
    def chats(self) -> Locator:
        return self.rows.get_by_role("link")

    def chat(self, title: str) -> Locator:
        return self.chats.filter(has_text=title)

    async def open_chat(self, title: str) -> None:
        await self.chat(title).click()
        await expect(self.page.get_by_role("heading", name=title, level=1)).to_be_visible()
        await expect(self.composer).to_be_visible()

    async def begin_chat(self, name: str) -> None:
        """Find a person and open the direct chat with them."""
        await self.button("newChat.title").first.click()
        dialog = self.dialog("newChat.title")
        await dialog.get_by_role("searchbox").fill(name)
        await dialog.get_by_role("button", name=name).first.click()
        await expect(dialog).to_be_hidden()
        await expect(self.composer).to_be_visible()

    async def create_group(self, name: str, *people: str) -> None:
        await self.button("newChat.title").first.click()
        await self.dialog("newChat.title").get_by_role("button", name=self.words("newGroup.title")).click()
        dialog = self.dialog("newGroup.title")
        await dialog.get_by_label(self.words("field.name")).fill(name)
        for person in people:
            await self.pick(dialog, person)
        await dialog.get_by_role("button", name=self.words("newGroup.create")).click()
        await expect(dialog).to_be_hidden()
        await expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()

    async def pick(self, dialog: Locator, person: str) -> None:
        await dialog.get_by_role("searchbox").fill(person)
        await dialog.get_by_role("option", name=person).click()
        await expect(dialog.get_by_role("option", name=person)).to_have_attribute("aria-selected", "true")

    # --- A chat --------------------------------------------------------------------------------------------

    @property
    def composer(self) -> Locator:
        return self.page.get_by_placeholder(self.words("chat.composer.placeholder"))

    @property
    def history(self) -> Locator:
        return self.page.get_by_role("feed")

    @property
    def messages(self) -> Locator:
        return self.page.get_by_role("article")

    def message(self, text: str) -> Locator:
        return self.messages.filter(has_text=text)

    async def write(self, text: str) -> None:
        """Send a message; whether it has arrived is another question."""
        await self.composer.fill(text)
        await self.composer.press("Enter")
        await self.reads(text.partition("\n")[0])

    async def say(self, text: str) -> None:
        """Send a message, and see that the service has it."""
        await self.write(text)
        await expect(self.messages.get_by_role("img", name=self.words("status.queued"))).to_have_count(0)

    async def reads(self, text: str) -> None:
        await expect(self.message(text).last).to_be_visible()

    async def reads_nothing_of(self, text: str) -> None:
        await expect(self.message(text)).to_have_count(0)

    async def has_status(self, text: str, status: str) -> None:
        """`queued`, `sent`, `delivered`, `read` or `failed`, of one's own message."""
        name = self.words(f"status.{status}")
        await expect(self.message(text).get_by_role("img", name=name, exact=True)).to_be_visible()

    async def texts(self) -> list[str]:
        """What is read aloud of the messages that are drawn, oldest first."""
        return list(await self.messages.evaluate_all("rows => rows.map((row) => row.ariaLabel)"))

    async def contents(self) -> list[str]:
        """The same, each only by its words."""
        unread = f"{self.words('chat.newMessages')}, "
        return [label.removeprefix(unread).split(", ")[1] for label in await self.texts()]

    async def open_menu(self, text: str) -> None:
        await self.message(text).last.locator("p").last.click(button="right")
        await expect(self.page.get_by_role("menu")).to_be_visible()

    async def act(self, text: str, action: str) -> None:
        """Choose an action of a message: `reply`, `edit`, `deleteForMe` …"""
        await self.open_menu(text)
        await self.choose(f"chat.action.{action}")

    async def choose(self, key: str) -> None:
        """An item of the open menu."""
        await self.page.get_by_role("menuitem", name=self.words(key), exact=True).click()

    async def delete(self, text: str, *, everywhere: bool) -> None:
        name = "deleteForEveryone" if everywhere else "deleteForMe"
        await self.act(text, name)
        dialog = self.dialog(f"chat.confirm.{name}")
        await dialog.get_by_role("button", name=self.words("chat.confirm.delete"), exact=True).click()
        await expect(dialog).to_be_hidden()

    async def edit(self, text: str, new_text: str) -> None:
        await self.act(text, "edit")
        await expect(self.composer).to_have_value(text)
        await self.composer.fill(new_text)
        await self.composer.press("Enter")
        await self.reads(new_text)

    # --- The details of a chat -----------------------------------------------------------------------------

    @property
    def details(self) -> Locator:
        return self.page.get_by_role("complementary", name=self.words("details.region"))

    async def open_details(self) -> None:
        await self.button("details.region").click()
        await expect(self.details).to_be_visible()

    def member(self, name: str) -> Locator:
        return self.details.get_by_role("listitem").filter(has_text=name)

    async def act_on(self, name: str, key: str) -> None:
        """Choose an action of somebody in the group."""
        await self.member(name).get_by_role("button").click()
        await self.choose(key)

    async def confirm(self, title: str, action: str, **values: object) -> None:
        dialog = self.dialog(title, **values)
        await dialog.get_by_role("button", name=self.words(action), exact=True).click()
        await expect(dialog).to_be_hidden()

    # --- The connection ------------------------------------------------------------------------------------

    @asynccontextmanager
    async def offline(self) -> AsyncIterator[None]:
        """Without a network, sockets included, for the length of the block."""
        await self.context.set_offline(True)
        try:
            yield
        finally:
            await self.context.set_offline(False)

    async def is_told(self, key: str) -> None:
        """The quiet line says this."""
        await expect(self.page.get_by_role("status").filter(has_text=self.words(key))).to_be_visible()

    async def is_online(self) -> None:
        for key in ("connection.offline", "connection.unreachable", "connection.connecting"):
            await expect(self.page.get_by_role("status").filter(has_text=self.words(key))).to_have_count(0)

    async def read_storage(self) -> str:
        """All that this browser keeps for scripts: storage of both kinds, databases, readable cookies."""
        return str(await self.page.evaluate(_READ_STORAGE))

    async def keeps(self, text: str) -> None:
        """It has been written down: the page may go."""
        for _ in range(WAIT_MS // 50):
            if text in await self.read_storage():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"{text!r} was not kept")

    async def is_at(self, path: str) -> None:
        await expect(self.page).to_have_url(re.compile(f"{re.escape(path)}$"))
