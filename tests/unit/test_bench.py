"""What a benchmark found is told as it was: runs that went wrong are a row, and are not published."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from bench.report import to_table
from bench.scaling import RESULTS
from bench.targets import count_wrong, list_unclean

PUBLISHED: dict[str, Any] = json.loads(RESULTS.read_text())
ROWS = ("lost, duplicated or misordered deliveries", "runs with anything refused, closed or unanswered")


def rows(found: dict[str, Any]) -> list[str]:
    return [line.split()[-1] for line in to_table(found).splitlines() if line.startswith(ROWS)]


def test_what_is_published_went_well() -> None:
    assert list_unclean(PUBLISHED["workloads"]) == []
    assert count_wrong(PUBLISHED["workloads"]) == 0
    assert rows(PUBLISHED) == ["met", "met"]


@pytest.mark.parametrize(
    "path", ["sends many_chats limited", "latency", "fanout eight_senders", "idle"], ids=str
)
def test_a_run_that_was_not_clean_is_named_and_a_row(path: str) -> None:
    found = copy.deepcopy(PUBLISHED)
    run = found["workloads"]
    for key in path.split():
        run = run[key]
    run["is_clean"] = False
    assert list_unclean(found["workloads"]) == [path]
    assert rows(found) == ["met", "missed"]
