"""Who is online on any node. Ephemeral: what is lost here is right again with the next sign of life."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Signs:
    """What a node hears when it says that it lives."""

    gone: frozenset[int] = frozenset()
    """Whom only nodes counted that have died since. Of several nodes that ask, one is told."""
    was_missed: bool = False
    """Whether this node was taken for dead meanwhile, so that its users were told of as gone."""


class Presence(Protocol):
    """Every call but `connect` and `close` raises `Unavailable` when the other nodes cannot be asked."""

    def connect(self, deployment_id: str) -> None:
        """Say whose presence it is; called once, before anything else. Opens nothing."""

    async def enter(self, user_id: int) -> bool:
        """Count a user as online on this node. True when no other living node counts them."""
        ...

    async def leave(self, user_id: int) -> bool:
        """Count a user here no more. True when no other living node counts them."""
        ...

    async def list_online(self, user_ids: Collection[int]) -> set[int]:
        """Those of the users whom any living node counts, this one included."""
        ...

    async def refresh(self, present: Collection[int]) -> Signs:
        """Say that this node lives, and that these are its users; to be repeated every two seconds."""
        ...

    async def close(self) -> None:
        """Release connections. This node's users stay counted until it is missed, for they may be on
        their way to another one."""
