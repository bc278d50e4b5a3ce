"""The composition root: the only place that builds adapters and gives them to services."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

import structlog
from fastapi import FastAPI
from fastapi.telemetry import TelemetryConfig
from sqlalchemy import make_url
from starlette.middleware.cors import CORSMiddleware

from chat_service import __version__
from chat_service.adapters.bus_memory import MemoryBus
from chat_service.adapters.content_sqlite import SqliteContentStore
from chat_service.adapters.content_timed import TimedContentStore
from chat_service.adapters.presence_memory import MemoryPresence
from chat_service.adapters.sockets import open_socket
from chat_service.adapters.sql.migrate import upgrade
from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.adapters.sqlite_file import FileInUse, create_private, lock_for_serving
from chat_service.domain.clock import Clock, system_clock
from chat_service.domain.errors import Unavailable
from chat_service.domain.ids import new_id
from chat_service.logs import redact
from chat_service.routes import api, middleware
from chat_service.routes.documentation import PROBLEM_RESPONSES
from chat_service.routes.problems import install_problem_handlers
from chat_service.services.accounts import AccountService
from chat_service.services.chats import ChatService
from chat_service.services.connections import ConnectionManager
from chat_service.services.container import Services
from chat_service.services.epoch import Epoch
from chat_service.services.fanout import Fanout
from chat_service.services.history import HistoryService, MessageLoader
from chat_service.services.limits import Limits
from chat_service.services.messages import MessageService
from chat_service.services.metrics import Metrics
from chat_service.services.nodes import NodeService
from chat_service.services.participants import ParticipantService
from chat_service.services.passwords import MAX_WAITING, Passwords, make_argon2
from chat_service.services.ports import Bus, ContentStore, MetadataStore, Presence
from chat_service.services.presence import PresenceService
from chat_service.services.readiness import Readiness
from chat_service.services.receipts import ReceiptService
from chat_service.services.recent import RecentChanges
from chat_service.services.resume import ResumeService
from chat_service.services.sending import Sender, pass_by
from chat_service.services.sessions import SessionService
from chat_service.services.store_clock import StoreClock
from chat_service.services.streams import Streams
from chat_service.services.sweeper import (
    ForeignStore,
    Sweeper,
    check_owner,
    claim_content,
    get_deployment_id,
)
from chat_service.services.tokens import Tokens, derive_key
from chat_service.services.turns import Turns
from chat_service.services.watch import Watch
from chat_service.settings import Environment, Settings
from chat_service.supervisor import Supervisor

log = structlog.get_logger()

CHECK_SCHEMA_EVERY_S = 5.0
PURGE_BODIES_EVERY_S = 60.0
OPENINGS_TOGETHER = 16
OPENED_WITHIN_S = 5.0
"""Each of the two steps of a handshake that read; whoever waits longer has left by then."""
PURGE_SESSIONS_EVERY_S = 3600.0


class StartupError(Exception):
    """The node cannot start; the message says what to do about it."""


def create_app(
    settings: Settings, *, clock: Clock = system_clock, reached: Callable[[str], None] = pass_by
) -> FastAPI:
    """The ASGI application of one node. Nothing connects before its lifespan begins.

    Its services are `app.state.services`. Any ASGI server may run it; `chat_service.server` runs it with
    the fast path to the sockets and a restart that clients hear of.
    """
    services = build_services(settings, clock, reached)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with run_services(services):
            yield

    app = FastAPI(
        title="chat-service",
        version=__version__,
        lifespan=lifespan,
        redirect_slashes=False,
        responses=PROBLEM_RESPONSES,
        docs_url=None,
        redoc_url=None,
        telemetry=TelemetryConfig(tracing=False, metrics=False, logs=False),
    )
    app.state.services = services
    api.include_routers(app)
    install_problem_handlers(app)
    if settings.allowed_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(settings.allowed_origins),
            allow_credentials="*" not in settings.allowed_origins,
            allow_methods=["GET", "POST", "PUT", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "If-Match", "X-Chat-Session"],
            expose_headers=["ETag", "Location", "Idempotent-Replay", "Retry-After", "X-Request-ID"],
        )
    middleware.install_middleware(app)
    return app


def build_services(
    settings: Settings, own_clock: Clock = system_clock, reached: Callable[[str], None] = pass_by
) -> Services:
    """Everything a node consists of, connected to nothing yet. Tests give `reached`; see `Sender`."""
    try:
        key = settings.load_secret_key()
    except ValueError as error:
        raise StartupError(str(error)) from error
    clock = StoreClock(own_clock)
    epoch, metrics, readiness, node_id = Epoch(), Metrics(), Readiness(), new_id()
    bus, presence = open_bus(settings, node_id, metrics), open_presence(settings, node_id)
    metadata = SqlMetadataStore(settings.metadata_url, observe=metrics.observe_store("metadata"))
    content = TimedContentStore(open_content_store(settings), metrics.observe_store("content"))
    tokens = Tokens(
        key,
        access_lifetime=timedelta(minutes=settings.access_token_minutes),
        refresh_lifetime=timedelta(days=settings.refresh_token_days),
        clock=clock,
    )
    sessions = SessionService(metadata, bus, tokens, clock)
    loader = MessageLoader(metadata, content)
    history = HistoryService(metadata, loader, epoch)
    sender = Sender(metadata, content, bus, clock, metrics, reached=reached)
    manager = ConnectionManager()
    recent = RecentChanges()
    streams = Streams(manager, metadata, history, bus, epoch, metrics, recent)
    nodes = NodeService(
        metadata,
        bus,
        clock,
        readiness,
        node_id=node_id,
        has_bus=bool(settings.redis_url.get_secret_value()),
        is_alone=settings.is_embedded,
    )
    metrics.watch_gauge("chat_connections", "Open sockets.", manager.count)
    metrics.watch_gauge("chat_bus_up", "Whether the bus reaches other nodes.", lambda: bus.is_up)
    metrics.watch_gauge("chat_unsent_bytes", "Bytes written and not sent.", manager.count_unsent_bytes)
    mac_key = derive_key(key, "request-mac")
    return Services(
        settings=settings,
        clock=clock,
        metadata=metadata,
        content=content,
        bus=bus,
        shared_presence=presence,
        epoch=epoch,
        readiness=readiness,
        nodes=nodes,
        watch=Watch(streams, metadata, manager, nodes, clock),
        metrics=metrics,
        accounts=AccountService(
            metadata,
            sessions,
            Passwords(
                make_argon2(settings.password_memory_mib),
                max_waiting=MAX_WAITING if settings.rate_limits_enabled else None,
            ),
            clock,
            registration_open=settings.registration == "open",
        ),
        sessions=sessions,
        limits=Limits(enabled=settings.rate_limits_enabled),
        chats=ChatService(
            metadata, bus, loader, epoch, clock, mac_key=mac_key, max_participants=settings.max_participants
        ),
        participants=ParticipantService(
            metadata, bus, epoch, clock, max_participants=settings.max_participants
        ),
        messages=MessageService(
            metadata,
            content,
            sender,
            loader,
            bus,
            clock,
            mac_key=mac_key,
            max_chars=settings.max_message_chars,
            reached=reached,
        ),
        sender=sender,
        history=history,
        resume=ResumeService(metadata, history, recent, epoch),
        receipts=ReceiptService(metadata, bus),
        presence=PresenceService(metadata, manager, bus, presence, clock),
        manager=manager,
        streams=streams,
        openings=Turns(OPENINGS_TOGETHER, OPENED_WITHIN_S),
        fanout=Fanout(manager, streams, sessions, metadata, bus, epoch, clock, recent),
        open_socket=open_socket,
    )


def open_bus(settings: Settings, node_id: UUID, metrics: Metrics) -> Bus:
    url = settings.redis_url.get_secret_value()
    if not url:
        return MemoryBus()
    from chat_service.adapters.bus_redis import RedisBus  # noqa: PLC0415 - only who needs it waits

    return RedisBus(url, node_id, observe=metrics.observe_bus)


def open_presence(settings: Settings, node_id: UUID) -> Presence:
    url = settings.redis_url.get_secret_value()
    if not url:
        return MemoryPresence()
    from chat_service.adapters.presence_redis import RedisPresence  # noqa: PLC0415 - only who needs it waits

    return RedisPresence(url, node_id)


def open_content_store(settings: Settings) -> ContentStore:
    if settings.body_url.startswith("sqlite"):
        return SqliteContentStore(Path(settings.body_url.removeprefix("sqlite:///")))
    from chat_service.adapters.content_mongo import MongoContentStore  # noqa: PLC0415 - only who needs it waits

    return MongoContentStore(settings.body_url)


@asynccontextmanager
async def run_services(services: Services) -> AsyncIterator[None]:
    """The life of a node: stores, schema, long tasks, readiness. Raises `StartupError`."""
    claims = _claim_files(services.settings)
    supervisor = Supervisor(services.readiness)
    try:
        await _prepare_stores(services)
        supervisor.start("bus", services.bus.run)
        supervisor.start("sender", services.sender.run)
        supervisor.start("receipts", services.receipts.run)
        supervisor.start("fanout", services.fanout.run)
        supervisor.start("loop_lag", services.metrics.watch_loop)
        supervisor.start("watch", services.watch.run)
        supervisor.start("presence", services.presence.run)
        supervisor.start("presence_news", services.presence.tell)
        supervisor.start("nodes", services.nodes.run)
        supervisor.start_every("dead_nodes", PURGE_SESSIONS_EVERY_S, services.nodes.forget_dead)
        supervisor.start_every("schema", CHECK_SCHEMA_EVERY_S, lambda: _watch_schema(services))
        supervisor.start_every("discarded_bodies", PURGE_BODIES_EVERY_S, services.messages.purge_discarded)
        supervisor.start_every("ended_sessions", PURGE_SESSIONS_EVERY_S, services.sessions.purge_expired)
        supervisor.start(
            "sweeper",
            Sweeper(
                services.metadata, services.content, services.clock, removed=services.metrics.orphans.inc
            ).run,
        )
        services.readiness.has_started = True
        yield
    finally:
        services.readiness.is_draining = True
        await supervisor.stop()
        with contextlib.suppress(Unavailable, TimeoutError):
            await services.nodes.leave()
        services.accounts.close()
        await services.bus.close()
        await services.shared_presence.close()
        await services.metadata.close()
        await services.content.close()
        for descriptor in claims:
            os.close(descriptor)


@asynccontextmanager
async def open_metadata_store(settings: Settings) -> AsyncIterator[SqlMetadataStore]:
    """The metadata store alone, for commands that run beside a serving node. Raises `StartupError`."""
    store = SqlMetadataStore(settings.metadata_url)
    try:
        if settings.is_embedded:
            create_private(Path(str(make_url(settings.metadata_url).database)))
        await store.connect()
        await _check_schema(store, settings)
        yield store
    finally:
        await store.close()


async def make_store_clock(settings: Settings, metadata: MetadataStore) -> StoreClock:
    """The clock by which a command decides what has expired and what is old; on SQLite this machine's.

    Raises `StartupError`."""
    clock = StoreClock(system_clock)
    if not settings.is_embedded:
        with _naming_metadata(settings):
            await clock.measure(metadata)
    return clock


@asynccontextmanager
async def open_stores(settings: Settings) -> AsyncIterator[tuple[MetadataStore, ContentStore]]:
    """Both stores as they are, for a command that judges them: nothing is made, migrated or claimed.

    Raises `StartupError` where one is missing, does not answer, or does not belong to the other.
    """
    _check_files_exist(settings)
    metadata, content = SqlMetadataStore(settings.metadata_url), open_content_store(settings)
    try:
        await metadata.connect()
        await _check_schema(metadata, settings, may_migrate=False)
        try:
            await content.connect()
            await check_owner(metadata, content)
        except Unavailable as error:
            address = redact(settings.body_url)
            raise StartupError(
                f"The content store (CHAT_CONTENT_URL) cannot be used at {address}."
            ) from error
        except ForeignStore as error:
            raise StartupError(str(error)) from error
        yield metadata, content
    finally:
        await metadata.close()
        await content.close()


def _check_files_exist(settings: Settings) -> None:
    for url in (settings.metadata_url, settings.body_url):
        if url.startswith("sqlite") and not Path(str(make_url(url).database)).exists():
            raise StartupError(f"{make_url(url).database} does not exist; no server has served from it.")


def _claim_files(settings: Settings) -> list[int]:
    """Refuse to serve from SQLite files that another process serves from."""
    urls = [make_url(url) for url in (settings.metadata_url, settings.body_url) if url.startswith("sqlite")]
    claims: list[int] = []
    for url in urls:
        try:
            claims.append(lock_for_serving(Path(str(url.database))))
        except FileInUse as error:
            for descriptor in claims:
                os.close(descriptor)
            raise StartupError(
                f"Another chat-service serves from {error}. One process serves from SQLite files; "
                "for more nodes use MySQL and MongoDB, or set CHAT_DATA_DIR to another folder."
            ) from error
        except OSError as error:
            raise StartupError(f"{url.database} cannot be opened: {error.strerror}.") from error
    return claims


async def _prepare_stores(services: Services) -> None:
    settings = services.settings
    await services.metadata.connect()
    await services.content.connect()
    await _check_schema(services.metadata, settings)
    with _naming_metadata(settings):
        services.epoch.value = await services.metadata.get_epoch()
        await _enter_deployment(services)
        deployment_id = await get_deployment_id(services.metadata)
    await _connect_bus(services, deployment_id)
    weaknesses = await _find_weaknesses(services)
    for sentence in weaknesses:
        log.warning("unsafe_store", reason=sentence)
    if weaknesses:
        _refuse_in_production(settings, f"A store would lose acknowledged messages: {' '.join(weaknesses)}")
    await _claim_content(services)


async def _watch_schema(services: Services) -> None:
    """A migration beside a running node, up or down, takes it out of the balancer until it is restarted."""
    with contextlib.suppress(Unavailable):  # /health speaks of stores that are out of reach
        services.readiness.has_old_schema = not await services.metadata.has_current_schema()


async def _claim_content(services: Services) -> None:
    """Refuse to serve with the texts of another deployment; the sweeper asks again where this cannot."""
    try:
        await claim_content(services.metadata, services.content)
    except Unavailable as error:
        address = redact(services.settings.body_url)
        reason = f"The content store (CHAT_CONTENT_URL) does not answer at {address}"
        _refuse_in_production(services.settings, f"{reason}: {_first_reason(error)}.", error)
        log.warning("content_unclaimed", reason=f"{reason} yet")
    except ForeignStore as error:
        raise StartupError(str(error)) from error


def _refuse_in_production(settings: Settings, reason: str, cause: BaseException | None = None) -> None:
    """What a trial may live with is a mistake where people rely on it."""
    if settings.environment is Environment.PRODUCTION:
        raise StartupError(reason) from cause


def _first_reason(error: Unavailable) -> str:
    """What the driver says, without its list of every server's state."""
    return redact(str(error.__cause__ or error)).partition(", Timeout:")[0].rstrip(".")


async def _enter_deployment(services: Services) -> None:
    """The first sign of life, with a look at the clock."""
    await services.nodes.beat()
    problem = services.readiness.clock_problem
    if problem is not None:
        _refuse_in_production(services.settings, f"{problem}.")
        log.warning("clock_is_off", reason=f"{problem}.")


async def _connect_bus(services: Services, deployment_id: str) -> None:
    """A node serves without its bus, only slower; but an address that was never right is a mistake."""
    services.shared_presence.connect(deployment_id)
    try:
        await services.bus.connect(deployment_id)
    except Unavailable as error:
        address = redact(services.settings.redis_url.get_secret_value())
        reason = f"Redis (CHAT_REDIS_URL) cannot be used at {address}: {error}."
        _refuse_in_production(services.settings, reason, error)
        log.warning("bus_unreachable", reason=reason)


async def _find_weaknesses(services: Services) -> list[str]:
    """A store that cannot be asked hides nothing that the other one has told, and is not trusted either."""
    found: list[str] = []
    stores = {
        "metadata store (CHAT_DATABASE_URL)": services.metadata.check_safety,
        "content store (CHAT_CONTENT_URL)": services.content.check_safety,
    }
    for name, check_safety in stores.items():
        try:
            found += await check_safety()
        except Unavailable as error:
            reason = f"The {name} did not answer when it was asked for its settings: {_first_reason(error)}."
            _refuse_in_production(services.settings, reason, error)
            log.warning("store_unchecked", reason=reason)
    return found


@contextlib.contextmanager
def _naming_metadata(settings: Settings) -> Iterator[None]:
    """What the metadata store refuses while a program starts is told with its setting and address."""
    try:
        yield
    except Unavailable as error:
        address = make_url(settings.metadata_url).render_as_string(hide_password=True)
        reason = getattr(error.__cause__, "orig", None) or "no answer in time"
        raise StartupError(
            f"The metadata store (CHAT_DATABASE_URL) cannot be used at {address}: {reason}"
        ) from error
    except ForeignStore as error:
        raise StartupError(str(error)) from error


async def _check_schema(store: MetadataStore, settings: Settings, *, may_migrate: bool = True) -> None:
    with _naming_metadata(settings):
        if await store.has_current_schema():
            return
        if may_migrate and (settings.is_embedded or settings.auto_migrate):
            await asyncio.to_thread(upgrade, settings.metadata_url)
            return
    raise StartupError(
        "The schema of the metadata store is not the one of this version. Run `chat-service migrate`, "
        "or set CHAT_AUTO_MIGRATE=true."
    )
