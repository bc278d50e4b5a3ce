"""The documents say what the code does: settings, error codes, frames, close codes, examples."""

from __future__ import annotations

import io
import json
import re
from itertools import pairwise
from pathlib import Path

import dotenv
import pytest
from pydantic import ValidationError

from chat_service.domain.errors import every_error
from chat_service.routes.asyncapi import EXAMPLES
from chat_service.routes.frames import (
    COMMANDS,
    PUSHES,
    REPLIES,
    ChatCreated,
    MessageSent,
    UserJoined,
    types_of,
)
from chat_service.routes.problems import close_code
from chat_service.routes.schemas import ChatOut, MeOut, MessageOut, ParticipantOut, ProblemOut, Strict
from chat_service.settings import Settings

ROOT = Path(__file__).parents[2]
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
EXAMPLE_ENV = (ROOT / "config" / "example.env").read_text()
CLOSE_CODES = {1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4001, 4003, 4008, 4009}
FRAMES = (*COMMANDS, *REPLIES, *PUSHES)


def section(heading: str) -> str:
    """The text below a heading, up to the next one of the same level."""
    level = heading.partition(" ")[0]
    found = re.search(
        rf"^{re.escape(heading)}$(.*?)(?=^#{{1,{len(level)}}} |\Z)", PROTOCOL, re.DOTALL | re.MULTILINE
    )
    assert found, heading
    return found[1]


def first_cells(text: str) -> list[str]:
    return re.findall(r"^\| `?([\w ]+?)`? \|", text, re.MULTILINE)


def setting_names() -> list[str]:
    return [f"CHAT_{name.upper()}" for name in Settings.model_fields]


def documented_frames() -> list[str]:
    """The lines of all `jsonc` blocks with the objects that `{…}` stands for, without their comments."""
    objects = {
        '"message": {…}': EXAMPLES[MessageSent]["message"],
        '"messages": [{…}]': [EXAMPLES[MessageSent]["message"]],
        '"chat": {…}': EXAMPLES[ChatCreated]["chat"],
        '"participants": [{…}]': EXAMPLES[UserJoined]["participants"],
    }
    lines = []
    for block in re.findall(r"```jsonc\n(.*?)```", PROTOCOL, re.DOTALL):
        for line in block.splitlines():
            frame, separator, comment = line.partition(" // ")
            assert separator, line
            assert comment, line
            for placeholder, value in objects.items():
                key = placeholder.partition(":")[0]
                frame = frame.replace(placeholder, f"{key}: {json.dumps(value)}")
            lines.append(frame)
    return lines


def test_the_table_of_settings_equals_the_class() -> None:
    table = section("## 1. Commands and settings")
    assert re.findall(r"^\| `(CHAT_\w+)` \|", table, re.MULTILINE) == setting_names()


def test_the_example_lists_every_setting_once_with_a_comment() -> None:
    lines = EXAMPLE_ENV.splitlines()
    assigned = [line.partition("=")[0] for line in lines if line and not line.startswith("#")]
    assert assigned == setting_names()
    for before, line in pairwise(lines):
        if line.startswith("CHAT_"):
            assert before.startswith("# "), line


def test_the_example_gives_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    assert Settings(_env_file=ROOT / "config" / "example.env") == Settings(_env_file=None)


def test_the_example_gives_values_where_there_is_a_default() -> None:
    given = dotenv.dotenv_values(stream=io.StringIO(EXAMPLE_ENV))
    empty = {name for name, value in given.items() if not value}
    assert empty == {
        "CHAT_DATABASE_URL",
        "CHAT_CONTENT_URL",
        "CHAT_REDIS_URL",
        "CHAT_SECRET_KEY",
        "CHAT_ALLOWED_ORIGINS",
        "CHAT_TRUSTED_PROXIES",
    }


def test_every_error_code_is_explained_with_its_status() -> None:
    rows = re.findall(r"^\| `(\w+)` \| ([\w ]+) \|", section("## 4. Error codes"), re.MULTILINE)
    expected = {code: str(kind.status) for code, kind in every_error().items()}
    assert dict(rows) == expected | {"invalid_frame": "socket only"}
    assert len(rows) == len(expected)


def test_every_close_code_is_explained() -> None:
    assert {int(cell) for cell in first_cells(section("### Close codes")) if cell.isdigit()} == CLOSE_CODES
    assert {close_code(kind())[0] for kind in every_error().values()} <= CLOSE_CODES


@pytest.mark.parametrize("model", FRAMES, ids=lambda model: model.__name__)
def test_every_frame_has_an_annotated_example(model: type[Strict]) -> None:
    shown = []
    for line in documented_frames():
        frame = json.loads(line)
        if frame["type"] in types_of(model):
            try:
                model.model_validate(frame)
            except ValidationError:
                continue
            shown.append(frame)
    assert shown


@pytest.mark.parametrize("line", documented_frames())
def test_every_documented_frame_is_one(line: str) -> None:
    frame = json.loads(line)
    assert next(iter(frame)) == "type"
    models = [model for model in FRAMES if frame["type"] in types_of(model)]
    refusals = []
    for model in models:
        try:
            model.model_validate(frame)
        except ValidationError as error:
            refusals.append(str(error))
    assert len(refusals) < len(models), refusals


def test_the_examples_of_objects_are_valid() -> None:
    models: tuple[type[Strict], ...] = (ProblemOut, MeOut, ChatOut, ParticipantOut, MessageOut)
    blocks = re.findall(r"```json\n(.*?)```", PROTOCOL, re.DOTALL)
    for model, block in zip(models, blocks, strict=True):
        model.model_validate(json.loads(block))


def test_links_within_the_document_lead_somewhere() -> None:
    headings = re.findall(r"^#+ (.+)$", PROTOCOL, re.MULTILINE)
    anchors = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    for target in re.findall(r"\]\(#([^)]+)\)", PROTOCOL):
        assert target in anchors
    for target in re.findall(r"\]\(([^#)][^)]*)\)", PROTOCOL):
        assert (ROOT / "docs" / target).exists(), target
