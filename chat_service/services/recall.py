"""Reads what many who come back have missed once for all of them.

Those who were on a node that died ask the others for the same changes, which a node that has just started has
not told itself. See docs/adr/0012.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import structlog

from chat_service.domain.errors import Unavailable
from chat_service.domain.models import Message
from chat_service.domain.views import message_view
from chat_service.services.epoch import Epoch
from chat_service.services.history import HistoryService
from chat_service.services.holes import PAGE_LIMIT, HoleReader
from chat_service.services.recent import READ_BACK, RecentChanges, make_told

log = structlog.get_logger()


class Recall:
    def __init__(self, history: HistoryService, recent: RecentChanges, epoch: Epoch) -> None:
        self._holes = HoleReader(history)
        self._recent = recent
        self._epoch = epoch
        self._reading: dict[int, asyncio.Task[None]] = {}

    async def read_back(self, cursors: Mapping[int, int]) -> None:
        """Let what is known of each chat reach back to the version given, where that can be."""
        chats = [(chat_id, since) for chat_id, since in cursors.items() if self._recent.lacks(chat_id, since)]
        await asyncio.gather(*(self._read_chat(chat_id, since) for chat_id, since in chats))

    async def _read_chat(self, chat_id: int, since: int) -> None:
        """Of one chat one after the other: the first may read what the next one lacks."""
        while chat_id in self._reading:
            await asyncio.wait([self._reading[chat_id]])
        if self._recent.lacks(chat_id, since):
            task = self._reading[chat_id] = asyncio.create_task(self._read(chat_id, since))
            task.add_done_callback(lambda _: self._reading.pop(chat_id))
            await asyncio.wait([task])

    async def _read(self, chat_id: int, since: int) -> None:
        messages: list[Message] = []
        at, is_closed = since, False
        try:
            for _ in range(READ_BACK // PAGE_LIMIT):
                filling = await self._holes.read(chat_id, at)
                if filling is None or filling.changes.epoch != self._epoch.value:
                    return
                if not self._recent.knows(chat_id) and filling.chat.version - at > READ_BACK:
                    return
                changes = filling.changes
                others = [one.version for one in changes.participants]
                if changes.chat is not None:
                    others.append(changes.chat.settings_version)
                if others:  # a page from below here tells of more than messages
                    messages, since, is_closed = [], max(others), True
                messages += [one for one in changes.messages if one.row.version > since]
                at = changes.to
                if not changes.has_more or not self._recent.lacks(chat_id, at):
                    break
        except Unavailable:
            return  # each will ask for themselves, and be told
        except Exception:
            log.exception("recall_failed", chat_id=chat_id)
            return
        told = [make_told(message_view(one)) for one in messages]
        self._recent.add_read(chat_id, since, at, told, is_closed=is_closed)
