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
"""Of the time may be spent asking, however many chats there are; but whoever asks seldom does so every
`JOINED_EVERY_S` in any case."""
JOIN_TAKES = timedelta(seconds=15)
"""A membership says when it began, and can be read once its transaction has ended, which takes no longer."""


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

    async def run(self) -> None:
        """One long task."""
        asked_s, took_s, joins_known_at = time.monotonic(), 0.0, self._clock()
        while True:
            await asyncio.sleep(TICK_S)
            pause_s = max(self._nodes.ask_every_s, min(took_s / SHARE, JOINED_EVERY_S))
            if time.monotonic() - asked_s < pause_s:
                continue
            asked_s, now = time.monotonic(), self._clock()
            await self._streams.check_all(COMMIT_WAIT_S if self._nodes.is_apart else HOLE_WAIT_S)
            if not self._nodes.has_others:  # nobody else lets people in
                joins_known_at = now
                continue
            try:
                joined = await self._metadata.read(
                    lambda unit, since=joins_known_at - JOIN_TAKES: unit.participants.list_joined(since)  # type: ignore[misc]
                )
            except Unavailable:
                continue  # the next round asks from the same time on
            joins_known_at = now
            self._admit(joined)

    def _admit(self, joined: list[tuple[int, int]]) -> None:
        chats: defaultdict[int, list[int]] = defaultdict(list)
        for chat_id, user_id in joined:
            if self._manager.is_connected(user_id):
                chats[chat_id].append(user_id)
        for chat_id, user_ids in chats.items():
            self._streams.admit(chat_id, user_ids)
