"""One sequencer a chat: changes reach the sockets of this node strictly by version, each once.

Commits of different tasks are published out of order, and a bus may lose or double what it carries. A
change that comes early waits a moment for those before it; a hole that stays is filled from the store with
`changes`. Who hears a change follows from the changes before it, so nobody hears a chat that they had left
at that version or had not yet joined. See docs/adr/0004.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Collection, Coroutine, Sequence
from dataclasses import dataclass, field

import structlog

from chat_service.domain import pushes
from chat_service.domain.errors import Unavailable
from chat_service.domain.events import ChatChanged
from chat_service.services.connections import Connection, ConnectionManager
from chat_service.services.epoch import Epoch
from chat_service.services.history import HistoryService
from chat_service.services.holes import Filling, HoleReader
from chat_service.services.metrics import Metrics
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.metadata import MetadataStore
from chat_service.services.ports.socket import Batch
from chat_service.services.recent import RecentChanges

log = structlog.get_logger()

HOLE_WAIT_S = 0.2
"""What is missing may still come over the bus."""
COMMIT_WAIT_S = 0.02
"""What this node has just committed, it is about to deliver itself."""
FILL_RETRY_S = 1.0
EARLY_KEPT = 1_000
"""Changes of one chat that wait for a hole before them. What comes beyond is read from the store with it, so
a node that hears others and cannot read keeps no more than these."""
_WATCH_CHUNK = 1_000


@dataclass(eq=False, slots=True)
class Stream:
    """What this node has delivered of one chat, and to whom it goes on delivering."""

    chat_id: int
    delivered: int
    """The version up to which every listener has heard everything."""
    people_at: int
    """The version up to which its people may have changed; from there to `delivered` they are the same."""
    listeners: dict[Connection, None] = field(default_factory=dict)
    late: dict[Connection, int] = field(default_factory=dict)
    """Sockets that read the chat at a version not delivered yet: they want only what is above it."""
    early: dict[int, ChatChanged] = field(default_factory=dict)
    known: int = 0
    """The highest version that is known to exist."""
    filling: asyncio.Task[None] | None = None


class Streams:
    def __init__(  # noqa: PLR0913, PLR0917 - its parts, put together once in app.py
        self,
        manager: ConnectionManager,
        metadata: MetadataStore,
        history: HistoryService,
        bus: Bus,
        epoch: Epoch,
        metrics: Metrics,
        recent: RecentChanges,
    ) -> None:
        self._manager = manager
        self._metadata = metadata
        self._recent = recent
        self._bus = bus
        self._epoch = epoch
        self._metrics = metrics
        self._streams: dict[int, Stream] = {}
        self._aside: set[asyncio.Task[None]] = set()
        self._holes = HoleReader(history)
        bus.subscribe_gaps(self.check_later)

    # --- Listening --------------------------------------------------------------------------------

    def open(self, connection: Connection, memberships: dict[int, int]) -> None:
        """Let a socket listen to its chats, each read at the version given, and hand it what was
        published since it was registered. Nothing here awaits."""
        for chat_id, version in memberships.items():
            self._enter(connection, chat_id, version)
        missed = self._take_missed(connection, memberships)
        for chat_id, version in memberships.items():
            self._doubt_filled(connection, chat_id, version, missed.get(chat_id, ()))
        for chat_id, events in missed.items():
            stream = self._streams.get(chat_id)
            heard = 0 if stream is None else stream.delivered
            for event in events:
                self._catch_up(connection, event, heard)
                self.offer([event])

    def _take_missed(
        self, connection: Connection, memberships: Collection[int]
    ) -> dict[int, list[ChatChanged]]:
        """Of each chat that concerns the socket what it missed, by version."""
        found = self._manager.take_missed(connection)
        wanted = {event.chat_id for event in found if connection.user_id in event.joined}.union(memberships)
        # Who joins is told of by way of the chat and of the user, so a change may have come twice.
        missed: defaultdict[int, dict[int, ChatChanged]] = defaultdict(dict)
        for event in found:
            if event.chat_id in wanted:
                missed[event.chat_id][event.version] = event
        return {chat_id: [events[one] for one in sorted(events)] for chat_id, events in missed.items()}

    def _doubt_filled(
        self, connection: Connection, chat_id: int, version: int, missed: Collection[ChatChanged]
    ) -> None:
        """What filled a hole of a stream, while the handshake read, was published to nobody: the socket would
        have a hole of its own there, or listen on although its user has been removed. It is let in by another
        look at the store."""
        between = set(range(version + 1, self._streams[chat_id].delivered + 1))
        if between.difference(event.version for event in missed):
            self._leave(connection, chat_id)
            self._forget_if_idle(chat_id)
            self._run_aside(self._admit(connection.user_id, chat_id))

    def forget_all(self) -> None:
        """Versions have begun anew: what was delivered says nothing of what is still to come."""
        for stream in self._streams.values():
            if stream.filling is not None:
                stream.filling.cancel()
            for connection in stream.listeners:
                self._manager.leave(connection, stream.chat_id)
            self._bus.ignore_chat(stream.chat_id)
        self._streams.clear()

    def close(self, connection: Connection) -> None:
        """Take a socket out of all of its chats."""
        for chat_id in list(connection.chats):
            self._leave(connection, chat_id)
            self._forget_if_idle(chat_id)

    def signal(self, chat_id: int, text: bytes, *, but_user: int | None = None) -> None:
        """Deliver something ephemeral to the chat's listeners."""
        stream = self._streams.get(chat_id)
        if stream is None:
            return
        batch = Batch([text])
        for connection in stream.listeners:
            if connection.user_id != but_user:
                connection.write(batch, chat_id=chat_id, is_ephemeral=True)

    def _enter(self, connection: Connection, chat_id: int, version: int) -> None:
        stream = self._streams.get(chat_id)
        if stream is None:
            stream = self._start(chat_id, version)
        stream.listeners[connection] = None
        if version > stream.delivered:
            stream.late[connection] = version
        self._manager.enter(connection, chat_id, version)

    def _start(self, chat_id: int, version: int) -> Stream:
        stream = self._streams[chat_id] = Stream(chat_id, version, people_at=version)
        self._bus.hear_chat(chat_id)
        return stream

    def _leave(self, connection: Connection, chat_id: int) -> None:
        self._manager.leave(connection, chat_id)
        stream = self._streams.get(chat_id)
        if stream is None:
            return
        stream.listeners.pop(connection, None)
        stream.late.pop(connection, None)

    def _forget_if_idle(self, chat_id: int) -> None:
        """Nobody here listens any more. Never in the middle of a delivery, which may bring listeners back.

        What waits for a hole still concerns whoever joins by it."""
        stream = self._streams.get(chat_id)
        if stream is not None and not stream.listeners:
            if stream.filling is not None:
                stream.filling.cancel()
            del self._streams[chat_id]
            self._bus.ignore_chat(chat_id)
            self.offer([stream.early[version] for version in sorted(stream.early)])

    def _catch_up(self, connection: Connection, event: ChatChanged, heard: int) -> None:
        """Deliver what others had heard (up to the version `heard`) before this socket listened."""
        floor = connection.chats.get(event.chat_id)
        if floor is None and connection.user_id in event.joined and event.joined_push is not None:
            if connection.only_chat_id in (None, event.chat_id):
                self._enter(connection, event.chat_id, event.version)
                connection.write(Batch([event.joined_push]), chat_id=event.chat_id)
        elif floor is not None and floor < event.version <= heard:
            connection.write(Batch([event.push]), chat_id=event.chat_id)
            if connection.user_id in event.left:
                self._end(connection, event.chat_id)
                self._forget_if_idle(event.chat_id)

    # --- Delivering -------------------------------------------------------------------------------

    def offer(self, events: Sequence[ChatChanged]) -> None:
        """Take changes in any order, any number of times; deliver what is next, all of a chat together."""
        touched: dict[int, Stream] = {}
        for event in events:
            stream = self._streams.get(event.chat_id) or self._begin(event)
            if stream is not None and event.version > stream.delivered:
                if len(stream.early) < EARLY_KEPT or event.version == stream.delivered + 1:
                    stream.early[event.version] = event
                else:
                    stream.known = max(stream.known, event.version)
                touched[event.chat_id] = stream
            elif stream is not None:
                # A socket that read its chats between a commit and its publication has begun a stream that
                # counts the change as delivered; who joined by it may not have heard.
                self.admit(event.chat_id, event.joined)
        for stream in touched.values():
            self._advance(stream)

    def _begin(self, event: ChatChanged) -> Stream | None:
        """A chat that nobody here listened to concerns this node when somebody here joins it."""
        if not any(self._manager.is_connected(user_id) for user_id in event.joined):
            return None
        return self._start(event.chat_id, event.version - 1)

    def _advance(self, stream: Stream) -> None:
        plain: list[ChatChanged] = []
        while (event := stream.early.pop(stream.delivered + 1, None)) is not None:
            if event.joined or event.left or stream.late:
                self._deliver_plain(stream, plain)
                plain = []
                self._deliver(stream, event)
                if event.joined or event.left:
                    stream.people_at = event.version
            else:
                plain.append(event)
            stream.delivered = event.version
            self._recent.keep(event)
        self._deliver_plain(stream, plain)
        self._forget_if_idle(stream.chat_id)
        if stream.early and stream.listeners:
            self._fill_later(stream, max(stream.early))

    def _deliver_plain(self, stream: Stream, events: Sequence[ChatChanged]) -> None:
        """Changes that go to every listener alike: one write a socket for all of them."""
        if not events:
            return
        for event in events:
            self._stop_typing(event.chat_id, event.ends_typing_of)
        batch = Batch([event.push for event in events])
        chat_id = stream.chat_id
        for connection in stream.listeners:
            connection.write(batch, chat_id=chat_id)
        self._count(batch, len(stream.listeners), events[0])

    def _count(self, batch: Batch, listeners: int, oldest: ChatChanged) -> None:
        """Once a batch, not once a socket: the numbers must not cost what they measure."""
        self._count_written(batch, listeners)
        self._metrics.commit_to_socket.observe(time.monotonic() - oldest.committed_at_s)

    def _count_written(self, batch: Batch, listeners: int) -> None:
        self._metrics.deliveries.inc(listeners * len(batch.texts))
        self._metrics.push_bytes.inc(listeners * batch.size)

    def _deliver(self, stream: Stream, event: ChatChanged) -> None:
        """A change of who listens, or one that late sockets may have read already."""
        self._stop_typing(event.chat_id, event.ends_typing_of)
        batch = Batch([event.push])
        listening = [one for one in stream.listeners if stream.late.get(one, 0) < event.version]
        for connection in listening:
            stream.late.pop(connection, None)
            if connection.user_id not in event.joined:
                connection.write(batch, chat_id=event.chat_id)
        self._count(batch, len(listening), event)
        for user_id in event.joined:
            self._join(stream, user_id, event.version, event.joined_push or event.push)
        for connection in listening:
            if connection.user_id in event.left:
                self._end(connection, stream.chat_id)

    def _stop_typing(self, chat_id: int, user_id: int | None) -> None:
        if user_id is not None and self._manager.stop_typing(chat_id, user_id):
            push = pushes.typing(chat_id, user_id, is_typing=False)
            self.signal(chat_id, push, but_user=user_id)

    def _join(self, stream: Stream, user_id: int, version: int, text: bytes) -> None:
        batch = Batch([text])
        for connection in self._manager.list_of_user(user_id):
            is_wanted = connection.is_open and connection.only_chat_id in (None, stream.chat_id)
            if is_wanted and stream.late.get(connection, 0) < version:
                stream.listeners[connection] = None
                self._manager.enter(connection, stream.chat_id, version)
                connection.write(batch, chat_id=stream.chat_id)

    def admit(self, chat_id: int, user_ids: Sequence[int]) -> None:
        """Let in the sockets of these people that do not listen, where the store says that they are in."""
        for user_id in user_ids:
            if self._list_strangers(user_id, chat_id):
                self._run_aside(self._admit(user_id, chat_id))

    def _run_aside(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._aside.add(task)
        task.add_done_callback(self._aside.discard)

    def _list_strangers(self, user_id: int, chat_id: int) -> list[Connection]:
        """The user's open sockets that would listen to the chat and do not."""
        return [
            one
            for one in self._manager.list_of_user(user_id)
            if one.is_open and one.only_chat_id in (None, chat_id) and chat_id not in one.chats
        ]

    async def _admit(self, user_id: int, chat_id: int) -> None:
        while self._list_strangers(user_id, chat_id):
            try:
                found = await self._metadata.read(
                    lambda unit: unit.participants.find_membership(chat_id, user_id)
                )
            except Unavailable:
                await asyncio.sleep(FILL_RETRY_S)
                continue
            if found is None:
                for connection in self._list_strangers(user_id, chat_id):
                    if connection.only_chat_id == chat_id:
                        connection.close(4003, "not_found")
                return
            chat, stream = found[0], self._streams.get(chat_id)
            if stream is not None and stream.people_at > chat.version:
                await asyncio.sleep(HOLE_WAIT_S)  # the membership may have ended since it was read
                continue
            # Others may have heard more since it was read: the client finds that missing, and asks for it.
            version = chat.version if stream is None else max(chat.version, stream.delivered)
            for connection in self._list_strangers(user_id, chat_id):
                self._enter(connection, chat_id, version)
                connection.write(Batch([pushes.chat_created(chat, self._epoch.value)]), chat_id=chat_id)

    def _end(self, connection: Connection, chat_id: int) -> None:
        """The user's membership is over: this socket hears the chat no more."""
        connection.deliver_held(chat_id)
        self._stop_typing(chat_id, connection.user_id)
        self._leave(connection, chat_id)
        if connection.only_chat_id == chat_id:
            connection.close(4003, "not_found")

    # --- Holes ------------------------------------------------------------------------------------

    async def check_all(self, wait_s: float = HOLE_WAIT_S) -> None:
        """Ask the store which chats moved on unseen, and fill what is still missing after `wait_s`."""
        await self.check_versions(list(self._streams), wait_s)

    def check_later(self, chat_ids: Collection[int]) -> None:
        """The bus may have missed changes of these chats until now."""
        self._run_aside(self.check_versions([one for one in chat_ids if one in self._streams]))

    async def check_versions(self, chat_ids: Sequence[int], wait_s: float = HOLE_WAIT_S) -> None:
        for start in range(0, len(chat_ids), _WATCH_CHUNK):
            part = chat_ids[start : start + _WATCH_CHUNK]
            try:
                versions = await self._get_versions(part)
            except Unavailable:
                return  # the next round asks again
            for chat_id, version in versions.items():
                stream = self._streams.get(chat_id)
                if stream is not None and version > stream.delivered:
                    self._fill_later(stream, version, wait_s)

    async def _get_versions(self, chat_ids: Sequence[int]) -> dict[int, int]:
        return await self._metadata.read(lambda unit: unit.chats.get_versions(chat_ids))

    def _fill_later(self, stream: Stream, version: int, wait_s: float = HOLE_WAIT_S) -> None:
        stream.known = max(stream.known, version)
        if stream.filling is None:
            stream.filling = asyncio.create_task(self._fill(stream, wait_s))

    async def _fill(self, stream: Stream, wait_s: float) -> None:
        """Wait a moment for what is missing; deliver it from the store if it does not come."""
        try:
            await asyncio.sleep(wait_s)
            while stream.delivered < stream.known and self._streams.get(stream.chat_id) is stream:
                since = stream.delivered
                try:
                    filling = await self._holes.read(stream.chat_id, since)
                except Unavailable:
                    await asyncio.sleep(FILL_RETRY_S)
                    continue
                if filling is None:
                    break
                self._apply(stream, filling)
                if stream.delivered == since:  # the store is behind what was heard: it has been restored
                    await asyncio.sleep(FILL_RETRY_S)
        finally:
            stream.filling = None
        if self._streams.get(stream.chat_id) is stream:
            self._advance(stream)

    def _apply(self, stream: Stream, filling: Filling) -> None:
        """Deliver a page from the store, unless what was missing has come in the meantime."""
        chat, changes = filling.chat, filling.changes
        if changes.since != stream.delivered or changes.to <= stream.delivered:
            return
        self._metrics.holes.inc()
        log.info("hole_filled", chat_id=stream.chat_id, since=changes.since, to=changes.to)
        ended = {one.user_id: one.version for one in changes.participants if not one.is_present}
        batch, listening = Batch([pushes.changes(changes)]), list(stream.listeners)
        for one in changes.participants:
            if one.is_present and not self._manager.list_listeners(one.user_id, stream.chat_id):
                self._join(stream, one.user_id, changes.to, pushes.chat_created(chat, self._epoch.value))
        for connection in listening:
            version, floor = ended.get(connection.user_id, 0), stream.late.get(connection, 0)
            if version > floor:  # else the user has come back since
                push = pushes.user_left(stream.chat_id, version, connection.user_id)
                connection.write(Batch([push]), chat_id=stream.chat_id)
                self._end(connection, stream.chat_id)
            elif floor < changes.to:
                connection.write_changes(batch, stream.chat_id)
        self._count_written(batch, len(listening))
        stream.delivered = changes.to
        if changes.participants:
            stream.people_at = changes.to
        for version in [version for version in stream.early if version <= changes.to]:
            del stream.early[version]
        for connection in [one for one, floor in stream.late.items() if floor <= changes.to]:
            del stream.late[connection]
