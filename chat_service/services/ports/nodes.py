"""What the metadata store knows of the nodes that serve from it."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol
from uuid import UUID


class Nodes(Protocol):
    async def get_time(self) -> datetime:
        """The present time by the clock of the store, aware and in UTC."""
        ...

    async def put_node(self, node_id: UUID, seen_at: datetime) -> None:
        """Write down that a node was alive at that time."""
        ...

    async def list_nodes(self, since: datetime) -> list[UUID]:
        """Those that were seen at that time or later, by id."""
        ...

    async def remove_nodes(self, before: datetime) -> None:
        """Forget those that were last seen before."""
        ...

    async def remove_node(self, node_id: UUID) -> None: ...

    async def set_epoch(self, epoch: str) -> None:
        """Another epoch: every cursor of every client is void."""
        ...
