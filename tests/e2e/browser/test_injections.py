"""Strings that ought to run, leak or deceive, at every place where people put words: none does.

A window fails its test when a dialog opens, the policy is broken, an error is thrown or a foreign host is
asked. Besides, all that is drawn is looked through for elements that only such a string could have made.
"""

from __future__ import annotations

import asyncio
import re
import unicodedata
from collections.abc import Iterable

from playwright.async_api import Locator, expect

from tests.builders import a_direct_chat, a_group, a_user
from tests.e2e.browser.injections import ADDRESSES, INJECTIONS
from tests.e2e.browser.screens import WAIT_MS, Screen
from tests.e2e.browser.window import Windows
from tests.process import Process

MAX_NAME_CHARS = 100
PEOPLE = 10
"""As many as all lists show without scrolling."""

FIND_FOREIGN = """() => {
  const never = /^(script|i?frame|object|embed|base|meta|link|style|video|audio|math|template|ima?ge?)$/i;
  const isWrong = ({name, value}) => /^on|^srcdoc$|^formaction$|^ping$/.test(name) ||
    (/href$|^src$|^action$/.test(name) && !/^(https?:|mailto:|\\/|#)/.test(value));
  return [...document.body.querySelectorAll("*:not(#boot-failed *)")]
    .filter((element) => never.test(element.tagName) || [...element.attributes].some(isWrong))
    .map((element) => element.outerHTML);
}"""


SCROLL = """(element, step) => new Promise((resolve) => {
  element.scrollBy(0, step * element.clientHeight);
  const latest = performance.now() + 5_000;
  const look = () => {
    const view = element.getBoundingClientRect();
    const rows = [...element.querySelectorAll("[aria-posinset]")].map((row) => row.getBoundingClientRect());
    const isAtTop = element.scrollTop <= 0;
    const isAtEnd = element.scrollTop + element.clientHeight >= element.scrollHeight - 1;
    const isDrawn = (isAtTop || rows.some(({top}) => top <= view.top))
      && (isAtEnd || rows.some(({bottom}) => bottom >= view.bottom));
    if (isDrawn || performance.now() > latest) setTimeout(resolve, 50);
    else requestAnimationFrame(look);
  };
  requestAnimationFrame(look);
})"""
"""By a share of what is seen, and until the rows there are drawn."""


async def is_clean(screen: Screen) -> None:
    assert await screen.page.evaluate(FIND_FOREIGN) == []


def words_of(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


def plain(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()


def is_marked_up(text: str) -> bool:
    """Whether the small markdown may take characters away."""
    return bool(re.search(r"[*_~`\[\]\\|]|^\s*(>|#|-|\d)|\n|https?:", text))


async def read_all(screen: Screen, rows: Locator, scroller: Locator, *, step: float) -> dict[int, str]:
    """Scroll through a list of which only what is in view exists: the text of each row by its place from 1,
    followed by the addresses of its links."""
    seen: dict[int, str] = {}
    still = 0
    while still < 5:
        known = len(seen)
        for place, text in await rows.evaluate_all("""rows => rows.map((row) => [
          Number(row.getAttribute("aria-posinset")),
          [row.innerText, ...[...row.querySelectorAll("a")].map((link) => link.href)].join("\\n"),
        ])"""):
            seen.setdefault(place, text)
        await is_clean(screen)
        await scroller.evaluate(SCROLL, step)
        still = still + 1 if len(seen) == known else 0
    return seen


async def shows(rows: Locator, texts: list[str]) -> None:
    """Return when each text is read somewhere in the rows: what was kept is drawn first, the news next."""
    async with asyncio.timeout(WAIT_MS / 1000):
        while True:
            everything = plain(" ".join(await rows.all_inner_texts()))
            if all(plain(text) in everything for text in texts):
                return
            await asyncio.sleep(0.05)


async def test_in_messages(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    for text in INJECTIONS:
        await ann.say(chat_id, text)
    await ann.say(chat_id, "The end.")
    await ben.put(f"/chats/{chat_id}/read", {"seq": len(INJECTIONS)})
    screen = await windows.open(ben, f"/chats/{chat_id}")
    await screen.reads("The end.")
    seen = await read_all(screen, screen.messages, screen.history, step=-0.6)
    assert len(seen) == len(INJECTIONS) + 1
    for place, text in enumerate(INJECTIONS, start=1):
        assert all(word in seen[place].lower() for word in words_of(text)), (text, seen[place])
        if not is_marked_up(text):
            assert plain(text) in plain(seen[place]), text


async def test_in_links(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    chat_id = await a_direct_chat(ann, ben)
    for text in ADDRESSES:
        await ann.say(chat_id, f"[a label]({text}) <{text}> {text} https://example.org/?{text}")
    await ann.say(chat_id, "The end.")
    screen = await windows.open(ben, f"/chats/{chat_id}")
    await screen.history.evaluate("element => element.scrollTo(0, 0)")
    found: list[list[str]] = []
    for _ in range(len(ADDRESSES)):
        found += await screen.messages.get_by_role("link").evaluate_all(
            "links => links.map((link) => [link.protocol, link.target, link.rel])"
        )
        await is_clean(screen)
        await screen.history.evaluate("element => element.scrollBy(0, element.clientHeight / 2)")
    assert len(found) > len(ADDRESSES)
    assert {protocol for protocol, _, _ in found} == {"https:", "http:", "mailto:"}
    assert {(target, rel) for _, target, rel in found} == {("_blank", "noopener noreferrer nofollow")}


async def test_in_names(windows: Windows, service: Process) -> None:
    """The same few people take one set of names after the other."""
    owner, *people = [await a_user(service) for _ in range(PEOPLE + 1)]
    chat_id = await a_group(owner, *people, name="People of all sorts")
    for user in people:
        await a_direct_chat(owner, user)
        await user.say(chat_id, f"I am {user.username}")
    screen = await windows.open(owner)
    names = pack(map(without_controls, INJECTIONS), MAX_NAME_CHARS)
    for first in range(0, len(names), PEOPLE):
        now = names[first : first + PEOPLE]
        for user, name in zip(people, now, strict=False):
            await user.put("/users/me", {"full_name": name})
        await screen.page.goto(f"/chats/{chat_id}/details")
        members = screen.details.get_by_role("listitem")
        await expect(members).to_have_count(PEOPLE + 1)
        await screen.reads(f"I am {people[-1].username}")
        for rows in (members, screen.rows, screen.messages):
            await shows(rows, now)
        await is_clean(screen)


async def test_in_titles_of_chats(windows: Windows, service: Process) -> None:
    owner, other = await a_user(service), await a_user(service)
    titles = [text for text in INJECTIONS if len(text) <= MAX_NAME_CHARS]
    for title in titles:
        await a_group(owner, other, name=title)
    screen = await windows.open(owner)
    await expect(screen.rows.first).to_be_visible()
    seen = await read_all(screen, screen.rows, screen.rows.first.locator("../.."), step=0.6)
    assert len(seen) == len(titles)
    for place, title in enumerate(reversed(titles), start=1):
        assert plain(title) in plain(seen[place])
    await screen.chats.last.click()
    await expect(screen.page.get_by_role("heading", level=1).last).to_contain_text(plain(titles[0]))
    assert plain(titles[0]) in plain(await screen.page.title())
    await is_clean(screen)


def without_controls(text: str) -> str:
    """The service refuses them in names: what controls lines and directions, and is not seen itself."""
    return "".join(char for char in text if unicodedata.category(char) not in {"Cc", "Cf", "Zl", "Zp"})


def pack(texts: Iterable[str], most: int) -> list[str]:
    """The texts in as few as possible, none of them longer than `most`."""
    packed = [""]
    for text in texts:
        if len(text) > most:
            continue
        if len(packed[-1]) + 1 + len(text) > most:
            packed.append("")
        packed[-1] = f"{packed[-1]} {text}".strip()
    return packed
