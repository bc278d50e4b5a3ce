"""The bus over Redis pub/sub, sharded where the server has it (Redis 7), plain otherwise.

Two connections: one says what this node publishes, the other hears what it has subscribed to. Both live and
die together; after a failure everything is subscribed again, and whoever listens is told of the gap. Redis
holds nothing: a message that finds no subscriber is gone, which the store makes up for.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import structlog

from chat_service.adapters.bus_memory import MemoryBus
from chat_service.adapters.bus_subscriptions import Subscriptions
from chat_service.adapters.bus_wire import Channels, NotOurs, decode, encode
from chat_service.adapters.redis_link import RedisLink, in_chunks
from chat_service.domain.errors import Unavailable
from chat_service.domain.events import Event, is_durable
from chat_service.services.ports.bus import EventHandler, GapHandler

log = structlog.get_logger(__name__)

QUEUE_BYTES = 8 * 1024 * 1024
"""Of messages that wait for Redis; beyond it the oldest are dropped."""
UNSAID_S = 3.0
"""What Redis did not take within this time is dropped: by then the other nodes ask the store."""
SENT_TOGETHER = 512
BEAT_S = 0.15
MANY_NODES = 16
"""Every node hears the signs of life of all; where there are more they come more seldom."""
SILENT_S = 1.5
"""Without a sign of life of our own for this long the bus counts as down, and after twice of it the
connections are given up."""
HEARD_BEATS = 4
"""A node that has not been heard for so many beats may say what does not arrive."""
USER_WAIT_S = 0.5
GAP_BATCH_S = 0.005
FLUSH_S = 0.5
BACKOFF_S = (0.1, 2.0)
_SUBSCRIBED_TOGETHER = 500
_READ_BEFORE_YIELD = 100
_LOG_EVERY_S = 1.0

Observe = Callable[[str, int], None]
"""Hears how many messages were `sent`, `received`, `dropped` or `ignored`."""


def _ignore(_outcome: str, _count: int) -> None:
    pass


class Waiting(NamedTuple):
    """A message for Redis."""

    said_s: float
    channel: bytes
    message: bytes
    may_wait: bool
    """For a connection; else it is of this moment only."""


class RedisBus:
    """A `Bus`. `node_id` tells this node's messages from those of others."""

    def __init__(self, url: str, node_id: UUID, *, observe: Observe = _ignore) -> None:
        self._url = url
        self._node_id = node_id
        self._observe = observe
        self._local = MemoryBus()
        self._gap_handlers: tuple[GapHandler, ...] = ()
        self._channels = Channels("")
        self._subscriptions = Subscriptions()
        self._queue: deque[Waiting] = deque()
        self._queued_bytes = 0
        self._saying: list[Waiting] = []
        self._has_queued = asyncio.Event()
        self._is_sharded = True
        self._is_connected = False
        self._looped_s = 0.0
        self._heard: dict[str, float] = {}
        self._gaps: set[int] = set()
        self._logged_s = 0.0

    # --- The port ---------------------------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """What this node says comes back to it over Redis."""
        return self._is_connected and time.monotonic() - self._looped_s < self._silent_s

    def subscribe(self, handler: EventHandler) -> None:
        self._local.subscribe(handler)

    def subscribe_gaps(self, handler: GapHandler) -> None:
        self._gap_handlers = (*self._gap_handlers, handler)

    def publish(self, events: Sequence[Event]) -> None:
        self._local.publish(events)
        for channel, group in self._channels.sort(events).items():
            may_wait = any(map(is_durable, group))
            if self._is_connected or may_wait:
                for message in encode(self._node_id, group):
                    self._enqueue(channel, message, may_wait=may_wait)
            else:
                self._observe("dropped", 1)

    def hear_chat(self, chat_id: int) -> None:
        self._subscriptions.want(self._channels.of_chat(chat_id))

    def ignore_chat(self, chat_id: int) -> None:
        self._subscriptions.drop(self._channels.of_chat(chat_id))

    async def hear_user(self, user_id: int) -> None:
        channel = self._channels.of_user(user_id)
        self._subscriptions.want(channel)
        if self.is_up:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(USER_WAIT_S):
                    await self._subscriptions.wait(channel)

    def ignore_user(self, user_id: int) -> None:
        self._subscriptions.drop(self._channels.of_user(user_id))

    def list_heard(self) -> set[str]:
        oldest_s = time.monotonic() - HEARD_BEATS * self._beat_s
        self._heard = {node: heard_s for node, heard_s in self._heard.items() if heard_s > oldest_s}
        return set(self._heard)

    async def connect(self, deployment_id: str) -> None:
        self._channels = Channels(deployment_id)
        self._subscriptions.want(self._channels.nodes)
        link = RedisLink(self._url)
        try:
            await link.open()
            await self._find_dialect(link)
        finally:
            await link.close()

    async def ping(self) -> None:
        if not self.is_up:
            raise Unavailable

    async def close(self) -> None:
        await self._local.close()
        self._gap_handlers = ()

    # --- Connections ------------------------------------------------------------------------------

    async def run(self) -> None:
        pause_s, was_up = BACKOFF_S[0], True
        while True:
            began_s = time.monotonic()
            try:
                await self._connect_and_serve()
            except* Unavailable as group:
                if was_up or self._looped_s > began_s:
                    log.warning("bus_down", reason=str(group.exceptions[0]))
                was_up = False
            finally:
                self._is_connected = False
            if self._looped_s > began_s:
                pause_s = BACKOFF_S[0]
            await asyncio.sleep(pause_s * random.uniform(0.5, 1.0))  # noqa: S311 - jitter
            pause_s = min(2 * pause_s, BACKOFF_S[1])

    async def _connect_and_serve(self) -> None:
        speaker, listener = RedisLink(self._url), RedisLink(self._url)
        try:
            await speaker.open()
            await listener.open()
            await self._find_dialect(speaker)
            self._subscriptions.restart()
            self._say_again()
            self._is_connected, self._looped_s = True, 0.0
            # Others may still be on their way back, and what they say meanwhile is dropped.
            self._heard.clear()
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._beat())
                tasks.create_task(self._speak(speaker))
                tasks.create_task(self._listen(listener))
                tasks.create_task(self._keep_subscribed(listener))
        except asyncio.CancelledError:
            await self._flush(speaker)
            raise
        finally:
            self._is_connected = False
            await speaker.close()
            await listener.close()

    async def _find_dialect(self, link: RedisLink) -> None:
        """Whether the server has sharded pub/sub: ask for it with a sign of life."""
        (message,) = encode(self._node_id, [])
        (answer,) = await link.call(("SPUBLISH", self._channels.nodes, message))
        self._is_sharded = not isinstance(answer, Exception)
        if not self._is_sharded:
            (answer,) = await link.call(("PUBLISH", self._channels.nodes, message))
            if isinstance(answer, Exception):
                raise Unavailable(str(answer))

    # --- Saying -----------------------------------------------------------------------------------

    def _enqueue(self, channel: bytes, message: bytes, *, may_wait: bool) -> None:
        now_s = time.monotonic()
        self._queue.append(Waiting(now_s, channel, message, may_wait))
        self._queued_bytes += len(message)
        self._drop_old(now_s)
        self._has_queued.set()

    def _drop_old(self, now_s: float) -> None:
        dropped = 0
        while self._queue and (self._queue[0].said_s < now_s - UNSAID_S or self._queued_bytes > QUEUE_BYTES):
            self._queued_bytes -= len(self._queue.popleft().message)
            dropped += 1
        if dropped:
            self._observe("dropped", dropped)

    def _say_again(self) -> None:
        """Redis may not have heard what it did not answer."""
        waiting = [*self._saying, *self._queue]
        self._saying, self._queue = [], deque(one for one in waiting if one.may_wait)
        self._queued_bytes = sum(len(one.message) for one in self._queue)
        self._observe("dropped", len(waiting) - len(self._queue))
        self._drop_old(time.monotonic())
        if self._queue:
            self._has_queued.set()

    def _take_queued(self) -> list[tuple[bytes, bytes, bytes]]:
        """The next commands; they stay in `_saying` until they are answered."""
        self._saying = [self._queue.popleft() for _ in range(min(len(self._queue), SENT_TOGETHER))]
        self._queued_bytes -= sum(len(one.message) for one in self._saying)
        command = b"SPUBLISH" if self._is_sharded else b"PUBLISH"
        return [(command, one.channel, one.message) for one in self._saying]

    async def _speak(self, link: RedisLink) -> None:
        while True:
            await self._has_queued.wait()
            commands = self._take_queued()
            if not commands:
                self._has_queued.clear()
                continue
            answers = await link.call(*commands)
            self._saying = []
            refusals = [str(answer) for answer in answers if isinstance(answer, Exception)]
            self._observe("sent", len(answers) - len(refusals))
            if refusals:
                self._observe("dropped", len(refusals))
                raise Unavailable(refusals[0])

    @property
    def _beat_s(self) -> float:
        return BEAT_S * max(1.0, len(self._heard) / MANY_NODES)

    @property
    def _silent_s(self) -> float:
        return max(SILENT_S, HEARD_BEATS * self._beat_s)

    async def _beat(self) -> None:
        """Say that we live, hear it ourselves, and give up when it does not come back."""
        began_s = time.monotonic()
        while time.monotonic() - max(began_s, self._looped_s) < 2 * self._silent_s:
            self._say_alive()
            await asyncio.sleep(self._beat_s)
        raise Unavailable("Redis takes messages and hands none on")

    def _say_alive(self) -> None:
        (message,) = encode(self._node_id, [])
        self._enqueue(self._channels.nodes, message, may_wait=False)

    async def _flush(self, link: RedisLink) -> None:
        """The node ends: say what has been published, if that is quick."""
        with contextlib.suppress(Unavailable, TimeoutError):
            async with asyncio.timeout(FLUSH_S):
                while commands := self._take_queued():
                    await link.call(*commands)

    # --- Hearing ----------------------------------------------------------------------------------

    async def _keep_subscribed(self, link: RedisLink) -> None:
        mark = "S" if self._is_sharded else ""
        while True:
            more, less = await self._subscriptions.take_changes()
            for chunk in in_chunks(less, _SUBSCRIBED_TOGETHER):
                await link.send((f"{mark}UNSUBSCRIBE", *chunk))
            for chunk in in_chunks(more, _SUBSCRIBED_TOGETHER):
                await link.send((f"{mark}SUBSCRIBE", *chunk))

    async def _listen(self, link: RedisLink) -> None:
        count = 0
        while True:
            self._hear(await link.read())
            count += 1
            if count % _READ_BEFORE_YIELD == 0:
                await asyncio.sleep(0)

    def _hear(self, said: Any) -> None:
        kind, channel, payload = said if isinstance(said, list) and len(said) == 3 else (b"", b"", b"")
        if kind in (b"smessage", b"message"):
            self._receive(channel, payload)
        elif kind in (b"ssubscribe", b"subscribe") and self._subscriptions.confirm(channel):
            chat_id = self._channels.find_chat_id(channel)
            if chat_id is not None:
                self._note_gap(chat_id)
            elif channel == self._channels.nodes:
                self._say_alive()  # the first one that can come back

    def _receive(self, channel: bytes, payload: bytes) -> None:
        try:
            node_id, events = decode(payload)
        except NotOurs as error:
            self._observe("ignored", 1)
            if time.monotonic() - self._logged_s >= _LOG_EVERY_S:
                self._logged_s = time.monotonic()
                log.warning("bus_message_ignored", channel=channel.decode(), reason=str(error))
            return
        now_s = time.monotonic()
        if node_id != self._node_id:
            self._heard[str(node_id)] = now_s
            self._observe("received", 1)
            self._local.publish(events)
        elif not events:
            if not self._looped_s:
                log.info("bus_up", sharded=self._is_sharded, channels=len(self._subscriptions))
            self._looped_s = now_s

    def _note_gap(self, chat_id: int) -> None:
        if not self._gaps:
            asyncio.get_running_loop().call_later(GAP_BATCH_S, self._tell_gaps)
        self._gaps.add(chat_id)

    def _tell_gaps(self) -> None:
        gaps, self._gaps = self._gaps, set()
        for handler in self._gap_handlers:
            handler(gaps)
