"""What fsck's tally remembers, and that its document names every finding."""

from __future__ import annotations

import re
from pathlib import Path

import typer
from hypothesis import given
from hypothesis import strategies as st

from chat_service.cli import cli
from chat_service.services.fsck_chats import Finding, Kind, NumberSet

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "fsck.md").read_text()


def test_every_finding_is_explained() -> None:
    assert sorted(re.findall(r"^\| `(\w+)` \|", DOCUMENT, re.MULTILINE)) == sorted(Kind)


def test_every_shown_option_exists() -> None:
    command = typer.main.get_command(cli).commands["fsck"]  # type: ignore[attr-defined]
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    shown = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", DOCUMENT))
    assert shown <= known
    assert known - shown <= {"--no-progress", "--help"}


@given(st.lists(st.integers(-(2**40), 2**63 - 1) | st.integers(0, 100), max_size=60))
def test_numbers_are_remembered_exactly(numbers: list[int]) -> None:
    kept, seen = NumberSet(), set[int]()
    for number in numbers:
        assert kept.add(number) is (number not in seen)
        seen.add(number)


def test_a_finding_without_a_chat_is_a_line_too() -> None:
    assert str(Finding(Kind.REVISIONS, "Something.")) == "revisions: Something."
    assert str(Finding(Kind.POSITION, "Far.", 7, None, repaired=True)) == "chat 7, position: Far. Repaired."
