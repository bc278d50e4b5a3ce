"""A whole node in a thread of the test process, on a free port with real sockets."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from datetime import datetime, timedelta
from typing import Any, TypeVar

import uvicorn

from chat_service.app import create_app
from chat_service.domain.clock import Clock, system_clock
from chat_service.logs import configure_logging
from chat_service.server import NodeServer, make_config, run_node
from chat_service.services.container import Services
from chat_service.settings import Settings

T = TypeVar("T")
START_TIMEOUT_S = 30
SECRET = "a secret for tests, thirty-two bytes or more"


_FOR_TESTS = {
    "rate_limits_enabled": False,
    "password_memory_mib": 1,
    "secret_key": SECRET,
    "drain_seconds": 0,
}


def make_settings(**values: Any) -> Settings:
    """Settings of a test: no limits by rate, cheap passwords, no balancer, nothing from outside."""
    return Settings(_env_file=None, **{**_FOR_TESTS, **values})


class Watch:
    """A `Clock`: the system's time, and how far a test has turned it."""

    def __init__(self) -> None:
        self._ahead = timedelta()

    def __call__(self) -> datetime:
        return system_clock() + self._ahead

    def turn(self, **by: float) -> None:
        self._ahead += timedelta(**by)


class Node:
    """Start it with `with Node(settings) as node:`; `node.services` is what runs in its thread."""

    def __init__(self, settings: Settings, *, clock: Clock = system_clock, **config: Any) -> None:
        configure_logging("warning", "staging")  # structlog's own default draws tracebacks for seconds
        self.settings = settings
        self._app = create_app(settings, clock=clock)
        self.services: Services = self._app.state.services
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=1024)
        self.port = self._socket.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/api/v1/ws"
        self._config: uvicorn.Config = make_config(self._app, settings, **config)
        self._server = _ThreadServer(self._config, self.services)
        self._thread = threading.Thread(target=self._serve, name="node", daemon=True)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._failure: BaseException | None = None

    def __enter__(self) -> Node:
        self._thread.start()
        deadline = threading.Event()
        for _ in range(START_TIMEOUT_S * 100):
            if self._server.started or not self._thread.is_alive():
                break
            deadline.wait(0.01)
        if not self._server.started:
            raise RuntimeError("the node did not start") from self._failure
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Drain and end it, as SIGTERM does."""
        if self._loop is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._server.handle_signal)
            self._thread.join(START_TIMEOUT_S)
        self._socket.close()

    def run(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run something on the loop of the node, where its services live."""
        assert self._loop is not None
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _serve(self) -> None:
        try:
            with asyncio.Runner(loop_factory=self._config.get_loop_factory()) as runner:
                self._loop = runner.get_loop()
                runner.run(run_node(self._server, self.services, [self._socket]))
        except BaseException as error:  # noqa: BLE001 - told to whoever waits for the start
            self._failure = error


class _ThreadServer(NodeServer):
    """Signals go to the main thread, which is the tests'."""

    def install_signal_handlers(self) -> None:
        pass
