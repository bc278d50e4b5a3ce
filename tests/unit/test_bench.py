"""What a benchmark found is told as it was: runs that went wrong are a row, and are not published."""

from __future__ import annotations

import copy
import json
import zlib
from typing import Any

import pytest

from bench import yardstick
from bench.messages import rate, take_median
from bench.report import describe, to_table
from bench.scaling import RESULTS
from bench.targets import count_wrong, list_unclean
from bench.texts import COUNT, get_text, list_texts

PUBLISHED: dict[str, Any] = json.loads(RESULTS.read_text())
ROWS = ("lost, duplicated or misordered deliveries", "runs with anything refused, closed or unanswered")


def rows(found: dict[str, Any]) -> list[str]:
    return [line.split()[-1] for line in to_table(found).splitlines() if line.startswith(ROWS)]


def a_run(messages_per_s: float, **fields: Any) -> dict[str, Any]:
    return {**PUBLISHED["workloads"]["latency"], "messages_per_s": messages_per_s, **fields}


def test_the_median_is_told_with_its_spread() -> None:
    found = take_median([a_run(300.0), a_run(100.0), a_run(200.0)], rate)
    assert found["messages_per_s"] == 200.0
    assert found["spread"] == [100.0, 300.0]
    assert [one["messages_per_s"] for one in found["other_runs"].values()] == [100.0, 300.0]
    assert take_median([a_run(7.0)], rate)["spread"] == [7.0, 7.0]


def test_what_went_wrong_beside_the_median_counts() -> None:
    found = take_median([a_run(300.0, lost=3, is_clean=False), a_run(100.0), a_run(200.0)], rate)
    assert count_wrong({"latency": found}) == 3
    assert list_unclean({"latency": found}) == ["latency other_runs 2"]


def test_texts_are_the_same_in_every_run_and_about_as_long_as_people_write() -> None:
    texts = list_texts()
    assert 90 < sum(map(len, texts)) / len(texts) < 110
    assert len(set(texts)) > 0.95 * COUNT
    assert get_text(COUNT + 5) == texts[5]
    assert len(zlib.compress("\n".join(texts).encode())) > 0.25 * sum(len(one.encode()) for one in texts)


def test_what_the_machine_can_do_is_measured_and_told_as_a_range() -> None:
    measured = yardstick.measure()._asdict()
    assert all(value > 0 for value in measured.values())
    doubled = {name: 2 * value for name, value in measured.items()}
    told = describe({**PUBLISHED, "yardsticks": {"sends": measured, "latency": doubled}})
    low, high = measured["synced_write_ms"], doubled["synced_write_ms"]
    assert f"a synced write of 4 KiB {(low + high) / 2:g} ms ({low:g} to {high:g})" in told


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
