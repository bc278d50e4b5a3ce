"""Who has heard what: counts every lost, duplicated and misordered delivery exactly. No I/O.

Every socket must hear every version of its chats once and in order; every acknowledged message must be what
all of them heard at its version; seqs must number the messages without a gap.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple


class Push(NamedTuple):
    """One change of a chat as a socket heard it. `seq` and `key` (the client_message_id) are None where it
    is no new message."""

    chat_id: int
    version: int
    seq: int | None
    key: str | None


@dataclass(eq=False, slots=True)
class Cursor:
    """What one socket has heard of one chat."""

    next_version: int
    missing: set[int] = field(default_factory=set)
    """Versions that were passed over and have not come since."""
    is_live: bool = True


@dataclass(frozen=True, slots=True)
class Tally:
    lost: int
    duplicated: int
    misordered: int

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.duplicated or self.misordered)


@dataclass(slots=True)
class _Chat:
    last_version: int
    cursors: list[Cursor] = field(default_factory=list)
    heard: dict[int, tuple[int | None, str | None]] = field(default_factory=dict)
    acknowledged: dict[int, tuple[int, str]] = field(default_factory=dict)


class Ledger:
    def __init__(self) -> None:
        self._chats: dict[int, _Chat] = {}
        self._duplicated = 0
        self._misordered = 0

    def add_chat(self, chat_id: int, version: int) -> None:
        """Begin to count what comes above this version."""
        self._chats[chat_id] = _Chat(version)

    def open(self, chat_id: int) -> Cursor:
        """A socket begins to listen, before anything is sent."""
        chat = self._chats[chat_id]
        cursor = Cursor(chat.last_version + 1)
        chat.cursors.append(cursor)
        return cursor

    def close(self, cursor: Cursor) -> None:
        """The socket has ended early: what comes after its last version is not held against the server."""
        cursor.is_live = False

    def deliver(self, cursor: Cursor, push: Push) -> bool:
        """Take what a socket heard. True when nothing is wrong with it: then others who hear the same need
        only be asked whether it is their next version, and moved on by one."""
        chat = self._chats[push.chat_id]
        heard = (push.seq, push.key)
        is_same = chat.heard.setdefault(push.version, heard) == heard
        self._misordered += not is_same  # and nothing else is held against it: it came, as something else
        chat.last_version = max(chat.last_version, push.version)
        if push.version == cursor.next_version:
            cursor.next_version += 1
            return is_same
        if push.version > cursor.next_version:
            cursor.missing.update(range(cursor.next_version, push.version))
            cursor.next_version = push.version + 1
        elif push.version in cursor.missing:
            cursor.missing.discard(push.version)
            self._misordered += is_same
        else:
            self._duplicated += is_same
        return False

    def fill(self, cursor: Cursor, chat_id: int, since: int, to: int) -> None:
        """The server filled a hole: `changes` hold every version above `since`, up to `to`."""
        chat = self._chats[chat_id]
        chat.last_version = max(chat.last_version, to)
        cursor.missing.update(range(cursor.next_version, min(since, to) + 1))
        cursor.missing = {version for version in cursor.missing if not since < version <= to}
        cursor.next_version = max(cursor.next_version, to + 1)

    def acknowledge(self, chat_id: int, version: int, seq: int, key: str) -> None:
        """A sender was told that its message is stored: every socket of the chat must hear it."""
        chat = self._chats[chat_id]
        chat.acknowledged[version] = (seq, key)
        chat.last_version = max(chat.last_version, version)

    def is_settled(self) -> bool:
        """Whether every socket that lives has heard of everything that is known to exist."""
        return all(
            cursor.next_version > chat.last_version
            for chat in self._chats.values()
            for cursor in chat.cursors
            if cursor.is_live
        )

    def count(self) -> Tally:
        """The sums so far; what has not come yet counts as lost."""
        lost, duplicated, misordered = 0, self._duplicated, self._misordered
        for chat in self._chats.values():
            live = [cursor for cursor in chat.cursors if cursor.is_live]
            lost += sum(len(cursor.missing) for cursor in chat.cursors)
            lost += sum(max(0, chat.last_version + 1 - cursor.next_version) for cursor in live)
            lost += len(live) * sum(
                chat.heard.get(version, message) != message for version, message in chat.acknowledged.items()
            )
            keys = Counter(key for _, key in chat.heard.values() if key is not None)
            duplicated += len(live) * (keys.total() - len(keys))
            misordered += len(live) * _count_gaps(chat)
        return Tally(lost, duplicated, misordered)


def _count_gaps(chat: _Chat) -> int:
    """How often the seqs of neighbouring versions do not follow one another."""
    gaps = 0
    for version, (seq, _) in chat.heard.items():
        before = chat.heard.get(version - 1)
        if before is not None and None not in (seq, before[0]):
            gaps += seq != (before[0] or 0) + 1
    return gaps
