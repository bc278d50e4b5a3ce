"""Alert rules and dashboard ask for metrics that there are; each rule has tests and a row in docs/."""

from __future__ import annotations

import itertools
import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deployment.files import CONFIG, OPERATIONS, metric_names, metrics_in
from tests.programs import find_tool

PROMETHEUS = CONFIG / "prometheus"
RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
DASHBOARD: dict[str, Any] = json.loads((CONFIG / "grafana" / "dashboards" / "chat-service.json").read_text())


def promtool(*arguments: str) -> None:
    command = [find_tool("promtool"), *arguments]
    done = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_understands_its_configuration() -> None:
    promtool("check", "config", "prometheus.yml")


def test_every_rule_fires_and_is_silent_when_its_tests_say_so() -> None:
    promtool("test", "rules", "rules_test.yml")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule["alert"])
def test_a_rule_asks_for_metrics_that_there_are(rule: dict[str, Any], tmp_path: Path) -> None:
    assert metrics_in(rule["expr"]) <= metric_names()
    assert rule["labels"]["severity"] in {"critical", "warning"}
    assert rule["annotations"]["summary"].endswith(".")


def test_every_rule_is_tested_both_ways() -> None:
    cases = yaml.safe_load((PROMETHEUS / "rules_test.yml").read_text())["tests"]
    checks = [check for case in cases for check in case["alert_rule_test"]]
    alerts = {rule["alert"] for rule in RULES}
    assert {check["alertname"] for check in checks if check["exp_alerts"]} == alerts
    assert {check["alertname"] for check in checks if not check["exp_alerts"]} == alerts


def test_every_rule_is_explained_to_the_operator() -> None:
    explained = re.findall(r"^\| `(Chat\w+)` \|", OPERATIONS.read_text(), re.MULTILINE)
    assert explained == [rule["alert"] for rule in RULES]


# --- The dashboard ------------------------------------------------------------------------------------


@pytest.mark.parametrize("panel", DASHBOARD["panels"], ids=lambda panel: panel["title"])
def test_a_panel_asks_for_metrics_that_there_are(panel: dict[str, Any], tmp_path: Path) -> None:
    for target in panel["targets"]:
        assert metrics_in(target["expr"]) <= metric_names(), target["expr"]
        assert re.search(r"\b(chat|haproxy)_|ALERTS", target["expr"])


def test_the_dashboard_shows_every_metric(tmp_path: Path) -> None:
    shown = {
        name
        for panel in DASHBOARD["panels"]
        for target in panel["targets"]
        for name in metrics_in(target["expr"])
    }
    families = {re.sub("_(bucket|sum|count)$", "", name) for name in metric_names()}
    assert {re.sub("_(bucket|sum|count)$", "", name) for name in shown} == families


def test_panels_lie_beside_each_other() -> None:
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    places = [panel["gridPos"] for panel in DASHBOARD["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= 24
    for one, other in itertools.combinations(places, 2):
        is_apart = (
            one["x"] + one["w"] <= other["x"]
            or other["x"] + other["w"] <= one["x"]
            or one["y"] + one["h"] <= other["y"]
            or other["y"] + other["h"] <= one["y"]
        )
        assert is_apart, (one, other)


def test_the_dashboard_finds_its_data() -> None:
    folder = CONFIG / "grafana" / "provisioning"
    (source,) = yaml.safe_load((folder / "datasources" / "prometheus.yml").read_text())["datasources"]
    asked = {panel["datasource"]["uid"] for panel in DASHBOARD["panels"]}
    assert asked == {source["uid"]}
    assert source["url"] == "http://prometheus:9090"
    (provider,) = yaml.safe_load((folder / "dashboards" / "chat.yml").read_text())["providers"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
