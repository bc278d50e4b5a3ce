"""The bus of a node that is alone: what is published is handed on within the process."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import structlog

from chat_service.domain.events import Event

log = structlog.get_logger(__name__)


class MemoryBus:
    """A `Bus`. Handlers have run when `publish` returns, in the order of their subscription.

    A handler that fails is logged and keeps the events from nobody else.
    """

    def __init__(self) -> None:
        self._handlers: tuple[Callable[[Sequence[Event]], None], ...] = ()

    def subscribe(self, handler: Callable[[Sequence[Event]], None]) -> None:
        self._handlers = (*self._handlers, handler)

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

    async def ping(self) -> None:
        """There is no other node to reach."""

    async def close(self) -> None:
        """Forget the handlers; what is published afterwards reaches nobody."""
        self._handlers = ()
