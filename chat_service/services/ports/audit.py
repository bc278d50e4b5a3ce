"""What the check and the sweeper read of the metadata store: rows as they lie there, without joins.

Every list is a range of a key behind a position, so memory stays bounded and any place can be gone on from.
Nothing here trusts the rows: roles are plain text, and what other tables should hold is not joined.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol
from uuid import UUID

from chat_service.domain.models import Chat

BEFORE_ALL = -(2**63)
AFTER_ALL = 2**63 - 1


@dataclass(frozen=True, slots=True)
class AuditedMessage:
    chat_id: int
    seq: int
    id: UUID
    version: int
    revision: int
    sender_id: int
    body_id: UUID | None
    body_sha256: bytes | None
    created_at: datetime
    is_deleted: bool


@dataclass(frozen=True, slots=True)
class AuditedMembership:
    chat_id: int
    user_id: int
    role: str
    version: int
    read_seq: int
    delivered_seq: int
    hidden_until_seq: int | None
    is_present: bool

    @property
    def furthest_seq(self) -> int:
        return max(self.read_seq, self.delivered_seq, self.hidden_until_seq or 0)


@dataclass(frozen=True, slots=True)
class AuditedRevision:
    message_id: UUID
    revision: int
    body_id: UUID
    body_sha256: bytes


@dataclass(frozen=True, slots=True)
class Proven:
    """What the rows of one chat say of its counters; 0 where there are none."""

    last_seq: int
    message_version: int
    membership_version: int
    present: int
    owners: int
    """Of those present."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Some messages of one chat, as far as bodies go."""

    pointed: frozenset[UUID]
    """Of the bodies asked for, those that a message points to."""
    rows: int
    damaged: int
    """Texts that the messages must have had and that no row tells of: revisions that are missing, and
    messages that are not deleted and name no body."""
    next_seq: int | None
    """Where to go on from; None at the end."""


class Audit(Protocol):
    async def find_deployment_id(self) -> str | None:
        """Made once by the migrations, and the same for as long as the store lives; copies share it."""
        ...

    async def count_chats(self, after: int) -> int: ...

    async def list_chats(self, after: int, limit: int) -> list[Chat]:
        """By id, those above `after`."""
        ...

    async def list_messages(
        self, after: tuple[int, int], last_chat_id: int, limit: int
    ) -> list[AuditedMessage]:
        """By (chat_id, seq), those behind `after`, of chats up to `last_chat_id`, whether or not there is
        such a chat."""
        ...

    async def list_memberships(
        self, after: tuple[int, int], last_chat_id: int, limit: int
    ) -> list[AuditedMembership]:
        """By (chat_id, user_id), ended ones included; otherwise as `list_messages`."""
        ...

    async def list_seqs_of_version(self, chat_id: int, version: int) -> list[int]:
        """The first few messages that have this version, ascending."""
        ...

    async def find_messages(self, message_ids: Collection[UUID]) -> dict[UUID, AuditedMessage]: ...

    async def find_seqs(self, keys: Collection[tuple[int, int]]) -> set[tuple[int, int]]:
        """Which of these (chat_id, seq) are messages."""
        ...

    async def find_users(self, user_ids: Collection[int]) -> set[int]: ...

    async def list_revisions(self, message_ids: Collection[UUID]) -> list[AuditedRevision]:
        """Of these messages, by message and revision."""
        ...

    async def list_all_revisions(self, after: tuple[UUID, int], limit: int) -> list[AuditedRevision]:
        """By (message_id, revision)."""
        ...

    async def list_hides(self, after: tuple[int, int, int], limit: int) -> list[tuple[int, int, int]]:
        """(user_id, chat_id, seq), in this order."""
        ...

    async def list_discarded(self, after: UUID, limit: int) -> list[tuple[UUID, int]]:
        """(body_id, chat_id), by body id, due or not."""
        ...

    async def find_named(self, body_ids: Collection[UUID]) -> set[UUID]:
        """Which of these bodies belong to a message: as its first text (then its row has the same id and a
        body), or as one of its revisions. Two indexes tell."""
        ...

    async def find_discarded(self, body_ids: Collection[UUID]) -> set[UUID]: ...

    async def read_stretch(
        self, chat_id: int, body_ids: Collection[UUID], after_seq: int, limit: int
    ) -> Stretch:
        """The next `limit` messages of the chat.

        It tells nothing new where rows are whole. Where they are damaged it saves texts, and it reads the
        whole chat, so it is asked only for bodies that nothing else names.
        """
        ...

    async def get_proven(self, chat_id: int) -> Proven:
        """For a chat whose row is locked."""
        ...

    async def list_beyond(self, chat_id: int, seq: int, limit: int) -> list[AuditedMembership]:
        """The memberships with a position above `seq`, by user id."""
        ...

    async def set_counters(
        self, chat_id: int, *, last_seq: int, version: int, participant_count: int
    ) -> None: ...

    async def clamp_positions(self, chat_id: int, seq: int) -> None:
        """Set every position of the chat that is above `seq` to it."""
        ...
