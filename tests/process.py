"""The service as a process of its own on its own files, which a test stops, kills and starts again.

Unlike `tests/node.py`, which runs a node in a thread, this is what an operator runs: its signals, its exit
code and its log are the real ones.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx2

from tests.servers import free_port

ROOT = Path(__file__).parents[1]
START_S = 20.0
STOP_S = 30.0


class Process:
    """`python -m chat_service serve`: the same port and files at every start.

    No limits by rate, cheap passwords, no balancer to wait for. `settings` are those of the environment,
    such as `CHAT_REGISTRATION="closed"`.
    """

    def __init__(self, data_dir: Path, **settings: str) -> None:
        self.data_dir = data_dir
        self.port = free_port()
        self.started_in_s = 0.0
        self._settings = settings
        data_dir.mkdir(exist_ok=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/api/v1/ws"

    @property
    def log(self) -> str:
        return (self.data_dir / "log").read_text()

    def spawn(self) -> None:
        """Start the process and wait for nothing."""
        environment = {key: value for key, value in os.environ.items() if not key.startswith("CHAT_")}
        environment |= {
            "CHAT_DATA_DIR": str(self.data_dir),
            "CHAT_RATE_LIMITS_ENABLED": "false",
            "CHAT_PASSWORD_MEMORY_MIB": "1",
            "CHAT_DRAIN_SECONDS": "0",
            "PYTHONPATH": str(ROOT),
            **self._settings,
        }
        with (self.data_dir / "log").open("a") as log:
            self.popen = subprocess.Popen(
                [sys.executable, "-m", "chat_service", "serve", "--port", str(self.port)],
                env=environment,
                cwd=self.data_dir,
                stdout=log,
                stderr=log,
                text=True,
            )

    def start(self) -> None:
        """Start, and return when it is ready."""
        began = time.perf_counter()
        self.spawn()
        while True:
            with contextlib.suppress(httpx2.TransportError):
                if httpx2.get(f"{self.url}/readyz").status_code == 200:
                    break
            assert self.popen.poll() is None, self.log
            assert time.perf_counter() - began < START_S, self.log
            time.sleep(0.02)
        self.started_in_s = time.perf_counter() - began

    def wait(self) -> tuple[int, float]:
        """Exit code, and how many seconds it took to come."""
        began = time.perf_counter()
        return self.popen.wait(STOP_S), time.perf_counter() - began

    def stop(self) -> None:
        """SIGTERM, and wait for the orderly end."""
        self.popen.send_signal(signal.SIGTERM)
        assert self.popen.wait(STOP_S) == 0, self.log

    def kill(self) -> None:
        """SIGKILL, as in a crash; harmless when it has ended."""
        self.popen.kill()
        self.popen.wait()


def start(data_dir: Path) -> Process:
    process = Process(data_dir)
    process.spawn()
    return process


@contextlib.contextmanager
def serving(data_dir: Path, **settings: str) -> Iterator[Process]:
    process = Process(data_dir, **settings)
    try:
        process.start()
        yield process
    finally:
        process.kill()
