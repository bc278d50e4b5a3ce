"""The bus between nodes: carries encoded pushes and notices, and may lose, double or reorder them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from chat_service.domain.events import Event


class Bus(Protocol):
    """Delivery is best effort: the sequencer of each node orders, and asks the store for what is missing."""

    def subscribe(self, handler: Callable[[Sequence[Event]], None]) -> None:
        """Hand every batch of events, this node's own included, to `handler`; it never blocks."""

    def publish(self, events: Sequence[Event]) -> None:
        """Give facts that have been committed to every node, this one included. Never raises."""

    async def ping(self) -> None:
        """Return when the bus reaches the other nodes; raise `Unavailable` otherwise."""

    async def close(self) -> None: ...
