"""The same client on MariaDB and MongoDB."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.builders import a_direct_chat, a_user
from tests.e2e.browser.window import Windows
from tests.process import Process, serving


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, mysql_database_url: str, mongodb_database_url: str
) -> Iterator[Process]:
    folder = tmp_path_factory.mktemp("service")
    with serving(
        folder / "data",
        CHAT_DATABASE_URL=mysql_database_url,
        CHAT_CONTENT_URL=mongodb_database_url,
        CHAT_AUTO_MIGRATE="true",
    ) as process:
        yield process


async def test_two_people_chat(windows: Windows, service: Process) -> None:
    ann, ben = await a_user(service), await a_user(service)
    path = f"/chats/{await a_direct_chat(ann, ben)}"
    writing, reading = await windows.open(ann, path), await windows.open(ben, path)
    await writing.say("Xin chào! 👋")
    await reading.reads("Xin chào! 👋")
    await writing.edit("Xin chào! 👋", "Chào bạn!")
    await reading.reads("Chào bạn!")
    await reading.say("Chào!")
    await writing.page.reload()
    await writing.reads("Chào!")
    await writing.has_status("Chào bạn!", "read")
