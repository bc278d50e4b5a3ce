"""Reads what a deployment is made of: docker-compose.yml, the Dockerfile, and the files below config/."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from fastapi import FastAPI

from chat_service.app import create_app
from chat_service.settings import Settings
from tests.node import make_settings

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
COMPOSE = ROOT / "docker-compose.yml"
DOCKERFILE = (ROOT / "Dockerfile").read_text()
HAPROXY = CONFIG / "haproxy" / "haproxy.cfg"
OPERATIONS = ROOT / "docs" / "operations.md"

LONGEST_STOP_S = 30
"""What `chat_service.server` promises; tests/integration and tests/e2e hold it to that."""
_VARIABLE = re.compile(r"\$(?:\$|\{(\w+)(?:(:[?-])([^}]*))?\})")
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h)")
_SUFFIXES = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}


def setting_names() -> set[str]:
    return {f"CHAT_{name.upper()}" for name in Settings.model_fields}


def interpolate(text: str, given: dict[str, str]) -> str:
    """What Compose makes of `${NAME:?why}`, `${NAME:-default}` and `$$`; a KeyError is what is not given."""

    def replace(found: re.Match[str]) -> str:
        name, kind, rest = found.groups()
        if name is None:
            return "$"
        if given.get(name):
            return given[name]
        if kind == ":-":
            return str(rest)
        raise KeyError(name)

    return _VARIABLE.sub(replace, text)


def _interpolate_all(value: Any, given: dict[str, str]) -> Any:
    match value:
        case str():
            return interpolate(value, given)
        case list():
            return [_interpolate_all(item, given) for item in value]
        case dict():
            return {key: _interpolate_all(item, given) for key, item in value.items()}
    return value


def read_compose(given: dict[str, str]) -> dict[str, Any]:
    """As Compose reads it: YAML first, variables in its strings then."""
    found: dict[str, Any] = _interpolate_all(yaml.safe_load(COMPOSE.read_text()), given)
    return found


def secret_names() -> list[str]:
    """The variables of config/secrets.example.env, which gives none of them a value."""
    example = (CONFIG / "secrets.example.env").read_text()
    lines = [line for line in example.splitlines() if line and not line.startswith("#")]
    assert all(line.endswith("=") for line in lines), lines
    return [line.removesuffix("=") for line in lines]


def some_secrets() -> dict[str, str]:
    return {name: f"{name.lower()}0123456789abcdef0123456789abcdef" for name in secret_names()}


def to_seconds(text: str) -> float:
    """`2m`, `500ms`, `1m30s` and the like."""
    parts = _DURATION.findall(text)
    assert "".join(number + unit for number, unit in parts) == text, text
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


def image_environment() -> dict[str, str]:
    """What the last stage of the Dockerfile sets."""
    stage = DOCKERFILE.rpartition("\nFROM ")[2]
    block = re.search(r"^ENV ((?:.*\\\n)*.*)$", stage, re.MULTILINE)
    assert block is not None
    return dict(re.findall(r"(\w+)=(\S+)", block[1].replace("\\\n", " ")))


@cache
def _app() -> FastAPI:
    """It connects to nothing and writes nothing before it is served."""
    return create_app(make_settings())


def get_paths() -> set[str]:
    """Every path that is described: those of the API and those of health."""
    return set(_app().openapi()["paths"])


@cache
def metric_names() -> frozenset[str]:
    """Every name that `/metrics` of a node may show."""
    names: set[str] = set()
    for family in _app().state.services.metrics.registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count")}.get(
            family.type, ("",)
        )
        names |= {family.name + suffix for suffix in suffixes}
    return frozenset(names)


def metrics_in(expression: str) -> set[str]:
    """The names of our metrics that a PromQL expression asks for."""
    return set(re.findall(r"\bchat_\w+", expression))
