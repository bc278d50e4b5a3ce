"""How long a message takes from the socket that sends it to one of another node, at 200 messages a second."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson

from chat_service.load.options import LoadOptions
from chat_service.load.people import Group, Person, make_groups, register_people
from chat_service.load.sockets import SocketClient
from tests.crash_server import Lives
from tests.faults.stage import Stage
from tests.servers import free_port, mysql_connection, with_database

RATE = 200.0
LASTS_S = 15.0
CHATS = 20
TARGET_MS = 10.0
OPEN_S = 10.0


@dataclass
class _Ear:
    """One socket for one chat: hears when each message came."""

    url: str
    person: Person
    chat_id: int
    came_s: dict[str, float] = field(default_factory=dict)
    is_open: asyncio.Event = field(default_factory=asyncio.Event)

    async def open(self) -> None:
        self.socket = SocketClient(self.url, f"/ws/{self.chat_id}", self.person.token, self)
        host, _, port = self.url.rpartition("/")[2].partition(":")
        await asyncio.get_running_loop().create_connection(lambda: self.socket, host, int(port))
        await asyncio.wait_for(self.is_open.wait(), OPEN_S)

    def opened(self) -> None:
        """The `connected` frame is what counts."""

    def knows(self, chunk: bytes) -> bool:
        return False

    def heard(self, texts: list[bytes], chunk: bytes | None) -> None:
        now_s = time.perf_counter()
        for text in texts:
            frame = orjson.loads(text)
            if frame["type"] == "connected":
                self.is_open.set()
            elif frame["type"] == "new_message":
                self.came_s[frame["message"]["client_message_id"]] = now_s

    def ended(self, code: int, reason: str) -> None:
        """A socket that ends hears nothing more, which shows in what was delivered."""


@dataclass(frozen=True)
class Crossing:
    messages: int
    delivered: int
    same_node_ms: float
    other_node_ms: float
    """Medians, from the send to the delivery."""


@contextlib.contextmanager
def two_nodes(stage: Stage) -> Iterator[list[Lives]]:
    """Without the networks that a fault would use, and in databases of their own."""
    with mysql_connection(stage.mariadb.url) as cursor:
        cursor.execute("CREATE DATABASE crossing")
    with contextlib.ExitStack() as stack:
        nodes = []
        for number in range(2):
            folder = Path(stage.folder, f"crossing{number}")
            folder.mkdir()
            node = Lives(
                folder,
                stage.nodes[number].host,
                data_dir=folder,
                port=free_port(),
                database_url=with_database(stage.mariadb.url, "crossing"),
                content_url=with_database(stage.mongodb.url, "crossing"),
                redis_url=stage.redis.url,
                auto_migrate=True,
                log_level="warning",
            )
            stack.callback(node.close)
            node.start()
            nodes.append(node)
        yield nodes


async def measure(nodes: list[Lives]) -> Crossing:
    """One sends in each chat by the first node; the same person and another one listen there and here."""
    options = LoadOptions(url=nodes[0].url, chats=CHATS, people=2, accounts=4)
    groups = await make_groups(options, await register_people(options))
    senders: list[tuple[Group, _Ear]] = []
    here, there = [], []
    for group in groups:
        sender, near, far = (
            _Ear(nodes[0].url, group.people[0], group.id),
            _Ear(nodes[0].url, group.people[1], group.id),
            _Ear(nodes[1].url, group.people[1], group.id),
        )
        for one in (sender, near, far):
            await one.open()
        senders.append((group, sender))
        here.append(near)
        there.append(far)
    await asyncio.sleep(1)  # both nodes hear each other's chats
    sent_s = await _send(senders, int(LASTS_S * RATE))
    await asyncio.sleep(1)
    for one in (*here, *there, *(ear for _, ear in senders)):
        one.socket.close()
    waits = [_list_waits(sent_s, ears) for ears in (here, there)]
    medians = [statistics.median(one) * 1000 if one else float("inf") for one in waits]
    return Crossing(len(sent_s), len(waits[1]), round(medians[0], 1), round(medians[1], 1))


async def _send(senders: list[tuple[Group, _Ear]], count: int) -> dict[str, float]:
    """When each message was sent, by key."""
    sent_s: dict[str, float] = {}
    began_s = time.perf_counter()
    for number in range(count):
        await asyncio.sleep(max(0.0, began_s + number / RATE - time.perf_counter()))
        group, ear = senders[number % len(senders)]
        key = f"crossing-{number}"
        frame = {"type": "send_message", "ref": key, "chat_id": group.id, "client_message_id": key}
        sent_s[key] = time.perf_counter()
        ear.socket.send([orjson.dumps({**frame, "content": "x" * 100})])
    return sent_s


def _list_waits(sent_s: dict[str, float], ears: list[_Ear]) -> list[float]:
    """Each of the messages went to one of these ears."""
    came_s = {key: at_s for ear in ears for key, at_s in ear.came_s.items()}
    return [came_s[key] - at_s for key, at_s in sent_s.items() if key in came_s]
