"""docs/faults.md has every fault of the suite, and none by which anything was lost."""

from __future__ import annotations

import dataclasses
import re

import pytest

from tests.faults.course import LONG, SHORT
from tests.faults.crossing import Crossing
from tests.faults.faults import FAULTS
from tests.faults.page import HEAD, PAGE, WHY, describe, list_faults, list_unexplained
from tests.faults.verdict import Row, Target

ROW = Row(
    fault="SIGKILL of a node",
    injections=12,
    gone_s=2.5,
    connections=501,
    asked=6_000,
    acknowledged=6_000,
    lost=0,
    doubled=0,
    misordered=0,
    ack_s=3.1,
    delivery_s=2.0,
    outage_s=3.4,
    recovery_s=3.3,
    target="5 s",
    is_met=True,
    notes=("A note.",),
    changed=12,
    returned=4,
)
CROSSING = Crossing(messages=3_000, delivered=3_000, same_node_ms=4.2, other_node_ms=4.9)


def test_the_page_has_every_fault_and_no_other() -> None:
    assert list(list_faults(PAGE.read_text())) == [fault.name for fault in FAULTS]


def test_the_page_names_nothing_lost_doubled_or_misordered() -> None:
    for name, cells in list_faults(PAGE.read_text()).items():
        found = dict(zip(HEAD, cells, strict=True))
        assert [found[what] for what in ("lost", "doubled", "misordered")] == ["0"] * 3, name
        assert found["acknowledged"] != "0", name


def test_the_page_says_of_each_missed_target_that_it_is() -> None:
    page = PAGE.read_text()
    missed = [name for name, cells in list_faults(page).items() if cells[-1] == "missed"]
    listed = page.partition("## Targets")[2]
    explained = re.findall(r"^- (.+?): .+? s, and the target is [^.]+\. \w", listed, re.MULTILINE)
    assert set(missed) <= set(explained)
    assert missed or "Missed" not in listed or "- across nodes: " in listed


def test_what_is_written_can_be_read() -> None:
    page = describe([ROW], CROSSING, LONG, SHORT)
    assert list_faults(page)["SIGKILL of a node"][3:7] == ["6,000", "0", "0", "0"]
    assert "All targets are met." in page
    assert "- SIGKILL of a node: A note." in page
    assert "(12 were acknowledged)" in page
    assert "(4 times)" in page


def test_a_row_of_the_short_form_is_marked() -> None:
    page = describe([dataclasses.replace(ROW, is_short=True)], CROSSING, LONG, SHORT)
    assert "| SIGKILL of a node * |" in page
    assert "SIGKILL of a node" in list_faults(page)
    assert "Marked with *" in page


def test_a_missed_target_is_named() -> None:
    late = dataclasses.replace(ROW, outage_s=7.25, is_met=False)
    slow = dataclasses.replace(CROSSING, other_node_ms=12.0)
    page = describe([late], slow, LONG, SHORT)
    assert "- SIGKILL of a node: 7.2 s, and the target is 5 s." in page
    assert "- across nodes: 12 ms." in page
    assert list_unexplained([late], slow) == []


@pytest.mark.parametrize(
    ("fault", "outage_s"), [("a fault without a reason", 7.25), ("SIGKILL of a node", 60.0)]
)
def test_a_target_missed_without_a_reason_for_so_much_is_told(fault: str, outage_s: float) -> None:
    late = dataclasses.replace(ROW, fault=fault, outage_s=outage_s, is_met=False)
    assert list_unexplained([ROW, late]) == [f"{fault}: {outage_s:.1f} s, and the target is 5 s"]
    assert list_unexplained([], dataclasses.replace(CROSSING, other_node_ms=500)) == ["across nodes: 500 ms"]


def test_every_reason_is_for_a_fault_that_has_a_target() -> None:
    with_target = {fault.name for fault in FAULTS if fault.target is not None}
    assert set(WHY) - {"across nodes"} <= with_target


def test_only_the_control_breaks_nothing() -> None:
    assert [fault.name for fault in FAULTS if fault.is_control] == ["nothing"]


def test_a_target_may_grow_by_what_the_thing_itself_takes() -> None:
    assert Target(5, beyond_gone=True).allows_s(3.0) == 8.0
    assert Target(5).allows_s(3.0) == 5.0
    assert [str(one) for one in (Target(15), Target(1), Target(5, beyond_gone=True))] == [
        "15 s",
        "none",
        "its own time + 5 s",
    ]
