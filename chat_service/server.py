"""Runs a node under uvicorn, and owns its signals: clients hear of a restart before their sockets close."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import socket
from collections.abc import Iterator

import structlog
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from chat_service import __version__
from chat_service.adapters.sockets import DirectProtocol
from chat_service.app import create_app, run_services
from chat_service.logs import configure_logging
from chat_service.routes.limits import FRAME_BYTES
from chat_service.routes.websocket import HEARTBEAT_S
from chat_service.services.container import Services
from chat_service.settings import Settings

log = structlog.get_logger()

KEEP_ALIVE_S = 75
"""An idle HTTP connection lives longer here than in browsers and balancers, whose 60 s are the most usual: a
request that crosses our closing would be lost, and only its sender can know whether to repeat it."""
DRAIN_TIMEOUT_S = 6.0
"""For sends and positions in flight; a send is answered within six seconds, whatever happens."""
GRACE_S = 5
"""For requests that uvicorn still answers. With the longest `CHAT_DRAIN_SECONDS`, eight seconds of closing
and these two, a node ends within 30 s."""

YOUNG_OBJECTS = 20_000
"""Before the youngest are searched for garbage. A few sends make 700, as Python has it, and use them all."""
UNREAD_CHECK_S = 30.0
UNREAD_LEAST_BYTES = 32 * 1024
"""A client that takes less of an answer within that time is cut off: what it leaves unread is our memory."""


class PatientProtocol(HttpToolsProtocol):
    """uvicorn's protocol for HTTP, for clients that do not read."""

    _unread_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        super().pause_writing()
        self._check_later()

    def resume_writing(self) -> None:
        self._stop_checking()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_checking()
        super().connection_lost(exc)

    def _check_later(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._stop_checking()
        self._unread_timer = self.loop.call_later(UNREAD_CHECK_S, self._check_unread, unread)

    def _check_unread(self, before: int) -> None:
        if self.transport.get_protocol() is not self:  # it has become a socket, which has bounds of its own
            return
        if self.transport.get_write_buffer_size() > before - UNREAD_LEAST_BYTES:
            self.transport.abort()
        else:
            self._check_later()

    def _stop_checking(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None


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
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self.handle_signal)
        loop.add_signal_handler(signal.SIGINT, self.handle_signal, 0.0)  # somebody waits at a keyboard

    def handle_signal(self, notice_s: float | None = None) -> None:
        """The first one drains the node, a second one ends it at once. For `notice_s` (without it as long
        as the settings say) a balancer may notice before clients are told."""
        if self._stopping is None:
            given_s = self._services.settings.drain_seconds if notice_s is None else notice_s
            self._stopping = asyncio.create_task(self._stop(given_s))
        else:
            self.should_exit = self.force_exit = True

    async def _stop(self, notice_s: float) -> None:
        services = self._services
        log.info("draining", connections=services.manager.count())
        services.readiness.is_draining = True
        services.presence.freeze()
        try:
            await asyncio.sleep(notice_s)
            await services.fanout.close_all()
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await services.sender.drain()
                await services.receipts.drain()
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
        http=PatientProtocol,
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
        timeout_keep_alive=KEEP_ALIVE_S,
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
    # Modules, models and routes stay as long as the process: no collection needs to look at them again.
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 10, 10)
    gc.enable()
    with asyncio.Runner(loop_factory=config.get_loop_factory()) as runner:
        runner.run(run_node(server, app.state.services))
