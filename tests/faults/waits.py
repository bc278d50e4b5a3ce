"""How long people waited under a fault."""

from __future__ import annotations

from dataclasses import dataclass, field

LATE_S = 1.0
"""Whoever waits longer is in an outage."""


@dataclass
class Waits:
    """What people waited for, in the loop's time."""

    acknowledged: list[tuple[float, float]] = field(default_factory=list)
    """Of every message: when it was acknowledged, and how long after it was first sent."""
    delivered: list[tuple[float, float]] = field(default_factory=list)
    """Of every message on every device: when it came, and how long after its acknowledgement."""
    outages: list[tuple[float, float]] = field(default_factory=list)
    """Of every message, at its sender and on every device: when the answer or the message came, and how long
    after the first sending. The longest is the outage that a client saw."""
    connected: list[float] = field(default_factory=list)
    """Every opening of a connection."""

    @staticmethod
    def longest(waits: list[tuple[float, float]], since_s: float) -> float:
        return max((wait_s for at_s, wait_s in waits if at_s >= since_s), default=0.0)

    def recovered_at_s(self, since_s: float) -> float:
        """The last moment at which somebody got what they had waited for too long; or `since_s`."""
        late = (at_s for at_s, wait_s in self.outages if wait_s > LATE_S and at_s >= since_s)
        return max(late, default=since_s)

    def peak_connects(self, since_s: float, within_s: float = 1.0) -> int:
        """The most connections opened within a second."""
        moments = sorted(moment for moment in self.connected if moment >= since_s)
        last = 0
        peak = 0
        for first, moment in enumerate(moments):
            while last < len(moments) and moments[last] < moment + within_s:
                last += 1
            peak = max(peak, last - first)
        return peak
