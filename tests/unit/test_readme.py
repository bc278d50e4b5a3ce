"""README, CONTRIBUTING and the pages of docs/ name what exists: scripts, commands, calls, files, versions."""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

import pytest
import typer

from chat_service import __version__
from chat_service.app import create_app
from chat_service.cli import cli
from tests.node import make_settings

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
PROTOCOL = (ROOT / "docs" / "protocol.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
SCRIPTS = [path.name for path in sorted((ROOT / "scripts").iterdir()) if os.access(path, os.X_OK)]
COMMANDS = sorted(typer.main.get_command(cli).commands)  # type: ignore[attr-defined]


def find_anchors(page: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_every_script_is_explained(text: str) -> None:
    assert SCRIPTS
    assert {name for name in SCRIPTS if f"| `./scripts/{name}` |" not in text} == set()
    assert set(re.findall(r"\./scripts/(\w+)", text)) <= set(SCRIPTS)


@pytest.mark.parametrize("text", [README, PROTOCOL], ids=["README", "protocol"])
def test_every_command_is_explained_and_no_other(text: str) -> None:
    assert sorted(set(re.findall(r"^\| `chat-service ([a-z-]+)", text, re.MULTILINE))) == COMMANDS


@pytest.mark.parametrize("text", [README, PROTOCOL], ids=["README", "protocol"])
def test_every_call_is_listed(text: str, tmp_path: Path) -> None:
    app = create_app(make_settings(data_dir=tmp_path))
    paths = [path.removeprefix("/api/v1") for path in app.openapi()["paths"]]
    described = re.sub(r"\{(?:\w+_)?id\}", "{}", text)
    for path in paths:
        assert re.search(re.escape(re.sub(r"\{\w+\}", "{}", path)) + r"(?=[`?\s])", described), path


def test_the_python_version_is_the_projects() -> None:
    minimum = PROJECT["requires-python"].removeprefix(">=")
    assert re.findall(r"Python (\d\.\d+) or later", README) == [minimum]


def test_the_version_is_the_newest_in_the_changelog() -> None:
    versions = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", CHANGELOG, re.MULTILINE)
    assert versions[0] == PROJECT["version"] == __version__
    assert f"Version {__version__}" in README


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            assert anchor in find_anchors(file), target


@pytest.mark.parametrize("text", [ARCHITECTURE, CONTRIBUTING], ids=["architecture", "CONTRIBUTING"])
def test_the_files_that_are_named_exist(text: str) -> None:
    named = set(re.findall(r"`((?:chat_service|tests|docs|config|examples|scripts)/[\w./]*)`", text))
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_the_services_that_are_named_in_short_exist() -> None:
    """`services/sending.py` on the page of the architecture is below `chat_service/`."""
    named = set(re.findall(r"`((?:adapters|domain|migrations|routes|services)/[\w./]+\.py)`", ARCHITECTURE))
    assert named
    assert {name for name in named if not (ROOT / "chat_service" / name).exists()} == set()
