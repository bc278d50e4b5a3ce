"""Takes the pictures of `docs/images/` anew: `python -m tests.e2e.browser.pictures`.

The main screens in both themes, wide and narrow, of a real service with a few people in it. Not a test, so
that an ordinary run of the tests changes no file.
"""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path

from PIL import Image
from playwright.async_api import expect

from tests.builders import TestUser, a_direct_chat, a_group, a_user, close_clients, sockets
from tests.e2e.browser.chromium import chromium
from tests.e2e.browser.screens import Screen
from tests.e2e.browser.window import DESKTOP, PHONE, Windows
from tests.e2e.browser.words import read_words
from tests.process import serving
from tests.programs import find_chromium

IMAGES = Path(__file__).parents[3] / "docs" / "images"
MOST_BYTES = 150_000
WIDTHS = {"wide": {"viewport": DESKTOP}, "narrow": {"viewport": PHONE, "device_scale_factor": 2}}
THEMES = ("light", "dark")

PEOPLE = {
    "mai": "Mai Lê",
    "nguyen.an": "Nguyễn An",
    "linh": "Trần Mỹ Linh",
    "ben": "Ben Carter",
    "sara": "سارة حداد",
}
GROUP = "Hà Giang in spring"
TALK = (
    ("linh", "The guesthouse in **Đồng Văn** has four beds left for the weekend of the 14th", None),
    ("ben", "I can book tonight. Do we stay two nights or three?", None),
    ("mai", "Three! The loop is too long for two", 1),
    ("nguyen.an", "Agreed. Cả nhà nhớ mang áo ấm nhé 🧥", None),
    ("sara", "شكراً! سأحضر الكاميرا 📷", None),
    (
        "linh",
        "List so far:\n- rain jackets\n- cash, there is *no* machine after Yên Minh\n- `offline maps`",
        None,
    ),
    ("ben", "Booked. Details: https://example.org/booking/8714", None),
    ("mai", "You are wonderful. I’ll bring breakfast for the bus", None),
)
OTHERS = (
    ("ben", "Did the new build reach you?"),
    ("sara", "مساء الخير، هل نلتقي غداً؟"),
    ("nguyen.an", "Chiều nay mấy giờ mình gặp nhau?"),
)


async def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "data") as service:
        people = {name: await a_user(service, name) for name in PEOPLE}
        group = await fill(people)
        async with chromium(find_chromium()) as browser, sockets(people["nguyen.an"], people["ben"]):
            windows = Windows(browser, service, await read_words(browser, service.url))
            for width, options in WIDTHS.items():
                for theme in THEMES:
                    screen = await windows.open(people["mai"], color_scheme=theme, **options)
                    await take_all(screen, group, f"{width}-{theme}")
                    await screen.context.close()
            assert not windows.problems, windows.problems
    await close_clients()


async def fill(people: dict[str, TestUser]) -> int:
    """A group in which people talk, and direct chats of Mai with some of them; the group's id."""
    mai = people["mai"]
    for name, full_name in PEOPLE.items():
        await people[name].put("/users/me", {"full_name": full_name})
    for name, text in OTHERS:
        await people[name].say(await a_direct_chat(people[name], mai), text)
    group = await a_group(mai, *(people[name] for name in PEOPLE if name != "mai"), name=GROUP)
    await mai.put(f"/chats/{group}/participants/{people['linh'].id}", {"role": "admin"})
    ids: list[str] = []
    for name, text, answers in TALK:
        reply = {} if answers is None else {"reply_to_id": ids[answers]}
        ids.append((await people[name].say(group, text, **reply))["id"])
    for name in ("nguyen.an", "linh", "ben", "sara"):
        await people[name].put(f"/chats/{group}/read", {"seq": len(TALK)})
    return group


async def take_all(screen: Screen, group: int, kind: str) -> None:
    await expect(screen.chat(GROUP)).to_be_visible()
    await take(screen, f"list-{kind}")
    await screen.page.goto(f"/chats/{group}")
    await screen.reads("breakfast for the bus")
    await take(screen, f"chat-{kind}")
    await screen.page.goto(f"/chats/{group}/details")
    await expect(screen.member(PEOPLE["linh"])).to_be_visible()
    await take(screen, f"group-{kind}")


async def take(screen: Screen, name: str) -> None:
    """One picture with at most 256 colours, which is what a screen of this client has."""
    await screen.is_online()
    await screen.page.mouse.move(0, 0)
    await screen.page.evaluate("document.fonts.ready")
    taken = Image.open(io.BytesIO(await screen.page.screenshot(animations="disabled", caret="hide")))
    packed = io.BytesIO()
    few_colours = taken.convert("RGB").quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    few_colours.save(packed, "PNG", optimize=True)
    assert packed.tell() < MOST_BYTES, f"{name}: {packed.tell()} bytes"
    (IMAGES / f"{name}.png").write_bytes(packed.getvalue())
    print(f"{name}.png {packed.tell() / 1000:.0f} kB")


if __name__ == "__main__":
    asyncio.run(main())
