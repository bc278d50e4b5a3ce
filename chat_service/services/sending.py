"""Group commit: sends that wait while a transaction is in flight go together in the next one.

There is no timer, so an idle server adds no delay, and a busy one shares its round trips and its journal
writes. Every send ends exactly once, with its stored message or with a refusal of its own: what is wrong
with one never fails another. The push is published only after both stores have committed.
See docs/adr/0003 and docs/architecture.md, "The path of one message".
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Mapping, MutableSequence, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog

from chat_service.domain import pushes
from chat_service.domain.clock import Clock
from chat_service.domain.errors import (
    ChatError,
    ClientMessageIdConflict,
    Internal,
    NotFound,
    Unavailable,
)
from chat_service.domain.events import ChatChanged
from chat_service.domain.models import Body, Chat, Message, MessageRow, ReplyTo
from chat_service.services.metrics import Metrics
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import SENDS_TOGETHER, Duplicate, MetadataStore, Unit

log = structlog.get_logger()

MAX_BATCH_MESSAGES = 256
MAX_BATCH_BYTES = 4 * 1024 * 1024
MAX_WAITING = 10_000
MAX_AGE_S = 60.0
LOCKS_WAIT_S = 0.25
"""How long locked chats wait for the bodies' journal before they are let go and tried again."""
LANES = SENDS_TOGETHER - 1
"""Locked chats that are waited for at the same time, each on its own."""
LOCKED_S = 0.25
"""Where more are locked than there are lanes, they are tried again with each batch for so long before they
get one that is free. Other nodes hold them for one batch of theirs; each on its own, a batch would become as
many transactions as it has chats, just when there is most to do."""
LOCKED_PAUSE_S = 0.005
LOCKED_AT_MOST_S = 5.0
"""As long as a lane waits."""
REPLAY_TEXTS_S = 1.0
"""How long the answers of a batch wait for the texts of those among it that were stored before."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A message that both stores hold; `duplicate` when an earlier request had stored it."""

    message: Message
    duplicate: bool


Outcome = Sent | ChatError


@dataclass(frozen=True, slots=True)
class Send:
    """One accepted request to send. `done` is called exactly once, on the event loop, before the push of
    the message is published; it must not block or raise."""

    id: UUID
    chat_id: int
    sender_id: int
    sender_username: str
    message_type: str
    content: str = field(repr=False)
    dedupe_key: str
    request_mac: bytes
    reply_to: ReplyTo | None
    done: Callable[[Outcome], None]
    accepted_at_s: float

    @property
    def key(self) -> tuple[int, int, str]:
        return (self.chat_id, self.sender_id, self.dedupe_key)


@dataclass(slots=True)
class _Result:
    """What one transaction did with a batch."""

    stored: list[tuple[Send, MessageRow]] = field(default_factory=list)
    """New messages, in the order of their versions within each chat."""
    replayed: list[tuple[Send, MessageRow]] = field(default_factory=list)
    refused: list[tuple[Send, ChatError]] = field(default_factory=list)
    conflicts: dict[tuple[int, int, str], MessageRow] = field(default_factory=dict)
    """What is stored under the key of a send that was refused because of it."""
    skipped: list[Send] = field(default_factory=list)
    """Sends into chats that somebody else holds locked."""


class _BodiesLate(Exception):
    """The bodies are not yet durable; wait for them without holding locks."""


class _BodiesFailed(Exception):
    def __init__(self, body_ids: Iterable[UUID]) -> None:
        self.body_ids = frozenset(body_ids)
        super().__init__()


def pass_by(_point: str) -> None:
    """What nodes do at a named point on the way of a change: nothing."""


SEND_POINTS = (
    "bodies_started",
    "chats_locked",
    "rows_written",
    "bodies_durable",
    "committed",
    "answered",
    "published",
)


class Sender:
    """The committer of one node; `run` is one long task, and `submit` the only way in.

    `reached` is called with each of `SEND_POINTS` as a batch passes it, for tests that end the process
    there: the bodies are about to be inserted · the chats are locked, in a transaction · the rows of new
    messages were inserted and the counters of their chats raised · the bodies are durable and COMMIT is
    next · COMMIT has been answered · every send has its answer · the pushes were published. The second to
    the fourth are passed again when a transaction is repeated, and the third only for new messages. It must
    return at once, or never.
    """

    def __init__(  # noqa: PLR0913 - its parts, put together once in app.py
        self,
        metadata: MetadataStore,
        content: ContentStore,
        bus: Bus,
        clock: Clock,
        metrics: Metrics,
        *,
        max_batch: int = MAX_BATCH_MESSAGES,
        reached: Callable[[str], None] = pass_by,
    ) -> None:
        self._metrics = metrics
        self._max_batch = max_batch
        self._reached = reached
        self._metadata = metadata
        self._content = content
        self._bus = bus
        self._clock = clock
        self._waiting: deque[Send] = deque()
        self._locked_since: dict[int, float] = {}
        """Of chats that were locked when they were last tried, whose sends are the first that wait."""
        self._durable: set[UUID] = set()
        """Bodies of sends that wait for a lock."""
        self._blocked: dict[int, list[Send]] = {}
        """Chats that are waited for on their own."""
        self._blocked_tasks: set[asyncio.Task[None]] = set()
        self._wakeup = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(self, send: Send) -> None:
        """Queue a send; the order of calls is the order of seqs within a chat.

        Raises `Unavailable` when 10,000 are waiting.
        """
        if len(self._waiting) + sum(map(len, self._blocked.values())) >= MAX_WAITING:
            raise Unavailable("Too many messages are waiting to be stored; try again with the same key.")
        self._waiting.append(send)
        self._idle.clear()
        self._wakeup.set()

    async def run(self) -> None:
        while True:
            await self._wakeup.wait()
            batch = self._take()
            if batch:
                locked = await self._commit(batch, self._waiting, skip_locked=True)
                self._try_again(batch, locked)
                if len(locked) == len(batch):
                    await asyncio.sleep(LOCKED_PAUSE_S)
            elif not self._waiting:
                self._wakeup.clear()
                if not self._blocked:
                    self._idle.set()

    async def drain(self) -> None:
        """Return once nothing is waiting and nothing is in flight."""
        await self._idle.wait()

    def _take(self) -> list[Send]:
        """The next batch. Sends into chats that were locked get half of it at most, however many wait."""
        batch: list[Send] = []
        kept: list[Send] = []
        size = locked = 0
        oldest_s = asyncio.get_running_loop().time() - MAX_AGE_S
        while self._waiting and len(batch) < self._max_batch and size < MAX_BATCH_BYTES:
            send = self._waiting.popleft()
            if send.accepted_at_s < oldest_s:
                self._give_up([send], Unavailable())
            elif send.chat_id in self._blocked:
                self._blocked[send.chat_id].append(send)
            elif send.chat_id in self._locked_since and locked >= max(1, self._max_batch // 2):
                kept.append(send)
            else:
                batch.append(send)
                size += 4 * len(send.content)
                locked += send.chat_id in self._locked_since
        self._waiting.extendleft(reversed(kept))
        return batch

    async def _commit(
        self, batch: list[Send], lane: MutableSequence[Send], *, skip_locked: bool
    ) -> list[Send]:
        """Commit a batch and answer it, but for the sends that are returned, in order: somebody else holds
        their chats locked. `lane` holds those that wait behind it."""
        first, followers = _split_repeats(batch)
        try:
            result = await self._write_both(first, skip_locked=skip_locked)
        except Unavailable as error:
            # Whoever waited meanwhile would meet the same store: do not make them wait twice.
            self._give_up([*batch, *lane], error)
            lane.clear()
            self._locked_since.clear()
            return []
        except Exception:  # a statement refused the batch: find out whose fault it is
            if len(batch) == 1:
                log.exception("send_failed", chat_id=batch[0].chat_id, message_id=str(batch[0].id))
                self._give_up(batch, Internal())
                return []
            log.warning("batch_failed", messages=len(batch), exc_info=True)
            return await self._commit_singly(batch, skip_locked=skip_locked)
        skipped = {send.key for send in result.skipped}
        await self._finish([send for send in batch if send.key not in skipped], followers, result)
        return [send for send in batch if send.key in skipped]

    async def _commit_singly(self, batch: list[Send], *, skip_locked: bool) -> list[Send]:
        locked: list[Send] = []
        rest = deque(batch)
        while rest:
            send = rest.popleft()
            if any(send.chat_id == one.chat_id for one in locked):
                locked.append(send)  # not before those
            else:
                locked += await self._commit([send], rest, skip_locked=skip_locked)
        return locked

    async def _write_both(self, sends: list[Send], *, skip_locked: bool) -> _Result:
        """Start the bodies first, so that their journal write overlaps with the metadata statements."""
        bodies = [Body(send.id, send.chat_id, send.content) for send in sends if send.id not in self._durable]
        self._durable.difference_update(send.id for send in sends)
        writing = asyncio.create_task(self._content.insert_bodies(bodies))
        self._reached("bodies_started")
        try:
            result = await self._store(sends, writing, skip_locked=skip_locked)
            self._durable.update(send.id for send in result.skipped if send.id not in writing.result())
            return result
        finally:
            if not writing.done():
                writing.cancel()
            await asyncio.gather(writing, return_exceptions=True)

    async def _store(
        self, sends: list[Send], writing: asyncio.Task[dict[UUID, Exception]], *, skip_locked: bool
    ) -> _Result:
        failed: list[tuple[Send, ChatError]] = []
        while True:
            try:
                result = await self._metadata.transact_sends(
                    partial(self._store_locked, sends, writing, skip_locked=skip_locked)
                )
            except _BodiesLate:
                await asyncio.shield(writing)
            except _BodiesFailed as error:
                failed += [(send, Unavailable()) for send in sends if send.id in error.body_ids]
                sends = [send for send in sends if send.id not in error.body_ids]
            else:
                self._reached("committed")
                result.refused += failed
                return result

    async def _store_locked(
        self,
        sends: list[Send],
        writing: asyncio.Task[dict[UUID, Exception]],
        unit: Unit,
        *,
        skip_locked: bool,
    ) -> _Result:
        """The transaction: lock, authorise, number, insert, count, and wait for the bodies before COMMIT."""
        result = _Result()
        if not sends:
            return result
        chats, present = await unit.sends.lock(
            {(send.chat_id, send.sender_id) for send in sends}, skip_locked=skip_locked
        )
        self._reached("chats_locked")
        new: list[Send] = []
        for send in sends:
            if (send.chat_id, send.sender_id) not in present:
                result.refused.append((send, NotFound()))
            elif skip_locked and send.chat_id not in chats:
                result.skipped.append(send)
            else:
                new.append(send)
        await self._insert(unit, new, chats, result)
        await _await_bodies(writing, new)
        self._reached("bodies_durable")
        return result

    async def _insert(self, unit: Unit, new: list[Send], chats: dict[int, Chat], result: _Result) -> None:
        if not new:
            return
        result.stored, advanced = _number(new, chats, self._clock())
        try:
            await self._add(unit, result.stored, advanced)
        except Duplicate:
            await self._insert_unknown(unit, new, chats, result)

    async def _add(
        self, unit: Unit, numbered: Sequence[tuple[Send, MessageRow]], advanced: Sequence[Chat]
    ) -> None:
        await unit.sends.add([row for _, row in numbered], advanced)
        self._reached("rows_written")

    async def _insert_unknown(
        self, unit: Unit, new: list[Send], chats: dict[int, Chat], result: _Result
    ) -> None:
        """Some keys are taken: by earlier requests, or by this batch before its COMMIT answer was lost."""
        found = await unit.messages.find_replays({send.key for send in new})
        ours = [
            (send, found[send.key]) for send in new if send.key in found and found[send.key].id == send.id
        ]
        theirs = [
            (send, found[send.key]) for send in new if send.key in found and found[send.key].id != send.id
        ]
        unknown = [send for send in new if send.key not in found]
        result.stored, advanced = _number(unknown, chats, self._clock())
        if unknown:
            await self._add(unit, result.stored, advanced)
        result.stored = sorted(ours + result.stored, key=lambda pair: pair[1].version)
        for send, row in theirs:
            if row.request_mac == send.request_mac:
                result.replayed.append((send, row))
            else:
                result.refused.append((send, ClientMessageIdConflict()))
                result.conflicts[send.key] = row

    async def _finish(self, batch: list[Send], followers: list[Send], result: _Result) -> None:
        """Answer every send in the order they came, then publish: an ack comes before its own push."""
        for send in followers:  # the first of its key may be the one that is wrong
            row = result.conflicts.get(send.key)
            if row is not None and row.request_mac == send.request_mac:
                result.replayed.append((send, row))
        messages = {send.id: Message(row, send.content) for send, row in result.stored}
        outcomes: dict[UUID, Outcome] = {send.id: error for send, error in result.refused}
        outcomes |= {message_id: Sent(message, duplicate=False) for message_id, message in messages.items()}
        outcomes |= await self._load_replays(result.replayed)
        first = {send.key: send for send in batch if send.id in outcomes}
        for send in followers:
            if send.key in first and send.id not in outcomes:
                outcomes[send.id] = _follow(send, first[send.key], outcomes[first[send.key].id])
        for send in batch:
            _answer(send, outcomes[send.id])
        self._reached("answered")
        self._metrics.batch_size.observe(len(batch))
        self._metrics.messages.inc(len(result.stored))
        self._metrics.duplicates.inc(
            sum(isinstance(one, Sent) and one.duplicate for one in outcomes.values())
        )
        self._bus.publish(
            [
                ChatChanged(
                    row.chat_id,
                    row.version,
                    pushes.new_message(messages[send.id]),
                    ends_typing_of=row.sender_id,
                )
                for send, row in result.stored
            ]
        )
        self._reached("published")

    async def _load_replays(self, replayed: Sequence[tuple[Send, MessageRow]]) -> dict[UUID, Outcome]:
        """A message that has not been edited has the text of the request, which is the same as the first."""
        edited = [(row.chat_id, row.body_id) for _, row in replayed if row.body_id not in (None, row.id)]
        texts: Mapping[UUID, str] | None = {}
        try:
            if edited:
                async with asyncio.timeout(REPLAY_TEXTS_S):
                    texts = await self._content.get_bodies(edited)
        except (Unavailable, TimeoutError):
            texts = None
        return {send.id: _replay(send, row, texts) for send, row in replayed}

    def _try_again(self, batch: list[Send], locked: list[Send]) -> None:
        """With the next batch, before all that wait, or each chat in a lane of its own."""
        if not locked and not self._locked_since:
            return
        now_s = asyncio.get_running_loop().time()
        chats: dict[int, list[Send]] = {}
        for send in locked:
            chats.setdefault(send.chat_id, []).append(send)
        for chat_id in {send.chat_id for send in batch} - chats.keys():
            self._locked_since.pop(chat_id, None)
        are_few = len(chats) <= LANES - len(self._blocked)
        for chat_id in list(chats):
            locked_s = now_s - self._locked_since.setdefault(chat_id, now_s)
            if locked_s > LOCKED_AT_MOST_S:
                del self._locked_since[chat_id]
                self._give_up([*chats.pop(chat_id), *self._pull(chat_id)], Unavailable())
            elif len(self._blocked) < LANES and (are_few or locked_s > LOCKED_S):
                del self._locked_since[chat_id]
                self._set_aside(chat_id, chats.pop(chat_id))
        self._waiting.extendleft(send for send in reversed(locked) if send.chat_id in chats)

    def _pull(self, chat_id: int) -> list[Send]:
        """Take what else waits for the chat out of the queue."""
        pulled = [send for send in self._waiting if send.chat_id == chat_id]
        self._waiting = deque(send for send in self._waiting if send.chat_id != chat_id)
        return pulled

    def _give_up(self, sends: Iterable[Send], error: ChatError) -> None:
        for send in sends:
            self._durable.discard(send.id)
            _answer(send, error)

    def _set_aside(self, chat_id: int, sends: list[Send]) -> None:
        """Commit a chat that is locked by somebody else on its own, so that it stalls no other chat."""
        self._blocked[chat_id] = sends
        task = asyncio.create_task(self._commit_blocked(chat_id))
        self._blocked_tasks.add(task)
        task.add_done_callback(self._blocked_tasks.discard)

    async def _commit_blocked(self, chat_id: int) -> None:
        lane = self._blocked[chat_id]
        try:
            while lane:
                batch = lane[: self._max_batch]
                del lane[: len(batch)]
                await self._commit(batch, lane, skip_locked=False)
        finally:
            del self._blocked[chat_id]
            self._give_up(lane, Unavailable())
            self._wakeup.set()


async def _await_bodies(writing: asyncio.Task[dict[UUID, Exception]], sends: Sequence[Send]) -> None:
    done, _ = await asyncio.wait([writing], timeout=LOCKS_WAIT_S)
    if not done:
        raise _BodiesLate
    failed = writing.result()
    if any(send.id in failed for send in sends):
        log.warning("bodies_failed", reasons=[repr(reason) for reason in failed.values()][:3])
        raise _BodiesFailed(failed)


def _replay(send: Send, row: MessageRow, texts: Mapping[UUID, str] | None) -> Outcome:
    """`texts` are those of edited messages, None when they cannot be read."""
    if row.body_id is None:
        return Sent(Message(row, ""), duplicate=True)
    if row.body_id == row.id:
        return Sent(Message(row, send.content), duplicate=True)
    if texts is None:
        return Unavailable()
    return Sent(Message(row, texts.get(row.body_id, "")), duplicate=True)


def _number(
    sends: Sequence[Send], chats: dict[int, Chat], now: datetime
) -> tuple[list[tuple[Send, MessageRow]], list[Chat]]:
    """Give every send the next seq and version of its chat; returns the rows and the advanced chats.

    The times of one chat never run backwards, whatever the clocks of the nodes do.
    """
    advanced: dict[int, Chat] = {}
    numbered = []
    for send in sends:
        chat = advanced.get(send.chat_id) or chats[send.chat_id]
        chat = replace(
            chat,
            version=chat.version + 1,
            last_seq=chat.last_seq + 1,
            last_activity_at=max(chat.last_activity_at, now),
        )
        advanced[send.chat_id] = chat
        numbered.append((send, _make_row(send, chat)))
    return numbered, list(advanced.values())


def _make_row(send: Send, chat: Chat) -> MessageRow:
    return MessageRow(
        id=send.id,
        chat_id=send.chat_id,
        seq=chat.last_seq,
        version=chat.version,
        revision=1,
        sender_id=send.sender_id,
        sender_username=send.sender_username,
        message_type=send.message_type,
        dedupe_key=send.dedupe_key,
        request_mac=send.request_mac,
        body_id=send.id,
        body_sha256=hashlib.sha256(send.content.encode()).digest(),
        created_at=chat.last_activity_at,
        edited_at=None,
        is_deleted=False,
        reply_to=send.reply_to,
    )


def _split_repeats(batch: list[Send]) -> tuple[list[Send], list[Send]]:
    """The first send of every key, and those that repeat a key within the batch."""
    first: dict[tuple[int, int, str], Send] = {}
    followers = [send for send in batch if first.setdefault(send.key, send) is not send]
    return list(first.values()), followers


def _follow(send: Send, first: Send, outcome: Outcome) -> Outcome:
    """What a repeat within the batch gets: what a later retry would get."""
    if isinstance(outcome, ChatError):
        return outcome
    if send.request_mac != first.request_mac:
        return ClientMessageIdConflict()
    return Sent(outcome.message, duplicate=True)


def _answer(send: Send, outcome: Outcome) -> None:
    try:
        send.done(outcome)
    except Exception:
        # The message is stored or refused all the same, and the others want their answers.
        log.exception("answer_failed", chat_id=send.chat_id, message_id=str(send.id))
