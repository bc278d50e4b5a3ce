"""Runs a node under uvicorn, and owns its signals: clients hear of a restart before their sockets close."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from fastapi import FastAPI

from chat_service import __version__
from chat_service.adapters.sockets import DirectProtocol
from chat_service.app import create_app, run_services
from chat_service.logs import configure_logging
from chat_service.routes.limits import FRAME_BYTES
from chat_service.routes.websocket import HEARTBEAT_S
from chat_service.services.container import Services
from chat_service.settings import Settings

log = structlog.get_logger()

DRAIN_TIMEOUT_S = 10.0
GRACE_S = 10


class NodeServer(uvicorn.Server):
    """uvicorn closes sockets before the application hears of a signal; here the application goes first."""

    def __init__(self, config: uvicorn.Config, services: Services) -> None:
        super().__init__(config)
        self._services = services
        self._stopping: asyncio.Task[None] | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        host, port = self.servers[0].sockets[0].getsockname()[:2]
        print(f"chat-service {__version__} serves on http://{host}:{port}", flush=True)  # noqa: T201 - for people

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        self.install_signal_handlers()
        yield

    def install_signal_handlers(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self.handle_signal)

    def handle_signal(self) -> None:
        """The first one drains the node, a second one ends it at once."""
        if self._stopping is None:
            self._stopping = asyncio.create_task(self._stop())
        else:
            self.should_exit = self.force_exit = True

    async def _stop(self) -> None:
        log.info("draining", connections=self._services.manager.count())
        self._services.readiness.is_draining = True
        try:
            await self._services.fanout.close_all()
            await asyncio.wait_for(self._services.sender.drain(), DRAIN_TIMEOUT_S)
        except TimeoutError:
            log.warning("drain_timed_out")
        finally:
            self.should_exit = True


def make_config(
    app: FastAPI, settings: Settings, *, ws: type[asyncio.Protocol] = DirectProtocol
) -> uvicorn.Config:
    """How uvicorn runs a node. With another protocol class as `ws` sockets are slower and behave the same."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        ws=ws,
        ws_max_size=FRAME_BYTES,
        ws_ping_interval=HEARTBEAT_S,
        ws_ping_timeout=2 * HEARTBEAT_S,
        ws_per_message_deflate=False,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(settings.trusted_proxies),
        forwarded_allow_ips=list(settings.trusted_proxies),
        timeout_graceful_shutdown=GRACE_S,
        lifespan="off",  # `run_node` is the lifespan, so that its errors reach the command line
    )


async def run_node(
    server: NodeServer, services: Services, sockets: list[socket.socket] | None = None
) -> None:
    """The life of a node, from its stores to the last socket. Raises `StartupError`."""
    async with run_services(services):
        await server.serve(sockets=sockets)


def serve(settings: Settings) -> None:
    """Serve until a signal comes. Raises `StartupError` when the node cannot start."""
    configure_logging(settings.log_level, settings.environment)
    app = create_app(settings)
    config = make_config(app, settings)
    server = NodeServer(config, app.state.services)
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run_node(server, app.state.services))
