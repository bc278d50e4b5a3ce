"""What this node has delivered lately: enough for most who come back, without reading it from the stores.

When a node dies, its clients come to the others at once, and all have missed the same few changes of the same
chats. Read from the stores for each of them, a change costs many times what its delivery did, and the longer
they wait for that, the more they have missed. See docs/adr/0012.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import islice

import orjson

from chat_service.domain.events import ChatChanged
from chat_service.domain.models import ToldMessage
from chat_service.domain.views import View

MAX_BYTES = 32 * 1024 * 1024
"""Of all chats together: the last thousand changes of forty busy ones, or so. What is made of them for those
who ask may take as much again."""
KEPT_BYTES = 250
"""What keeping a change takes besides its push."""
READ_BACK = 300
"""Versions that are worth reading for the next who may ask for them."""
_OF_MESSAGES = (b'{"type":"new_message"', b'{"type":"message_edited"', b'{"type":"message_deleted"')


@dataclass(eq=False, slots=True)
class _Chat:
    """All changes with since < version <= until: first what was read of the store, then what was told."""

    since: int
    until: int
    read: list[ToldMessage] = field(default_factory=list)
    """By version."""
    read_until: int = 0
    told: deque[_Kept] = field(default_factory=deque)
    closed_at: int = 0
    """Up to here more than messages has changed: what lies below need not be read."""


@dataclass(eq=False, slots=True)
class _Kept:
    """A change that was told, or what was read together, in the order in which it is forgotten."""

    chat: _Chat
    chat_id: int
    size: int
    event: ChatChanged | None = None
    told: ToldMessage | None = None
    """Made when somebody first asks, which most changes never see."""


class RecentChanges:
    """The last changes of each chat without a gap; the oldest of all go first."""

    def __init__(self, max_bytes: int = MAX_BYTES) -> None:
        self._max_bytes = max_bytes
        self._bytes = 0
        self._all: deque[_Kept] = deque()
        self._chats: dict[int, _Chat] = {}

    def keep(self, event: ChatChanged) -> None:
        """Each chat's in the order of their versions. One that does not follow the last begins anew."""
        chat = self._chats.get(event.chat_id)
        if chat is not None and event.version <= chat.until:
            return
        if chat is None or event.version != chat.until + 1:
            before = event.version - 1
            chat = self._chats[event.chat_id] = _Chat(before, before, read_until=before)
        kept = _Kept(chat, event.chat_id, KEPT_BYTES + len(event.push), event)
        chat.told.append(kept)
        chat.until = event.version
        self._add(kept)

    def knows(self, chat_id: int) -> bool:
        """Whether anything is kept of the chat."""
        return chat_id in self._chats

    def lacks(self, chat_id: int, since: int) -> bool:
        """Whether it is worth the reading to know the chat from there on."""
        chat = self._chats.get(chat_id)
        return chat is None or max(chat.closed_at, chat.since - READ_BACK) <= since < chat.since

    def add_read(
        self, chat_id: int, since: int, until: int, messages: list[ToldMessage], *, is_closed: bool
    ) -> None:
        """What the store says of since < version <= until; with `is_closed` it is not worth asking for what
        lies below. It is left out where it does not join what is known. That nothing has changed is worth
        knowing too: most chats of those who come back are quiet."""
        is_new = chat_id not in self._chats
        chat = self._chats.get(chat_id) or _Chat(until, until, read_until=until)
        if not since <= chat.since <= until:
            return
        older = [one for one in messages if one.version <= chat.since]
        self._chats[chat_id] = chat
        chat.read = older + chat.read
        chat.since = since
        chat.closed_at = since if is_closed else chat.closed_at
        if is_new or older:
            self._add(_Kept(chat, chat_id, KEPT_BYTES + sum(len(one.json) for one in older)))

    def clear(self) -> None:
        """The stores have been restored: what was told may not have been."""
        self._all.clear()
        self._chats.clear()
        self._bytes = 0

    def find_messages(self, chat_id: int, since: int, until: int) -> list[ToldMessage] | None:
        """The messages with since < version <= until, by version, without those that have changed again since
        and will be told of; None where that is not known, or where anything but messages has changed."""
        if since >= until:
            return []
        chat = self._chats.get(chat_id)
        if chat is None or not chat.since <= since < until <= chat.until or until < chat.read_until:
            return None
        newest = {one.id: one for one in chat.read if one.version > since}
        first = max(0, since - chat.read_until)
        for version, kept in enumerate(islice(chat.told, first, None), chat.read_until + first + 1):
            message = kept.told = kept.told or _read_message(kept)
            if message is not None:
                newest[message.id] = message
            elif version <= until:
                return None
        found = [message for message in newest.values() if message.version <= until]
        return sorted(found, key=lambda message: message.version)

    def _add(self, kept: _Kept) -> None:
        self._all.append(kept)
        self._bytes += kept.size
        while self._bytes > self._max_bytes:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        oldest = self._all.popleft()
        self._bytes -= oldest.size
        chat = oldest.chat
        if oldest.event is None:
            chat.since = max(chat.since, chat.read_until)
        elif chat.told and chat.told[0] is oldest:
            chat.told.popleft()
            chat.since = chat.read_until = oldest.event.version
        if chat.since >= chat.read_until:
            chat.read = []
        if not chat.told and not chat.read and self._chats.get(oldest.chat_id) is chat:
            del self._chats[oldest.chat_id]


def _read_message(kept: _Kept) -> ToldMessage | None:
    """What a push tells of a message; None where it tells of something else."""
    if kept.event is None or not kept.event.push.startswith(_OF_MESSAGES):
        return None
    return make_told(orjson.loads(kept.event.push)["message"])


def make_told(message: View) -> ToldMessage:
    """From a message as people see it."""
    return ToldMessage(
        id=message["id"],
        seq=message["seq"],
        version=message["version"],
        is_first=not (message["is_edited"] or message["is_deleted"]),
        chars=len(message["content"]),
        json=orjson.dumps(message),
    )
