"""What a run found: numbers for people and for programs."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from chat_service.load.ledger import Tally

_STEP_S = 0.00002


class Latencies:
    """How often each duration occurred, in steps of 20 µs."""

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._longest_s = 0.0

    def add(self, seconds: float, times: int = 1) -> None:
        step = int(seconds / _STEP_S)
        self._counts[step] = self._counts.get(step, 0) + times
        self._longest_s = max(self._longest_s, seconds)

    def summary(self) -> dict[str, float | None]:
        """Milliseconds, each the upper end of its step; None when there is nothing."""
        shares = {"p50": 0.5, "p90": 0.9, "p99": 0.99}
        if not self._counts:
            return {**dict.fromkeys(shares), "max": None}
        found = {name: round(self._find(share) * 1000, 2) for name, share in shares.items()}
        return {**found, "max": round(self._longest_s * 1000, 2)}

    def _find(self, share: float) -> float:
        """The duration that this share of all did not exceed."""
        wanted = math.ceil(share * sum(self._counts.values()))
        seen = 0
        for step in sorted(self._counts):
            seen += self._counts[step]
            if seen >= wanted:
                return min((step + 1) * _STEP_S, self._longest_s)
        return self._longest_s


@dataclass(slots=True)
class LoadReport:
    connections: int
    seconds: float
    """How long messages were sent; rates are of this time."""
    sent: int
    acknowledged: int
    unanswered: int
    messages_per_s: float
    deliveries: int
    deliveries_per_s: float
    ack_ms: dict[str, float | None]
    delivered_ms: dict[str, float | None]
    behind_ms: float
    """How late the most delayed message was sent; much of it means that this machine is too slow."""
    tally: Tally
    holes_filled: int
    errors: Counter[str] = field(default_factory=Counter)
    """Refused messages by code."""
    closes: Counter[str] = field(default_factory=Counter)
    """Sockets that the server ended, by close code (and reason)."""
    connection_failures: Counter[str] = field(default_factory=Counter)
    interrupted: bool = False

    @property
    def is_clean(self) -> bool:
        """Whether everything that was sent was acknowledged, and everything heard by everybody."""
        troubles = (self.errors, self.closes, self.connection_failures, self.unanswered, self.interrupted)
        return self.tally.is_clean and not any(troubles)

    def to_json(self) -> dict[str, Any]:
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        return {**asdict(values.pop("tally")), **values, "is_clean": self.is_clean}

    def to_text(self) -> str:
        rows = [
            ("connections", f"{self.connections:,}"),
            ("sent", f"{self.sent:,} in {self.seconds:.1f} s, {self.unanswered:,} unanswered"),
            ("acknowledged", f"{self.acknowledged:,} ({self.messages_per_s:,.0f} messages/s)"),
            ("delivered", f"{self.deliveries:,} ({self.deliveries_per_s:,.0f} deliveries/s)"),
            ("send to ack", _ms(self.ack_ms)),
            ("send to delivered", _ms(self.delivered_ms)),
            ("lost", f"{self.tally.lost:,}"),
            ("duplicated", f"{self.tally.duplicated:,}"),
            ("misordered", f"{self.tally.misordered:,}"),
        ]
        if self.holes_filled:
            rows.append(("holes filled", f"{self.holes_filled:,} by the server, from its store"))
        if self.behind_ms > 100:
            rows.append(("behind", f"{self.behind_ms:,.0f} ms: this machine could not send in time"))
        if self.interrupted:
            rows.append(("interrupted", "yes"))
        for title, counts in (
            ("refused", self.errors),
            ("closed by the server", self.closes),
            ("failed connections", self.connection_failures),
        ):
            rows += [(title, f"{count:,} × {what}") for what, count in counts.most_common(10)]
        return "\n".join(f"{title:<21} {value}" for title, value in rows)


def _ms(found: dict[str, float | None]) -> str:
    return "  ".join(f"{name} {'–' if value is None else f'{value:g} ms'}" for name, value in found.items())
