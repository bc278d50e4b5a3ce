"""The metadata store: everything but the texts, in transactions.

Services hand a function to `transact`; it gets a `Unit`, whose parts name the nouns, and runs in one
transaction. Deadlocks and lost connections run it again from the start, so it must be repeatable: its
effects outside the unit belong after `transact` has returned. Lock order, everywhere the same: chats by
ascending id, then participants, then messages. Whoever changes a membership or adds a message holds the
chat's lock, so a plain read of participants after `lock_chat` is current.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar
from uuid import UUID

from chat_service.domain.models import (
    AccountState,
    Chat,
    GlobalRole,
    MessageRow,
    OwnMembership,
    Participant,
    Position,
    Revision,
    Session,
    User,
)
from chat_service.services.ports.audit import Audit
from chat_service.services.ports.nodes import Nodes

T = TypeVar("T")


class Accounts(Protocol):
    async def add_user(
        self, user: User, *, username_fold: str, email_fold: str, password_hash: str, words: Collection[str]
    ) -> User:
        """Store a new account (its `id` is ignored) and return it with its id.

        Raises `UsernameTaken` or `EmailTaken`, also under concurrency.
        """
        ...

    async def find_user(self, user_id: int) -> User | None: ...
    async def find_user_by_username(self, username_fold: str) -> User | None: ...
    async def find_user_by_email(self, email_fold: str) -> User | None: ...

    async def lock_user(self, user_id: int) -> tuple[User, str] | None:
        """The user and the password hash, locked until the transaction ends.

        Whoever starts sessions, ends them for a reason, or replaces words or password holds this lock.
        """
        ...

    async def list_users(self, user_ids: Collection[int]) -> dict[int, User]: ...

    async def search_users(self, words: Sequence[str], limit: int) -> list[User]:
        """Active users who have, for each of the folded `words`, a word that begins with it; those whose
        username is one of the words first, then by folded username. Without words nobody."""
        ...

    async def update_profile(self, user_id: int, fields: Mapping[str, Any], words: Collection[str]) -> None:
        """Set `full_name`, `bio`, `phone` or `avatar_url`, and replace the words the user is found by."""
        ...

    async def get_password_hash(self, user_id: int) -> str: ...
    async def set_password_hash(self, user_id: int, password_hash: str) -> None: ...
    async def set_account(self, user_id: int, *, state: AccountState, role: GlobalRole) -> None: ...
    async def set_last_seen(self, user_ids: Collection[int], seen_at: datetime) -> None: ...
    async def get_last_seen(self, user_ids: Collection[int]) -> dict[int, datetime]: ...


class Sessions(Protocol):
    async def add_session(self, session: Session) -> None:
        """Store it; one that is there already, from a run before, is no error."""
        ...

    async def find_session(self, session_id: UUID) -> Session | None: ...

    async def find_session_with_user(self, session_id: UUID) -> tuple[Session, User] | None:
        """Both in one statement: it runs for every request whose session is not in the cache."""
        ...

    async def list_sessions(self, user_id: int, now: datetime) -> list[Session]:
        """Those neither revoked nor expired, the last used first."""
        ...

    async def rotate_session(
        self, session_id: UUID, *, old_hash: bytes, new_hash: bytes, now: datetime, expires_at: datetime
    ) -> bool:
        """Replace `old_hash` if it is still the present one and the session lives; say whether it was."""
        ...

    async def revoke_sessions(
        self, user_id: int, now: datetime, *, only: UUID | None = None, but: UUID | None = None
    ) -> list[UUID]:
        """End the user's live sessions (`only` that one, or all `but` one); return those that ended.

        A second run with the same `now` returns the same ones, so a lost COMMIT answer loses no notice.
        """
        ...

    async def list_ended(self, session_ids: Collection[UUID], now: datetime) -> dict[UUID, bool]:
        """Which of these are over: by revocation or account state, or gone (True when the account is not
        active, False otherwise)."""
        ...

    async def delete_expired(self, before: datetime) -> int:
        """Remove some sessions that expired and tickets that ran out before that time; count them. Zero
        means that none is left."""
        ...

    async def add_ticket(
        self, ticket_hash: bytes, session_id: UUID, *, expires_at: datetime, access_expires_at: datetime
    ) -> None:
        """Store it; one that is there already, from a run before, is no error."""
        ...

    async def take_ticket(self, ticket_hash: bytes, now: datetime) -> tuple[UUID, datetime] | None:
        """Use a ticket up: its session and when its access ends, or None. Two takers: one gets it."""
        ...


@dataclass(frozen=True, slots=True)
class ListedRow:
    """A chat in a user's list."""

    chat: Chat
    activity_at: datetime
    """What the list is sorted by."""
    me: OwnMembership
    unread_count: int
    """`last_seq` − max(read position, the user's own newest seq), never below 0."""


class Chats(Protocol):
    async def add_chat(
        self, chat: Chat, *, direct_key: str | None, creation_key: str | None, creation_mac: bytes | None
    ) -> Chat:
        """Store a new chat (its `id` is ignored) and return it with its id.

        Raises `Duplicate` when its direct or creation key exists already.
        """
        ...

    async def find_chat(self, chat_id: int) -> Chat | None: ...

    async def lock_chats(self, chat_ids: Collection[int], *, skip_locked: bool = False) -> dict[int, Chat]:
        """The chats with their rows locked until the transaction ends, in ascending order of id; with
        `skip_locked` those that somebody else holds are left out instead of waited for."""
        ...

    async def find_direct_chat(self, direct_key: str) -> Chat | None: ...

    async def find_created_chat(self, created_by: int, creation_key: str) -> tuple[Chat, bytes] | None:
        """The chat made with that key, and the `creation_mac` of its first request."""
        ...

    async def update_chat(self, chat: Chat) -> None:
        """Write name, version, settings_version, last_seq, last_activity_at and participant_count."""
        ...

    async def get_chats(self, chat_ids: Collection[int]) -> list[Chat]:
        """Those that exist, by id."""
        ...

    async def get_versions(self, chat_ids: Collection[int]) -> dict[int, int]:
        """The present version of each chat that exists."""
        ...

    async def list_chats(
        self,
        user_id: int,
        *,
        limit: int,
        offset: int = 0,
        as_of: datetime | None = None,
        after: tuple[datetime, int] | None = None,
    ) -> list[ListedRow]:
        """The chats in the user's list, newest activity first, then higher id first.

        With `as_of` the order is that of the moment given, so that later messages move nothing while
        somebody pages; `after` is the (activity, id) of the last chat of the page before.
        """
        ...

    async def count_chats(self, user_id: int) -> int: ...


class Participants(Protocol):
    async def find_participant(self, chat_id: int, user_id: int) -> Participant | None:
        """The membership, ended ones included."""
        ...

    async def find_membership(self, chat_id: int, user_id: int) -> tuple[Chat, Participant] | None:
        """The chat and a present membership in it, in one statement: the membership holds at the version."""
        ...

    async def list_participants(
        self, chat_id: int, *, user_ids: Collection[int] | None = None, ended: bool = False
    ) -> list[Participant]:
        """Those in the chat, by user id; with `user_ids` only these, with `ended` also who has left."""
        ...

    async def list_changed(self, chat_id: int, *, since: int, bound: int) -> list[Participant]:
        """Memberships, ended ones included, with since < version <= bound, by version, then user id."""
        ...

    async def get_positions(
        self, pairs: Collection[tuple[int, int]]
    ) -> dict[tuple[int, int], tuple[Position, int, int]]:
        """Of these (chat_id, user_id) pairs those that are memberships now: the positions held, and the
        chat's last_seq and participant_count."""
        ...

    async def put_participants(self, participants: Sequence[Participant]) -> None:
        """Add memberships, or write role, joined_at, left_at and version of existing ones; their positions
        move forward, never back."""
        ...

    async def list_memberships(self, user_id: int) -> dict[int, int]:
        """The chats the user is in, each with its present version, in one consistent statement."""
        ...

    async def list_joined(self, since: datetime) -> list[tuple[int, int]]:
        """(chat_id, user_id) of the memberships, ended ones too, that began at that time or later."""
        ...

    async def list_peers(self, user_id: int) -> list[int]:
        """The other participant of every direct chat of the user."""
        ...

    async def list_direct_peers(self, user_id: int, chat_ids: Collection[int]) -> dict[int, User]:
        """The other participant of each of these direct chats, by chat id."""
        ...

    async def advance_positions(self, positions: Mapping[tuple[int, int], tuple[int, int]]) -> None:
        """Move (chat_id, user_id) → (read_seq, delivered_seq) forward, never back, sorted by key."""
        ...

    async def list_positions(self, chat_id: int) -> list[Position]:
        """Of those in the chat, by user id."""
        ...

    async def hide_chat(self, chat_id: int, user_id: int, until_seq: int) -> None: ...


class Sends(Protocol):
    """The way of new messages: both calls take part in one transaction, as few round trips as can be."""

    async def lock(
        self, senders: Collection[tuple[int, int]], *, skip_locked: bool = False
    ) -> tuple[dict[int, Chat], set[tuple[int, int]]]:
        """Lock the chats of these (chat_id, user_id) pairs as `Chats.lock_chats` does; returns them, and
        those of the pairs that are memberships now."""
        ...

    async def add(self, rows: Sequence[MessageRow], advanced: Sequence[Chat]) -> None:
        """Insert all rows, or none, and write version, last_seq and last_activity_at of their chats.

        Raises `Duplicate` when one of the rows' keys exists; then the chats are as they were.
        """
        ...


@dataclass(frozen=True, slots=True)
class HistoryRows:
    """What one page of history is made of."""

    chat: Chat
    rows: list[MessageRow]
    is_beyond: bool
    """Whether the viewer can see anything on the other side of where the page began."""


class Messages(Protocol):
    async def find_message(self, message_id: UUID) -> MessageRow | None: ...

    async def find_visible(self, message_id: UUID, viewer_id: int) -> MessageRow | None:
        """The message, if the viewer is in its chat and has not hidden it."""
        ...

    async def find_messages(self, message_ids: Collection[UUID]) -> dict[UUID, MessageRow]: ...

    async def find_replays(
        self, keys: Collection[tuple[int, int, str]]
    ) -> dict[tuple[int, int, str], MessageRow]:
        """The messages stored under (chat_id, sender_id, dedupe_key)."""
        ...

    async def update_message(self, row: MessageRow) -> None:
        """Write version, revision, body, edited_at and is_deleted of a message whose chat is locked."""
        ...

    async def list_history(
        self,
        chat_id: int,
        viewer_id: int,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> list[MessageRow]:
        """Ascending rows without the viewer's hidden ones: the newest `limit` below `before` (or of all),
        or with `after` the oldest `limit` above it."""
        ...

    async def read_history(
        self,
        chat_id: int,
        viewer_id: int,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
    ) -> HistoryRows | None:
        """The chat as `Participants.find_membership` finds it, and then its rows as `list_history` does;
        None for who is not in it. `is_beyond` asks for messages at or above `before`, or at or below
        `after`."""
        ...

    async def list_page(self, chat_id: int, viewer_id: int, *, limit: int, offset: int) -> list[MessageRow]:
        """`limit` rows, `offset` visible messages back from the newest, ascending."""
        ...

    async def find_seq_at(self, chat_id: int, at: datetime) -> int | None:
        """The seq of the first message that is not older than `at`."""
        ...

    async def list_newest(self, viewer_id: int, last_seqs: Mapping[int, int]) -> dict[int, MessageRow]:
        """By chat id the newest message that the viewer has not hidden, up to the chat's last seq given."""
        ...

    async def count_hides(self, user_id: int, chat_id: int) -> int: ...

    async def add_hide(self, user_id: int, chat_id: int, seq: int, chat_version: int) -> bool:
        """Hide a message from one user; False when it was hidden already."""
        ...

    async def add_revision(self, message_id: UUID, revision: Revision) -> None: ...

    async def list_revisions(self, message_id: UUID) -> list[Revision]:
        """Every text of a message that has been edited, the present one included, ascending; of one that
        has not been edited none, because its row says it all."""
        ...

    async def discard_bodies(self, message: MessageRow, due_at: datetime) -> None:
        """Forget every earlier revision of a deleted message and list all of its bodies for removal."""
        ...

    async def list_discarded(self, now: datetime, limit: int) -> list[tuple[int, UUID]]:
        """(chat_id, body_id) pairs that are due for removal from the content store."""
        ...

    async def forget_discarded(self, body_ids: Collection[UUID]) -> None: ...


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a chat's changes: those with since < version <= bound."""

    chat_id: int
    since: int
    bound: int
    hides_since: int
    """Hides are told from this version of the chat on."""
    has_all_positions: bool
    """Or only those of the viewer."""


@dataclass(frozen=True, slots=True)
class ChangedRows:
    """What one page of the change feed is made of."""

    messages: list[MessageRow]
    """By version, as they are now, without those that the viewer has hidden."""
    versions: list[int]
    """Of the memberships that changed, ended ones included, each once, ascending."""
    positions: list[Position]
    """Of those in the chat, by user id."""
    hidden: list[int]
    """The seqs of what the viewer hid, ascending."""


class Feed(Protocol):
    """The change feed of many chats at once, in as few round trips as can be: whoever comes back asks for
    all of their chats, and often so do all whose node has died."""

    async def find_chats(self, user_id: int, chat_ids: Collection[int]) -> dict[int, Chat]:
        """Those of the chats that the user is in, in one statement: the memberships hold at the versions."""
        ...

    async def list_hidden(
        self, viewer_id: int, messages: Collection[tuple[int, int]]
    ) -> set[tuple[int, int]]:
        """Those of the messages, given by chat and seq, that the viewer has hidden."""
        ...

    async def read_spans(
        self, viewer_id: int, spans: Sequence[Span], *, limit: int
    ) -> dict[int, ChangedRows]:
        """By chat id; of each chat the lowest `limit` messages and versions."""
        ...


class Duplicate(Exception):
    """A row with one of the unique keys is already there; the transaction can go on."""


class Unit(Protocol):
    """What one transaction can do."""

    accounts: Accounts
    sessions: Sessions
    chats: Chats
    participants: Participants
    messages: Messages
    feed: Feed
    sends: Sends
    audit: Audit
    nodes: Nodes


SENDS_TOGETHER = 4
"""Transactions of sends that a node has at the same time."""


class MetadataStore(Protocol):
    """Every call raises `Unavailable` when the store does not answer within five seconds."""

    async def connect(self) -> None: ...
    async def close(self) -> None: ...

    async def check_safety(self) -> list[str]:
        """One sentence for each setting of its server by which acknowledged writes could be lost."""
        ...

    async def ping(self) -> None: ...

    async def get_epoch(self) -> str:
        """The present epoch; see docs/protocol.md, section 5."""
        ...

    async def has_current_schema(self) -> bool:
        """Whether the newest migration of this program has been applied."""
        ...

    async def transact(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Run `work` in one transaction and commit. A refusal that `work` raises rolls back.

        The outcome is known when this returns; after a lost COMMIT answer `work` runs again, so it must
        settle by its keys what the first run may have done.
        """
        ...

    async def transact_sends(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """The same on connections that nothing else takes: whoever waits for a locked chat to change it must
        not keep the messages of all others waiting. At most `SENDS_TOGETHER` at a time."""
        ...

    async def read(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        """Run `work` without locks; every statement sees what has been committed before it began."""
        ...
