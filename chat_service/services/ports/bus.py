"""The bus between nodes: carries encoded pushes and notices, and may lose, double or reorder them.

Nothing rests on it. The sequencer of each node orders what comes, the store is asked for what is missing,
and for whatever may have passed unheard; see docs/adr/0009.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from chat_service.domain.events import Event

EventHandler = Callable[[Sequence[Event]], None]
GapHandler = Callable[[Collection[int]], None]


class Bus(Protocol):
    """Only `connect`, `hear_user`, `ping`, `run` and `close` wait for anything."""

    @property
    def is_up(self) -> bool:
        """Whether what is published now is likely to reach the other nodes."""
        ...

    def subscribe(self, handler: EventHandler) -> None:
        """Hand every batch of events, this node's own included, to `handler`; it never blocks."""

    def subscribe_gaps(self, handler: GapHandler) -> None:
        """Call `handler` with chats of which changes may have passed unheard before this moment: their
        channels have only now been subscribed. What comes later is heard."""

    def publish(self, events: Sequence[Event]) -> None:
        """Give facts that have been committed to this node at once, and to the others as soon as may be.

        Never blocks and never raises; what cannot be sent is dropped.
        """

    def hear_chat(self, chat_id: int) -> None:
        """A connection of this node listens to the chat; repeating it is harmless."""

    def ignore_chat(self, chat_id: int) -> None:
        """No connection of this node listens to the chat any more."""

    async def hear_user(self, user_id: int) -> None:
        """A user is connected to this node. Returns when what is addressed to the user arrives here, or
        after a moment where the bus is down."""

    def ignore_user(self, user_id: int) -> None:
        """The user is not connected to this node any more."""

    def list_heard(self) -> set[str]:
        """The ids of the other nodes whose sign of life has come over the bus in the last seconds."""
        ...

    async def connect(self, deployment_id: str) -> None:
        """Find out whether the bus can be used; called once, before `run`.

        Raises `Unavailable` with the reason in a sentence; `run` goes on trying all the same.
        """

    async def run(self) -> None:
        """One long task: keeps the bus connected for as long as the node lives."""

    async def ping(self) -> None:
        """Return when the bus reaches the other nodes; raise `Unavailable` otherwise."""

    async def close(self) -> None:
        """Forget the handlers; what is published afterwards reaches nobody."""
