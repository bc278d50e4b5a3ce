"""Which pooled connections may be dead without anybody having been told.

A server that vanishes, or a firewall that forgets, leaves connections that are open on this side and answer
nothing; one that restarts, or ends what was silent for long, leaves many that are closed. Each would cost
somebody a time-out or a failure before it is found. So the first call that runs out of time, or loses its
connection, makes all connections suspect that were there before: whichever is taken out of the pool next is
closed and opened again. After a server that was only slow that costs one reconnection each.
"""

from __future__ import annotations

import time
from typing import Any

from sqlalchemy import event
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncEngine

_OPENED_AT = "opened_at_s"


class Trust:
    """One for all engines of a store."""

    def __init__(self) -> None:
        self._lost_at_s = float("-inf")

    def lose(self) -> None:
        """A call has run out of time, or lost its connection."""
        self._lost_at_s = time.monotonic()

    def watch(self, engine: AsyncEngine) -> None:
        event.listen(engine.sync_engine, "connect", _note_opening)
        event.listen(engine.sync_engine, "checkout", self._check)

    def _check(self, _connection: Any, record: Any, _proxy: Any) -> None:
        """The pool answers the error with a new connection."""
        if record.info[_OPENED_AT] <= self._lost_at_s:
            raise DisconnectionError("opened before a connection was found dead")


def _note_opening(_connection: Any, record: Any) -> None:
    record.info[_OPENED_AT] = time.monotonic()
