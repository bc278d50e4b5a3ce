"""The long tasks of a node: what ends them."""

from __future__ import annotations

import asyncio
import contextlib

from chat_service.services.readiness import Readiness
from chat_service.supervisor import Supervisor


async def test_a_task_that_did_not_hear_its_end_is_asked_again() -> None:
    heard = 0

    async def swallow_one() -> None:
        nonlocal heard
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        heard += 1
        await asyncio.Event().wait()

    supervisor = Supervisor(Readiness())
    supervisor.start("deaf", swallow_one)
    await asyncio.sleep(0)
    async with asyncio.timeout(10):
        await supervisor.stop()
    assert heard == 1
