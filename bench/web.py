"""The workload `web`: the client in Chromium, by the browser's own performance entries."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median
from typing import Any

import orjson
from playwright.async_api import Browser, BrowserContext, Page
from websockets.asyncio.client import connect

from bench.reading import fill
from bench.stack import Service, Stack
from chat_service.load.people import Group, Person, call
from tests.e2e.browser.chromium import chromium
from tests.programs import find_chromium

PASSWORD = secrets.token_urlsafe(16)
MESSAGES = 100_000
SMALL_CHATS = 30
FLOOD_PER_S = 100
FLOOD_S = 10.0
ROUNDS = 5
OWN_MESSAGES = 10
WAIT_S = 30.0
_PROBE = (Path(__file__).parent / "web_probe.js").read_text()
_MEASURE_PAINT = """async () => {
  const useful_ms = await probe.useful;
  // The parts that are not needed at first come when the page is idle.
  const isQuiet = async () => {
    const count = performance.getEntriesByType("resource").length;
    await new Promise((resolve) => setTimeout(resolve, 1000));
    return count === performance.getEntriesByType("resource").length;
  };
  while (!await isQuiet());
  const files = performance.getEntriesByType("resource")
    .filter(({name}) => /\\.(js|css|woff2)$/.test(new URL(name).pathname));
  const weigh = (some) => some.reduce((sum, {encodedBodySize}) => sum + encodedBodySize, 0);
  return {
    useful_ms,
    first_contentful_ms: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? 0,
    files: files.length,
    first_bytes: weigh(files.filter(({startTime}) => startTime < useful_ms)),
    all_bytes: weigh(files),
  };
}"""


def web(stack: Stack) -> dict[str, Any]:
    """The web client in Chromium: first paint, weight, a chat of 100,000 messages, 100 messages a second."""
    with stack.serve() as service:
        return asyncio.run(_measure(service))


async def _measure(service: Service) -> dict[str, Any]:
    names = [f"web-{secrets.token_hex(4)}" for _ in range(2)]
    reader, sender = [_register(service.url, name) for name in names]
    large = _make_chats(service, reader, sender)
    async with chromium(find_chromium()) as browser:
        cold = [await _paint(browser, service, names[0]) for _ in range(ROUNDS)]
        async with _signed_in(browser, service, names[0]) as context:
            warm = [await _load(context, service) for _ in range(ROUNDS + 1)][1:]
        opened = [await _open_once(browser, service, names[0], large) for _ in range(ROUNDS)]
        async with _signed_in(browser, service, names[0]) as context:
            page = await context.new_page()
            await _open_chat(page, service, large)
            flooded = await _flood(page, service, sender, large)
            own = [await _send(page) for _ in range(OWN_MESSAGES)]
    return {
        "cold": _summarise(cold),
        "warm": _summarise(warm),
        # The last, when the service has had the second that its shortest forms take.
        "weight_kb": {name: round(cold[-1][f"{name}_bytes"] / 1000, 1) for name in ("first", "all")},
        "open_large_chat_ms": round(median(opened), 1),
        "incoming": flooded,
        "own_message": {
            "frames": max(one["frames"] for one in own),
            "median_ms": round(median(one["ms"] for one in own), 1),
        },
    }


def _summarise(runs: list[dict[str, Any]]) -> dict[str, float]:
    names = ("useful_ms", "first_contentful_ms", "files")
    return {name: round(median(run[name] for run in runs), 1) for name in names}


# --- People and chats ------------------------------------------------------------------------------------


def _register(url: str, name: str) -> Person:
    account = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    user = call(url, "POST", "/users/register", account)
    login = call(url, "POST", "/users/login", {"username": name, "password": PASSWORD})
    return Person(user["id"], login["access_token"])


def _make_chats(service: Service, reader: Person, sender: Person) -> Group:
    """The chat of 100,000 messages; below it in the list are some ordinary ones."""

    def make(name: str) -> Group:
        body = {"chat_type": "group", "name": name, "participant_ids": [sender.id]}
        chat = call(service.url, "POST", "/chats", body, reader.token)
        return Group(chat["id"], chat["version"], (reader, sender))

    for number in range(SMALL_CHATS):
        chat_id = make(f"Group {number}").id
        call(service.url, "POST", "/messages", {"chat_id": chat_id, "content": "Hello!"}, sender.token)
    large = make("A hundred thousand")
    fill(service, large, MESSAGES - 1)
    # The newest of now: those before are old, and would leave the chat at the end of the list, out of sight.
    newest = {"chat_id": large.id, "content": f"Message {MESSAGES} of a long talk"}
    call(service.url, "POST", "/messages", newest, sender.token)
    call(service.url, "PUT", f"/chats/{large.id}/read", {"seq": MESSAGES}, reader.token)
    return large


@asynccontextmanager
async def _signed_in(browser: Browser, service: Service, name: str) -> AsyncIterator[BrowserContext]:
    """A browser that has never seen the service but for the cookie."""
    context = await browser.new_context(base_url=service.url, viewport={"width": 1280, "height": 800})
    context.set_default_timeout(WAIT_S * 1000)
    await context.add_init_script(_PROBE)
    login = {"username": name, "password": PASSWORD}
    answer = await context.request.post(
        "/api/v1/users/login", data=login, headers={"X-Chat-Session": "cookie"}
    )
    assert answer.ok, await answer.text()
    try:
        yield context
    finally:
        await context.close()


# --- What is measured ------------------------------------------------------------------------------------


async def _ask(page: Page, script: str, argument: Any = None) -> Any:
    """What a script answers, which may wait for something; it would wait for ever by itself."""
    return await asyncio.wait_for(page.evaluate(script, argument), WAIT_S)


async def _paint(browser: Browser, service: Service, name: str) -> dict[str, Any]:
    """One visit with an empty cache."""
    async with _signed_in(browser, service, name) as context:
        return await _load(context, service)


async def _load(context: BrowserContext, service: Service) -> dict[str, Any]:
    page = await context.new_page()
    await page.goto(service.url)
    found: dict[str, Any] = await _ask(page, _MEASURE_PAINT)
    await page.close()
    return found


async def _open_once(browser: Browser, service: Service, name: str, chat: Group) -> float:
    async with _signed_in(browser, service, name) as context:
        return await _open_chat(await context.new_page(), service, chat)


async def _open_chat(page: Page, service: Service, chat: Group) -> float:
    """Milliseconds from the click to the newest message; nothing of the chat has been read before."""
    await page.goto(service.url)
    path = f"/chats/{chat.id}"
    link = page.locator(f"a[href='{path}']")
    await link.wait_for()
    arguments = [path, f"Message {MESSAGES} "]
    await page.evaluate("([path, text]) => { window.opening = probe.opening(path, text); }", arguments)
    await link.click()
    return float(await _ask(page, "opening"))


async def _flood(page: Page, service: Service, sender: Person, chat: Group) -> dict[str, Any]:
    """Messages at a fixed rate into the chat that is open, and how long the page was ever busy."""
    began_ms = await page.evaluate("performance.now()")
    count = round(FLOOD_PER_S * FLOOD_S)
    await _send_steadily(service.url, sender.token, chat.id, count)
    await page.get_by_role("article").filter(has_text=f"Incoming {count} ").wait_for()
    tasks = await page.evaluate(
        "began => probe.longTasks.filter(({startTime}) => startTime > began)", began_ms
    )
    return {
        "messages": count,
        "long_tasks": len(tasks),
        "longest_task_ms": round(max((task["duration"] for task in tasks), default=0.0), 1),
    }


async def _send_steadily(url: str, token: str, chat_id: int, count: int) -> None:
    address = f"{url.replace('http', 'ws', 1)}/api/v1/ws"
    headers = {"Authorization": f"Bearer {token}"}
    async with connect(address, additional_headers=headers, proxy=None) as socket:
        acknowledged = asyncio.create_task(_count_acks(socket, count))
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number in range(1, count + 1):
            await asyncio.sleep(began_s + number / FLOOD_PER_S - loop.time())
            content = f"Incoming {number} " + "and some words more " * (number % 7)
            frame = {"type": "send_message", "ref": str(number), "chat_id": chat_id, "content": content}
            await socket.send(orjson.dumps(frame).decode())
        await asyncio.wait_for(acknowledged, WAIT_S)


async def _count_acks(socket: Any, count: int) -> None:
    while count:
        count -= orjson.loads(await socket.recv())["type"] == "ack"


async def _send(page: Page) -> dict[str, float]:
    text = f"Mine {secrets.token_hex(4)}"
    await page.get_by_role("textbox").last.fill(text)
    await page.evaluate("text => { window.sending = probe.sending(text); }", text)
    await page.keyboard.press("Enter")
    found: dict[str, float] = await _ask(page, "sending")
    return found
