"""Every node is restarted, one after the other, while people write: nothing is lost, and nobody stampedes."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.protocol import State

from chat_service.settings import Settings
from tests.builders import TestUser, a_group, some_users
from tests.cluster import on
from tests.eventually import eventually
from tests.node import Node, make_settings
from tests.replica import Replica, check_same

NODES, PEOPLE, DEVICES = 3, 6, 20
pytestmark = pytest.mark.timeout(180)


@dataclass
class Balancer:
    """Which nodes take new connections, as a balancer learns from `/readyz`."""

    nodes: list[Node]
    ready: list[Node] = field(default_factory=list)

    async def watch(self) -> None:
        async with httpx2.AsyncClient(timeout=2) as http:
            while True:
                ready = []
                for node in list(self.nodes):
                    with contextlib.suppress(httpx2.TransportError):
                        if (await http.get(f"{node.url}/readyz")).status_code == 200:
                            ready.append(node)
                self.ready = ready
                await asyncio.sleep(0.1)

    def pick(self) -> Node:
        return random.choice(self.ready or self.nodes)


@dataclass
class Device:
    """Follows the contract: after 1012 it waits as long as it was told, connects elsewhere and resumes."""

    user: TestUser
    balancer: Balancer
    replica: Replica = field(init=False)
    due_s: list[float] = field(default_factory=list)
    """When it was to come back: on a busy machine several then get through at once."""
    came_back_s: list[float] = field(default_factory=list)
    ends: list[tuple[int | None, str | None]] = field(default_factory=list)

    async def start(self) -> None:
        self.replica = Replica(on(self.user, self.balancer.pick()))
        await self.replica.start()

    @property
    def is_connected(self) -> bool:
        """Whether the present socket is open, and its resume was answered."""
        socket = self.replica.client.socket
        return len(self.came_back_s) == len(self.ends) and socket is not None and socket.state is State.OPEN

    async def run(self) -> None:
        while True:
            client = self.replica.client
            assert client._reader is not None
            await asyncio.shield(client._reader)
            assert client.socket is not None
            self.ends.append((client.socket.close_code, client.socket.close_reason))
            told = client.pushes("server_restarting")
            delay_s = told[-1]["retry_after_ms"] / 1000 if told else random.uniform(0.1, 0.5)
            self.due_s.append(time.monotonic() + delay_s)
            await asyncio.sleep(delay_s)
            await self._come_back()

    async def _come_back(self) -> None:
        await self.replica.stop()
        while True:
            self.replica.user = on(self.user, self.balancer.pick())
            with contextlib.suppress(OSError, ConnectionClosed, InvalidHandshake, AssertionError):
                await self.replica.resume()
                self.came_back_s.append(time.monotonic())
                return
            await asyncio.sleep(random.uniform(0.1, 0.4))


async def write(user: TestUser, balancer: Balancer, chat_id: int, acknowledged: dict[str, str]) -> None:
    """Send over REST, and again with the same key what got no answer."""
    async with httpx2.AsyncClient(timeout=10, headers=user.http.headers) as http:
        for number in itertools.count():
            key = f"{user.id}-{number}"
            body = {"chat_id": chat_id, "content": key, "client_message_id": key}
            while key not in acknowledged:
                with contextlib.suppress(httpx2.TransportError):
                    answer = await http.post(f"{balancer.pick().url}/api/v1/messages", json=body)
                    if answer.status_code in (200, 201):
                        acknowledged[key] = answer.json()["id"]
                        break
                    assert answer.status_code == 503, answer.text
                await asyncio.sleep(0.05)
            await asyncio.sleep(0.02)


@pytest.fixture
def settings(mysql_database_url: str, mongodb_database_url: str, redis_url: str, tmp_path: Path) -> Settings:
    return make_settings(
        data_dir=tmp_path,
        database_url=mysql_database_url,
        content_url=mongodb_database_url,
        redis_url=redis_url,
        auto_migrate=True,
        drain_seconds=0.5,
    )


async def restart(balancer: Balancer, index: int, settings: Settings) -> float:
    """Stop a node as SIGTERM does and start another in its place; how long the stop took."""
    began_s = time.monotonic()
    await asyncio.to_thread(balancer.nodes[index].stop)
    took_s = time.monotonic() - began_s
    balancer.nodes[index] = await asyncio.to_thread(Node(settings).__enter__)
    return took_s


async def test_a_rolling_restart_under_load_loses_nothing_and_nobody_stampedes(settings: Settings) -> None:
    balancer = Balancer([Node(settings).__enter__() for _ in range(NODES)])
    acknowledged: dict[str, str] = {}
    tasks = [asyncio.create_task(balancer.watch())]
    try:
        people = await some_users(balancer.nodes[0], PEOPLE)
        chat_id = await a_group(*people)
        devices = [Device(people[number % PEOPLE], balancer) for number in range(DEVICES)]
        for device in devices:
            await device.start()
        tasks += [asyncio.create_task(device.run()) for device in devices]
        writers = [asyncio.create_task(write(user, balancer, chat_id, acknowledged)) for user in people[:3]]
        stops = []
        for index in range(NODES):
            await asyncio.sleep(1)
            stops.append(await restart(balancer, index, settings))
        await eventually(lambda: all(device.is_connected for device in devices), within_s=60)
        for writer in writers:
            writer.cancel()
        await asyncio.gather(*writers, return_exceptions=True)
        for device in devices:
            await check_same(device.replica)
        check(devices, acknowledged, chat_id, stops)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for device in devices:
            await device.replica.stop()
        for node in balancer.nodes:
            await asyncio.to_thread(node.stop)


def check(devices: list[Device], acknowledged: dict[str, str], chat_id: int, stops: list[float]) -> None:
    assert len(acknowledged) > 50
    for device in devices:
        held = device.replica.chats[chat_id].messages
        stored = {message["client_message_id"]: message["id"] for message in held.values()}
        assert stored.items() >= acknowledged.items()
        assert sorted(held) == list(range(1, len(held) + 1))
    ends = Counter(end for device in devices for end in device.ends)
    assert set(ends) == {(1012, "server_restarting")}, ends
    assert max(stops) < 10, stops
    returns = sorted(moment for device in devices for moment in device.due_s)
    crowd = max(sum(moment <= other < moment + 0.1 for other in returns) for moment in returns)
    print(f"{len(acknowledged)} acknowledged, {ends}, at most {crowd} of {len(returns)} due within 0.1 s")
    assert crowd <= len(returns) / 3
