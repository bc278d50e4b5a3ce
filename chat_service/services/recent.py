"""What this node has delivered lately: enough for most who come back, without reading it from the stores.

When a node dies, its clients come to the others at once, and all have missed the same few changes of the same
chats. Read from the stores for each of them, a change costs many times what its delivery did, and the longer
they wait for that, the more they have missed. See docs/adr/0012.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from itertools import islice

import orjson

from chat_service.domain.events import ChatChanged
from chat_service.domain.models import ToldMessage

MAX_BYTES = 32 * 1024 * 1024
"""Of pushes, of all chats together: the last thousand changes of sixty busy chats, or so. What is made of
them for those who ask may take as much again."""
_OF_MESSAGES = (b'{"type":"new_message"', b'{"type":"message_edited"', b'{"type":"message_deleted"')


@dataclass(slots=True)
class _Kept:
    event: ChatChanged
    told: ToldMessage | None = None
    """Made when somebody first asks, which most changes never see."""


class RecentChanges:
    """The last changes of each chat without a gap; the oldest of all go first."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._all: deque[_Kept] = deque()
        self._chats: dict[int, deque[_Kept]] = {}

    def keep(self, event: ChatChanged) -> None:
        """Each chat's in the order of their versions. One that does not follow the last begins anew."""
        chat = self._chats.setdefault(event.chat_id, deque())
        if chat and chat[-1].event.version != event.version - 1:
            chat.clear()
        kept = _Kept(event)
        chat.append(kept)
        self._all.append(kept)
        self._bytes += len(event.push)
        while self._bytes > self._max_bytes:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = self._all.popleft()
        self._bytes -= len(oldest.event.push)
        chat = self._chats[oldest.event.chat_id]
        if chat[0] is oldest:
            chat.popleft()
            if not chat:
                del self._chats[oldest.event.chat_id]

    def clear(self) -> None:
        """The stores have been restored: what was told may not have been."""
        self._all.clear()
        self._chats.clear()
        self._bytes = 0

    def find_messages(self, chat_id: int, since: int, until: int) -> list[ToldMessage] | None:
        """The messages whose versions lie above `since`, as they stood at `until`, by version; None where
        that is not known, or where anything but messages has changed."""
        if since >= until:
            return []
        chat = self._chats.get(chat_id)
        if chat is None or chat[0].event.version > since + 1 or chat[-1].event.version < until:
            return None
        newest: dict[str, ToldMessage] = {}
        first = since + 1 - chat[0].event.version
        for kept in islice(chat, first, first + until - since):
            message = kept.told = kept.told or _read_message(kept.event.push)
            if message is None:
                return None
            newest[message.id] = message
        return sorted(newest.values(), key=lambda message: message.version)


def _read_message(push: bytes) -> ToldMessage | None:
    """What the push tells of a message; None where it tells of something else."""
    if not push.startswith(_OF_MESSAGES):
        return None
    message = orjson.loads(push)["message"]
    return ToldMessage(
        id=message["id"],
        seq=message["seq"],
        version=message["version"],
        is_first=not (message["is_edited"] or message["is_deleted"]),
        chars=len(message["content"]),
        json=orjson.dumps(message),
    )
