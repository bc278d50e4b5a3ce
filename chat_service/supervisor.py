"""Starts the long tasks of a node, starts them again when they die, and says so meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from chat_service.domain.errors import Unavailable
from chat_service.services.readiness import Readiness

log = structlog.get_logger()

RESTART_AFTER_S = 1.0
ASK_AGAIN_S = 1.0


class Supervisor:
    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        """Run a task that never ends by itself. While it is dead the node is unready."""
        self._tasks.append(asyncio.create_task(self._keep_running(name, run), name=name))

    def start_every(self, name: str, every_s: float, work: Callable[[], Awaitable[object]]) -> None:
        """Repeat some work with a pause; a round that fails is logged, and the next one comes."""

        async def run() -> None:
            while True:
                await asyncio.sleep(every_s)
                try:
                    await work()
                except Unavailable:
                    log.warning("round_failed", task=name, reason="a store does not answer")
                except Exception:
                    log.exception("round_failed", task=name)

        self.start(name, run)

    async def stop(self) -> None:
        """End every task. One that goes on is asked again: the drivers wait with `asyncio.wait_for`, which on
        Python 3.11 may return as if nobody had cancelled it (cpython gh-86296)."""
        running = set(self._tasks)
        while running:
            for task in running:
                task.cancel()
            _, running = await asyncio.wait(running, timeout=ASK_AGAIN_S)

    async def _keep_running(self, name: str, run: Callable[[], Awaitable[None]]) -> None:
        while True:
            try:
                await run()
            except Exception:
                log.exception("task_died", task=name)
            self._readiness.dead_tasks.add(name)
            await asyncio.sleep(RESTART_AFTER_S)
            self._readiness.dead_tasks.discard(name)
