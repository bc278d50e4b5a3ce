"""docs/faults.md: a row a fault, and where a target is missed, that it is and why."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from tests.faults.course import Form
from tests.faults.crossing import RATE, TARGET_MS, Crossing
from tests.faults.device import ANSWER_S, SILENT_S
from tests.faults.faults import NODE
from tests.faults.load import CHANGES_EVERY
from tests.faults.verdict import Row
from tests.faults.waits import LATE_S
from tests.faults.wires import FROZEN_INSTEAD

PAGE = Path(__file__).parents[2] / "docs" / "faults.md"
HEAD = (
    "fault",
    "injections",
    "gone, s",
    "acknowledged",
    "lost",
    "doubled",
    "misordered",
    "longest wait for an ack, s",
    "for a delivery, s",
    "longest outage, s",
    "recovery, s",
    "target",
    "",
)


class Reason(NamedTuple):
    """Why a target may be missed, and by how much: beyond `up_to` the reason is none."""

    up_to: float
    sentence: str


_SILENT_PRIMARY = Reason(
    40,
    "The election takes as long as after a SIGKILL. But a member that was reading from a primary whose "
    "machine says nothing any more goes on waiting for it, and tells the new primary how far it has got only "
    "now and then until that connection has timed out, so for up to half a minute a majority takes writes "
    "slowly or not at all. That is MongoDB's own; whether it happens depends on which members read from "
    "which.",
)
_UNSEEN = Reason(
    4,
    "A Redis that is frozen or half-open takes what is published and gives no sign: that is noticed after "
    "half a second, and then the store is asked five times a second. Sends are not held up.",
)
_BACKLOG = Reason(
    45,
    "All that was due meanwhile is asked for at once when MariaDB is back, some 3,000 messages; a client "
    "whose attempts to connect have failed waits up to 5 s before the next one.",
)
WHY = {
    "SIGKILL of a node": Reason(
        8,
        "Every 5 s a third of the clients comes back with all of their chats while the node that was killed "
        "starts again, on two cores that are everybody's. That is more than they can let in and bring up to "
        "date beside 100 messages a second (some 35 a second), so those who wait become more with every "
        "kill, are served in turn, and the last of them after the last kill. The short form has fewer "
        "clients.",
    ),
    "SIGSTOP of MariaDB": _BACKLOG,
    "the host of MariaDB unplugged": _BACKLOG,
    "the disk of MariaDB full": _BACKLOG,
    "the disk of the MongoDB primary full": Reason(
        20,
        "The new primary is elected 10 s after the old one has ended, and a majority takes writes 1 s later, "
        "when the other member has found it. What was due meanwhile, some 1,100 messages, is then asked for "
        "at once, on two cores that also start the member anew.",
    ),
    "the host of a node unplugged": Reason(
        20,
        "Nobody is told of a death like this one. HAProxy gives up a connection on which it has sent without "
        "an answer for 10 s, a client one that owes it an answer for 7 s; who only listens leaves after 15 s "
        "of silence. Shorter patience would cut off people whose network pauses.",
    ),
    "SIGSTOP of the MongoDB primary": _SILENT_PRIMARY,
    "the host of the MongoDB primary unplugged": _SILENT_PRIMARY,
    "SIGSTOP of Redis": _UNSEEN,
    "the host of Redis unplugged": _UNSEEN,
    "connections to Redis half-open": _UNSEEN,
    "SIGKILL of Redis": Reason(4, "Sends are not held up; readers on other nodes hear through the store."),
    "connections to Redis cut": Reason(
        4,
        "What a node publishes before it is connected again waits for the connection, for three seconds. "
        "Sends are not held up.",
    ),
    "across nodes": Reason(
        50,
        "The clients, three databases and other work shared two cores, as the load average shows; the way "
        "over Redis is the difference to the same node.",
    ),
}
"""For a target that may be missed: the reason, by the name of the fault. In seconds; across nodes in
milliseconds."""


def describe(rows: Sequence[Row], crossing: Crossing, form: Form, short: Form) -> str:
    """The whole page."""
    parts = [
        _INTRODUCTION.format(
            date=f"{datetime.now(UTC):%Y-%m-%d}",
            cores=os.cpu_count(),
            machine=platform.machine(),
            python=platform.python_version(),
            connections=form.size.connections,
            chats=form.size.chats,
            rate=f"{form.size.rate:g}",
            many=form.many.connections,
            many_rate=f"{form.many.rate:g}",
            frozen=f"{form.frozen_s:g}",
            every=f"{form.every_s:g}",
            election=f"{form.election_ms / 1000:g}",
            answer=f"{ANSWER_S:g}",
            silent=f"{SILENT_S * 1.5:g}",
            late=f"{LATE_S:g}",
            node=f"{NODE.seconds:g}",
            changes=CHANGES_EVERY,
            changed=sum(row.changed for row in rows),
            returned=sum(row.returned for row in rows),
            load=f"{os.getloadavg()[0]:.0f}",
            hosts=_describe_hosts(rows),
        ),
        _table(rows),
        _describe_short(rows, short),
        "## Notes\n\n" + "\n".join(f"- {row.fault}: {' '.join(row.notes)}" for row in rows if row.notes),
        "## Across nodes\n\n" + _describe_crossing(crossing),
        "## Targets\n\n" + _describe_targets(rows, crossing),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _describe_hosts(rows: Sequence[Row]) -> str:
    if any(FROZEN_INSTEAD in row.notes for row in rows):
        return "All of them share this machine's loopback."
    return (
        "Every part runs on a host of its own, a network namespace with an address, so that one can be\n"
        "unplugged."
    )


def _table(rows: Sequence[Row]) -> str:
    lines = [f"| {' | '.join(HEAD)} |", f"|{'---|' * len(HEAD)}", *map(_line, rows)]
    return "\n".join(lines)


def _line(row: Row) -> str:
    asked = f" of {row.asked:,}" if row.acknowledged < row.asked else ""
    cells = [
        f"{row.fault}{' *' if row.is_short else ''}",
        str(row.injections),
        f"{row.gone_s:g}" if row.gone_s else "",
        f"{row.acknowledged:,}{asked}",
        *(str(one) for one in (row.lost, row.doubled, row.misordered)),
        *(f"{one:.1f}" for one in (row.ack_s, row.delivery_s, row.outage_s, row.recovery_s)),
        row.target,
        "" if row.is_met is None else "met" if row.is_met else "missed",
    ]
    return f"| {' | '.join(cells)} |"


def _describe_short(rows: Sequence[Row], short: Form) -> str:
    names = [row.fault for row in rows if row.is_short]
    if not names:
        return ""
    return (
        f"Marked with *: played in the short form of the tests only, with {short.size.connections} "
        f"connections, {short.size.chats} groups, {short.size.rate:g} messages a second, {short.kills} "
        f"injections where there are several, {short.frozen_s:g} s where something is frozen, "
        f"{short.cancels:,} requests that are given up, and an election after {short.election_ms / 1000:g} s."
    )


def _describe_crossing(crossing: Crossing) -> str:
    met = "met" if crossing.other_node_ms <= TARGET_MS else "missed"
    return (
        f"Two nodes, {RATE:g} messages a second, from the socket that sends to the one that hears, at the "
        f"median: {crossing.same_node_ms:g} ms on the same node, {crossing.other_node_ms:g} ms on the other "
        f"one ({crossing.delivered:,} of {crossing.messages:,} messages). "
        f"The target is {TARGET_MS:g} ms: {met}."
    )


class _Missed(NamedTuple):
    name: str
    value: float
    what: str

    @property
    def reason(self) -> str:
        """Empty where there is none; with what it does not explain, where it is none for so much."""
        found = WHY.get(self.name)
        if found is None:
            return ""
        rest = "" if self.is_explained else f" That explains up to {found.up_to:g}, and not the rest."
        return found.sentence + rest

    @property
    def is_explained(self) -> bool:
        found = WHY.get(self.name)
        return found is not None and self.value <= found.up_to


def _list_missed(rows: Sequence[Row], crossing: Crossing | None) -> Iterator[_Missed]:
    for row in rows:
        if row.is_met is False:
            yield _Missed(row.fault, row.outage_s, f"{row.outage_s:.1f} s, and the target is {row.target}")
    if crossing is not None and crossing.other_node_ms > TARGET_MS:
        yield _Missed("across nodes", crossing.other_node_ms, f"{crossing.other_node_ms:g} ms")


def list_unexplained(rows: Sequence[Row], crossing: Crossing | None = None) -> list[str]:
    """Every target that was missed without a reason that holds for so much."""
    return [f"{one.name}: {one.what}" for one in _list_missed(rows, crossing) if not one.is_explained]


def _describe_targets(rows: Sequence[Row], crossing: Crossing) -> str:
    missed = list(_list_missed(rows, crossing))
    if not missed:
        return "All targets are met."
    return "Missed:\n\n" + "\n".join(f"- {one.name}: {one.what}. {one.reason}".strip() for one in missed)


def list_faults(page: str) -> dict[str, list[str]]:
    """By the name of each fault on the page, the cells of its row."""
    table = re.findall(r"^\| (.+) \|$", page, re.MULTILINE)
    rows = [[cell.strip() for cell in line.split(" | ")] for line in table]
    return {row[0].removesuffix(" *"): row for row in rows if len(row) == len(HEAD) and row[0] != HEAD[0]}


_INTRODUCTION = """\
# Faults

What clients see when a part of the deployment dies under load. Written by `./scripts/faults` on {date},
on a machine with {cores} cores ({machine}, Python {python}), which the clients share with everything
else; the load average was {load} at the end.

Three nodes stand behind HAProxy, with MariaDB, a MongoDB replica set of three members (which elect
another primary after {election} s of silence, MongoDB's default) and Redis, all as processes of their own
with the durability that production asks for. {connections} connections are open; people in {chats} groups
send {rate} messages a second. A rolling restart is done under {many} connections and {many_rate} messages
a second. Nodes are killed one after the other, every {every} s, what is frozen is frozen for {frozen} s,
and everything comes back on the same data. {hosts}
Not played here: MySQL and later releases of MongoDB; and connections to MongoDB that are cut or half-open
while its members live, because nodes find the members by their own addresses, between which no proxy stands.

Everybody sends when a message is due, whatever happens, with a key, until it is acknowledged; connects
again after 0.1 to 0.3 s, and up to 5 s when that fails or brings no answer; and resumes. A client leaves a
connection that owes it an answer for {answer} s, or on which nothing at all came for {silent} s. One time
in {changes} somebody edits or deletes a message of their own in place of sending one
({changed:,} were acknowledged), and all the while the owner of one group after the other removes somebody
and lets them in again ({returned:,} times).

The judge is the history checker of the tests (`tests/history.py`), over all that was sent and heard, what
everybody holds at the end, a final read of both stores, the logs of nodes, HAProxy and stores, in which no
token, password or text may stand, and `chat-service fsck`. *Lost*
counts what was acknowledged and is not stored, or was not heard by somebody who should have; *doubled*
one key that is two messages, or one version that is two changes; *misordered* whatever somebody saw in
another order than others.

*Gone* is how long the longest of the injections kept the thing away. *The longest wait for an ack* is
from the first sending to the acknowledgement, *for a delivery* from there to the last reader's socket,
whether it was connected or not. *The longest outage* is one message's way through both, from its first
sending to its last reader: what a client saw, and what a target is compared with. *Recovery* is from the
last injection to the last moment at which somebody got what they had waited for longer than {late} s.

A node dies when its process ends, which ends its connections too, or with its machine, of which nobody is
told; the target is {node} s for both, and where it is missed the reason stands below. A node that is frozen
is not dead: its machine answers for it, it comes back with all that it held, and what ends the outage is
the patience of its clients. For it the target is that patience, and the {node} s of a death to come back in.
"""
