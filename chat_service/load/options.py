"""What a run is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

MAX_SECONDS = 600.0
"""Access tokens live 15 minutes by default, and the set-up takes some of them."""


class LoadFailed(Exception):
    """The run cannot be made or go on; the text is one sentence for people."""


class Sockets(StrEnum):
    CHAT = "chat"
    """One socket for each person and chat (`/ws/{chat_id}`)."""
    USER = "user"
    """One socket for each person (`/ws`), which hears all of the person's chats."""


@dataclass(frozen=True, slots=True)
class LoadOptions:
    url: str
    chats: int = 10
    people: int = 10
    """In each chat."""
    senders: int = 10
    """In all, spread over the chats."""
    rate: float = 0.0
    """Messages a second of all senders together; 0: each sends as soon as it may (see `window`)."""
    seconds: float = 10.0
    window: int = 1
    """Without a rate: how many messages of one sender wait for their ack at the same time."""
    size: int = 100
    """Characters of a message."""
    accounts: int = 0
    """How many people are registered; they are shared out among the chats. 0: as many as `people`."""
    devices: int = 1
    """Sockets that each person opens for the same thing."""
    sockets: Sockets = Sockets.CHAT

    @property
    def registered(self) -> int:
        return self.accounts or self.people

    def check(self) -> None:
        """Raises `LoadFailed` for what cannot be."""
        parts = urlsplit(self.url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise LoadFailed(f"{self.url} is not an address such as http://127.0.0.1:8000.")
        if not 2 <= self.people <= self.registered:
            raise LoadFailed("A chat has two people or more, and no more than are registered (--accounts).")
        if self.senders > self.chats * self.people:
            raise LoadFailed("There are more senders than people in all chats.")
        if not 0 < self.seconds <= MAX_SECONDS:
            raise LoadFailed(f"A run lasts more than 0 and at most {MAX_SECONDS:g} seconds.")
