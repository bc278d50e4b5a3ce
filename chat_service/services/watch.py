"""Asks the store, again and again, for what this node should have heard of and did not.

With the bus up that heals what was lost on the way; without it this is how nodes hear each other at all.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from datetime import timedelta

from chat_service.domain.clock import Clock
from chat_service.domain.errors import Unavailable
from chat_service.services.connections import ConnectionManager
from chat_service.services.nodes import JOINED_EVERY_S, NodeService
from chat_service.services.ports.metadata import MetadataStore
from chat_service.services.streams import COMMIT_WAIT_S, HOLE_WAIT_S, Streams

TICK_S = 0.1
SHARE = 0.2
"""Of the time may be spent asking, however many chats there are; but nobody rests longer than
`JOINED_EVERY_S`, because what was lost must heal."""
JOIN_TAKES = timedelta(seconds=15)
"""A membership says when it began, and can be read once its transaction has ended, which takes no longer."""


def find_next_s(began_s: float, ended_s: float, every_s: float) -> float:
    """When the round after the one that took from `began_s` to `ended_s` begins, by the same clock."""
    rest_s = (ended_s - began_s) * (1 / SHARE - 1)
    return max(began_s + every_s, ended_s + min(rest_s, JOINED_EVERY_S))


class Watch:
    def __init__(
        self,
        streams: Streams,
        metadata: MetadataStore,
        manager: ConnectionManager,
        nodes: NodeService,
        clock: Clock,
    ) -> None:
        self._streams = streams
        self._metadata = metadata
        self._manager = manager
        self._nodes = nodes
        self._clock = clock
        self._joins_known_at = clock()

    async def run(self) -> None:
        """One long task."""
        began_s = ended_s = time.monotonic()
        while True:
            await asyncio.sleep(TICK_S)
            if time.monotonic() >= find_next_s(began_s, ended_s, self._nodes.ask_every_s):
                began_s = time.monotonic()
                await self._ask()
                ended_s = time.monotonic()

    async def _ask(self) -> None:
        """One round. What cannot be asked now is asked by the next one."""
        now = self._clock()
        await self._streams.check_all(COMMIT_WAIT_S if self._nodes.is_apart else HOLE_WAIT_S)
        # Also those of this node: what was taken for failed may have been committed after all.
        since = self._joins_known_at - JOIN_TAKES
        try:
            joined = await self._metadata.read(lambda unit: unit.participants.list_joined(since))
        except Unavailable:
            return
        self._admit(joined)
        self._joins_known_at = now

    def _admit(self, joined: list[tuple[int, int]]) -> None:
        chats: defaultdict[int, list[int]] = defaultdict(list)
        for chat_id, user_id in joined:
            if self._manager.is_connected(user_id):
                chats[chat_id].append(user_id)
        for chat_id, user_ids in chats.items():
            self._streams.admit(chat_id, user_ids)
