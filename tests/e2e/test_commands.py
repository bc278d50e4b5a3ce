"""Commands beside the process that serves from the same files."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import httpx2

from tests.builders import PASSWORD
from tests.process import Process


def run(process: Process, *arguments: str) -> None:
    """A command of the operator's, who types the password in."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("CHAT_")}
    done = subprocess.run(
        [sys.executable, "-m", "chat_service", *arguments],
        env=environment | {"CHAT_DATA_DIR": str(process.data_dir), "CHAT_PASSWORD_MEMORY_MIB": "1"},
        input=PASSWORD,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def create_user(process: Process, name: str) -> None:
    run(process, "create-user", name, "--password-stdin")


def register(process: Process, name: str) -> None:
    account = {"username": name, "email": f"{name}@example.org", "password": PASSWORD}
    answer = httpx2.post(f"{process.url}/api/v1/users/register", json=account)
    assert answer.status_code == 201, answer.text


def sign_in(process: Process, name: str) -> int:
    login = {"username": name, "password": PASSWORD}
    answer = httpx2.post(f"{process.url}/api/v1/users/login", json=login)
    assert answer.status_code == 200, answer.text
    return int(answer.json()["user"]["id"])


def test_commands_on_an_empty_folder_that_is_served_from_share_its_store(tmp_path: Path) -> None:
    process = Process(tmp_path / "data")
    process.start()
    try:
        create_user(process, "ann")
        register(process, "ben")
        create_user(process, "cat")
        register(process, "dan")
        ids = [sign_in(process, name) for name in ("ann", "ben", "cat", "dan")]
        assert ids == sorted(set(ids))
        process.kill()
        process.start()
        assert [sign_in(process, name) for name in ("ann", "ben", "cat", "dan")] == ids
    finally:
        process.kill()


def test_a_command_that_comes_first_makes_a_private_store(tmp_path: Path) -> None:
    process = Process(tmp_path / "data")
    create_user(process, "ann")
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in process.data_dir.glob("metadata.db*")}
    assert set(modes.values()) == {0o600}, modes
