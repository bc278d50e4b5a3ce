"""The WebSocket: handshake, and one loop a socket that reads commands and calls the services.

A socket registers before its memberships are read and its session is looked at once more, so that nothing
which happens in between is missed. Everything that goes out is written by the `Connection`.
"""

from __future__ import annotations

import asyncio
import re
from urllib.parse import urlsplit

import structlog
from fastapi import APIRouter, WebSocket
from starlette.websockets import WebSocketDisconnect

from chat_service.domain import pushes
from chat_service.domain.errors import ChatError, Forbidden, Internal, NotFound, Unauthenticated, Unavailable
from chat_service.domain.ids import new_id
from chat_service.domain.models import Caller
from chat_service.domain.views import iso
from chat_service.routes.commands import CommandHandler
from chat_service.routes.limits import FRAME_BYTES, socket_limits
from chat_service.routes.problems import close_code, refuse_socket
from chat_service.services.connections import CONNECTIONS_PER_USER, FRESH_S, SLOW_CONSUMER, Connection
from chat_service.services.container import Services
from chat_service.services.ports.socket import Socket

log = structlog.get_logger()
router = APIRouter()

HEARTBEAT_S = 20
SUBPROTOCOL = "chat.v1"
NO_CHAT = 0
"""A malformed id is one that no chat has."""
_CHAT_ID = re.compile("[1-9][0-9]{0,15}")


@router.websocket("/ws")
async def open_user_socket(websocket: WebSocket) -> None:
    """One socket for all of the user's chats."""
    await _serve(websocket, None)


@router.websocket("/ws/{chat_id}")
async def open_chat_socket(websocket: WebSocket, chat_id: str) -> None:
    """A socket for one chat and the presence of its people."""
    await _serve(websocket, int(chat_id) if _CHAT_ID.fullmatch(chat_id) else NO_CHAT)


async def _serve(websocket: WebSocket, only_chat_id: int | None) -> None:
    services: Services = websocket.app.state.services
    offered = websocket.scope.get("subprotocols", [])
    try:
        await websocket.accept(subprotocol=SUBPROTOCOL if SUBPROTOCOL in offered else None)
        caller = await _admit(websocket, services)
        if caller is None:
            return
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(None) as patience:
            socket = services.open_socket(
                websocket.scope, websocket.send, lambda: patience.reschedule(loop.time())
            )
            await _run(websocket, services, socket, caller, only_chat_id)
    except (TimeoutError, WebSocketDisconnect):
        log.debug("socket_ended")


async def _admit(websocket: WebSocket, services: Services) -> Caller | None:
    """Who is asking; None after the socket was refused and closed."""
    try:
        if not services.readiness.is_draining:
            _check_origin(websocket, services)
            async with services.openings.take():
                caller = await _authenticate(websocket, services)
            services.limits.take_handshake(caller.id)
            return caller
        await websocket.close(1012, "server_restarting")
    except ChatError as error:
        await refuse_socket(websocket, error)
    except WebSocketDisconnect:
        raise
    except Exception:
        log.exception("handshake_failed")
        await refuse_socket(websocket, Internal())
    return None


async def _run(
    websocket: WebSocket, services: Services, socket: Socket, caller: Caller, only_chat_id: int | None
) -> None:
    connection = Connection(str(new_id()), caller, socket, only_chat_id)
    handler = CommandHandler(connection, services)
    services.manager.add(connection)
    try:
        try:
            await _open(connection, services)
        except ChatError as error:
            connection.close(*close_code(error))
        except Exception:
            log.exception("handshake_failed", user_id=caller.id)
            connection.close(*close_code(Internal()))
        if connection.is_open and not connection.is_closed:  # it may have been closed while it opened
            services.presence.connected(caller.id)
        await _read(websocket, connection, handler)
    finally:
        handler.close()
        services.fanout.disconnect(connection)
        if connection.closed_with == SLOW_CONSUMER:
            services.metrics.slow_consumers.inc()
        if connection.is_open:
            services.presence.disconnected(caller.id)
        socket.release()


async def _open(connection: Connection, services: Services) -> None:
    """Read who is asking and what they may hear, then open the tap. The order matters: see the module."""
    await services.fanout.hear(connection)
    async with services.openings.take():
        if not connection.socket.is_open:  # who has left meanwhile costs the others nothing
            return
        services.manager.begin_handshake(connection)
        connection.caller = await services.sessions.check_caller(connection.caller)
        memberships = await services.metadata.read(
            lambda unit: unit.participants.list_memberships(connection.user_id)
        )
    if connection.only_chat_id is not None:
        if connection.only_chat_id not in memberships:
            raise NotFound
        memberships = {connection.only_chat_id: memberships[connection.only_chat_id]}
    limits = socket_limits(services.settings)
    connection.send(
        pushes.encode(
            {
                "type": "connected",
                "connection_id": connection.id,
                "user_id": connection.user_id,
                "server_time": iso(services.clock()),
                "heartbeat_s": HEARTBEAT_S,
                "epoch": services.epoch.value,
                "limits": limits,
            }
        )
    )
    connection.hold()
    asyncio.get_running_loop().call_later(FRESH_S, connection.release)
    services.streams.open(connection, memberships)
    if services.settings.rate_limits_enabled:
        for oldest in services.manager.list_of_user(connection.user_id)[:-CONNECTIONS_PER_USER]:
            oldest.close(4009, "too_many_connections")


async def _read(websocket: WebSocket, connection: Connection, handler: CommandHandler) -> None:
    """Read frames until the socket ends; each is handled before the next is read."""
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        if connection.is_closed:
            continue
        text = message.get("text")
        if text is None:
            connection.close(1003, "text_frames_only")
        elif len(text) > FRAME_BYTES:
            connection.close(1009, "too_large")
        else:
            await handler.handle(text)


async def _authenticate(websocket: WebSocket, services: Services) -> Caller:
    """By `?token=`, `?ticket=`, `Authorization: Bearer`, or the subprotocol `bearer.<token>`."""
    ticket = websocket.query_params.get("ticket")
    token = websocket.query_params.get("token")
    try:
        if token is None and ticket is not None:
            return await services.sessions.take_ticket(ticket)
        scheme, _, credentials = websocket.headers.get("authorization", "").partition(" ")
        if token is None and scheme.lower() == "bearer":
            token = credentials.strip()
        for protocol in websocket.scope.get("subprotocols", []):
            if token is None and protocol.startswith("bearer."):
                token = protocol.removeprefix("bearer.")
        if not token:
            raise Unauthenticated
        return await services.sessions.authenticate_afresh(token)
    except ChatError as error:
        if not isinstance(error, Unavailable):
            services.limits.take_address_request(websocket.client.host if websocket.client else None)
        raise


def _check_origin(websocket: WebSocket, services: Services) -> None:
    """Browsers name the page that opens a socket; native clients send no `Origin`."""
    origin = websocket.headers.get("origin")
    allowed = services.settings.allowed_origins
    if origin is None or origin in allowed or ("*" in allowed and origin != "null"):
        return
    try:
        same = urlsplit(origin).netloc.lower() == websocket.headers.get("host", "").lower()
    except ValueError:
        same = False
    if origin == "null" or not same:
        raise Forbidden("This page may not connect.")
