"""Waiting for what comes by itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

WAIT_S = 10.0


async def eventually(is_so: Callable[[], object], within_s: float = WAIT_S) -> float:
    """Return, once the condition holds, how many seconds that took; fail when it takes too long."""
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    while not is_so():
        if loop.time() - began_s > within_s:
            raise AssertionError(f"did not come about within {within_s} s")
        await asyncio.sleep(0.005)
    return loop.time() - began_s
