"""Reading messages: pages of history, what has changed since a version, and the texts of rows."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from uuid import UUID

import structlog

from chat_service.domain.errors import ResyncRequired
from chat_service.domain.models import Changes, Chat, Message, MessageRow, Participant
from chat_service.domain.rules import POSITIONS_PUSHED_UP_TO
from chat_service.services.access import access_chat
from chat_service.services.epoch import Epoch
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import MetadataStore, Unit

log = structlog.get_logger()

PAGE_CHARS = 128 * 1024
"""A page of changes ends early above this much text, so that no frame of it grows beyond bounds."""
NOBODY = 0
"""The viewer of a page that is made for many: nothing is hidden from it."""


@dataclass(frozen=True, slots=True)
class HistoryPage:
    """Items ascending by seq. `version` was read before them: changes above it may show already."""

    items: list[Message]
    has_older: bool
    has_newer: bool
    next_before: int | None
    next_after: int | None
    version: int


@dataclass(frozen=True, slots=True)
class NumberedPage:
    items: list[Message]
    total: int


class MessageLoader:
    """Puts the texts to the rows."""

    def __init__(self, metadata: MetadataStore, content: ContentStore) -> None:
        self._metadata = metadata
        self._content = content

    async def load(self, rows: Sequence[MessageRow]) -> list[Message]:
        """The messages in the order of their rows.

        A body may be removed between the reading of its row and its own: then the row is read again. A
        body that its present row names and that does not exist is a damaged store; it is logged and shown
        as an empty text rather than making the whole chat unreadable.
        """
        texts = await self._get_texts(rows)
        missing = [row.id for row in rows if row.body_id is not None and row.body_id not in texts]
        if missing:
            rows = await self._read_again(rows, missing)
            texts |= await self._get_texts([row for row in rows if row.id in missing])
        return [Message(row, self._find_text(row, texts)) for row in rows]

    async def load_newest(self, unit: Unit, viewer_id: int, chat_ids: Collection[int]) -> dict[int, Message]:
        """The newest message of each chat that the viewer has not hidden."""
        rows = await unit.messages.list_newest(viewer_id, chat_ids)
        return {message.row.chat_id: message for message in await self.load(list(rows.values()))}

    async def load_bodies(self, chat_id: int, body_ids: Sequence[UUID]) -> dict[UUID, str]:
        return await self._content.get_bodies([(chat_id, body_id) for body_id in body_ids])

    async def _get_texts(self, rows: Sequence[MessageRow]) -> dict[UUID, str]:
        keys = [(row.chat_id, row.body_id) for row in rows if row.body_id is not None]
        return await self._content.get_bodies(keys) if keys else {}

    async def _read_again(self, rows: Sequence[MessageRow], missing: Sequence[UUID]) -> list[MessageRow]:
        fresh = await self._metadata.read(lambda unit: unit.messages.find_messages(missing))
        return [fresh.get(row.id, row) for row in rows]

    @staticmethod
    def _find_text(row: MessageRow, texts: dict[UUID, str]) -> str:
        if row.body_id is None:
            return ""
        if row.body_id not in texts:
            log.error("body_missing", chat_id=row.chat_id, seq=row.seq, body_id=str(row.body_id))
        return texts.get(row.body_id, "")


class HistoryService:
    def __init__(self, metadata: MetadataStore, loader: MessageLoader, epoch: Epoch) -> None:
        self._metadata = metadata
        self._loader = loader
        self._epoch = epoch

    async def list_history(  # noqa: PLR0913 - the windows of the contract, one of them given
        self,
        user_id: int,
        chat_id: int,
        *,
        limit: int,
        before: int | None = None,
        after: int | None = None,
        around: int | None = None,
        at: datetime | None = None,
    ) -> HistoryPage:
        """At most one of the four may be given; without one the newest page."""

        async def read(unit: Unit) -> tuple[Chat, _Window]:
            chat, _ = await access_chat(unit, chat_id, user_id)
            window = _Window(unit, chat, user_id, limit)
            if at is not None:
                found = await unit.messages.find_seq_at(chat_id, at)
                await window.read_around(chat.last_seq + 1 if found is None else found)
            elif around is not None:
                await window.read_around(around)
            elif after is not None:
                await window.read_after(after)
            else:
                await window.read_before(before)
            return chat, window

        chat, window = await self._metadata.read(read)
        return HistoryPage(
            items=await self._loader.load(window.rows),
            has_older=window.older,
            has_newer=window.newer,
            next_before=window.start if window.older else None,
            next_after=window.end if window.newer else None,
            version=chat.version,
        )

    async def list_page(self, user_id: int, chat_id: int, *, page: int, limit: int) -> NumberedPage:
        """Page 1 is the newest; ascending within the page."""

        async def read(unit: Unit) -> tuple[list[MessageRow], int]:
            chat, _ = await access_chat(unit, chat_id, user_id)
            hidden = await unit.messages.count_hides(user_id, chat_id)
            offset = (page - 1) * limit
            total = chat.last_seq - hidden
            if offset >= total:
                return [], total
            if hidden:
                return await unit.messages.list_page(chat_id, user_id, limit=limit, offset=offset), total
            # Without holes a page is a range of seqs, as fast at the end of a long chat as at its start.
            before = chat.last_seq - offset + 1
            return await unit.messages.list_history(chat_id, user_id, limit=limit, before=before), total

        rows, total = await self._metadata.read(read)
        return NumberedPage(await self._loader.load(rows), total)

    async def list_changes(
        self, user_id: int, chat_id: int, *, since: int, limit: int, epoch: str | None = None
    ) -> Changes:
        """One page of the change feed. Raises `ResyncRequired` for another epoch, or a `since` that lies
        above the chat's version."""

        async def read(unit: Unit) -> Changes:
            chat, me = await access_chat(unit, chat_id, user_id)
            self.check_cursor(chat, since, epoch)
            changes = await self._read_changes(unit, chat, user_id, since=since, limit=limit)
            everybody = chat.participant_count <= POSITIONS_PUSHED_UP_TO
            positions = await unit.participants.list_positions(chat_id, None if everybody else [me.user_id])
            hidden = await unit.messages.list_hides(user_id, chat_id, since)
            return replace(changes, positions=positions, hidden=hidden)

        return await self._metadata.read(read)

    async def list_changes_for_all(
        self, chat_id: int, *, since: int, limit: int
    ) -> tuple[Changes, Chat] | None:
        """A page that fills a hole for every socket of the chat alike, and the chat as it is now; None
        when the chat is gone."""

        async def read(unit: Unit) -> tuple[Changes, Chat] | None:
            chat = await unit.chats.find_chat(chat_id)
            if chat is None:
                return None
            changes = await self._read_changes(unit, chat, NOBODY, since=since, limit=limit)
            if chat.participant_count <= POSITIONS_PUSHED_UP_TO:
                positions = await unit.participants.list_positions(chat_id)
                changes = replace(changes, positions=positions)
            return changes, chat

        return await self._metadata.read(read)

    def check_cursor(self, chat: Chat, since: int, epoch: str | None) -> None:
        if since > chat.version or (epoch is not None and epoch != self._epoch.value):
            raise ResyncRequired

    async def _read_changes(
        self, unit: Unit, chat: Chat, viewer_id: int, *, since: int, limit: int
    ) -> Changes:
        """`chat` was read first, and its version bounds the page; no version is split over two pages."""
        bound = chat.version
        rows = await unit.messages.list_changed(chat.id, viewer_id, since=since, bound=bound, limit=limit + 1)
        versions = await unit.participants.list_changed_versions(
            chat.id, since=since, bound=bound, limit=limit + 1
        )
        if since < chat.settings_version <= bound:
            versions.append(chat.settings_version)
        ordered = sorted({row.version for row in rows}.union(versions))
        to = ordered[limit - 1] if len(ordered) > limit else bound
        messages = await self._loader.load([row for row in rows if row.version <= to])
        messages, to = _cut(messages, to)
        participants: list[Participant] = []
        if versions:
            participants = await unit.participants.list_changed(chat.id, since=since, bound=to)
        return Changes(
            chat_id=chat.id,
            epoch=self._epoch.value,
            since=since,
            to=to,
            messages=messages,
            participants=participants,
            chat=chat if since < chat.settings_version <= to else None,
            hidden=[],
            positions=[],
            has_more=to < bound,
        )


def _cut(messages: list[Message], to: int) -> tuple[list[Message], int]:
    """End the page early where its texts grow too long; a page always keeps its first message."""
    chars = 0
    for index, message in enumerate(messages):
        chars += len(message.content)
        if chars > PAGE_CHARS and index:
            return messages[:index], message.row.version - 1
    return messages, to


class _Window:
    """A stretch of history being read: its rows, and whether there is more on either side."""

    def __init__(self, unit: Unit, chat: Chat, viewer_id: int, limit: int) -> None:
        self._unit = unit
        self._chat_id = chat.id
        self._last_seq = chat.last_seq
        self._viewer_id = viewer_id
        self._limit = limit
        self.rows: list[MessageRow] = []
        self.older = self.newer = False
        self._edge = 0
        """The seq that an empty window lies above, from 0 to the last one."""

    @property
    def start(self) -> int:
        return self.rows[0].seq if self.rows else self._edge + 1

    @property
    def end(self) -> int:
        return self.rows[-1].seq if self.rows else self._edge

    async def read_before(self, before: int | None) -> None:
        rows = await self._list(before=before, limit=self._limit + 1)
        self.rows, self.older = rows[-self._limit :], len(rows) > self._limit
        if before is not None:
            self._edge = max(0, min(before - 1, self._last_seq))
            self.newer = bool(await self._list(after=self.end, limit=1))

    async def read_after(self, after: int) -> None:
        rows = await self._list(after=after, limit=self._limit + 1)
        self.rows, self.newer = rows[: self._limit], len(rows) > self._limit
        self._edge = min(after, self._last_seq)
        self.older = bool(await self._list(before=self.start, limit=1))

    async def read_around(self, seq: int) -> None:
        """Half of the page older than `seq`; where one side is short, the other fills the page."""
        older = await self._list(before=seq, limit=self._limit + 1)
        newer = await self._list(after=seq - 1, limit=self._limit + 1)
        half = self._limit // 2
        take_newer = min(len(newer), max(self._limit - half, self._limit - len(older)))
        take_older = min(len(older), self._limit - take_newer)
        self.rows = older[len(older) - take_older :] + newer[:take_newer]
        self.older, self.newer = len(older) > take_older, len(newer) > take_newer

    async def _list(
        self, *, limit: int, before: int | None = None, after: int | None = None
    ) -> list[MessageRow]:
        return await self._unit.messages.list_history(
            self._chat_id, self._viewer_id, limit=limit, before=before, after=after
        )
