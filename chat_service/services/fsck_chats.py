"""What the rows of a chat must satisfy, as plain functions and a tally: no store is asked here.

What they return is a suspicion. The service may be writing, so `fsck` reads again before it reports.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from chat_service.domain.models import Chat, ChatType
from chat_service.services.ports.audit import AuditedMembership, AuditedMessage, AuditedRevision, Proven

_BLOCK = 4096


class Kind(StrEnum):
    """The names of findings; docs/fsck.md says what to do about each."""

    CHAT_MISSING = "chat_missing"
    SEQ_GAP = "seq_gap"
    SEQ_INVALID = "seq_invalid"
    LAST_SEQ = "last_seq"
    VERSION = "version"
    VERSION_REPEATED = "version_repeated"
    TIME_BACKWARDS = "time_backwards"
    PARTICIPANT_COUNT = "participant_count"
    OWNER = "owner"
    DIRECT_PAIR = "direct_pair"
    POSITION = "position"
    USER_MISSING = "user_missing"
    BODY_MISSING = "body_missing"
    BODY_FOREIGN = "body_foreign"
    BODY_DIFFERS = "body_differs"
    BODY_UNNAMED = "body_unnamed"
    TOMBSTONE = "tombstone"
    REVISIONS = "revisions"
    HIDE = "hide"
    DISCARDED = "discarded"


@dataclass(frozen=True, slots=True)
class Finding:
    kind: Kind
    detail: str
    chat_id: int | None = None
    seq: int | None = None
    repaired: bool = False

    def __str__(self) -> str:
        """One line: where, what kind, what exactly."""
        where = "".join(
            f"{name} {value}, "
            for name, value in (("chat", self.chat_id), ("seq", self.seq))
            if value is not None
        )
        return f"{where}{self.kind}: {self.detail}{' Repaired.' if self.repaired else ''}"

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something about the messages of a chat that has to be read again. `number` is the last seq of a gap,
    or the version that was seen twice."""

    kind: Kind
    seq: int
    number: int = 0


class NumberSet:
    """Numbers that mostly follow one another, in a bit each: ten million versions take 1.3 MB."""

    def __init__(self) -> None:
        self._blocks: dict[int, bytearray] = {}

    def add(self, number: int) -> bool:
        """False when it was there already."""
        index, offset = divmod(number, _BLOCK)
        block = self._blocks.get(index)
        if block is None:
            block = self._blocks[index] = bytearray(_BLOCK // 8)
        mask = 1 << (offset & 7)
        if block[offset >> 3] & mask:
            return False
        block[offset >> 3] |= mask
        return True


class Tally:
    """What the rows of one chat add up to while they go by, in the order of their seqs."""

    def __init__(self, chat: Chat) -> None:
        self.chat = chat
        self._versions = NumberSet()
        self._next_seq = 1
        self._newest_at: datetime | None = None
        self._message_version = self._membership_version = 0
        self._present = self._owners = self._furthest_seq = 0

    def add_membership(self, row: AuditedMembership) -> None:
        self._present += row.is_present
        self._owners += row.is_present and row.role == "owner"
        self._membership_version = max(self._membership_version, row.version)
        self._furthest_seq = max(self._furthest_seq, row.furthest_seq)

    def add_message(self, row: AuditedMessage) -> list[Suspicion]:
        found: list[Suspicion] = []
        if row.seq != self._next_seq:
            if row.seq < 1:
                return [Suspicion(Kind.SEQ_INVALID, row.seq)]
            found.append(Suspicion(Kind.SEQ_GAP, self._next_seq, row.seq - 1))
        self._next_seq = row.seq + 1
        if not self._versions.add(row.version):
            found.append(Suspicion(Kind.VERSION_REPEATED, row.seq, row.version))
        self._message_version = max(self._message_version, row.version)
        if self._newest_at is not None and row.created_at < self._newest_at:
            found.append(Suspicion(Kind.TIME_BACKWARDS, row.seq))
        self._newest_at = row.created_at
        return found

    def are_counters_suspicious(self) -> bool:
        """Whether the chat has to be locked and looked at; on a busy one it is the rule."""
        proven = Proven(
            self._next_seq - 1, self._message_version, self._membership_version, self._present, self._owners
        )
        return bool(judge_counters(self.chat, proven)) or self._furthest_seq > self.chat.last_seq


def judge_counters(chat: Chat, proven: Proven) -> list[Finding]:
    """What does not fit between a chat's row and its other rows, read while nothing changed."""
    newest = max(proven.message_version, proven.membership_version, chat.settings_version)
    found: list[tuple[Kind, str]] = []
    if chat.last_seq < proven.last_seq:
        found.append((Kind.LAST_SEQ, f"last_seq is {chat.last_seq}, the last message has {proven.last_seq}."))
    if chat.last_seq > proven.last_seq:
        found.append((Kind.SEQ_GAP, f"{describe_gap(proven.last_seq + 1, chat.last_seq)} at the end."))
    if chat.version != newest:
        found.append((Kind.VERSION, f"version is {chat.version}, the newest change has {newest}."))
    if chat.participant_count != proven.present:
        detail = f"participant_count is {chat.participant_count}, {proven.present} are in the chat."
        found.append((Kind.PARTICIPANT_COUNT, detail))
    if chat.chat_type is ChatType.DIRECT:
        if proven.present != 2 or proven.owners:
            detail = f"The direct chat has {proven.present} people and {proven.owners} owners, not 2 and 0."
            found.append((Kind.DIRECT_PAIR, detail))
    elif proven.present and proven.owners != 1:
        found.append((Kind.OWNER, f"The group has {proven.owners} owners, not 1."))
    return [Finding(kind, detail, chat.id) for kind, detail in found]


def describe_gap(first: int, last: int) -> str:
    return (
        f"The message {first} is missing" if first == last else f"The messages {first} to {last} are missing"
    )


def is_sound(row: AuditedMessage, texts: Mapping[UUID, str]) -> bool:
    """Whether nothing more has to be asked about a message; of most it is the only question."""
    if row.revision != 1 or row.is_deleted or row.body_id is None or row.body_id != row.id:
        return row.is_deleted and row.body_id is None and row.body_sha256 is None
    text = texts.get(row.body_id)
    return text is not None and hashlib.sha256(text.encode()).digest() == row.body_sha256


def list_bodies(row: AuditedMessage, revisions: Sequence[AuditedRevision]) -> dict[UUID, bytes | None]:
    """Every body that a message has and the SHA-256 that it must have."""
    bodies: dict[UUID, bytes | None] = {one.body_id: one.body_sha256 for one in revisions}
    if row.body_id is not None:
        bodies[row.body_id] = row.body_sha256
    return bodies


def judge_message(
    row: AuditedMessage, revisions: Sequence[AuditedRevision], texts: Mapping[UUID, str]
) -> list[Finding]:
    """`revisions` are those of the message, ascending; `texts` those of its bodies that its chat has."""
    found: list[tuple[Kind, str]] = []
    if row.is_deleted:
        if row.body_id is not None or row.body_sha256 is not None:
            found.append((Kind.TOMBSTONE, "The message is deleted and still names a text."))
    elif row.body_id is None or row.body_sha256 is None:
        found.append((Kind.BODY_UNNAMED, "The message is not deleted and names no text."))
    else:
        problem = _find_revision_problem(row, revisions)
        if problem:
            found.append((Kind.REVISIONS, problem))
    for body_id, digest in list_bodies(row, revisions).items():
        if body_id not in texts:
            found.append((Kind.BODY_MISSING, f"The body {body_id} does not exist."))
        elif hashlib.sha256(texts[body_id].encode()).digest() != digest:
            found.append((Kind.BODY_DIFFERS, f"The body {body_id} has another SHA-256 than its row says."))
    return [Finding(kind, detail, row.chat_id, row.seq) for kind, detail in found]


def _find_revision_problem(row: AuditedMessage, revisions: Sequence[AuditedRevision]) -> str | None:
    if row.revision == 1:
        if row.body_id != row.id:
            return "The message was never edited, and its body has another id than itself."
        return "The message was never edited and has revisions." if revisions else None
    if [one.revision for one in revisions] != list(range(1, row.revision + 1)):
        held = ", ".join(str(one.revision) for one in revisions[:20]) or "none"
        return f"The message is at revision {row.revision}; of its revisions there are: {held}."
    if revisions[0].body_id != row.id:
        return "The first revision has another body than the message had."
    last = revisions[-1]
    if (last.body_id, last.body_sha256) != (row.body_id, row.body_sha256):
        return "The last revision is not the text that the message shows."
    return None


def find_stray_revision(revision: AuditedRevision, message: AuditedMessage | None) -> str | None:
    """Why a revision should not be there; None for what it should be."""
    if message is None:
        return f"Revision {revision.revision} is of the message {revision.message_id}, which does not exist."
    if message.is_deleted:
        return f"Revision {revision.revision} was left behind by the deletion of its message."
    if message.revision == 1 or not 1 <= revision.revision <= message.revision:
        return f"Revision {revision.revision} is none that the message, now at {message.revision}, has had."
    return None
