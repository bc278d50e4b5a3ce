"""Reads what fills the holes of many chats at once.

Without the bus every chat that moved on has a hole on every other node, several times a second: what is asked
for while a read is in flight goes together in the next one, as sends do.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from itertools import islice

from chat_service.domain.models import Changes, Chat
from chat_service.services.history import HistoryService, split_pages

PAGE_LIMIT = 100
CHATS_TOGETHER = 50
"""So many chats of a page each are at most 5,000 rows. Their texts are read a page at a time."""


@dataclass(frozen=True, slots=True)
class Filling:
    """A page of changes for every socket of the chat alike, which was read before it."""

    chat: Chat
    changes: Changes


@dataclass(frozen=True, slots=True)
class _Asked:
    since: int
    answer: asyncio.Future[Filling | None]

    def settle(self, filling: Filling | None) -> None:
        if not self.answer.done():  # nobody listens to the chat any more
            self.answer.set_result(filling)

    def fail(self, error: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)


class HoleReader:
    def __init__(self, history: HistoryService) -> None:
        self._history = history
        self._waiting: dict[int, _Asked] = {}
        self._reading: asyncio.Task[None] | None = None

    async def read(self, chat_id: int, since: int) -> Filling | None:
        """The page above `since`, or None when the chat is gone. Of one chat nobody asks twice at a time.

        Raises `Unavailable`."""
        answer: asyncio.Future[Filling | None] = asyncio.get_running_loop().create_future()
        self._waiting[chat_id] = _Asked(since, answer)
        if self._reading is None:
            self._reading = asyncio.create_task(self._read_all())
        return await answer

    async def _read_all(self) -> None:
        try:
            while self._waiting:
                chat_ids = list(islice(self._waiting, CHATS_TOGETHER))
                await self._read_some({chat_id: self._waiting.pop(chat_id) for chat_id in chat_ids})
        finally:
            self._reading = None

    async def _read_some(self, asked: dict[int, _Asked]) -> None:
        try:
            since = {chat_id: one.since for chat_id, one in asked.items()}
            found = await self._history.find_changes_for_all(since, limit=PAGE_LIMIT)
            for chat_id in asked.keys() - found.keys():
                asked[chat_id].settle(None)
            for pages in split_pages(found.values()):
                for page, changes in zip(pages, await self._history.load_changes(pages), strict=True):
                    asked[page.chat.id].settle(Filling(page.chat, changes))
        except Exception as error:  # noqa: BLE001 - raised where it was asked for
            for one in asked.values():
                one.fail(error)
