"""The time by the clock of the metadata server, which every node of a deployment shares.

A node's own clock may be an hour off, or be set while the node runs; what expires, and which of two things
was first, must not depend on which node was asked. So each node asks the server for its time and counts the
seconds from there by its monotonic clock, which nobody sets.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timedelta

from chat_service.domain.clock import Clock
from chat_service.services.ports.metadata import MetadataStore

MAX_SKEW_S = 30.0
"""A node whose own clock is further off than this is unready until somebody sets it."""
TOLERANCE = timedelta(milliseconds=100)
"""Less than this is a slow answer and no skew."""


class StoreClock:
    """A `Clock`: before the first `measure`, and on SQLite, the one given; then the server's."""

    def __init__(self, clock: Clock, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._ahead = timedelta()
        self._measured: tuple[datetime, float] | None = None
        """A time of the server's, and the monotonic seconds at which it was that time."""

    def __call__(self) -> datetime:
        if self._measured is None:
            return self._clock()
        there, at_s = self._measured
        return there + timedelta(seconds=self._monotonic() - at_s)

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
        began_s = self._monotonic()
        there = await metadata.read(lambda unit: unit.nodes.get_time())
        own, at_s = self._clock(), self._monotonic()
        took = timedelta(seconds=at_s - began_s)
        there += took / 2
        slack = TOLERANCE + took / 2
        ahead = own - there
        if abs(ahead - self._ahead) > slack:
            self._ahead = ahead if abs(ahead) > TOLERANCE else timedelta()
        if self._measured is None or abs(self() - there) > slack:
            self._measured = (there if abs(ahead) > TOLERANCE else own, at_s)
