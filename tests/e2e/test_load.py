"""`chat-service load` as a program, against a real server: clean runs, and the ways in which one can fail."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from chat_service.load import run
from chat_service.load.options import LoadFailed, LoadOptions
from tests.servers import free_port

TIMEOUT_S = 60
SMALL = ("--chats", "4", "--people", "3", "--senders", "6")


def environment(**settings: str) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
    return {**ours, "CHAT_LOG_LEVEL": "warning", "CHAT_RATE_LIMITS_ENABLED": "false", **settings}


@contextlib.contextmanager
def serving(folder: Path, **settings: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A server process on embedded stores; it may be dead at the end."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    process = subprocess.Popen(
        [sys.executable, "-m", "chat_service", "serve"],
        env=environment(CHAT_DATA_DIR=str(folder), CHAT_PORT=str(port), **settings),
        stdout=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + TIMEOUT_S
        while time.monotonic() < deadline and process.poll() is None:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/readyz", timeout=5).close()
                break
            time.sleep(0.02)
        yield url, process
    finally:
        process.kill()
        process.wait()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("load")) as (url, _):
        yield url


def start_load(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "chat_service", "load", *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def load(*arguments: str) -> tuple[int, str, str]:
    """Run it to its end; its exit code and what it wrote."""
    process = start_load(*arguments)
    out, err = process.communicate(timeout=TIMEOUT_S)
    assert "Traceback" not in err
    return process.returncode, out, err


def measured(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text())
    return found


@pytest.mark.parametrize(
    "how",
    [
        ("--window", "4"),
        ("--rate", "50"),
        ("--sockets", "user"),
        ("--devices", "2", "--accounts", "5", "--size", "2000"),
    ],
    ids=" ".join,
)
def test_a_sound_server_loses_doubles_and_misorders_nothing(
    server: str, tmp_path: Path, how: tuple[str, ...]
) -> None:
    file = tmp_path / "numbers.json"
    code, out, err = load("--url", server, *SMALL, "--seconds", "1.5", "--json", str(file), *how)
    assert (code, err) == (0, "")
    found = measured(file)
    assert found["is_clean"]
    assert (found["lost"], found["duplicated"], found["misordered"], found["unanswered"]) == (0, 0, 0, 0)
    assert found["sent"] == found["acknowledged"] > 0
    listeners = 3 * (2 if "--devices" in how else 1)
    assert found["deliveries"] == found["acknowledged"] * listeners
    assert 0 < found["ack_ms"]["p50"] <= found["ack_ms"]["p99"] <= found["ack_ms"]["max"]
    for line in ("acknowledged", "delivered", "send to ack", "send to delivered", "lost", "misordered"):
        assert line in out


def test_a_rate_is_kept(server: str, tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    load("--url", server, *SMALL, "--seconds", "2", "--rate", "40", "--json", str(file))
    assert measured(file)["sent"] == pytest.approx(80, abs=4)


def test_a_server_that_dies_in_the_middle_is_reported(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    with serving(tmp_path / "data") as (url, process):
        running = start_load("--url", url, *SMALL, "--seconds", "30", "--json", str(file))
        wait_for_messages(url)
        process.kill()
        out, err = running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 1
    assert "Traceback" not in err
    found = measured(file)
    assert sum(found["closes"].values()) == found["connections"] == 12
    assert found["acknowledged"] > 0
    assert found["seconds"] < 25
    assert (found["lost"], found["duplicated"], found["misordered"]) == (0, 0, 0)
    assert "closed by the server" in out


def test_a_server_that_freezes_is_given_up_however_many_sockets_are_to_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run, "OPEN_TIMEOUT_S", 1.0)
    monkeypatch.setattr(run, "OPENING_AT_ONCE", 4)
    with serving(tmp_path / "data") as (url, process):
        frozen_s: list[float] = []

        def freeze(moment: run.Moment) -> None:
            assert moment is run.Moment.OPENING
            process.send_signal(signal.SIGSTOP)
            frozen_s.append(time.monotonic())

        options = LoadOptions(url, chats=5, people=2, devices=10)
        with pytest.raises(LoadFailed, match=r"96 × not tried.*; 4 × no `connected` frame in time"):
            asyncio.run(run.run_load(options, lambda _: None, freeze))
        took_s = time.monotonic() - frozen_s[0]
    assert took_s < 10.0  # and not the 25 of a hundred sockets, four at a time


def test_a_server_that_restarts_is_reported_with_its_close_code(tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    with serving(tmp_path / "data") as (url, process):
        running = start_load("--url", url, *SMALL, "--seconds", "30", "--json", str(file))
        wait_for_messages(url)
        process.terminate()
        running.communicate(timeout=TIMEOUT_S)
    assert running.returncode == 1
    assert measured(file)["closes"] == {"1012 server_restarting": 12}


def test_refused_messages_are_counted_by_code(server: str, tmp_path: Path) -> None:
    file = tmp_path / "numbers.json"
    code, out, _ = load("--url", server, *SMALL, "--seconds", "1", "--size", "15000", "--json", str(file))
    assert code == 1
    found = measured(file)
    assert found["errors"].keys() == {"invalid_request"}
    assert found["acknowledged"] == 0
    assert "invalid_request" in out


def test_an_address_where_nobody_answers_is_said_in_one_line() -> None:
    code, out, err = load("--url", f"http://127.0.0.1:{free_port()}", *SMALL)
    assert code == 1
    assert out == ""
    assert err.startswith("chat-service: http://127.0.0.1:")
    assert err.count("\n") == 1


@pytest.mark.parametrize("url", ["chat.example", "ftp://chat.example", "http://"])
def test_what_is_no_address_is_said_in_one_line(url: str) -> None:
    code, _, err = load("--url", url, *SMALL)
    assert code == 1
    assert "is not an address" in err


def test_closed_registration_is_said_with_the_setting(tmp_path: Path) -> None:
    with serving(tmp_path / "data", CHAT_REGISTRATION="closed") as (url, _):
        code, _, err = load("--url", url, *SMALL)
    assert code == 1
    assert "CHAT_REGISTRATION=open" in err
    assert err.count("\n") == 1


def test_a_limit_on_registrations_is_said_with_the_setting(tmp_path: Path) -> None:
    with serving(tmp_path / "data", CHAT_RATE_LIMITS_ENABLED="true") as (url, _):
        code, _, err = load("--url", url, "--chats", "1", "--people", "40", "--senders", "1")
    assert code == 1
    assert "CHAT_RATE_LIMITS_ENABLED=false" in err


def wait_for_messages(url: str) -> None:
    """Until all sockets are open (`/health` counts them), and then a second of sending."""
    deadline = time.monotonic() + TIMEOUT_S
    while time.monotonic() < deadline:
        with urllib.request.urlopen(f"{url}/health", timeout=10) as answer:
            if json.load(answer)["websocket_connections"] == 12:
                break
        time.sleep(0.05)
    time.sleep(1)
