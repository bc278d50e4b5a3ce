"""The body store: immutable texts under UUIDs, durable before any metadata row names them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol
from uuid import UUID

from chat_service.domain.models import Body


class ContentStore(Protocol):
    """Every call raises `Unavailable` when the store does not answer within five seconds."""

    async def connect(self) -> None:
        """Open the store and create what it needs. A server that is down is no error here: the first
        call that needs it says so."""

    async def close(self) -> None: ...

    async def check_safety(self) -> list[str]:
        """One sentence for each setting of its server by which acknowledged writes could be lost."""
        ...

    async def ping(self) -> None:
        """Return when the store can take a durable write now; raise `Unavailable` otherwise."""

    async def insert_bodies(self, bodies: Sequence[Body]) -> dict[UUID, Exception]:
        """Store all of them durably (journalled, by a majority), each independently of the others.

        Inserting the same id with the same text again is success. Returns the ids that could not be
        stored, with the reason; raises `Unavailable` when the outcome of all is unknown.
        """

    async def get_bodies(self, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, str]:
        """The texts of `(chat_id, body_id)` pairs, by body id; those that do not exist are left out."""

    async def delete_bodies(self, keys: Sequence[tuple[int, UUID]]) -> None:
        """Remove them; those that do not exist are no error."""

    async def list_body_ids(self, after: UUID | None, before: UUID, limit: int) -> list[tuple[int, UUID]]:
        """(chat_id, body_id) of the first bodies whose ids lie between the two, ascending by id; as these
        are UUIDs of version 7, that is by time."""

    async def claim(self, deployment_id: str) -> str:
        """Write down, once and durably, whose store this is; returns who it belongs to now."""

    async def find_owner(self) -> str | None:
        """Whose store this is; None as long as nobody has claimed it."""
