"""Reading messages: pages of history, what has changed since a version, and the texts of rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import islice
from uuid import UUID

import structlog

from chat_service.domain.errors import NotFound, ResyncRequired
from chat_service.domain.models import Changes, Chat, Message, MessageRow, Participant, Position, ToldMessage
from chat_service.domain.rules import POSITIONS_PUSHED_UP_TO
from chat_service.services.access import access_chat
from chat_service.services.epoch import Epoch
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import MetadataStore, Span, Unit
from chat_service.services.recent import RecentChanges

log = structlog.get_logger()

PAGE_CHARS = 128 * 1024
"""A page of changes ends early above this much text, so that no frame of it grows beyond bounds."""
PEOPLE_TOGETHER = 500
"""Participants on a page of changes, unless one version has more: some 120 kB."""
TEXTS_TOGETHER = 100
"""Texts of different pages that are read at once."""
HIDES_TOLD_AGAIN = 1000
"""Versions before `since` whose hides are told once more. A hide takes no version, so the push of a later
one may overtake its own, and a client that loses its connection in between has a cursor above it."""
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


@dataclass(frozen=True, slots=True)
class ChangesFound:
    """A page of the change feed without its texts, or with the messages as they were told. `chat` was read
    before all else."""

    chat: Chat
    since: int
    to: int
    rows: list[MessageRow]
    participants: list[Participant]
    positions: list[Position]
    hidden: list[int]
    told: list[ToldMessage] | None = None


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

        async def read(unit: Unit) -> _Window:
            if at is None and around is None:
                return await _read_beside(unit, chat_id, user_id, limit=limit, before=before, after=after)
            chat, _ = await access_chat(unit, chat_id, user_id)
            middle = around
            if at is not None:
                middle = await unit.messages.find_seq_at(chat_id, at)
            # Nothing is as young as `at`: the newest page.
            beyond = chat.last_seq + 1
            return await _read_around(
                unit, chat, user_id, limit=limit, middle=beyond if middle is None else middle
            )

        window = await self._metadata.read(read)
        return HistoryPage(
            items=await self._loader.load(window.rows),
            has_older=window.older,
            has_newer=window.newer,
            next_before=window.start if window.older else None,
            next_after=window.end if window.newer else None,
            version=window.version,
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
        """One page of the change feed. Raises `ResyncRequired` for another epoch, and for a `since` that lies
        above the chat's version."""
        found = await self.find_changes(user_id, {chat_id: since}, limit=limit, epoch=epoch)
        [changes] = await self.load_changes([_or_raise(found[chat_id])])
        return changes

    async def find_changes(
        self,
        user_id: int,
        cursors: Mapping[int, int],
        *,
        limit: int,
        epoch: str | None = None,
        budget: int | None = None,
        recent: RecentChanges | None = None,
    ) -> dict[int, ChangesFound | NotFound | ResyncRequired]:
        """For each chat a page above its cursor, for `load_changes`, or why there is none. It takes two round
        trips, and one for each chat whose memberships have changed. With a `budget`, `ResyncRequired` is also
        for who lies more versions than that behind; with `recent`, messages that it has are not read."""

        async def read(unit: Unit) -> dict[int, ChangesFound | NotFound | ResyncRequired]:
            chats = await unit.feed.find_chats(user_id, cursors.keys())
            refused: dict[int, NotFound | ResyncRequired] = {}
            readable: list[tuple[Chat, int]] = []
            for chat_id, since in cursors.items():
                chat = chats.get(chat_id)
                if chat is None:
                    refused[chat_id] = NotFound()
                elif epoch not in (None, self._epoch.value) or not _reaches(chat, since, budget):
                    refused[chat_id] = ResyncRequired(version=chat.version)
                else:
                    readable.append((chat, since))
            return {**refused, **await _find_changes(unit, user_id, readable, limit, recent)}

        return await self._metadata.read(read)

    async def find_changes_for_all(
        self, cursors: Mapping[int, int], *, limit: int
    ) -> dict[int, ChangesFound]:
        """Pages that fill holes for every socket of a chat alike; a chat that is gone has none."""

        async def read(unit: Unit) -> dict[int, ChangesFound]:
            chats = await unit.chats.get_chats(sorted(cursors))
            return await _find_changes(unit, NOBODY, [(chat, cursors[chat.id]) for chat in chats], limit)

        return await self._metadata.read(read)

    async def load_changes(self, found: Sequence[ChangesFound]) -> list[Changes]:
        """The pages with their texts, which are read together."""
        messages = iter(await self._loader.load([row for page in found for row in page.rows]))
        return [_compose(page, list(islice(messages, len(page.rows))), self._epoch.value) for page in found]


def split_pages(pages: Iterable[ChangesFound]) -> list[list[ChangesFound]]:
    """For `load_changes`: in order, at least one list, each of one page or of no more than `TEXTS_TOGETHER`
    texts."""
    batches: list[list[ChangesFound]] = [[]]
    for page in pages:
        if batches[-1] and sum(len(one.rows) for one in (*batches[-1], page)) > TEXTS_TOGETHER:
            batches.append([])
        batches[-1].append(page)
    return batches


def _or_raise(found: ChangesFound | NotFound | ResyncRequired) -> ChangesFound:
    if isinstance(found, ChangesFound):
        return found
    raise found


def _reaches(chat: Chat, since: int, budget: int | None) -> bool:
    """Whether the feed goes on from there."""
    return since <= chat.version and (budget is None or chat.version - since <= budget)


async def _find_changes(
    unit: Unit,
    viewer_id: int,
    chats: Sequence[tuple[Chat, int]],
    limit: int,
    recent: RecentChanges | None = None,
) -> dict[int, ChangesFound]:
    """The chats were read first, and their versions bound the pages; no version is split over two pages."""
    told = await _find_told(unit, viewer_id, chats, recent) if recent else {}
    spans = [
        Span(
            chat_id=chat.id,
            since=chat.version if chat.id in told else since,
            bound=chat.version,
            hides_since=max(0, since - HIDES_TOLD_AGAIN),
            has_all_positions=chat.participant_count <= POSITIONS_PUSHED_UP_TO,
        )
        for chat, since in chats
    ]
    rows = await unit.feed.read_spans(viewer_id, spans, limit=limit + 1)
    pages: dict[int, ChangesFound] = {}
    for chat, since in chats:
        changed = rows[chat.id]
        mine = [one for one in told.get(chat.id, ()) if one.seq not in changed.hidden]
        versions = {row.version for row in changed.messages}.union(changed.versions)
        versions.update(one.version for one in mine)
        if since < chat.settings_version:
            versions.add(chat.settings_version)
        to = sorted(versions)[limit - 1] if len(versions) > limit else chat.version
        participants: list[Participant] = []
        if changed.versions:
            participants = await unit.participants.list_changed(chat.id, since=since, bound=to)
            to = min(to, _end_of_people(participants, to))
            participants = [one for one in participants if one.version <= to]
        pages[chat.id] = ChangesFound(
            chat=chat,
            since=since,
            to=to,
            rows=[row for row in changed.messages if row.version <= to],
            participants=participants,
            positions=changed.positions,
            hidden=changed.hidden,
            told=[one for one in mine if one.version <= to] if chat.id in told else None,
        )
    return pages


def _end_of_people(participants: Sequence[Participant], to: int) -> int:
    """Up to which version a page goes, that it may not hold thousands of them; the first version is whole."""
    if len(participants) <= PEOPLE_TOGETHER:
        return to
    versions = sorted(one.version for one in participants)
    return max(versions[0], versions[PEOPLE_TOGETHER] - 1)


async def _find_told(
    unit: Unit, viewer_id: int, chats: Sequence[tuple[Chat, int]], recent: RecentChanges
) -> dict[int, list[ToldMessage]]:
    """The messages of those chats in which nothing else has changed since, and all of it was told here."""
    found = {chat.id: recent.find_messages(chat.id, since, chat.version) for chat, since in chats}
    told = {chat_id: messages for chat_id, messages in found.items() if messages is not None}
    # Who hides a message hides its later changes. A hide that is older than those of the page must be asked
    # for, and only a message that is older than the page can have one.
    changed = {
        (chat_id, one.seq) for chat_id, messages in told.items() for one in messages if not one.is_first
    }
    hidden = await unit.feed.list_hidden(viewer_id, changed) if changed else set()
    return {
        chat_id: [one for one in messages if (chat_id, one.seq) not in hidden]
        for chat_id, messages in told.items()
    }


def _compose(page: ChangesFound, messages: list[Message], epoch: str) -> Changes:
    told = page.told
    if told is None:
        # The versions are those of the rows: a message whose text was gone has been read again since.
        sizes = [(row.version, len(one.content)) for row, one in zip(page.rows, messages, strict=True)]
    else:
        sizes = [(one.version, one.chars) for one in told]
    count, to = _cut(sizes, page.to)
    return Changes(
        chat_id=page.chat.id,
        epoch=epoch,
        since=page.since,
        to=to,
        messages=messages[:count],
        told=told and told[:count],
        participants=[one for one in page.participants if one.version <= to],
        chat=page.chat if page.since < page.chat.settings_version <= to else None,
        hidden=page.hidden,
        positions=page.positions,
        has_more=to < page.chat.version,
    )


def _cut(sizes: Sequence[tuple[int, int]], to: int) -> tuple[int, int]:
    """How many of the messages, given with version and length, make a page, and up to which version it goes:
    it ends early where its texts grow too long, but keeps its first message."""
    chars = 0
    for index, (version, length) in enumerate(sizes):
        chars += length
        if chars > PAGE_CHARS and index:
            return index, version - 1
    return len(sizes), to


@dataclass(frozen=True, slots=True)
class _Window:
    """A stretch of history: its rows, and whether there is more on either side."""

    rows: list[MessageRow]
    older: bool
    newer: bool
    version: int
    edge: int = 0
    """The seq that an empty window lies above, from 0 to the last one."""

    @property
    def start(self) -> int:
        return self.rows[0].seq if self.rows else self.edge + 1

    @property
    def end(self) -> int:
        return self.rows[-1].seq if self.rows else self.edge


async def _read_beside(
    unit: Unit, chat_id: int, viewer_id: int, *, limit: int, before: int | None, after: int | None
) -> _Window:
    """One row more than asked for tells whether there is more on the far side."""
    found = await unit.messages.read_history(chat_id, viewer_id, limit=limit + 1, before=before, after=after)
    if found is None:
        raise NotFound
    rows, last_seq, version = found.rows, found.chat.last_seq, found.chat.version
    has_more = len(rows) > limit
    if after is not None:
        return _Window(rows[:limit], found.is_beyond, has_more, version, min(after, last_seq))
    edge = 0 if before is None else max(0, min(before - 1, last_seq))
    return _Window(rows[-limit:], has_more, found.is_beyond, version, edge)


async def _read_around(unit: Unit, chat: Chat, viewer_id: int, *, limit: int, middle: int) -> _Window:
    """Half of the page older than `middle`; where one side is short, the other fills the page."""
    read = partial(unit.messages.list_history, chat.id, viewer_id, limit=limit + 1)
    older, newer = await read(before=middle), await read(after=middle - 1)
    half = limit // 2
    take_newer = min(len(newer), max(limit - half, limit - len(older)))
    take_older = min(len(older), limit - take_newer)
    rows = older[len(older) - take_older :] + newer[:take_newer]
    return _Window(rows, len(older) > take_older, len(newer) > take_newer, chat.version)
