"""From the bus to the sockets of this node, and the clock of everything that ends by itself."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Sequence
from itertools import groupby

import structlog

from chat_service.domain import pushes
from chat_service.domain.clock import Clock
from chat_service.domain.errors import AccountDisabled, NotFound, Unavailable
from chat_service.domain.events import (
    ChatChanged,
    ChatSignalled,
    Event,
    JoinDoubted,
    SessionsEnded,
    TypingChanged,
    UserNotified,
)
from chat_service.services.connections import (
    NODE_OUTBOUND_BYTES,
    OUTBOUND_BYTES,
    Connection,
    ConnectionManager,
)
from chat_service.services.epoch import Epoch
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.metadata import MetadataStore
from chat_service.services.ports.socket import Batch
from chat_service.services.recent import RecentChanges
from chat_service.services.sessions import SessionService
from chat_service.services.streams import Streams

log = structlog.get_logger()

TICK_S = 0.5
EXPIRY_WARNING_S = 60
RESTART_BATCH = 200
RESTART_PAUSE_S = 0.1
CLOSING_S = 8.0
"""Of many connections more are closed together, so that closing takes no longer."""
NOTICE_S = 0.5
"""Between the word that the server restarts and the first close: for clients to hear it, and for whoever
asks for readiness to see that it is off."""


class Fanout:
    """Subscribes to the bus; `handle` never blocks."""

    def __init__(  # noqa: PLR0913, PLR0917 - its parts, put together once in app.py
        self,
        manager: ConnectionManager,
        streams: Streams,
        sessions: SessionService,
        metadata: MetadataStore,
        bus: Bus,
        epoch: Epoch,
        clock: Clock,
        recent: RecentChanges,
    ) -> None:
        self._manager = manager
        self._streams = streams
        self._sessions = sessions
        self._metadata = metadata
        self._bus = bus
        self._epoch = epoch
        self._clock = clock
        self._recent = recent
        bus.subscribe(self.handle)

    def handle(self, events: Sequence[Event]) -> None:
        self._manager.collect_missed(events)
        for kind, group in groupby(events, type):
            if kind is ChatChanged:
                self._streams.offer([event for event in group if isinstance(event, ChatChanged)])
            else:
                for event in group:
                    self._handle_one(event)

    def _handle_one(self, event: Event) -> None:
        match event:
            case ChatSignalled():
                self._streams.signal(event.chat_id, event.push)
            case TypingChanged():
                self._change_typing(event)
            case UserNotified():
                self._notify(event)
            case SessionsEnded():
                self._end_sessions(event)
            case JoinDoubted():
                self._streams.admit(event.chat_id, event.user_ids)

    # --- Typing -----------------------------------------------------------------------------------

    def set_typing(self, connection: Connection, chat_id: int, *, is_typing: bool) -> None:
        """What a client says of itself. Raises `NotFound` for a chat that it does not listen to."""
        if chat_id not in connection.chats:
            raise NotFound
        if is_typing:
            connection.typing_in.add(chat_id)
        else:
            connection.typing_in.discard(chat_id)
        self._bus.publish([TypingChanged(chat_id, connection.user_id, is_typing)])

    def _change_typing(self, event: TypingChanged) -> None:
        change = self._manager.start_typing if event.is_typing else self._manager.stop_typing
        if change(event.chat_id, event.user_id):
            push = pushes.typing(event.chat_id, event.user_id, is_typing=event.is_typing)
            self._streams.signal(event.chat_id, push, but_user=event.user_id)

    # --- People -----------------------------------------------------------------------------------

    def _notify(self, event: UserNotified) -> None:
        batch = Batch([event.push])
        for user_id in event.user_ids:
            for connection in self._manager.list_of_user(user_id):
                if connection.is_open and connection.only_chat_id in (None, *event.chat_ids):
                    connection.write(batch, is_ephemeral=event.is_ephemeral)

    def _end_sessions(self, event: SessionsEnded) -> None:
        self._sessions.forget(event.session_ids)
        ended = set(event.session_ids)
        for connection in self._manager.list_all():
            if connection.session_id in ended:
                _close_ended(connection, event.reason)

    async def hear(self, connection: Connection) -> None:
        """Whatever is addressed to the user of a registered socket arrives here from now on."""
        await self._bus.hear_user(connection.user_id)

    def disconnect(self, connection: Connection) -> None:
        """The socket is gone: forget it, and whatever its user types on no other."""
        self._manager.remove(connection)
        self._streams.close(connection)
        others = self._manager.list_of_user(connection.user_id)
        if not others:
            self._bus.ignore_user(connection.user_id)
        stopped = connection.typing_in.difference(*(other.typing_in for other in others))
        if stopped:
            self._bus.publish(
                [TypingChanged(chat_id, connection.user_id, is_typing=False) for chat_id in stopped]
            )

    # --- Time -------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Twice a second: typing that nobody renewed, tokens that end, sessions that have ended elsewhere,
        another epoch, and too much unsent."""
        while True:
            await asyncio.sleep(TICK_S)
            for chat_id, user_id in self._manager.list_stale_typing():
                self._change_typing(TypingChanged(chat_id, user_id, is_typing=False))
            self._check_expiry()
            self._check_outbound()
            try:
                await self._check_sessions()
                await self._check_epoch()
            except Unavailable:
                log.warning("sessions_unchecked", reason="the metadata store does not answer")

    def _check_expiry(self) -> None:
        now = self._clock()
        for connection in self._manager.list_all():
            left_s = (connection.caller.expires_at - now).total_seconds()
            if left_s <= 0:
                connection.close(4001, "token_expired")
            elif left_s <= EXPIRY_WARNING_S and connection.is_open and not connection.warned_of_expiry:
                connection.warned_of_expiry = True
                connection.send(pushes.token_expiring(int(left_s)))

    def _check_outbound(self) -> None:
        unsent = {one: one.unsent_bytes for one in self._manager.list_all()}
        for connection, count in unsent.items():
            if count > OUTBOUND_BYTES:  # what is written outside of a `Connection` (pongs) counts too
                connection.close(4008, "slow_consumer")
        total = sum(unsent.values())
        for connection in sorted(unsent, key=lambda one: unsent[one], reverse=True):
            if total <= NODE_OUTBOUND_BYTES:
                return
            total -= unsent[connection]
            connection.close(4008, "slow_consumer")

    async def _check_sessions(self) -> None:
        connections = self._manager.list_all()
        ended = await self._sessions.list_ended({one.session_id for one in connections})
        self._sessions.forget(ended)
        for connection in connections:
            error = ended.get(connection.session_id)
            if error is not None:
                _close_ended(connection, error.code)

    async def _check_epoch(self) -> None:
        epoch = await self._metadata.get_epoch()
        if epoch != self._epoch.value:
            log.warning("epoch_changed", was=self._epoch.value, now=epoch)
            self._epoch.value = epoch
            self._recent.clear()
            for connection in self._manager.list_all():
                connection.close(1012, "epoch_changed")
            self._streams.forget_all()

    async def close_all(self) -> None:
        """Tell every client that the server restarts, spread their return, and close in batches."""
        connections = self._manager.list_all()
        spread_ms = min(30_000, 1_000 + 10 * len(connections))
        for index, connection in enumerate(connections):
            share = (index + 1) / max(1, len(connections))
            if connection.is_open:  # before that, `connected` is what a client must hear first
                connection.send(pushes.server_restarting(500 + int(spread_ms * share)))
        await asyncio.sleep(NOTICE_S)
        size = max(RESTART_BATCH, math.ceil(len(connections) * RESTART_PAUSE_S / CLOSING_S))
        for start in range(0, len(connections), size):
            for connection in connections[start : start + size]:
                connection.close(1012, "server_restarting")
            await asyncio.sleep(RESTART_PAUSE_S)


def _close_ended(connection: Connection, reason: str) -> None:
    """A new login helps (4001), unless the account itself is disabled (4003)."""
    connection.close(4003 if reason == AccountDisabled.code else 4001, reason)
