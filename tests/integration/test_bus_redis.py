"""Several nodes' buses on one real Redis: what reaches whom, and what happens when Redis is gone."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit
from uuid import UUID

import pytest
import redis
from structlog.testing import capture_logs

from chat_service.adapters import bus_redis
from chat_service.adapters.bus_redis import RedisBus
from chat_service.adapters.bus_wire import Channels
from chat_service.domain.errors import Unavailable
from chat_service.domain.events import ChatChanged, Event, SessionsEnded, TypingChanged, UserNotified
from chat_service.domain.ids import new_id
from tests.eventually import eventually
from tests.network import Network
from tests.servers import Redis, free_port

DEPLOYMENT = "deployment"


@dataclass
class Ear:
    """A bus, and what it hands on."""

    bus: RedisBus
    events: list[Event] = field(default_factory=list)
    gaps: list[int] = field(default_factory=list)

    def hear(self, events: Sequence[Event]) -> None:
        self.events += events


@contextlib.asynccontextmanager
async def nodes(url: str, *deployments: str) -> AsyncIterator[list[Ear]]:
    """A bus for each deployment named, all up."""
    ears, running = [], []
    for deployment in deployments:
        ear = Ear(RedisBus(url, new_id()))
        ear.bus.subscribe(ear.hear)
        ear.bus.subscribe_gaps(ear.gaps.extend)
        await ear.bus.connect(deployment)
        running.append(asyncio.create_task(ear.bus.run()))
        ears.append(ear)
    try:
        await eventually(lambda: all(ear.bus.is_up for ear in ears))
        yield ears
    finally:
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)


async def settle(one: Ear, other: Ear) -> None:
    """Return when everything that `one` has published before has reached `other`."""
    mark = SessionsEnded((new_id(),), "mark")
    one.bus.publish([mark])
    await eventually(lambda: mark in other.events)


def a_change(version: int, chat_id: int = 1, **fields: object) -> ChatChanged:
    return ChatChanged(chat_id, version, b'{"version":%d}' % version, **fields)  # type: ignore[arg-type]


def chat_events(ear: Ear) -> list[Event]:
    return [event for event in ear.events if not isinstance(event, SessionsEnded)]


async def test_a_node_hears_the_chats_that_it_listens_to_and_no_others(redis_url: str) -> None:
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        other.bus.hear_chat(1)
        await eventually(lambda: other.gaps == [1])
        one.bus.publish([a_change(2), a_change(2, chat_id=5), a_change(3)])
        await settle(one, other)
        assert chat_events(other) == [a_change(2), a_change(3)]
        other.bus.ignore_chat(1)
        other.bus.hear_chat(5)
        await eventually(lambda: other.gaps == [1, 5])
        one.bus.publish([a_change(4), a_change(4, chat_id=5)])
        await settle(one, other)
        assert chat_events(other)[2:] == [a_change(4, chat_id=5)]


async def test_who_joins_a_chat_that_the_node_does_not_hear_is_reached(redis_url: str) -> None:
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        await other.bus.hear_user(7)
        joined = a_change(2, joined=(7,), joined_push=b"{}")
        notice = UserNotified((7, 8), b"{}", frozenset({1}))
        one.bus.publish([joined, notice])
        await settle(one, other)
        assert chat_events(other) == [joined, UserNotified((7,), b"{}", frozenset({1}))]
        other.bus.ignore_user(7)
        await settle(other, one)


async def test_two_deployments_on_one_redis_never_mix(redis_url: str) -> None:
    async with nodes(redis_url, "a", "a", "b") as (one, other, stranger):
        for ear in (other, stranger):
            ear.bus.hear_chat(1)
            await ear.bus.hear_user(7)
            await eventually(lambda ear=ear: ear.gaps == [1])  # type: ignore[misc]
        one.bus.publish([a_change(2, joined=(7,)), SessionsEnded((UUID(int=1),), "session_revoked")])
        await settle(one, other)
        assert a_change(2, joined=(7,)) in other.events
        await eventually(lambda: len(one.bus.list_heard()) == 1)
        assert stranger.events == []
        assert stranger.bus.list_heard() == set()


async def test_nodes_know_whom_they_hear(redis_url: str) -> None:
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        await eventually(lambda: one.bus.list_heard() and other.bus.list_heard())
        assert one.bus.list_heard() == {str(other.bus._node_id)}
        assert other.bus.list_heard() == {str(one.bus._node_id)}


async def test_foreign_and_malformed_messages_are_ignored_with_a_line_in_the_log(redis_url: str) -> None:
    async with nodes(redis_url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        channel = Channels(DEPLOYMENT).nodes
        with redis.Redis.from_url(redis_url) as client, capture_logs() as logs:
            for text in (b"hello", b"C\x09" + bytes(16), b"C\x01" + bytes(20)):
                client.execute_command("SPUBLISH", channel, text)
            await settle(one, other)
        lines = [line for line in logs if line["event"] == "bus_message_ignored"]
        assert lines
        assert lines[0]["reason"] == "not a message of a node"
        assert chat_events(other) == []


async def test_a_redis_without_sharding_is_used_the_plain_way(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis 6 answers the command as unknown; an account that may not use it is refused alike."""
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ACL", "SETUSER", "plain", "on", ">secret", "~*", "&*", "+@all", "-spublish")
    url = redis_url.replace("redis://", "redis://plain:secret@")
    async with nodes(url, DEPLOYMENT, DEPLOYMENT) as (one, other):
        assert not one.bus._is_sharded
        other.bus.hear_chat(1)
        await eventually(lambda: other.gaps == [1])
        one.bus.publish([a_change(2)])
        await settle(one, other)
        assert chat_events(other) == [a_change(2)]


async def test_a_chat_heard_again_after_redis_came_back_is_a_gap() -> None:
    with Redis() as server:
        async with nodes(server.url, DEPLOYMENT, DEPLOYMENT) as (one, other):
            other.bus.hear_chat(1)
            await other.bus.hear_user(7)
            await eventually(lambda: other.gaps == [1])
            await asyncio.to_thread(server.kill)
            await eventually(lambda: not one.bus.is_up and not other.bus.is_up, within_s=2)
            with pytest.raises(Unavailable):
                await one.bus.ping()
            began_s = time.monotonic()
            one.bus.publish([a_change(2)])
            await other.bus.hear_user(8)
            assert time.monotonic() - began_s < bus_redis.USER_WAIT_S
            await asyncio.to_thread(server.start)
            await eventually(lambda: one.bus.is_up and other.bus.is_up, within_s=5)
            await eventually(lambda: other.gaps == [1, 1])
            one.bus.publish([a_change(3), UserNotified((8,), b"{}", frozenset())])
            await settle(one, other)
            heard = [event for event in chat_events(other) if event != a_change(2)]
            assert heard == [a_change(3), UserNotified((8,), b"{}", frozenset())]


async def test_what_redis_did_not_answer_is_said_again(redis_url: str) -> None:
    """What is published while a node's connections are cut arrives as soon as it has new ones."""
    parts = urlsplit(redis_url)
    with Network(parts.port or 6379) as network:
        cut_off = parts._replace(netloc=f"127.0.0.1:{network.port}").geturl()
        async with nodes(cut_off, DEPLOYMENT) as (one,), nodes(redis_url, DEPLOYMENT) as (other,):
            other.bus.hear_chat(1)
            await other.bus.hear_user(7)
            await eventually(lambda: other.gaps == [1])
            network.silence()
            one.bus.publish([a_change(2), TypingChanged(1, 7, is_typing=True)])
            await eventually(lambda: bool(one.bus._saying) and not one.bus._queue)
            network.cut()
            network.speak()
            await eventually(lambda: not one.bus._is_connected)
            one.bus.publish([a_change(3)])
            one.bus.publish([TypingChanged(1, 7, is_typing=False)])
            expected = [a_change(2), a_change(3)]
            await eventually(lambda: all(event in chat_events(other) for event in expected))
            await settle(one, other)
            assert TypingChanged(1, 7, is_typing=False) not in other.events, "that moment is over"


async def test_after_redis_came_back_only_those_count_as_heard_who_have_spoken_since() -> None:
    with Redis() as server:
        async with nodes(server.url, DEPLOYMENT) as (one,):
            async with nodes(server.url, DEPLOYMENT) as (other,):
                await eventually(lambda: one.bus.list_heard() == {str(other.bus._node_id)})
            await asyncio.to_thread(server.kill)
            await eventually(lambda: not one.bus.is_up)
            await asyncio.to_thread(server.start)
            await eventually(lambda: one.bus.is_up)
            assert one.bus.list_heard() == set()
            async with nodes(server.url, DEPLOYMENT) as (other,):
                await eventually(lambda: one.bus.list_heard() == {str(other.bus._node_id)})


def publish_many(ear: Ear) -> float:
    """How many seconds a hundred take. To wait for a frozen Redis only once would take at least as long as it
    takes to notice that it is frozen."""
    began_s = time.monotonic()
    for version in range(100):
        ear.bus.publish([a_change(version + 2)])
    return time.monotonic() - began_s


async def test_a_frozen_redis_is_noticed_and_holds_nobody() -> None:
    with Redis() as server:
        async with nodes(server.url, DEPLOYMENT) as (one,):
            server.freeze()
            assert publish_many(one) < bus_redis.SILENT_S, "while nobody has noticed yet"
            took_s = await eventually(lambda: not one.bus.is_up, within_s=3)
            assert took_s < 2.5
            assert publish_many(one) < bus_redis.SILENT_S, "while the bus is known to be down"
            server.thaw()
            await eventually(lambda: one.bus.is_up, within_s=6)


async def test_more_than_the_queue_holds_is_dropped_and_nothing_grows(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bus_redis, "QUEUE_BYTES", 10_000)
    outcomes: dict[str, int] = {}

    def count(outcome: str, number: int) -> None:
        outcomes[outcome] = outcomes.get(outcome, 0) + number

    async with nodes(redis_url, DEPLOYMENT) as (one,):
        one.bus._observe = count
        for version in range(2, 102):  # without a pause: nothing can be sent in between
            one.bus.publish([ChatChanged(1, version, b"{" + b"x" * 1_000)])
        assert one.bus._queued_bytes <= 10_000
        assert outcomes["dropped"] > 80
        await eventually(lambda: not one.bus._queue)


async def answer_rudely(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


async def test_an_address_where_nobody_or_somebody_else_answers_is_told_without_a_hang() -> None:
    rude = await asyncio.start_server(answer_rudely, "127.0.0.1", 0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (free_port(), silent.getsockname()[1], rude.sockets[0].getsockname()[1]):
            began_s = time.monotonic()
            with pytest.raises(Unavailable) as refusal:
                await RedisBus(f"redis://127.0.0.1:{port}/0", new_id()).connect(DEPLOYMENT)
            assert time.monotonic() - began_s < 4
            assert str(refusal.value)
            assert str(refusal.value) != Unavailable.default
    rude.close()
