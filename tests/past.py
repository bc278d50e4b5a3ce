"""A history with its indices, for the invariants to look things up in, and the list of these. No I/O."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from tests.records import Deletion, Edit, History, Json, Request, Send, Stay

Key = tuple[int, int, str]
"""chat_id, sender_id, client_message_id."""

MESSAGE_PUSHES = frozenset({"new_message", "message_edited", "message_deleted"})


@dataclass(frozen=True)
class Sighting:
    """A state of a message that somebody was shown."""

    where: str
    message: Json

    @property
    def place(self) -> str:
        """For sentences."""
        return f"message {self.message['id']} (seq {self.message['seq']}, version {self.message['version']})"


class Past:
    """A history with its indices."""

    def __init__(self, history: History) -> None:
        self.history = history

    @cached_property
    def rows(self) -> dict[str, list[Json]]:
        """By message id, all that is stored under it; more than one is a defect."""
        return group((row["id"], row) for chat in self.history.stored for row in chat.messages)

    @cached_property
    def sends(self) -> dict[Key, list[Send]]:
        """Several with one key are a retry with another content, which must be refused."""
        return group(((one.chat_id, one.user_id, one.key), one) for one in self.history.sends)

    @cached_property
    def edits(self) -> dict[str, list[Edit]]:
        return group((one.message_id, one) for one in self.history.edits)

    @cached_property
    def deletions(self) -> dict[str, list[Deletion]]:
        return group((one.message_id, one) for one in self.history.deletions)

    @cached_property
    def revisions(self) -> dict[str, list[Json]]:
        """By message id, the texts of what has been edited and not deleted."""
        return {key: texts for chat in self.history.stored for key, texts in chat.revisions.items()}

    def list_texts(self, row: Json) -> list[Json]:
        """Every text of a message; of one never edited its only one."""
        return self.revisions.get(row["id"]) or [{"revision": row["revision"], "content": row["content"]}]

    @cached_property
    def stays(self) -> dict[tuple[int, int], list[Stay]]:
        """By chat and user."""
        return group(((one.chat_id, one.user_id), one) for one in self.history.stays)

    @cached_property
    def requests(self) -> list[Request]:
        return [*self.history.sends, *self.history.edits, *self.history.deletions]

    @cached_property
    def heard(self) -> list[Sighting]:
        """Every message in a push, in `changes` or in an acknowledgement."""
        found = [Sighting("an ack", message) for request in self.requests for message in request.acks]
        for connection in self.history.connections:
            for frame in connection.frames:
                where = f"the {frame['type']} to {connection.name}"
                messages = frame.get("messages", ()) if frame["type"] == "changes" else ()
                if frame["type"] in MESSAGE_PUSHES or (frame["type"] == "ack" and "message" in frame):
                    messages = [frame["message"]]
                found += [Sighting(where, message) for message in messages]
        return found

    @cached_property
    def sightings(self) -> list[Sighting]:
        """All that was heard, is stored, or is held."""
        stored = [Sighting("the final read", row) for rows in self.rows.values() for row in rows]
        held = [
            Sighting(f"what {one.device} holds", message)
            for one in self.history.held
            for message in one.messages.values()
        ]
        return [*stored, *self.heard, *held]


def group(pairs: Iterable[tuple[Any, Any]]) -> dict[Any, list[Any]]:
    found: dict[Any, list[Any]] = defaultdict(list)
    for key, value in pairs:
        found[key].append(value)
    return found


def key_of(message: Json) -> Key:
    return (message["chat_id"], message["sender_id"], message["client_message_id"])


Invariant = Callable[[Past], Iterator[str]]
INVARIANTS: list[Invariant] = []


def invariant(function: Invariant) -> Invariant:
    INVARIANTS.append(function)
    return function
