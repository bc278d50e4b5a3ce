"""Work of which little is done at a time.

When a node dies its clients come to the others at once. Served all together, each would be done when the last
one is, which may be after its patience; a few at a time, the first are done soon and the last no later, and
those who are connected still get through.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chat_service.domain.errors import Unavailable

WAIT_S = 5.0
"""Whoever waits longer for their turn has left by then."""


class Turns:
    """So many at a time, in the order they came."""

    def __init__(self, together: int) -> None:
        self._room = asyncio.Semaphore(together)

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Raises `Unavailable` for who has waited for five seconds."""
        try:
            async with asyncio.timeout(WAIT_S):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable from None
        try:
            yield
        finally:
            self._room.release()
