"""The manifests of config/kubernetes fit Kubernetes' schemas, each other, the image and the service."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from chat_service import __version__
from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.settings import Settings
from tests.deployment.files import CONFIG, LONGEST_STOP_S, get_paths, image_environment, setting_names

FOLDER = CONFIG / "kubernetes"
VERSIONS = ("1.31", "1.37")
"""From the oldest that the manifests are written for to the newest whose schemas are at hand."""
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())


def read(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    return found


def pod_of(name: str) -> dict[str, Any]:
    found: dict[str, Any] = read(name)["spec"]["template"]
    return found


DEPLOYMENT = read("deployment")
POD = pod_of("deployment")["spec"]
(CONTAINER,) = POD["containers"]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_kubernetes_knows_every_field(path: Path, version: str) -> None:
    kubernetes_validate.validate(yaml.safe_load(path.read_text()), version, strict=True)


def test_a_field_that_kubernetes_does_not_know_is_noticed() -> None:
    manifest = read("deployment")
    manifest["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(manifest, VERSIONS[0], strict=True)


def test_all_is_applied_but_the_job_and_the_example() -> None:
    left_out = {"migration-job.yaml", "secret.example.yaml"}
    assert set(KUSTOMIZATION["resources"]) == {path.name for path in FILES} - left_out


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_everything_is_in_one_namespace(path: Path) -> None:
    manifest = yaml.safe_load(path.read_text())
    namespace = manifest["metadata"]["name" if manifest["kind"] == "Namespace" else "namespace"]
    assert namespace == KUSTOMIZATION["namespace"]


def test_what_is_configured_are_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    given = read("configmap")["data"] | read("secret.example")["stringData"]
    assert set(given) <= setting_names()
    for name in setting_names():
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ValueError, match="CHAT_SECRET_KEY must be set in production"):
        Settings(_env_file=None)
    monkeypatch.setenv("CHAT_SECRET_KEY", "0123456789abcdef0123456789abcdef")
    assert Settings(_env_file=None).redis_url.get_secret_value().startswith("rediss://")


@pytest.mark.parametrize("name", ["deployment", "migration-job"])
def test_a_pod_takes_its_settings_from_both(name: str) -> None:
    (container,) = pod_of(name)["spec"]["containers"]
    sources = [next(iter(source.items())) for source in container["envFrom"]]
    assert sources == [
        ("configMapRef", {"name": read("configmap")["metadata"]["name"]}),
        ("secretRef", {"name": read("secret.example")["metadata"]["name"]}),
    ]


@pytest.mark.parametrize("name", ["deployment", "migration-job"])
def test_a_pod_may_do_nothing_that_it_need_not(name: str) -> None:
    pod = pod_of(name)["spec"]
    (container,) = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["requests"].keys() == {"cpu", "memory"}
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
def test_probes_ask_for_paths_that_there_are(probe: str, tmp_path: Path) -> None:
    asked = CONTAINER[probe]["httpGet"]
    assert asked["path"] == ("/livez" if probe == "livenessProbe" else "/readyz")
    assert asked["path"] in get_paths()
    assert asked["port"] == "http"


def test_ports_agree() -> None:
    port = int(image_environment()["CHAT_PORT"])
    assert CONTAINER["ports"] == [{"name": "http", "containerPort": port}]
    (served,) = read("service")["spec"]["ports"]
    assert served["targetPort"] == "http"
    (rule,) = read("ingress")["spec"]["rules"]
    (path,) = rule["http"]["paths"]
    assert path["backend"]["service"] == {
        "name": read("service")["metadata"]["name"],
        "port": {"name": served["name"]},
    }
    (allowed,) = read("network-policy")["spec"]["ingress"]
    assert allowed["ports"] == [{"protocol": "TCP", "port": port}]


def test_selectors_find_the_pods() -> None:
    labels = pod_of("deployment")["metadata"]["labels"]
    selectors = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        read("service")["spec"]["selector"],
        read("disruption-budget")["spec"]["selector"]["matchLabels"],
        POD["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector.items() <= labels.items() for selector in selectors)
    (expression,) = read("network-policy")["spec"]["podSelector"]["matchExpressions"]
    named = {
        pod_of(name)["metadata"]["labels"][expression["key"]] for name in ("deployment", "migration-job")
    }
    assert named == set(expression["values"])


def test_the_job_is_not_served_from() -> None:
    """Its pods must not get the label by which the service and the budget find nodes."""
    assert (
        pod_of("migration-job")["metadata"]["labels"]
        .items()
        .isdisjoint(read("service")["spec"]["selector"].items())
    )
    (labels,) = KUSTOMIZATION["labels"]
    assert not labels.get("includeSelectors")


def test_a_node_may_stop_as_long_as_it_takes() -> None:
    assert "replicas" not in DEPLOYMENT["spec"]
    command, seconds = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert command == "sleep"
    assert POD["terminationGracePeriodSeconds"] >= int(seconds) + LONGEST_STOP_S


def test_two_nodes_at_least_and_no_more_than_the_store_takes() -> None:
    scaled = read("autoscaler")["spec"]
    assert scaled["scaleTargetRef"]["name"] == DEPLOYMENT["metadata"]["name"]
    assert scaled["minReplicas"] >= 2
    store = SqlMetadataStore("mysql+asyncmy://chat@nowhere/chat")
    connections = store._writes.pool.size() + store._reads.pool.size()  # type: ignore[attr-defined]
    (most,) = re.findall(
        r"^max_connections = (\d+)$", (CONFIG / "mysql" / "chat.cnf").read_text(), re.MULTILINE
    )
    assert scaled["maxReplicas"] * connections < int(most)


def test_a_machine_is_emptied_one_node_at_a_time_and_of_sick_ones_at_once() -> None:
    budget = read("disruption-budget")["spec"]
    assert (budget["maxUnavailable"], budget["unhealthyPodEvictionPolicy"]) == (1, "AlwaysAllow")


def test_the_image_is_of_this_version() -> None:
    (image,) = KUSTOMIZATION["images"]
    assert (CONTAINER["image"], image["name"], image["newTag"]) == (
        "chat-service",
        "chat-service",
        __version__,
    )
    job = read("migration-job")
    assert job["metadata"]["name"].endswith(f"-{__version__}")
    assert job["spec"]["template"]["spec"]["containers"][0]["image"] == f"chat-service:{__version__}"


def test_who_comes_without_tls_is_sent_to_it_and_told_to_stay() -> None:
    annotations = read("ingress")["metadata"]["annotations"]
    assert annotations["haproxy.org/ssl-redirect"] == "true"
    assert annotations["haproxy.org/ssl-redirect-port"] == "443"
    header = annotations["haproxy.org/response-set-header"].strip()
    assert f"http-response set-header {header}\n" in (CONFIG / "haproxy" / "haproxy.cfg").read_text()


def test_numbers_are_not_shown_to_everybody() -> None:
    snippet = read("ingress")["metadata"]["annotations"]["haproxy.org/backend-config-snippet"]
    assert snippet.strip() in (CONFIG / "haproxy" / "haproxy.cfg").read_text()
