"""`/readyz`: what takes a node out of the balancer, and what does not."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import httpx2

from chat_service.migrations import HEAD
from chat_service.supervisor import Supervisor
from tests.node import Node, make_settings

TIMEOUT_S = 15


async def wait_for_status(node: Node, status: int) -> str | None:
    """The reason that `/readyz` gives once it answers with this status."""
    async with httpx2.AsyncClient(base_url=node.url) as http, asyncio.timeout(TIMEOUT_S):
        answer = await http.get("/readyz")
        while answer.status_code != status:
            await asyncio.sleep(0.1)
            answer = await http.get("/readyz")
        reason: str | None = answer.json().get("reason")
        return reason


async def test_another_schema_beside_a_running_node_makes_it_unready(tmp_path: Path) -> None:
    with Node(make_settings(data_dir=tmp_path)) as node:
        assert await wait_for_status(node, 200) is None
        for revision, status in (("0000", 503), (HEAD, 200)):
            with sqlite3.connect(tmp_path / "metadata.db") as connection:
                connection.execute("UPDATE alembic_version SET version_num = ?", (revision,))
            connection.close()
            reason = await wait_for_status(node, status)
        assert reason is None


async def test_a_core_task_that_dies_makes_the_node_unready(tmp_path: Path) -> None:
    with Node(make_settings(data_dir=tmp_path)) as node:
        supervisor = Supervisor(node.services.readiness)

        async def die() -> None:
            raise RuntimeError("a defect")

        async def start() -> None:
            supervisor.start("doomed", die)

        node.run(start()).result()
        assert await wait_for_status(node, 503) == "died and is being restarted: doomed"
        node.run(supervisor.stop()).result()
