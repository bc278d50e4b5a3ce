"""config/haproxy/haproxy.cfg is understood by HAProxy, and its times fit those of a node.

How it behaves with nodes behind it is tests/e2e/test_balancer.py's.
"""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from chat_service.routes.websocket import HEARTBEAT_S
from chat_service.server import KEEP_ALIVE_S
from chat_service.settings import Settings
from tests.certificate import make_certificate
from tests.deployment.files import HAPROXY, get_paths, to_seconds
from tests.programs import find_tool

TEXT = HAPROXY.read_text()


def check_configuration(**environment: str) -> subprocess.CompletedProcess[str]:
    nodes = {"CHAT_NODE_1": "127.0.0.1:1", "CHAT_NODE_2": "127.0.0.1:2"}
    command = [find_tool("haproxy"), "-c", "-f", str(HAPROXY)]
    return subprocess.run(
        command, env=os.environ | nodes | environment, capture_output=True, text=True, check=False
    )


def seconds_of(pattern: str) -> float:
    (found,) = re.findall(pattern, TEXT, re.MULTILINE)
    return to_seconds(found)


def test_haproxy_accepts_it_without_a_warning() -> None:
    done = check_configuration()
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


def test_haproxy_accepts_it_with_a_certificate(tmp_path: Path) -> None:
    done = check_configuration(CHAT_TLS_CERTIFICATE=str(make_certificate(tmp_path)))
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


def test_haproxy_refuses_a_certificate_that_is_not_there(tmp_path: Path) -> None:
    assert check_configuration(CHAT_TLS_CERTIFICATE=str(tmp_path / "none.pem")).returncode != 0


@pytest.mark.parametrize("proxy", ["", "172.28.93.1", "10.0.0.0/8 192.0.2.1 2001:db8::/32"])
def test_haproxy_accepts_it_behind_another_proxy(proxy: str) -> None:
    done = check_configuration(CHAT_FRONT_PROXY=proxy)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr, done.stderr


@pytest.mark.parametrize("proxy", ["10.0.0.0/33", "10.0.0.1,10.0.0.2", "10.0.0.1 10.0.0.0/99"])
def test_haproxy_refuses_a_proxy_that_is_no_address(proxy: str) -> None:
    assert check_configuration(CHAT_FRONT_PROXY=proxy).returncode != 0


def test_every_variable_is_explained_at_the_top() -> None:
    named = set(re.findall(r"\bCHAT_(?:BIND|TLS_CERTIFICATE|FRONT_PROXY|STATUS_BIND|NODE_1|NODE_2)\b", TEXT))
    head = TEXT.partition("\nglobal\n")[0]
    used = set(re.findall(r"\$\{(\w+)|defined\((\w+)\)", TEXT.partition("\nglobal\n")[2]))
    assert {name for pair in used for name in pair if name} == named
    assert all(name in head or name.replace("NODE_2", "NODE_1, _2") in head for name in named)


def test_an_idle_socket_outlives_several_pings() -> None:
    assert seconds_of(r"^  timeout tunnel (\S+)$") > 3 * HEARTBEAT_S


def test_an_idle_connection_to_a_node_is_ended_by_the_balancer_first() -> None:
    assert seconds_of(r"^  timeout http-keep-alive (\S+)$") < KEEP_ALIVE_S


def test_a_node_that_drains_is_left_before_it_tells_its_clients() -> None:
    first_s = seconds_of(r"check inter (\S+)")
    next_s = seconds_of(r"fastinter (\S+)")
    (times,) = re.findall(r"\bfall (\d+)", TEXT)
    assert first_s + (int(times) - 1) * next_s < Settings(_env_file=None).drain_seconds


def test_the_paths_that_are_asked_for_exist(tmp_path: Path) -> None:
    asked = set(re.findall(r"option httpchk GET (\S+)", TEXT))
    assert asked == {"/readyz", "/livez"}
    assert asked <= get_paths()
