"""The presence of a node that is alone."""

from __future__ import annotations

from collections.abc import Collection

from chat_service.services.ports.presence import Signs


class MemoryPresence:
    """A `Presence`."""

    def __init__(self) -> None:
        self._online: set[int] = set()

    def connect(self, deployment_id: str) -> None:
        """There is nobody else."""

    async def enter(self, user_id: int) -> bool:
        self._online.add(user_id)
        return True

    async def leave(self, user_id: int) -> bool:
        self._online.discard(user_id)
        return True

    async def list_online(self, user_ids: Collection[int]) -> set[int]:
        return self._online.intersection(user_ids)

    async def refresh(self, present: Collection[int]) -> Signs:
        self._online = set(present)
        return Signs()

    async def close(self) -> None:
        """There is nothing to release."""
