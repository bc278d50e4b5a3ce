"""A fault's verdict: what is compared with the target, and what a fault that hit nothing comes to."""

from __future__ import annotations

import asyncio

from tests.faults.verdict import Injection, Lived, Target, Verdict, judge
from tests.faults.waits import Waits
from tests.records import History

AT_S = 100.0


def a_verdict(waits: Waits, *injections: Injection, target: Target | None = None) -> Verdict:
    """Of a load that lived through these waits, in which nothing else happened."""

    async def run() -> Verdict:
        return judge("a fault", Lived(History(), waits, 1), injections, target)

    return asyncio.run(run())


def test_the_outage_is_one_messages_way_from_the_first_sending_to_the_last_reader() -> None:
    waits = Waits(
        acknowledged=[(AT_S + 3, 3.0), (AT_S + 9, 1.0)],
        delivered=[(AT_S + 6, 3.0), (AT_S + 9, 0.0)],
        outages=[(AT_S + 3, 3.0), (AT_S + 6, 6.0), (AT_S + 9, 1.0), (AT_S - 50, 50.0)],
    )
    row = a_verdict(waits, Injection(AT_S, 1.0), target=Target(5)).row
    assert (row.ack_s, row.delivery_s, row.outage_s) == (3.0, 3.0, 6.0)
    assert row.is_met is False
    assert row.recovery_s == 6.0


def test_a_target_grows_by_what_the_thing_itself_took() -> None:
    waits = Waits(outages=[(AT_S + 6, 6.0)])
    beyond = Target(5, beyond_gone=True)
    assert a_verdict(waits, Injection(AT_S, 0.5), target=beyond).row.is_met is False
    assert a_verdict(waits, Injection(AT_S, 1.5), target=beyond).row.is_met is True


def test_a_fault_that_hit_nothing_has_met_nothing() -> None:
    row = a_verdict(Waits(), target=Target(5)).row
    assert row.is_met is None
    assert row.injections == 0
