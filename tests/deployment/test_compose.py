"""docker-compose.yml asks for every secret, and all that it names exists: files, settings, services."""

from __future__ import annotations

import os
import re
import shutil
import socket
import stat
import subprocess
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from chat_service import __version__
from chat_service.settings import Environment, Settings
from tests.deployment.files import (
    COMPOSE,
    CONFIG,
    DOCKERFILE,
    HAPROXY,
    LONGEST_STOP_S,
    OPERATIONS,
    ROOT,
    get_paths,
    image_environment,
    read_compose,
    secret_names,
    setting_names,
    some_secrets,
    to_seconds,
)
from tests.programs import find_tool

SERVICES: dict[str, Any] = read_compose(some_secrets())["services"]
NODES = ("node-1", "node-2")


@pytest.fixture
def compose() -> dict[str, Any]:
    return read_compose(some_secrets())


def read_with_compose(folder: Path, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """By Compose 1.29, which does not know the name at the top."""
    secrets = folder / "secrets.env"
    secrets.write_text("".join(f"{name}={value}\n" for name, value in given.items()))
    nameless = folder / "docker-compose.yml"
    nameless.write_text(re.sub(r"^name: .*\n", "", COMPOSE.read_text(), flags=re.MULTILINE))
    files = ["--file", nameless, "--project-directory", ROOT, "--env-file", secrets]
    command = [find_tool("docker-compose"), *files, "--profile", "monitoring", "config"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_compose_accepts_it_and_finds_what_these_tests_find(tmp_path: Path) -> None:
    done = read_with_compose(tmp_path, some_secrets())
    assert done.returncode == 0, done.stderr
    found = yaml.safe_load(done.stdout)["services"]
    assert found.keys() == SERVICES.keys()
    assert {name: service.get("environment") for name, service in found.items()} == {
        name: service.get("environment") for name, service in SERVICES.items()
    }


def test_what_holds_the_data_is_called_the_same_in_every_folder(compose: dict[str, Any]) -> None:
    assert compose["name"] == "chat-service"


def test_compose_refuses_to_go_without_the_secrets(tmp_path: Path) -> None:
    done = read_with_compose(tmp_path, {})
    assert done.returncode != 0
    assert "run ./scripts/deploy" in done.stderr


@pytest.mark.parametrize("name", secret_names())
def test_no_secret_has_a_default(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        read_compose({**some_secrets(), name: ""})


def test_every_password_comes_from_a_secret() -> None:
    for line in COMPOSE.read_text().splitlines():
        for value in re.findall(r"(?:PASSWORD|_KEY): (.+)", line):
            assert re.fullmatch(r"\$\{(\w+):\?[^}]*\}", value), line
        for value in re.findall(r"://\w*:(.+?)@(?=[\w$])", line):
            assert value.startswith("$"), line


@pytest.mark.parametrize("name", [*NODES, "migrate"])
def test_what_a_node_is_given_are_settings_that_production_accepts(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = SERVICES[name]["environment"]
    assert set(given) <= setting_names()
    for setting in setting_names():
        monkeypatch.delenv(setting, raising=False)
    for setting, value in given.items():
        monkeypatch.setenv(setting, value)
    assert Settings(_env_file=None).environment is Environment.PRODUCTION


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_refers_to_exists(name: str, compose: dict[str, Any]) -> None:
    service = SERVICES[name]
    for mount in service.get("volumes", ()):
        source, target, *_ = mount.split(":")
        assert target.startswith("/")
        assert (ROOT / source).exists() if source.startswith("./") else source in compose["volumes"], mount
    assert set(service["networks"]) <= set(compose["networks"])
    for other, needed in service.get("depends_on", {}).items():
        target = SERVICES[other]
        if needed["condition"] == "service_healthy":
            is_built = target.get("image") == SERVICES["migrate"]["image"]
            assert "healthcheck" in target or (is_built and "HEALTHCHECK" in DOCKERFILE), other
        elif needed["condition"] == "service_completed_successfully":
            assert target.get("restart", "no") == "no"
        else:
            assert needed["condition"] == "service_started"


@pytest.mark.parametrize("text", [COMPOSE, ROOT / "docs" / "operations.md"], ids=lambda path: path.name)
def test_no_password_is_an_argument_of_a_program(text: Path) -> None:
    """Everybody on the machine can read arguments; an environment, and a file of mode 0600, they cannot."""
    commands = text.read_text()
    if text is COMPOSE:
        parts = [service.get(key) for service in SERVICES.values() for key in ("command", "entrypoint")]
        checks = [service.get("healthcheck") for service in SERVICES.values()]
        commands = "\n".join(yaml.safe_dump(part, width=1_000) for part in (*parts, *checks) if part)
        assert "mongosh" in commands
    assert re.findall(r"(?:--password[= ]|--pass |://\w+:|-a |-p)[\\\"']*\$+\w*", commands) == []


def test_a_store_is_healthy_only_when_others_reach_it() -> None:
    """Both images begin with a temporary server for themselves, which must not pass."""
    asked = {name: " ".join(SERVICES[name]["healthcheck"]["test"]) for name in ("mysql", "mongodb")}
    assert "--host=127.0.0.1" in asked["mysql"]  # MySQL's listens on its socket alone
    assert "/dev/tcp/mongodb/27017" in asked["mongodb"]  # MongoDB's on 127.0.0.1


def test_the_health_of_mongodb_is_whether_it_takes_a_connection() -> None:
    kind, *command = SERVICES["mongodb"]["healthcheck"]["test"]
    assert kind == "CMD"
    with socket.create_server(("127.0.0.1", 0)) as server:
        here = f"/127.0.0.1/{server.getsockname()[1]}"
        asked = [argument.replace("/mongodb/27017", here) for argument in command]
        assert subprocess.run(asked, capture_output=True, check=False).returncode == 0
    assert subprocess.run(asked, capture_output=True, check=False).returncode != 0


def test_scripts_that_are_mounted_can_be_executed() -> None:
    script = CONFIG / "mongodb" / "start.sh"
    assert os.access(script, os.X_OK)
    subprocess.run(["sh", "-n", script], check=True)
    assert SERVICES["mongodb"]["entrypoint"] == ["/etc/chat/start.sh"]


def test_the_schema_is_migrated_once_before_any_node_starts() -> None:
    assert SERVICES["migrate"]["command"] == ["chat-service", "migrate"]
    for name in NODES:
        assert SERVICES[name]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"
        assert "CHAT_AUTO_MIGRATE" not in SERVICES[name]["environment"]


def test_the_image_is_built_once_before_any_node_starts() -> None:
    assert [name for name, service in SERVICES.items() if "build" in service] == ["migrate"]
    for name in NODES:
        assert SERVICES[name]["image"] == SERVICES["migrate"]["image"]
        assert SERVICES[name]["pull_policy"] == "never"  # no registry has it
        assert "migrate" in SERVICES[name]["depends_on"]


def test_a_sick_node_does_not_keep_the_balancer_from_starting() -> None:
    needed = SERVICES["load-balancer"]["depends_on"]
    assert needed == {name: {"condition": "service_started"} for name in NODES}


def test_stores_are_reached_by_nodes_alone(compose: dict[str, Any]) -> None:
    assert compose["networks"]["stores"] == {"internal": True}
    for name in ("mysql", "mongodb", "redis"):
        assert SERVICES[name]["networks"] == ["stores"]
        assert "ports" not in SERVICES[name]


def test_only_this_machine_reaches_what_is_published() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert published == ["127.0.0.1:8000:8000", "127.0.0.1:3000:3000"]


def test_the_balancer_is_the_only_trusted_proxy(compose: dict[str, Any]) -> None:
    address = SERVICES["load-balancer"]["networks"]["edge"]["ipv4_address"]
    assert {SERVICES[name]["environment"]["CHAT_TRUSTED_PROXIES"] for name in NODES} == {address}
    (network,) = compose["networks"]["edge"]["ipam"]["config"]
    assert ip_address(address) in ip_network(network["subnet"])
    assert ip_address(address) not in ip_network(network["ip_range"])  # which others are given from


def test_a_proxy_on_this_machine_comes_from_the_address_that_the_operator_is_told(
    compose: dict[str, Any],
) -> None:
    (network,) = compose["networks"]["edge"]["ipam"]["config"]
    assert SERVICES["load-balancer"]["environment"] == {"CHAT_FRONT_PROXY": ""}
    assert f"`CHAT_FRONT_PROXY={network['gateway']}`" in OPERATIONS.read_text()


def test_the_balancer_knows_the_nodes_by_their_names_and_port() -> None:
    port = image_environment()["CHAT_PORT"]
    servers = re.findall(r'^  server (\S+) "\$\{\w+-(\S+)\}"$', HAPROXY.read_text(), re.MULTILINE)
    assert servers == [(name, f"{name}:{port}") for name in NODES] * 2


@pytest.mark.parametrize("name", NODES)
def test_a_node_may_stop_as_long_as_it_takes_and_changes_nothing_on_disk(name: str) -> None:
    service = SERVICES[name]
    assert to_seconds(service["stop_grace_period"]) > LONGEST_STOP_S
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["image"] == f"chat-service:{__version__}"


def test_monitoring_is_asked_for_by_its_profile() -> None:
    profiles = {name: service.get("profiles") for name, service in SERVICES.items()}
    monitoring = {name for name, listed in profiles.items() if listed == ["monitoring"]}
    assert monitoring == {"prometheus", "grafana"}
    scraped = yaml.safe_load((CONFIG / "prometheus" / "prometheus.yml").read_text())["scrape_configs"]
    targets = {job["job_name"]: job["static_configs"][0]["targets"] for job in scraped}
    port = image_environment()["CHAT_PORT"]
    assert targets == {"chat": [f"{name}:{port}" for name in NODES], "balancer": ["load-balancer:8405"]}
    assert "CHAT_STATUS_BIND-:8405" in HAPROXY.read_text()


# --- The image ----------------------------------------------------------------------------------------


def test_the_image_sets_settings_and_asks_for_a_path_that_there_is(tmp_path: Path) -> None:
    given = image_environment()
    chat = {name: value for name, value in given.items() if name.startswith("CHAT_")}
    assert set(chat) <= setting_names()
    assert re.findall(r"^EXPOSE (\d+)$", DOCKERFILE, re.MULTILINE) == [chat["CHAT_PORT"]]
    (path,) = re.findall(r"\}(/\w+)', timeout", DOCKERFILE)
    assert path in get_paths()


def test_the_image_runs_as_nobody_in_particular() -> None:
    last_stage = DOCKERFILE.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (\d+):(\d+)$", last_stage, re.MULTILINE) == [("10001", "10001")]
    assert last_stage.index("RUN") < last_stage.index("USER")


# --- ./scripts/deploy ---------------------------------------------------------------------------------


def mounted_folders() -> set[Path]:
    """The folders below config/ out of which services get files."""
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", ())]
    return {Path(*Path(mount.partition(":")[0]).parts[:2]) for mount in mounts if mount.startswith("./")}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of what the script needs, and a `docker` that says what it was asked for."""
    for name in ("scripts/deploy", "config/secrets.example.env"):
        target = tmp_path / name
        target.parent.mkdir(exist_ok=True)
        target.write_bytes((ROOT / name).read_bytes())
    for folder in mounted_folders():
        shutil.copytree(ROOT / folder, tmp_path / folder)
    docker = tmp_path / "bin" / "docker"
    docker.parent.mkdir()
    docker.write_text('#!/bin/sh\necho "$@"\n')
    docker.chmod(0o755)
    return tmp_path


def deploy(checkout: Path, *arguments: str) -> str:
    environment = {"PATH": f"{checkout}/bin:{os.environ['PATH']}"}
    command = ["bash", "scripts/deploy", *arguments]
    done = subprocess.run(command, cwd=checkout, env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_script_makes_secrets_once_and_keeps_them_to_itself(checkout: Path) -> None:
    assert deploy(checkout) == "compose --env-file config/secrets.env up --build --detach"
    secrets = checkout / "config" / "secrets.env"
    made = secrets.read_text()
    values = dict(line.split("=") for line in made.splitlines())
    assert list(values) == secret_names()
    assert all(re.fullmatch("[0-9a-f]{64}", value) for value in values.values())
    assert len(set(values.values())) == len(values)
    assert stat.S_IMODE(secrets.stat().st_mode) == 0o600
    assert read_compose(values)
    deploy(checkout)
    assert secrets.read_text() == made


def test_the_script_lets_the_users_of_the_images_read_what_is_mounted(checkout: Path) -> None:
    files = [path for folder in mounted_folders() for path in (checkout / folder).rglob("*")]
    for path in files:
        path.chmod(0o700 if path.is_dir() or os.access(path, os.X_OK) else 0o600)
    deploy(checkout)
    assert files
    for path in files:
        expected = 0o755 if path.is_dir() or path.name == "start.sh" else 0o644
        assert stat.S_IMODE(path.stat().st_mode) == expected, path
    assert stat.S_IMODE((checkout / "config" / "secrets.env").stat().st_mode) == 0o600


def test_the_script_says_what_is_missing(checkout: Path) -> None:
    (checkout / "bin" / "docker").write_text("#!/bin/sh\nexit 1\n")
    with pytest.raises(subprocess.CalledProcessError) as failure:
        deploy(checkout)
    assert failure.value.stderr.endswith("`docker compose version` does not work here\n")


def test_the_script_hands_its_arguments_on(checkout: Path) -> None:
    assert deploy(checkout, "logs", "--follow").endswith("--env-file config/secrets.env logs --follow")


def test_the_secrets_are_in_no_commit_and_in_no_image() -> None:
    kept_out = (ROOT / ".gitignore").read_text().splitlines()
    assert 'mktemp "$secrets.XXXXXX"' in (ROOT / "scripts" / "deploy").read_text()
    assert {"/config/secrets.env", "/config/secrets.env.*"} <= set(kept_out)
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in ignored
    assert "!config" not in ignored
