"""The other nodes of the deployment: which there are, and whether the bus reaches them.

Every node writes down in the metadata store that it lives, so that nodes which no bus joins know of each
other, and ask the store more often. See docs/adr/0010.
"""

from __future__ import annotations

import asyncio
from datetime import timedelta
from uuid import UUID

import structlog

from chat_service.domain.errors import Unavailable
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.metadata import MetadataStore
from chat_service.services.readiness import Readiness
from chat_service.services.store_clock import StoreClock

log = structlog.get_logger()

BEAT_S = 2.0
LIVES = timedelta(seconds=10)
"""A node that has not been seen for longer is dead."""
FORGOTTEN_AFTER = timedelta(hours=1)
LEAVE_S = 1.0
UNHEARD_BEATS = 3
"""A node that has just started is not heard at once."""
JOINED_EVERY_S = 2.0
APART_EVERY_S = 0.2


class NodeService:
    """`has_bus` says whether one is configured; `is_alone` that no other node can be there (SQLite)."""

    def __init__(  # noqa: PLR0913 - its parts, put together once in app.py
        self,
        metadata: MetadataStore,
        bus: Bus,
        clock: StoreClock,
        readiness: Readiness,
        *,
        node_id: UUID,
        has_bus: bool,
        is_alone: bool,
    ) -> None:
        self._metadata = metadata
        self._bus = bus
        self._clock = clock
        self._readiness = readiness
        self._node_id = node_id
        self._has_bus = has_bus
        self._is_alone = is_alone
        self._others: set[str] = set()
        self._is_known = False
        self._unheard_for = 0
        self._told: str | None = None

    @property
    def has_others(self) -> bool:
        return bool(self._others)

    @property
    def is_apart(self) -> bool:
        """Whether there are nodes that the bus does not reach."""
        return self.has_others and not (self._bus.is_up and self._others <= self._bus.list_heard())

    @property
    def ask_every_s(self) -> float:
        """How often the store must be asked for what the bus may have lost."""
        return APART_EVERY_S if self.is_apart else JOINED_EVERY_S

    async def run(self) -> None:
        """One long task."""
        while True:
            await asyncio.sleep(BEAT_S)
            try:
                await self.beat()
            except Unavailable:
                log.warning("node_unseen", reason="the metadata store does not answer")

    async def beat(self) -> None:
        """Say that this node lives, and look who else does. Raises `Unavailable`."""
        if self._is_alone:
            return
        await self._clock.measure(self._metadata)
        self._readiness.clock_problem = self._clock.explain() if self._clock.is_far_off else None
        now = self._clock()
        await self._metadata.transact(lambda unit: unit.nodes.put_node(self._node_id, now))
        self._is_known = True
        found = await self._metadata.read(lambda unit: unit.nodes.list_nodes(now - LIVES))
        self._others = {str(one) for one in found if one != self._node_id}
        self._tell()

    async def forget_dead(self) -> None:
        before = self._clock() - FORGOTTEN_AFTER
        await self._metadata.transact(lambda unit: unit.nodes.remove_nodes(before))

    async def leave(self) -> None:
        """The node ends in order: the others need not wait until it is missed. Raises `Unavailable`,
        or `TimeoutError` after a second."""
        if self._is_known:
            async with asyncio.timeout(LEAVE_S):
                await self._metadata.transact(lambda unit: unit.nodes.remove_node(self._node_id))

    def _tell(self) -> None:
        """Say once in the log when nodes are not joined, and when they are again."""
        reason = self._find_problem()
        if reason != self._told:
            self._told = reason
            if reason is None:
                log.info("nodes_joined", others=len(self._others))
            else:
                log.warning("nodes_apart", reason=reason, others=len(self._others))

    def _find_problem(self) -> str | None:
        slow = "their people hear each other through the metadata store, up to a second late, and presence "
        slow += "and typing are those of one node"
        if not self._others:
            return None
        if not self._has_bus:
            return f"Other nodes serve from this store and CHAT_REDIS_URL is empty: {slow}."
        self._unheard_for = 0 if self._others <= self._bus.list_heard() else self._unheard_for + 1
        if self._bus.is_up and self._unheard_for >= UNHEARD_BEATS:
            return (
                f"Other nodes are not heard over Redis; is CHAT_REDIS_URL the same everywhere? Else {slow}."
            )
        return self._told if self._unheard_for else None
