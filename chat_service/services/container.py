"""What routes reach through `app.state.services`; `chat_service.app` builds it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from dataclasses import dataclass
from typing import Any

from chat_service.domain.clock import Clock
from chat_service.services.accounts import AccountService
from chat_service.services.chats import ChatService
from chat_service.services.connections import ConnectionManager
from chat_service.services.epoch import Epoch
from chat_service.services.fanout import Fanout
from chat_service.services.history import HistoryService
from chat_service.services.limits import Limits
from chat_service.services.messages import MessageService
from chat_service.services.metrics import Metrics
from chat_service.services.nodes import NodeService
from chat_service.services.participants import ParticipantService
from chat_service.services.ports import Bus, ContentStore, MetadataStore, Presence
from chat_service.services.ports.socket import Socket
from chat_service.services.presence import PresenceService
from chat_service.services.readiness import Readiness
from chat_service.services.receipts import ReceiptService
from chat_service.services.resume import ResumeService
from chat_service.services.sending import Sender
from chat_service.services.sessions import SessionService
from chat_service.services.streams import Streams
from chat_service.services.turns import Turns
from chat_service.services.watch import Watch
from chat_service.settings import Settings

SocketFactory = Callable[
    [
        MutableMapping[str, Any],
        Callable[[MutableMapping[str, Any]], Awaitable[None]],
        Callable[[], None],
    ],
    Socket,
]
"""Makes the output of an accepted WebSocket from its ASGI scope, its `send`, and what ends its handler."""


@dataclass(frozen=True, slots=True)
class Services:
    settings: Settings
    clock: Clock
    metadata: MetadataStore
    content: ContentStore
    bus: Bus
    shared_presence: Presence
    epoch: Epoch
    readiness: Readiness
    nodes: NodeService
    watch: Watch
    metrics: Metrics
    accounts: AccountService
    sessions: SessionService
    limits: Limits
    chats: ChatService
    participants: ParticipantService
    messages: MessageService
    sender: Sender
    history: HistoryService
    resume: ResumeService
    receipts: ReceiptService
    presence: PresenceService
    manager: ConnectionManager
    streams: Streams
    openings: Turns
    """Of handshakes, which read who is asking and what they may hear."""
    fanout: Fanout
    open_socket: SocketFactory
