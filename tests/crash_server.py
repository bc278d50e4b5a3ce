"""A node that ends by SIGKILL at a named point on the way of a change; see `SEND_POINTS` and `CHANGE_POINTS`.

`python -m tests.crash_server POINT [HITS]` reads its settings as `chat-service serve` does and dies when the
point is reached for the HITS-th time. Tests start lives of one node with `Lives`: all of them on the same
port and stores, forked from a process that has imported everything, so that a life begins in a moment.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import ctypes
import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import httpx2

from chat_service import app, server
from chat_service.adapters import content_mongo  # noqa: F401 - imported before the fork, not in each life
from chat_service.domain.clock import system_clock
from chat_service.logs import configure_logging
from chat_service.services.messages import CHANGE_POINTS
from chat_service.services.sending import SEND_POINTS, pass_by
from chat_service.settings import Settings
from tests.hosts import THIS_MACHINE, Host
from tests.node import make_settings

POINTS = (*SEND_POINTS, *CHANGE_POINTS)
START_TIMEOUT_S = 30.0
_PR_SET_PDEATHSIG = 1
_forks = multiprocessing.get_context("forkserver")
_forks.set_forkserver_preload(["tests.crash_server", "uvloop", "asyncmy", "aiosqlite"])


class Trap:
    """Ends this process the n-th time that a point is reached, and says so first."""

    def __init__(self, point: str, hits: int) -> None:
        self._point = point
        self._left = hits

    def __call__(self, point: str) -> None:
        if point == self._point:
            self._left -= 1
            if self._left == 0:
                os.write(2, f"killed at {point}\n".encode())
                os.kill(os.getpid(), signal.SIGKILL)


def serve(settings: Settings, reached: Callable[[str], None], ahead_s: float = 0.0) -> None:
    """`chat_service.server.serve`, with a trap, on a machine whose clock is that far ahead."""
    configure_logging(settings.log_level, settings.environment)
    ahead = timedelta(seconds=ahead_s)
    application = app.create_app(settings, clock=lambda: system_clock() + ahead, reached=reached)
    config = server.make_config(application, settings)
    node = server.NodeServer(config, application.state.services)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(server.run_node(node, application.state.services))


def _live(log: str, host: Host, values: dict[str, Any], trap: tuple[str | None, int], ahead_s: float) -> None:
    """The forked process: it ends with its parent, and writes to its own log."""
    host.enter()
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    descriptor = os.open(log, os.O_CREAT | os.O_WRONLY | os.O_APPEND)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    point, hits = trap
    serve(make_settings(**values), Trap(point, hits) if point else pass_by, ahead_s)


class Lives:
    """One node that is killed and started again, always on the same machine; `values` are its settings, the
    port among them."""

    def __init__(self, folder: Path, host: Host = THIS_MACHINE, **values: Any) -> None:
        self.host = host
        self.values = {"host": host.address, **values}
        self.address = f"{host.address}:{values['port']}"
        self.url = f"http://{self.address}"
        self.ws_url = f"ws://{self.address}/api/v1/ws"
        self.number = 0
        self._folder = folder
        self._http = httpx2.Client(verify=False)  # made once: certificates take longer than an answer
        self._process: ForkServerProcess | None = None

    @property
    def log(self) -> str:
        """Of the present life."""
        return (self._folder / f"log-{self.number}").read_text()

    def start(self, point: str | None = None, hits: int = 1) -> None:
        """Begin a life; return once it answers, or has come to its point already."""
        self.begin(point, hits)
        process = self._process
        assert process is not None
        deadline = time.monotonic() + START_TIMEOUT_S
        while process.exitcode is None:
            with contextlib.suppress(httpx2.TransportError):
                if self._http.get(f"{self.url}/readyz").status_code == 200:
                    return
            assert time.monotonic() < deadline, self.log
            time.sleep(0.01)
        assert point is not None, self.log

    def begin(self, point: str | None = None, hits: int = 1, *, ahead_s: float = 0.0) -> None:
        """Without waiting for anything. `ahead_s`: how far the node's clock is ahead."""
        self.number += 1
        log = self._folder / f"log-{self.number}"
        log.touch()
        arguments = (str(log), self.host, self.values, (point, hits), ahead_s)
        self._process = _forks.Process(target=_live, args=arguments, daemon=True)
        self._process.start()

    def kill(self) -> None:
        assert self._process is not None
        assert self._process.exitcode is None, self.log
        self._process.kill()
        self.wait_for_end(5)

    def wait_for_end(self, timeout_s: float) -> None:
        """It must have been a SIGKILL."""
        assert self._process is not None
        self._process.join(timeout_s)
        assert self._process.exitcode == -signal.SIGKILL, f"{self._process.exitcode}\n{self.log}"

    def freeze(self) -> None:
        """SIGSTOP: it keeps its sockets and answers nobody."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self, timeout_s: float) -> None:
        """SIGTERM, and wait for an end in order."""
        self._signal(signal.SIGTERM)
        assert self._process is not None
        self._process.join(timeout_s)
        assert self._process.exitcode == 0, f"{self._process.exitcode}\n{self.log[-3000:]}"

    def _signal(self, number: signal.Signals) -> None:
        assert self._process is not None
        assert self._process.pid is not None
        os.kill(self._process.pid, number)

    def close(self) -> None:
        self._http.close()
        if self._process is not None:
            self._process.kill()
            self._process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("point", choices=POINTS)
    parser.add_argument("hits", type=int, nargs="?", default=1)
    given = parser.parse_args()
    serve(Settings(), Trap(given.point, given.hits))


if __name__ == "__main__":
    main()
