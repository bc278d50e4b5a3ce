"""What came of the faults that were played, kept below bench-results/ until the page has them all."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.faults.course import LONG, SHORT, Form
from tests.faults.crossing import Crossing
from tests.faults.faults import FAULTS
from tests.faults.page import PAGE, describe, list_unexplained
from tests.faults.verdict import Row, Verdict

KEPT = Path(__file__).parents[2] / "bench-results" / "faults.json"
ACROSS = "across"


def forget_all() -> None:
    """Before a run that plays everything."""
    KEPT.unlink(missing_ok=True)


def keep_verdict(verdict: Verdict, form: Form) -> None:
    """Unless the judge holds something against it."""
    if not verdict.problems:
        row = verdict.row
        _keep({row.fault: {**row.to_json(), "is_short": form is not LONG}}, form)


def keep_crossing(crossing: Crossing) -> None:
    _keep({ACROSS: asdict(crossing)}, LONG)


def _keep(results: dict[str, Any], form: Form) -> None:
    """Beside what other runs have left; what came of a short form never in place of a long one."""
    kept = _read_kept()
    long = {} if form is LONG else {name: one for name, one in kept.items() if not one.get("is_short")}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps({**kept, **results, **long}, indent=2) + "\n")


def _read_kept() -> dict[str, Any]:
    kept: dict[str, Any] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    return kept


def list_missing() -> list[str]:
    """What the page waits for."""
    kept = _read_kept()
    return [name for name in (*(one.name for one in FAULTS), ACROSS) if name not in kept]


def write_page() -> list[str]:
    """Write docs/faults.md, once nothing is missing; the targets that were missed without a reason."""
    kept = _read_kept()
    rows, crossing = [Row(**kept[one.name]) for one in FAULTS], Crossing(**kept[ACROSS])
    PAGE.write_text(describe(rows, crossing, LONG, SHORT))
    return list_unexplained(rows, crossing)
