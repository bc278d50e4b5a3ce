"""Which channels a node wants to hear, and which of them Redis has confirmed. No I/O.

Wishes change with every socket; they are kept and sent together. A channel counts as heard once Redis has
answered its last request for it, so that a message between an end and a new beginning is known to be lost.
"""

from __future__ import annotations

import asyncio
from collections import Counter


class Subscriptions:
    def __init__(self) -> None:
        self._wanted: set[bytes] = set()
        self._asked: set[bytes] = set()
        self._unanswered: Counter[bytes] = Counter()
        self._changed: dict[bytes, None] = {}
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._has_changed = asyncio.Event()

    def __len__(self) -> int:
        return len(self._wanted)

    def want(self, channel: bytes) -> None:
        if channel not in self._wanted:
            self._wanted.add(channel)
            self._note(channel)

    def drop(self, channel: bytes) -> None:
        if channel in self._wanted:
            self._wanted.discard(channel)
            self._note(channel)
            self._release(channel)

    def restart(self) -> None:
        """A new connection, on which nothing has been asked for yet."""
        self._asked.clear()
        self._unanswered.clear()
        self._changed = dict.fromkeys(self._wanted)
        self._has_changed.set()

    async def take_changes(self) -> tuple[list[bytes], list[bytes]]:
        """Wait for changed wishes; the channels to subscribe and to unsubscribe, which count as asked for."""
        while True:
            await self._has_changed.wait()
            self._has_changed.clear()
            changed, self._changed = self._changed, {}
            more = [one for one in changed if one in self._wanted and one not in self._asked]
            less = [one for one in changed if one not in self._wanted and one in self._asked]
            self._asked.update(more)
            self._asked.difference_update(less)
            self._unanswered.update(more)
            if more or less:
                return more, less

    def confirm(self, channel: bytes) -> bool:
        """Redis has answered a request for this channel. True when from now on it is heard."""
        self._unanswered[channel] -= 1
        if self._unanswered[channel] > 0:
            return False
        del self._unanswered[channel]
        if channel not in self._asked:
            return False
        self._release(channel)
        return True

    async def wait(self, channel: bytes) -> None:
        """Return when a wanted channel is heard, or wanted no more."""
        if channel in self._asked and not self._unanswered.get(channel):
            return
        if channel in self._wanted:
            waiting = self._waiting.get(channel)
            if waiting is None:
                waiting = self._waiting[channel] = asyncio.get_running_loop().create_future()
            await asyncio.shield(waiting)

    def _note(self, channel: bytes) -> None:
        self._changed[channel] = None
        self._has_changed.set()

    def _release(self, channel: bytes) -> None:
        waiting = self._waiting.pop(channel, None)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)
