"""The bus of a node that is alone: what is published is handed on within the process."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import structlog

from chat_service.domain.events import Event
from chat_service.services.ports.bus import EventHandler, GapHandler

log = structlog.get_logger(__name__)


class MemoryBus:
    """A `Bus`. Handlers have run when `publish` returns, in the order of their subscription.

    A handler that fails is logged and keeps the events from nobody else.
    """

    is_up = True

    def __init__(self) -> None:
        self._handlers: tuple[EventHandler, ...] = ()

    def subscribe(self, handler: EventHandler) -> None:
        self._handlers = (*self._handlers, handler)

    def subscribe_gaps(self, handler: GapHandler) -> None:
        """Within a process nothing passes unheard."""

    def publish(self, events: Sequence[Event]) -> None:
        if not events:
            return
        batch = tuple(events)
        for handler in self._handlers:
            try:
                handler(batch)
            except Exception:
                # The facts are committed: whoever published them must not hear of a reader's defect.
                log.exception("bus_handler_failed", events=len(batch))

    def hear_chat(self, chat_id: int) -> None:
        """Everything is heard."""

    def ignore_chat(self, chat_id: int) -> None:
        """Everything is heard."""

    async def hear_user(self, user_id: int) -> None:
        """Everything is heard."""

    def ignore_user(self, user_id: int) -> None:
        """Everything is heard."""

    def list_heard(self) -> set[str]:
        """There is no other node to hear."""
        return set()

    async def connect(self, deployment_id: str) -> None:
        """There is nothing to connect to."""

    async def run(self) -> None:
        """There is nothing to keep connected."""
        await asyncio.Event().wait()

    async def ping(self) -> None:
        """There is no other node to reach."""

    async def close(self) -> None:
        self._handlers = ()
