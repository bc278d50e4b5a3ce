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


class Turns:
    """So many at a time, in the order they came, each within `wait_s` seconds."""

    def __init__(self, together: int, wait_s: float) -> None:
        self._room = asyncio.Semaphore(together)
        self._wait_s = wait_s

    @property
    def are_taken(self) -> bool:
        """Whether the next one has to wait."""
        return self._room.locked()

    @asynccontextmanager
    async def take(self) -> AsyncIterator[None]:
        """Raises `Unavailable` for who has waited too long."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._room.acquire()
        except TimeoutError:
            raise Unavailable from None
        try:
            yield
        finally:
            self._room.release()
