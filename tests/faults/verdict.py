"""What one fault came to: a row of docs/faults.md, and all that the history checker holds against it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests import history
from tests.faults.stage import list_tracebacks
from tests.faults.waits import LATE_S, Waits
from tests.records import History

_LOST = {
    "acknowledged_is_stored_once",
    "held_equals_stored",
    "pushes_have_no_hole",
    "seqs_have_no_gap",
    "snapshot_and_pushes_are_a_fresh_snapshot",
}
_DOUBLED = {"one_key_is_one_message", "versions_are_consistent"}
_MISORDERED = {"pushes_come_in_order", "everybody_sees_the_same", "sends_keep_their_order"}


@dataclass(frozen=True)
class Injection:
    """One blow: when it fell, in the loop's time, and how long the thing that was hit was gone."""

    at_s: float
    gone_s: float = 0.0


@dataclass(frozen=True)
class Target:
    """The longest that a client may wait: so many seconds, or so many more than the thing was gone."""

    seconds: float
    beyond_gone: bool = False

    def allows_s(self, gone_s: float) -> float:
        return self.seconds + (gone_s if self.beyond_gone else 0.0)

    def __str__(self) -> str:
        if self.beyond_gone:
            return f"its own time + {self.seconds:g} s"
        return f"{self.seconds:g} s" if self.seconds > LATE_S else "none"


@dataclass(frozen=True)
class Row:
    fault: str
    injections: int
    gone_s: float
    """The longest of them."""
    connections: int
    asked: int
    acknowledged: int
    lost: int
    doubled: int
    misordered: int
    ack_s: float
    """The longest wait for an acknowledgement since the first injection."""
    delivery_s: float
    """The longest wait for a delivery, from the acknowledgement on."""
    outage_s: float
    """The longest that a message took from its first sending to its last reader."""
    recovery_s: float
    """From the last injection to the last moment at which somebody got what they had waited for too long."""
    target: str
    is_met: bool | None
    """None: there is no target, or nothing was hit."""
    notes: Sequence[str] = ()
    changed: int = 0
    """Edits and deletions that were acknowledged."""
    returned: int = 0
    """How often somebody was removed from a chat and let in again."""
    is_short: bool = False
    """Played in the short form."""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True)
class Lived:
    """What was lived through under a fault."""

    past: History
    waits: Waits
    connections: int
    surprises: Sequence[str] = ()


@dataclass
class Verdict:
    row: Row
    problems: list[str] = field(default_factory=list)


def judge(
    name: str,
    lived: Lived,
    injections: Sequence[Injection],
    target: Target | None = None,
    notes: Sequence[str] = (),
) -> Verdict:
    """Without a blow there is no target to meet."""
    waits = lived.waits
    violations = history.check(lived.past)
    kinds = [one.invariant for one in violations]
    problems = [*map(str, violations), *list_tracebacks(lived.past.logs), *lived.surprises]
    first_s = min((one.at_s for one in injections), default=0.0)
    last_s = max((one.at_s for one in injections), default=asyncio.get_running_loop().time())
    gone_s = max((one.gone_s for one in injections), default=0.0)
    outage_s = waits.longest(waits.outages, first_s)
    is_met = outage_s <= target.allows_s(gone_s) if target is not None and injections else None
    row = Row(
        fault=name,
        injections=len(injections),
        gone_s=round(gone_s, 1),
        connections=lived.connections,
        asked=len(lived.past.sends),
        acknowledged=sum(bool(send.acks) for send in lived.past.sends),
        lost=sum(kind in _LOST for kind in kinds),
        doubled=sum(kind in _DOUBLED for kind in kinds),
        misordered=sum(kind in _MISORDERED for kind in kinds),
        ack_s=round(waits.longest(waits.acknowledged, first_s), 2),
        delivery_s=round(waits.longest(waits.delivered, first_s), 2),
        outage_s=round(outage_s, 2),
        recovery_s=round(waits.recovered_at_s(last_s) - last_s, 1),
        target="" if target is None else str(target),
        is_met=is_met,
        notes=tuple(notes),
        changed=sum(bool(one.acks) for one in (*lived.past.edits, *lived.past.deletions)),
        returned=sum(stay.until is not None for stay in lived.past.stays),
    )
    return Verdict(row, problems)
