"""docs/operations.md and docs/scaling.md name what there is: files, settings, services, log lines, alerts."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from chat_service.adapters.bus_redis import FLUSH_S
from chat_service.adapters.content_mongo import CLOSE_S
from chat_service.server import DRAIN_TIMEOUT_S, GRACE_S
from chat_service.services.fanout import CLOSING_S, NOTICE_S
from chat_service.services.nodes import LEAVE_S
from chat_service.settings import Settings
from tests.deployment.files import (
    HAPROXY,
    LONGEST_STOP_S,
    OPERATIONS,
    ROOT,
    read_compose,
    setting_names,
    some_secrets,
)

PAGES = (OPERATIONS, ROOT / "docs" / "scaling.md")
TEXT = OPERATIONS.read_text()
COMPOSE_VERBS = ("run --rm", "exec -T", "up --detach --wait --no-deps")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_are_named_exist(page: Path) -> None:
    named = set(re.findall(r"`((?:bench|chat_service|config|scripts|tests)/[\w./-]*)`", page.read_text()))
    named -= {"config/secrets.env"}  # which ./scripts/deploy makes
    assert named
    assert {name for name in named if not (ROOT / name).exists()} == set()


def test_settings_that_are_named_exist() -> None:
    named = set(re.findall(r"\bCHAT_[A-Z_]+\b", TEXT))
    assert named - {"CHAT_PUBLISH", "CHAT_TLS_CERTIFICATE", "CHAT_FRONT_PROXY"} <= setting_names()
    for name in ("CHAT_PUBLISH", "CHAT_FRONT_PROXY"):
        assert f"${{{name}:-" in (ROOT / "docker-compose.yml").read_text()
    for name in ("CHAT_TLS_CERTIFICATE", "CHAT_FRONT_PROXY"):
        assert f'"${{{name}' in HAPROXY.read_text()


def test_services_that_commands_name_exist() -> None:
    verbs = "|".join(COMPOSE_VERBS)
    named = set(re.findall(rf"\./scripts/deploy (?:{verbs}) (\S+)", TEXT))
    assert {"migrate", "node-1", "node-2", "mysql", "mongodb", "mongodb-initialise"} <= named
    lists = re.findall(r"\./scripts/deploy (?:up --detach --wait|restart) ([a-z][\w -]*)", TEXT)
    assert "mysql mongodb" in lists
    named |= {name for listed in lists for name in listed.split()}
    assert named <= read_compose(some_secrets())["services"].keys()


def test_volumes_that_are_removed_before_a_restore_are_those_of_the_databases() -> None:
    compose = read_compose(some_secrets())
    (removed,) = re.findall(r"^docker volume rm (.+)$", TEXT, re.MULTILINE)
    assert removed.split() == [f"{compose['name']}_{volume}" for volume in ("mysql", "mongodb")]
    assert {"mysql", "mongodb"} <= compose["volumes"].keys()


def test_log_lines_that_are_named_are_written() -> None:
    (listed,) = re.findall(r"Lines worth an alert of their own:\n(.*?)\.\n", TEXT, re.DOTALL)
    source = "\n".join(path.read_text() for path in (ROOT / "chat_service").rglob("*.py"))
    events = re.findall(r"`(\w+)`", listed)
    assert events
    assert {event for event in events if f'"{event}"' not in source} == set()


def test_a_node_ends_within_what_is_promised() -> None:
    (longest_drain_s,) = (
        limit.le for limit in Settings.model_fields["drain_seconds"].metadata if hasattr(limit, "le")
    )
    sockets_s = longest_drain_s + NOTICE_S + CLOSING_S
    writes_s = DRAIN_TIMEOUT_S + GRACE_S
    parts_s = FLUSH_S + LEAVE_S + CLOSE_S
    assert sockets_s + writes_s + parts_s < LONGEST_STOP_S
