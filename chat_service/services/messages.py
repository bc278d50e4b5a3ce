"""Messages: sending, editing, deleting for everyone and for oneself, and their earlier texts."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from uuid import UUID

import structlog

from chat_service.domain import pushes, rules
from chat_service.domain.clock import Clock
from chat_service.domain.errors import (
    ChatError,
    Conflict,
    Forbidden,
    InvalidRequest,
    NotFound,
    StaleVersion,
    Unavailable,
)
from chat_service.domain.events import ChatChanged, UserNotified
from chat_service.domain.ids import new_id
from chat_service.domain.models import Body, Caller, Message, MessageRow, ReplyTo, Revision
from chat_service.services.access import access_locked_chat, access_message
from chat_service.services.history import MessageLoader
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import MetadataStore, Unit
from chat_service.services.sending import Outcome, Send, Sender, Sent, pass_by

log = structlog.get_logger()

SEND_TIMEOUT_S = 5.5
BODIES_KEPT_FOR = timedelta(minutes=10)
"""A reader that has just read a row still finds the body that the row names."""
MAX_REVISIONS = 500
"""All texts of a message are kept, read together, and deleted in one transaction: there must be an end."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A message that somebody asks to send."""

    chat_id: int
    content: str = field(repr=False)
    message_type: str = "text"
    client_message_id: str | None = None
    reply_to_id: UUID | None = None


CHANGE_POINTS = (
    "edit_body_written",
    "edit_rows_written",
    "edit_committed",
    "deletion_written",
    "deletion_committed",
)


class MessageService:
    """`reached` is called with each of `CHANGE_POINTS`, for tests that end the process there: the new text is
    durable and nothing names it · the rows of an edit were written and COMMIT is next · COMMIT has been
    answered, before the push · the same two of a deletion. It must return at once, or never.
    """

    def __init__(  # noqa: PLR0913 - its parts, put together once in app.py
        self,
        metadata: MetadataStore,
        content: ContentStore,
        sender: Sender,
        loader: MessageLoader,
        bus: Bus,
        clock: Clock,
        *,
        mac_key: bytes,
        max_chars: int,
        reached: Callable[[str], None] = pass_by,
    ) -> None:
        self._reached = reached
        self._metadata = metadata
        self._content = content
        self._sender = sender
        self._loader = loader
        self._bus = bus
        self._clock = clock
        self._mac_key = mac_key
        self._max_chars = max_chars

    async def accept_send(self, caller: Caller, draft: Draft, done: Callable[[Outcome], None]) -> None:
        """Queue a message; `done` gets its outcome once. Calls that follow one another, each awaited, give
        seqs in their order. Raises what is wrong with the draft itself; then `done` is not called."""
        if draft.message_type != "text":
            raise InvalidRequest("message_type is text; there are no others yet.")
        rules.check_content(draft.content, self._max_chars)
        if draft.client_message_id is not None:
            rules.check_client_message_id(draft.client_message_id)
        reply_to = None
        if draft.reply_to_id is not None:
            reply_to = await self._find_reply_target(caller, draft, draft.reply_to_id)
        message_id, answer = new_id(), _Answer(done)
        self._sender.submit(
            Send(
                id=message_id,
                chat_id=draft.chat_id,
                sender_id=caller.id,
                sender_username=caller.user.username,
                message_type=draft.message_type,
                content=draft.content,
                dedupe_key=draft.client_message_id or f"~{message_id}",
                request_mac=rules.make_request_mac(
                    self._mac_key, draft.message_type, draft.content, draft.reply_to_id
                ),
                reply_to=reply_to,
                done=answer,
                accepted_at_s=asyncio.get_running_loop().time(),
            )
        )
        answer.wait(SEND_TIMEOUT_S)

    async def send_message(self, caller: Caller, draft: Draft) -> Sent:
        """Store a message and return it once both stores have committed.

        Cancelling the caller cancels nothing: the message is stored or refused all the same.
        """
        outcome: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def done(result: Outcome) -> None:
            if not outcome.done():
                outcome.set_result(result)

        await self.accept_send(caller, draft, done)
        result = await outcome
        if isinstance(result, ChatError):
            raise result
        return result

    async def get_message(self, caller: Caller, message_id: UUID) -> Message:
        row = await self._metadata.read(lambda unit: access_message(unit, message_id, caller.id))
        return (await self._loader.load([row]))[0]

    async def edit_message(
        self, caller: Caller, message_id: UUID, content: str, *, revision: int | None = None
    ) -> Message:
        """Give a message a new text. `revision` is the one the caller has seen; another is `StaleVersion`.

        The text it has already changes nothing; beyond `MAX_REVISIONS` texts it is `Conflict`. Publishes
        `message_edited`.
        """
        rules.check_content(content, self._max_chars)
        digest = hashlib.sha256(content.encode()).digest()
        row = await self._metadata.read(lambda unit: access_message(unit, message_id, caller.id))
        _check_edit(row, caller, revision)
        if row.body_sha256 == digest:
            return Message(row, content)
        body = Body(new_id(), row.chat_id, content)
        if await self._content.insert_bodies([body]):
            raise Unavailable
        self._reached("edit_body_written")

        has_begun = False

        async def edit(unit: Unit) -> tuple[MessageRow, bool]:
            nonlocal has_begun
            is_again, has_begun = has_begun, True
            chat, _ = await access_locked_chat(unit, row.chat_id, caller.id)
            present = await access_message(unit, message_id, caller.id)
            if present.body_id == body.id:  # done by a first run whose answer was lost
                return present, True
            if is_again and body.id in {
                one.body_id for one in await unit.messages.list_revisions(message_id)
            }:
                return present, False  # as before, and somebody has edited it once more since
            _check_edit(present, caller, revision)
            if present.body_sha256 == digest or present.body_id is None or present.body_sha256 is None:
                return present, False
            now = max(self._clock(), chat.last_activity_at)
            changed = present._replace(
                version=chat.version + 1,
                revision=present.revision + 1,
                body_id=body.id,
                body_sha256=digest,
                edited_at=now,
            )
            if present.revision == 1:
                first = Revision(1, present.body_id, present.body_sha256, present.created_at)
                await unit.messages.add_revision(message_id, first)
            await unit.messages.add_revision(message_id, Revision(changed.revision, body.id, digest, now))
            await unit.messages.update_message(changed)
            await unit.chats.update_chat(replace(chat, version=changed.version))
            self._reached("edit_rows_written")
            return changed, True

        stored, edited = await self._metadata.transact(edit)
        self._reached("edit_committed")
        if stored.body_sha256 != digest:
            return (await self._loader.load([stored]))[0]
        message = Message(stored, content)
        if edited:
            push = pushes.message_edited(message)
            self._bus.publish([ChatChanged(stored.chat_id, stored.version, push)])
        return message

    async def delete_message(self, caller: Caller, message_id: UUID) -> Message:
        """Delete for everyone: the message stays in its place without a text, its history is gone.

        A second time changes nothing. Publishes `message_deleted`.
        """
        mine: int | None = None

        async def delete(unit: Unit) -> tuple[MessageRow, bool]:
            nonlocal mine
            seen = await access_message(unit, message_id, caller.id)
            chat, me = await access_locked_chat(unit, seen.chat_id, caller.id)
            row = await access_message(unit, message_id, caller.id)
            rules.check_may_delete(me, chat, row)
            if row.is_deleted:
                return row, row.version == mine
            mine = chat.version + 1
            await unit.messages.discard_bodies(row, self._clock() + BODIES_KEPT_FOR)
            row = row._replace(version=mine, body_id=None, body_sha256=None, is_deleted=True)
            await unit.messages.update_message(row)
            await unit.chats.update_chat(replace(chat, version=mine))
            self._reached("deletion_written")
            return row, True

        row, deleted = await self._metadata.transact(delete)
        self._reached("deletion_committed")
        tombstone = Message(row, "")
        if deleted:
            push = pushes.message_deleted(tombstone)
            self._bus.publish([ChatChanged(row.chat_id, row.version, push)])
        return tombstone

    async def hide_message(self, caller: Caller, message_id: UUID) -> Message:
        """Delete for oneself, and return what has been hidden. A second time changes nothing.

        Tells one's own connections by `message_hidden`.
        """

        async def hide(unit: Unit) -> MessageRow:
            row = await unit.messages.find_message(message_id)
            if row is None:
                raise NotFound
            chat, _ = await access_locked_chat(unit, row.chat_id, caller.id)
            await unit.messages.add_hide(caller.id, row.chat_id, row.seq, chat.version)
            return row

        row = await self._metadata.transact(hide)
        push = pushes.message_hidden(row.chat_id, row.id, row.seq)
        self._bus.publish([UserNotified((caller.id,), push, frozenset([row.chat_id]), is_ephemeral=False)])
        return (await self._loader.load([row]))[0]

    async def list_revisions(self, caller: Caller, message_id: UUID) -> list[tuple[Revision, str]]:
        """Every text the message has had, the present one last; `NotFound` for a deleted one."""

        async def read(unit: Unit) -> tuple[MessageRow, list[Revision]]:
            row = await access_message(unit, message_id, caller.id)
            return row, await unit.messages.list_revisions(message_id)

        row, revisions = await self._metadata.read(read)
        if row.body_id is None or row.body_sha256 is None:
            raise NotFound
        if not revisions:
            revisions = [Revision(row.revision, row.body_id, row.body_sha256, row.created_at)]
        texts = await self._loader.load_bodies(row.chat_id, [one.body_id for one in revisions])
        return [(one, texts.get(one.body_id, "")) for one in revisions]

    async def purge_discarded(self) -> int:
        """Remove the bodies of messages that were deleted ten minutes ago or more; count them."""
        removed = 0
        while due := await self._metadata.read(lambda unit: unit.messages.list_discarded(self._clock(), 500)):
            ids = {body_id for _, body_id in due}
            named = await self._find_named(ids)
            if named:  # a damaged store; what a row points to is kept, and no longer listed
                log.error("discarded_but_named", bodies=sorted(map(str, named)))
            gone = [key for key in due if key[1] not in named]
            await self._content.delete_bodies(gone)
            await self._forget_discarded(ids)
            removed += len(gone)
        return removed

    async def _find_named(self, body_ids: set[UUID]) -> set[UUID]:
        return await self._metadata.read(lambda unit: unit.audit.find_named(body_ids))

    async def _forget_discarded(self, body_ids: set[UUID]) -> None:
        await self._metadata.transact(lambda unit: unit.messages.forget_discarded(body_ids))

    async def _find_reply_target(self, caller: Caller, draft: Draft, message_id: UUID) -> ReplyTo | None:
        """What a draft answers; None where its key is taken, for then nothing new is stored: whoever has
        hidden the target meanwhile still gets the answer to a repeated request."""

        async def read(unit: Unit) -> ReplyTo | None:
            try:
                row = await access_message(unit, message_id, caller.id)
            except NotFound:
                key = draft.client_message_id
                if key is None or not await unit.messages.find_replays([(draft.chat_id, caller.id, key)]):
                    raise
                return None
            if row.chat_id != draft.chat_id:
                raise NotFound
            return ReplyTo(row.id, row.seq, row.sender_id)

        return await self._metadata.read(read)


class _Answer:
    """Hands on the first outcome, or `Unavailable` when none comes in time; a later one answers nobody."""

    def __init__(self, done: Callable[[Outcome], None]) -> None:
        self._done = done
        self._is_given = False
        self._timer: asyncio.TimerHandle | None = None

    def wait(self, seconds: float) -> None:
        """Begin to wait; called once the send has been accepted."""
        self._timer = asyncio.get_running_loop().call_later(seconds, self, Unavailable())

    def __call__(self, outcome: Outcome) -> None:
        if not self._is_given:
            self._is_given = True
            if self._timer is not None:
                self._timer.cancel()
            self._done(outcome)


def _check_edit(row: MessageRow, caller: Caller, revision: int | None) -> None:
    if row.sender_id != caller.id:
        raise Forbidden("Only its sender may edit a message.")
    if row.is_deleted:
        raise Conflict("The message has been deleted.")
    if row.revision >= MAX_REVISIONS:
        raise Conflict(f"The message has been edited {MAX_REVISIONS - 1} times, and no more are kept.")
    if revision is not None and row.revision != revision:
        raise StaleVersion
