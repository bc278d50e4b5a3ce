"""Several nodes of one deployment in threads of the test process, and people who move between them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, replace

import httpx2

from chat_service.settings import Settings
from tests import builders
from tests.builders import Server, TestUser
from tests.eventually import eventually
from tests.node import Node


@dataclass(frozen=True)
class Cluster:
    nodes: list[Node]

    @property
    def first(self) -> Node:
        return self.nodes[0]

    @property
    def second(self) -> Node:
        return self.nodes[1]

    async def are_joined(self) -> None:
        """Return when every node hears every other one over the bus."""
        await eventually(
            lambda: all(
                node.services.bus.is_up and len(node.services.bus.list_heard()) >= len(self.nodes) - 1
                for node in self.nodes
            )
        )

    async def know_each_other(self) -> None:
        """Return when every node has seen in the store that it is not alone."""
        await eventually(lambda: all(node.services.nodes.has_others for node in self.nodes))


@contextlib.contextmanager
def running(count: int, settings: Settings) -> Iterator[Cluster]:
    """So many nodes with the same settings; the first one migrates."""
    with contextlib.ExitStack() as stack:
        yield Cluster([stack.enter_context(Node(settings)) for _ in range(count)])


def on(user: TestUser, node: Server) -> TestUser:
    """The same person by way of another node."""
    http = httpx2.AsyncClient(base_url=f"{node.url}/api/v1", timeout=20, headers=user.http.headers)
    builders._open.append(http)
    return replace(user, server=node, http=http)
