"""Two nodes as processes behind HAProxy, by the configuration of docker-compose.yml: what clients see."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2
import pytest

from chat_service.migrations import HEAD
from chat_service.settings import Settings
from tests.builders import TestUser, a_group, a_user, close_clients, sockets, some_users
from tests.certificate import make_certificate
from tests.client import ChatClient
from tests.crash_server import Lives
from tests.deployed import Balancer, balancing
from tests.eventually import eventually
from tests.servers import Servers, free_port, mysql_connection

RULES = Path(__file__).parents[2] / "config" / "prometheus" / "rules.yml"
PEOPLE = 6
STOP_S = 30.0
IDLE_S = 75.0


@dataclass(frozen=True)
class Deployment:
    nodes: tuple[Lives, Lives]
    balancer: Balancer
    database_url: str

    @property
    def ports(self) -> tuple[int, int]:
        first, second = self.nodes
        return first.values["port"], second.values["port"]

    def count_ready(self) -> int:
        """How many nodes get new connections now."""
        shown = httpx2.get(f"{self.balancer.status_url}/metrics").text
        found = re.search(r'^haproxy_backend_active_servers\{proxy="nodes"\} (\d+)$', shown, re.MULTILINE)
        assert found is not None, shown
        return int(found[1])

    async def count_sockets(self) -> list[int]:
        async with httpx2.AsyncClient() as http:
            answers = [await http.get(f"{node.url}/health") for node in self.nodes]
        return [answer.json()["websocket_connections"] for answer in answers]


@pytest.fixture(scope="module")
def deployment(
    servers: Servers,
    mysql_database_url: str,
    mongodb_database_url: str,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Deployment]:
    """With the settings that docker-compose.yml leaves to their defaults."""
    values = {
        "database_url": mysql_database_url,
        "content_url": mongodb_database_url,
        "redis_url": servers.redis_url,
        "auto_migrate": True,
        "trusted_proxies": "127.0.0.1",
        "drain_seconds": Settings.model_fields["drain_seconds"].default,
    }
    with contextlib.ExitStack() as stack:
        nodes = []
        for name in ("first", "second"):
            folder = tmp_path_factory.mktemp(name)
            node = Lives(folder, port=free_port(), data_dir=folder, **values)
            stack.callback(node.close)
            node.start()
            nodes.append(node)
        first, second = nodes
        ports = (first.values["port"], second.values["port"])
        balancer = stack.enter_context(balancing(tmp_path_factory.mktemp("balancer"), *ports))
        yield Deployment((first, second), balancer, mysql_database_url)


@pytest.fixture(autouse=True)
async def _close_clients() -> AsyncIterator[None]:
    yield
    await close_clients()


async def keep_writing(user: TestUser, chat_id: int, statuses: list[int], acknowledged: list[str]) -> None:
    """Over REST, one message after the other, each once: what is refused is not repeated."""
    number = 0
    while True:
        number += 1
        body = {"chat_id": chat_id, "content": f"{user.id} {number}"}
        answer = await user.http.post("/messages", json=body)
        statuses.append(answer.status_code)
        if answer.status_code == 201:
            acknowledged.append(answer.json()["id"])
        await asyncio.sleep(0.01)


async def read_ids(user: TestUser, chat_id: int) -> list[str]:
    found: list[str] = []
    after = 0
    while after is not None:
        page = await user.get(f"/messages/chat/{chat_id}", after=after, limit=100)
        found += [message["id"] for message in page["items"]]
        after = page["next_after"]
    return found


async def test_a_client_cannot_say_where_it_comes_from(deployment: Deployment) -> None:
    ann = await a_user(deployment.balancer)
    account = {"username": ann.username, "password": ann.password}
    claimed = {"X-Forwarded-For": "203.0.113.7", "X-Forwarded-Proto": "https"}
    await ann.post("/users/login", account, status=200, **claimed)
    seen = {session["ip"] for session in (await ann.get("/auth/sessions"))["items"]}
    assert seen == {"127.0.0.1"}


async def test_the_proxy_in_front_says_where_a_client_comes_from(
    deployment: Deployment, tmp_path: Path
) -> None:
    for front_proxy, address in (("127.0.0.1", "203.0.113.7"), ("203.0.113.0/24 192.0.2.1", "127.0.0.1")):
        with balancing(tmp_path, *deployment.ports, front_proxy=front_proxy) as balancer:
            ann = await a_user(balancer)
            account = {"username": ann.username, "password": ann.password}
            told = {"X-Forwarded-For": "198.51.100.9, 203.0.113.7", "X-Forwarded-Proto": "https"}
            await ann.post("/users/login", account, status=200, **told)
            seen = {session["ip"] for session in (await ann.get("/auth/sessions"))["items"]}
            assert seen == {"127.0.0.1", address}


@pytest.mark.parametrize("path", ["/metrics", "/%6Detrics", "//metrics", "/metrics/", "/metrics?x=1"])
def test_metrics_are_not_for_clients(deployment: Deployment, path: str) -> None:
    with socket.create_connection(("127.0.0.1", deployment.balancer.port)) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: chat.example.org\r\nConnection: close\r\n\r\n".encode())
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 404 ")
    assert b"chat_messages" not in answer


async def test_a_token_in_an_address_reaches_no_log(deployment: Deployment) -> None:
    ann = await a_user(deployment.balancer)
    async with ann.socket():
        pass
    await eventually(lambda: "/api/v1/ws" in deployment.balancer.log)
    assert ann.token not in deployment.balancer.log
    assert "token=" not in deployment.balancer.log


async def test_with_a_certificate_clients_speak_tls(deployment: Deployment, tmp_path: Path) -> None:
    ann = await a_user(deployment.balancer)
    certificate = make_certificate(tmp_path)
    trust = ssl.create_default_context(cafile=certificate)
    with balancing(tmp_path, *deployment.ports, certificate) as balancer:
        answer = httpx2.get(f"{balancer.url}/api/v1/info", verify=trust)
        assert answer.headers["strict-transport-security"] == "max-age=31536000"
        async with ChatClient(balancer.ws_url, token=ann.token, ssl=trust) as client:
            await client.settle()


async def test_the_balancer_counts_what_the_alerts_ask_for(deployment: Deployment) -> None:
    asked = set(re.findall(r"\bhaproxy_\w+", RULES.read_text()))
    await eventually(lambda: deployment.count_ready() == len(deployment.nodes))
    shown = httpx2.get(f"{deployment.balancer.status_url}/metrics").text
    assert asked
    for name in asked:
        assert re.search(rf'^{name}{{proxy="nodes"}} 2$', shown, re.MULTILINE), shown


async def test_nodes_that_are_all_unready_still_serve(deployment: Deployment) -> None:
    """While a schema is migrated beside them, for one; a community must not be away for that."""
    ann = await a_user(deployment.balancer)
    with mysql_connection(deployment.database_url) as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = 'another'")

    while deployment.count_ready():
        await ann.get("/users/me")
        await asyncio.sleep(0.05)
    await ann.get("/users/me")
    async with ann.socket() as client:
        await client.settle()
    with mysql_connection(deployment.database_url) as cursor:
        cursor.execute("UPDATE alembic_version SET version_num = %s", [HEAD])
    await eventually(lambda: deployment.count_ready() == len(deployment.nodes))


async def test_a_node_that_stops_hands_its_clients_to_the_other_and_no_request_fails(
    deployment: Deployment,
) -> None:
    people = await some_users(deployment.balancer, PEOPLE)
    chat_id = await a_group(*people)
    statuses: list[int] = []
    acknowledged: list[str] = []
    first = deployment.nodes[0]
    await eventually(lambda: deployment.count_ready() == len(deployment.nodes))
    async with sockets(*people) as clients:
        assert await deployment.count_sockets() == [PEOPLE // 2, PEOPLE // 2]
        writing = [
            asyncio.create_task(keep_writing(user, chat_id, statuses, acknowledged)) for user in people[:2]
        ]
        await asyncio.sleep(0.3)
        await asyncio.to_thread(first.stop, STOP_S)
        left = [client for client in clients if client.socket and client.socket.close_code is not None]
        assert [await client.closed() for client in left] == [(1012, "server_restarting")] * (PEOPLE // 2)
        assert all(client.pushes("server_restarting") for client in left)
        moved = [user for user, client in zip(people, clients, strict=True) if client in left]
        async with sockets(*moved) as again:
            await again[0].say(chat_id, "Here I am again")
            await again[1].expect("new_message")
            await eventually(lambda: len(statuses) > 50)
            for task in writing:
                task.cancel()
            await asyncio.gather(*writing, return_exceptions=True)
    assert "Traceback" not in first.log
    assert len(statuses) > 50
    assert set(statuses) == {201}
    stored = await read_ids(people[0], chat_id)
    assert set(acknowledged) <= set(stored)
    assert len(stored) == len(set(stored))
    await asyncio.to_thread(first.start)


@pytest.mark.long
async def test_an_idle_socket_stays_open(deployment: Deployment) -> None:
    ann, ben = await some_users(deployment.balancer, 2)
    chat_id = await a_group(ann, ben)
    async with sockets(ann, ben) as (ann_client, ben_client):
        await asyncio.sleep(IDLE_S)
        await ann_client.say(chat_id, "Still there?")
        await ben_client.expect("new_message")
