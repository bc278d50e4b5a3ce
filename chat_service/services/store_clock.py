"""The time by the clock of the metadata server, which every node of a deployment shares.

A node's own clock may be an hour off; what expires, and which of two things was first, must not depend on
which node was asked. So each node measures how far its clock is from the server's, and adds that.
"""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from chat_service.domain.clock import Clock
from chat_service.services.ports.metadata import MetadataStore

MAX_SKEW_S = 30.0
"""A node whose own clock is further off than this is unready until somebody sets it."""
TOLERANCE = timedelta(milliseconds=100)
"""Less than this is a slow answer and no skew."""


class StoreClock:
    """A `Clock`: the one given, moved by what `measure` has found. On SQLite that is nothing."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return self._clock() - self._ahead

    @property
    def skew_s(self) -> float:
        """By how many seconds the node's own clock is ahead of the server's; below 0: behind."""
        return self._ahead.total_seconds()

    @property
    def is_far_off(self) -> bool:
        return abs(self.skew_s) > MAX_SKEW_S

    def explain(self) -> str:
        way = "ahead of" if self.skew_s > 0 else "behind"
        return (
            f"The clock of this machine is {abs(self.skew_s):.0f} s {way} that of the metadata server; "
            f"at most {MAX_SKEW_S:.0f} s are allowed"
        )

    async def measure(self, metadata: MetadataStore) -> None:
        """Ask the server for its time. Raises `Unavailable`."""
        before, began_s = self._clock(), time.monotonic()
        there = await metadata.read(lambda unit: unit.nodes.get_time())
        took = timedelta(seconds=time.monotonic() - began_s)
        ahead = before + took / 2 - there
        if abs(ahead - self._ahead) > TOLERANCE + took / 2:
            self._ahead = ahead if abs(ahead) > TOLERANCE else timedelta()
