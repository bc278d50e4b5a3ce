"""Proves that the two stores agree, beside a running service, and repairs what is safe to repair.

Chats, memberships and messages are read side by side in the order of their keys, page by page, without
locks. A row that looks wrong may only be newer than its neighbour, so it is read again before it is
reported: counters under the chat's lock, which lasts for a few index look-ups, and messages until two
readings around their body are equal. Memory does not grow with the stores, and every page can be the first.

It must not take a serving lock, migrate, claim a store, or repair anything by which a text could be lost.
"""

from __future__ import annotations

from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from typing import TypeVar
from uuid import UUID

from chat_service.domain.clock import Clock
from chat_service.domain.models import Chat
from chat_service.services.fsck_chats import (
    Finding,
    Kind,
    Suspicion,
    Tally,
    describe_gap,
    find_stray_revision,
    is_sound,
    judge_counters,
    judge_message,
    list_bodies,
)
from chat_service.services.ports.audit import (
    AFTER_ALL,
    BEFORE_ALL,
    AuditedMessage,
    AuditedRevision,
)
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import MetadataStore, Unit
from chat_service.services.sweeper import MIN_AGE, Key, Pace, Sweeper, check_owner

A = TypeVar("A")
R = TypeVar("R")
T = TypeVar("T")

CHATS_PAGE = 200
PAGE = 1_000
REREADINGS = 5
KNOWN_USERS = 100_000
BEYOND_LISTED = 1_000
NO_ID = UUID(int=0)


@dataclass(frozen=True, slots=True)
class Options:
    repair: bool = False
    from_chat: int = 1
    """The first chat to check; the rest that belongs to no chat is always checked."""
    min_age: timedelta = MIN_AGE
    """Of a body before it can be an orphan; never less than two hours."""


@dataclass(slots=True)
class Summary:
    """How far a check has got; complete once `is_done`."""

    chats: int = 0
    chats_total: int = 0
    next_chat_id: int = 1
    """All chats below this one have been checked."""
    messages: int = 0
    bodies: int = 0
    revisions: int = 0
    hides: int = 0
    discarded: int = 0
    scanned: int = 0
    """Bodies of the content store that were old enough to be orphans."""
    orphans: int = 0
    kept: int = 0
    """Bodies that nothing names, but of a chat that has lost rows: never removed."""
    removed: int = 0
    findings: int = 0
    repaired: int = 0
    is_done: bool = False


class Fsck:
    """One check. `report` is called with each finding as soon as it is certain, `progress` after each page
    with the same `summary`. Cancel `run` at any time; `summary.next_chat_id` is where to go on."""

    def __init__(  # noqa: PLR0913 - two stores, a clock, two ways out, and what is asked for
        self,
        metadata: MetadataStore,
        content: ContentStore,
        clock: Clock,
        options: Options,
        report: Callable[[Finding], None],
        progress: Callable[[Summary], None] = lambda _: None,
        *,
        pace: Pace | None = None,
    ) -> None:
        self._metadata = metadata
        self._content = content
        self._options = options
        self._report = report
        self._progress = progress
        self._pace = pace or Pace(pause_s=0.0)
        self._sweeper = Sweeper(metadata, content, clock, min_age=options.min_age, pace=self._pace)
        self._users: set[int] = set()
        self._strays: set[int] = set()
        self.summary = Summary(next_chat_id=options.from_chat)

    async def run(self) -> Summary:
        """Check everything. Raises `ForeignStore` when the stores do not belong together, and `Unavailable`
        when one of them stops answering."""
        await check_owner(self._metadata, self._content)
        after = self._options.from_chat - 1
        self.summary.chats_total = await self._read(lambda unit: unit.audit.count_chats(after))
        await self._check_chats(after)
        await self._check_revisions()
        await self._check_hides()
        await self._check_discarded()
        await self._check_orphans()
        self.summary.is_done = True
        return self.summary

    # --- Chats, memberships and messages, in the order of their keys ---------------------------------

    async def _check_chats(self, after: int) -> None:
        first = after
        async for chats in self._pages(
            after,
            lambda after, unit: unit.audit.list_chats(after, CHATS_PAGE),
            lambda chat: chat.id,
            CHATS_PAGE,
        ):
            # The last page goes on to the end of the other tables, for rows of chats that do not exist.
            until = chats[-1].id if len(chats) == CHATS_PAGE else AFTER_ALL
            tallies = {chat.id: Tally(chat) for chat in chats}
            await self._add_memberships(tallies, first, until)
            await self._add_messages(tallies, first, until)
            await self._finish(tallies)
            self._progress(self.summary)
            first = until

    async def _add_memberships(self, tallies: dict[int, Tally], first: int, until: int) -> None:
        async for rows in self._pages(
            (first, AFTER_ALL),
            lambda after, unit: unit.audit.list_memberships(after, until, PAGE),
            lambda row: (row.chat_id, row.user_id),
        ):
            for row in rows:
                tally = tallies.get(row.chat_id)
                if tally is None:
                    await self._check_stray(row.chat_id)
                else:
                    tally.add_membership(row)
            for chat_id, user_id in await self._list_userless({(row.chat_id, row.user_id) for row in rows}):
                self._tell(Finding(Kind.USER_MISSING, f"The participant {user_id} has no account.", chat_id))

    async def _add_messages(self, tallies: dict[int, Tally], first: int, until: int) -> None:
        async for rows in self._pages(
            (first, AFTER_ALL),
            lambda after, unit: unit.audit.list_messages(after, until, PAGE),
            lambda row: (row.chat_id, row.seq),
        ):
            await self._check_page(rows, tallies)
            if rows:
                await self._finish(tallies, before=rows[-1].chat_id)
            self._progress(self.summary)

    async def _check_page(self, rows: Sequence[AuditedMessage], tallies: dict[int, Tally]) -> None:
        known: list[AuditedMessage] = []
        for row in rows:
            tally = tallies.get(row.chat_id)
            if tally is None:
                await self._check_stray(row.chat_id)
                continue
            known.append(row)
            for suspicion in tally.add_message(row):
                await self._confirm(row.chat_id, suspicion)
        edited = [row.id for row in known if row.revision != 1 and not row.is_deleted]
        revisions = await self._list_revisions(edited)
        for part in _split(known, revisions):
            keys = [
                (row.chat_id, body_id)
                for row in part
                for body_id in list_bodies(row, revisions.get(row.id, ()))
            ]
            texts = await self._content.get_bodies(keys)
            for row in part:
                if not is_sound(row, texts) and judge_message(row, revisions.get(row.id, ()), texts):
                    await self._confirm_message(row)
            self.summary.bodies += len(keys)
        for chat_id, sender_id in await self._list_userless({(row.chat_id, row.sender_id) for row in known}):
            self._tell(Finding(Kind.USER_MISSING, f"The sender {sender_id} has no account.", chat_id))
        self.summary.messages += len(known)

    async def _finish(self, tallies: dict[int, Tally], before: int = AFTER_ALL) -> None:
        """Close the tallies of the chats whose rows have all gone by."""
        for chat_id in [chat_id for chat_id in tallies if chat_id < before]:
            if tallies.pop(chat_id).are_counters_suspicious():
                for finding in await self._metadata.transact(partial(self._settle, chat_id)):
                    self._tell(finding)
            self.summary.chats += 1
            self.summary.next_chat_id = chat_id + 1

    # --- Reading again what looks wrong --------------------------------------------------------------

    async def _settle(self, chat_id: int, unit: Unit) -> list[Finding]:
        """Judge the counters of a chat while its lock keeps them still, and repair them if that is asked
        for. They are only ever raised: a lower number would be given out twice."""
        chat = (await unit.chats.lock_chats([chat_id])).get(chat_id)
        if chat is None:
            return []
        proven = await unit.audit.get_proven(chat_id)
        last_seq = max(chat.last_seq, proven.last_seq)
        beyond = await unit.audit.list_beyond(chat_id, last_seq, BEYOND_LISTED)
        findings = judge_counters(chat, proven)
        for one in beyond:
            detail = (
                f"A position of user {one.user_id} is {one.furthest_seq}, the last message has {last_seq}."
            )
            findings.append(Finding(Kind.POSITION, detail, chat_id))
        if not self._options.repair or not findings:
            return findings
        newest = max(proven.message_version, proven.membership_version, chat.settings_version)
        version = max(chat.version, newest)
        await unit.audit.set_counters(
            chat_id, last_seq=last_seq, version=version, participant_count=proven.present
        )
        await unit.audit.clamp_positions(chat_id, last_seq)
        safe = {Kind.LAST_SEQ, Kind.PARTICIPANT_COUNT, Kind.POSITION}
        if version > chat.version:
            safe.add(Kind.VERSION)
        return [replace(finding, repaired=finding.kind in safe) for finding in findings]

    async def _confirm(self, chat_id: int, suspicion: Suspicion) -> None:
        seq, number = suspicion.seq, suspicion.number
        after = (chat_id, seq - 2 if suspicion.kind is Kind.TIME_BACKWARDS else seq - 1)
        rows = await self._read(lambda unit: unit.audit.list_messages(after, chat_id, 2))
        if suspicion.kind is Kind.SEQ_GAP:
            detail = None if rows and rows[0].seq <= number else f"{describe_gap(seq, number)}."
        elif suspicion.kind is Kind.VERSION_REPEATED:
            seqs = await self._read(lambda unit: unit.audit.list_seqs_of_version(chat_id, number))
            listed = ", ".join(map(str, seqs))
            detail = f"The version {number} is that of several messages: {listed}." if len(seqs) > 1 else None
        elif suspicion.kind is Kind.TIME_BACKWARDS:
            # After a gap the one before is farther away, and the times of both never change.
            detail = "created_at is earlier than that of the message before."
            if len(rows) == 2 and rows[1].seq == seq and rows[0].created_at <= rows[1].created_at:
                detail = None
        else:
            detail = f"A message has the seq {seq}; the first is 1." if rows else None
        if detail is not None:
            self._tell(Finding(suspicion.kind, detail, chat_id, seq))

    async def _confirm_message(self, row: AuditedMessage) -> None:
        """Read a message and its bodies until its row is the same before and after. One that changes all
        the time is not reported: its next check is soon enough."""
        for _ in range(REREADINGS):
            present, revisions, findings = await self._judge(row.chat_id, row.seq)
            if present is None or not findings:
                return
            if (present, revisions) == (await self._judge(row.chat_id, row.seq))[:2]:
                for finding in findings:
                    self._tell(await self._look_elsewhere(finding, list_bodies(present, revisions)))
                return

    async def _judge(
        self, chat_id: int, seq: int
    ) -> tuple[AuditedMessage | None, list[AuditedRevision], list[Finding]]:
        rows = await self._read(lambda unit: unit.audit.list_messages((chat_id, seq - 1), chat_id, 1))
        if not rows or rows[0].seq != seq:
            return None, [], []
        revisions = (await self._list_revisions([rows[0].id])).get(rows[0].id, [])
        keys = [(chat_id, body_id) for body_id in list_bodies(rows[0], revisions)]
        return rows[0], revisions, judge_message(rows[0], revisions, await self._content.get_bodies(keys))

    async def _look_elsewhere(self, finding: Finding, bodies: Collection[UUID]) -> Finding:
        """Whether a missing body lies under another chat."""
        if finding.kind is not Kind.BODY_MISSING:
            return finding
        for body_id in bodies:
            if str(body_id) in finding.detail:
                between = UUID(int=body_id.int - 1), UUID(int=body_id.int + 1)
                for chat_id, _ in await self._content.list_body_ids(*between, 1):
                    detail = f"The body {body_id} lies under the chat {chat_id}."
                    return replace(finding, kind=Kind.BODY_FOREIGN, detail=detail)
        return finding

    async def _check_stray(self, chat_id: int) -> None:
        """A row of a chat that was not on the page: made since, or gone from the table."""
        if chat_id in self._strays:
            return
        self._strays.add(chat_id)
        chat: Chat | None = await self._read(lambda unit: unit.chats.find_chat(chat_id))
        if chat is None:
            detail = "The chat has participants or messages and no row of its own."
            self._tell(Finding(Kind.CHAT_MISSING, detail, chat_id))

    async def _list_userless(self, pairs: set[tuple[int, int]]) -> list[tuple[int, int]]:
        """The (chat_id, user_id) whose user has no account."""
        if len(self._users) > KNOWN_USERS:
            self._users.clear()
        unknown = {user_id for _, user_id in pairs} - self._users
        if not unknown:
            return []
        self._users |= await self._read(lambda unit: unit.audit.find_users(unknown))
        return sorted(pair for pair in pairs if pair[1] not in self._users)

    # --- What belongs to no chat's page --------------------------------------------------------------

    async def _check_revisions(self) -> None:
        """Revisions without their message; that messages have theirs has been checked with them."""
        async for rows in self._pages(
            (NO_ID, 0),
            lambda after, unit: unit.audit.list_all_revisions(after, PAGE),
            lambda row: (row.message_id, row.revision),
        ):
            for stray in await self._list_stray_revisions(rows):
                await self._confirm_stray(stray)
            self.summary.revisions += len(rows)
            self._progress(self.summary)

    async def _confirm_stray(self, stray: AuditedRevision) -> None:
        """A deletion takes revisions and text away together: if the revision is still there, it was left."""
        present = (await self._list_revisions([stray.message_id])).get(stray.message_id, [])
        message = (await self._find_messages([stray.message_id])).get(stray.message_id)
        detail = find_stray_revision(stray, message)
        if detail is None or stray not in present:
            return
        again = (await self._list_revisions([stray.message_id])).get(stray.message_id, [])
        if stray in again:
            chat_id, seq = (message.chat_id, message.seq) if message else (None, None)
            self._tell(Finding(Kind.REVISIONS, detail, chat_id, seq))

    async def _list_stray_revisions(self, rows: Sequence[AuditedRevision]) -> list[AuditedRevision]:
        messages = await self._find_messages({row.message_id for row in rows})
        return [row for row in rows if find_stray_revision(row, messages.get(row.message_id))]

    async def _check_hides(self) -> None:
        async for rows in self._pages(
            (BEFORE_ALL, BEFORE_ALL, BEFORE_ALL),
            lambda after, unit: unit.audit.list_hides(after, PAGE),
            lambda row: row,
        ):
            # A message is never removed, and was there before anybody hid it: one look is enough.
            found = await self._find_seqs({(chat_id, seq) for _, chat_id, seq in rows})
            for user_id, chat_id, seq in rows:
                if (chat_id, seq) not in found:
                    detail = f"User {user_id} has hidden a message that does not exist."
                    self._tell(Finding(Kind.HIDE, detail, chat_id, seq))
            self.summary.hides += len(rows)
            self._progress(self.summary)

    async def _check_discarded(self) -> None:
        async for rows in self._pages(
            NO_ID, lambda after, unit: unit.audit.list_discarded(after, PAGE), lambda row: row[0]
        ):
            # A deletion lists the body and takes its name away together, and nothing gives a name back.
            named = await self._find_named({body_id for body_id, _ in rows})
            if named and self._options.repair:
                await self._metadata.transact(partial(_forget_discarded, named))
            for body_id, chat_id in rows:
                if body_id in named:
                    detail = f"The body {body_id} is listed for removal, and a message still has it."
                    self._tell(Finding(Kind.DISCARDED, detail, chat_id, repaired=self._options.repair))
            self.summary.discarded += len(rows)
            self._progress(self.summary)

    async def _check_orphans(self) -> None:
        """Count them, and remove them if that is asked for. They are no findings: every refused or
        repeated send leaves one, until a sweep."""
        unnamed: list[Key] = []
        async for scanned, found in self._sweeper.find_unnamed(None, self._sweeper.get_bound()):
            self.summary.scanned += scanned
            unnamed += found
            if len(unnamed) >= self._pace.held:  # many together: the rows of each chat are read for them
                await self._settle_orphans(unnamed)
                unnamed = []
            self._progress(self.summary)
        await self._settle_orphans(unnamed)
        self._progress(self.summary)

    async def _settle_orphans(self, unnamed: Sequence[Key]) -> None:
        orphans = await self._sweeper.pick_orphans(unnamed)
        self.summary.orphans += len(orphans)
        self.summary.kept += len(unnamed) - len(orphans)
        if self._options.repair:
            self.summary.removed += await self._sweeper.remove(orphans)

    # --- Small things --------------------------------------------------------------------------------

    def _tell(self, finding: Finding) -> None:
        self.summary.findings += 1
        self.summary.repaired += finding.repaired
        self._report(finding)

    async def _read(self, work: Callable[[Unit], Awaitable[T]]) -> T:
        return await self._metadata.read(work)

    async def _pages(
        self,
        after: A,
        list_page: Callable[[A, Unit], Awaitable[list[R]]],
        key: Callable[[R], A],
        size: int = PAGE,
    ) -> AsyncIterator[list[R]]:
        """All pages behind a key. Only the last one is not full, and it may be empty."""
        while True:
            rows = await self._metadata.read(partial(list_page, after))
            yield rows
            if len(rows) < size:
                return
            after = key(rows[-1])

    async def _find_seqs(self, keys: set[tuple[int, int]]) -> set[tuple[int, int]]:
        return await self._read(lambda unit: unit.audit.find_seqs(keys)) if keys else set()

    async def _find_named(self, ids: set[UUID]) -> set[UUID]:
        return await self._read(lambda unit: unit.audit.find_named(ids)) if ids else set()

    async def _find_messages(self, ids: Collection[UUID]) -> dict[UUID, AuditedMessage]:
        return await self._read(lambda unit: unit.audit.find_messages(ids)) if ids else {}

    async def _list_revisions(self, message_ids: Sequence[UUID]) -> dict[UUID, list[AuditedRevision]]:
        if not message_ids:
            return {}
        found: dict[UUID, list[AuditedRevision]] = {}
        for one in await self._read(lambda unit: unit.audit.list_revisions(message_ids)):
            found.setdefault(one.message_id, []).append(one)
        return found


async def _forget_discarded(body_ids: Collection[UUID], unit: Unit) -> None:
    await unit.messages.forget_discarded(body_ids)


def _split(
    rows: Iterable[AuditedMessage], revisions: Mapping[UUID, Sequence[AuditedRevision]]
) -> Iterator[list[AuditedMessage]]:
    """The rows in parts whose texts, earlier ones included, are held in memory together."""
    part: list[AuditedMessage] = []
    bodies = 0
    for row in rows:
        count = 1 + len(revisions.get(row.id, ()))
        if part and bodies + count > PAGE:
            yield part
            part, bodies = [], 0
        part.append(row)
        bodies += count
    if part:
        yield part
