"""The change feed: what has changed in many chats since the versions that somebody holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import and_, bindparam, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.chats import CHAT_COLUMNS, to_chat
from chat_service.adapters.sql.messages import is_visible_to, read_message, select_messages, to_message
from chat_service.adapters.sql.packets import Row, read_chat, run_together, write_out
from chat_service.adapters.sql.tables import chats, hides, messages, participants
from chat_service.domain.models import Chat, MessageRow, Position
from chat_service.services.ports.metadata import ChangedRows, Span

_OF_CHAT = participants.c.chat_id == bindparam("chat_id")
_IS_PRESENT = participants.c.left_at.is_(None)
# Built once: whoever comes back asks for all of these.
_CHATS = (
    select(*CHAT_COLUMNS)
    .join(participants, participants.c.chat_id == chats.c.id)
    .where(participants.c.user_id == bindparam("viewer_id"), _IS_PRESENT)
)
_MESSAGES = (
    select_messages()
    .where(
        messages.c.chat_id == bindparam("chat_id"),
        messages.c.version > bindparam("since"),
        messages.c.version <= bindparam("bound"),
        is_visible_to(bindparam("viewer_id")),
    )
    .order_by(messages.c.version)
    .limit(bindparam("limit"))
)
_VERSIONS = (
    select(participants.c.chat_id, participants.c.version)
    .where(
        _OF_CHAT,
        participants.c.version > bindparam("since"),
        participants.c.version <= bindparam("bound"),
    )
    # Not DISTINCT: of that, ordered by one of two columns, MariaDB 10.11 forgets the condition on the other.
    .group_by(participants.c.chat_id, participants.c.version)
    .order_by(participants.c.version)
    .limit(bindparam("limit"))
)
_POSITIONS = select(
    participants.c.chat_id, participants.c.user_id, participants.c.read_seq, participants.c.delivered_seq
).where(_IS_PRESENT)
_OWN_POSITIONS = _POSITIONS.where(participants.c.user_id == bindparam("viewer_id"))
_HIDES = select(hides.c.chat_id, hides.c.seq).where(hides.c.user_id == bindparam("viewer_id"))
_IS_HIDDEN_SINCE = and_(
    hides.c.chat_id == bindparam("chat_id"), hides.c.chat_version >= bindparam("hides_since")
)
_HIDDEN = select(hides.c.chat_id, hides.c.seq).where(
    hides.c.user_id == bindparam("viewer_id"),
    tuple_(hides.c.chat_id, hides.c.seq).in_(bindparam("messages", expanding=True)),
)

_POSITIONS_OF_CHAT, _OWN_POSITION = _POSITIONS.where(_OF_CHAT), _OWN_POSITIONS.where(_OF_CHAT)
_HIDES_OF_CHAT = _HIDES.where(_IS_HIDDEN_SINCE)


def _values_of(viewer_id: int, span: Span, limit: int) -> dict[str, int]:
    return {
        "viewer_id": viewer_id,
        "chat_id": span.chat_id,
        "since": span.since,
        "bound": span.bound,
        "hides_since": span.hides_since,
        "limit": limit,
    }


def _sort(
    spans: Sequence[Span],
    rows: Iterable[MessageRow],
    versions: Iterable[Sequence[Any]],
    positions: Iterable[Sequence[Any]],
    hidden: Iterable[Sequence[Any]],
) -> dict[int, ChangedRows]:
    """Each row to its chat, in order."""
    found: dict[int, ChangedRows] = defaultdict(lambda: ChangedRows([], [], [], []))
    for message in sorted(rows, key=lambda row: row.version):
        found[message.chat_id].messages.append(message)
    for chat_id, version in sorted(map(tuple, versions)):
        found[chat_id].versions.append(version)
    for chat_id, *position in sorted(map(tuple, positions)):
        found[chat_id].positions.append(Position(*position))
    for chat_id, seq in sorted(map(tuple, hidden)):
        found[chat_id].hidden.append(seq)
    return {span.chat_id: found[span.chat_id] for span in spans}


class SqlFeed:
    """One statement after the other, on any engine."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def find_chats(self, user_id: int, chat_ids: Collection[int]) -> dict[int, Chat]:
        query = _CHATS.where(chats.c.id.in_(chat_ids))
        rows = await self._connection.execute(query, {"viewer_id": user_id})
        return {row[0]: to_chat(row) for row in rows}

    async def read_spans(
        self, viewer_id: int, spans: Sequence[Span], *, limit: int
    ) -> dict[int, ChangedRows]:
        rows: list[Any] = []
        versions: list[Any] = []
        positions: list[Any] = []
        hidden: list[Any] = []
        for span in spans:
            values = _values_of(viewer_id, span, limit)
            if span.since < span.bound:
                rows += await self._connection.execute(_MESSAGES, values)
                versions += await self._connection.execute(_VERSIONS, values)
            of_chat = _POSITIONS_OF_CHAT if span.has_all_positions else _OWN_POSITION
            positions += await self._connection.execute(of_chat, values)
            hidden += await self._connection.execute(_HIDES_OF_CHAT, values)
        return _sort(spans, map(to_message, rows), versions, positions, hidden)

    async def list_hidden(
        self, viewer_id: int, messages: Collection[tuple[int, int]]
    ) -> set[tuple[int, int]]:
        rows = await self._connection.execute(_HIDDEN, {"viewer_id": viewer_id, "messages": list(messages)})
        return {(chat_id, seq) for chat_id, seq in rows}


_MESSAGES_IN, _VERSIONS_IN = write_out(_MESSAGES), write_out(_VERSIONS)
_CHATS_IN = write_out(_CHATS.where(chats.c.id.op("IN")(bindparam("ids"))))
_IS_AMONG = participants.c.chat_id.op("IN")(bindparam("ids"))
_POSITIONS_IN, _OWN_POSITIONS_IN = (
    write_out(query.where(_IS_AMONG)) for query in (_POSITIONS, _OWN_POSITIONS)
)
_HIDES_IN, _IS_HIDDEN_IN = write_out(_HIDES), write_out(_IS_HIDDEN_SINCE)


class PacketFeed(SqlFeed):
    """The same on MySQL and MariaDB: one round trip each, and one statement of a kind for all chats."""

    async def find_chats(self, user_id: int, chat_ids: Collection[int]) -> dict[int, Chat]:
        if not chat_ids:
            return {}
        values = {"viewer_id": user_id, "ids": _list(chat_ids)}
        [rows] = await run_together(self._connection, _CHATS_IN % values)
        return {row[0]: read_chat(row) for row in rows}

    async def read_spans(
        self, viewer_id: int, spans: Sequence[Span], *, limit: int
    ) -> dict[int, ChangedRows]:
        if not spans:
            return {}
        asked = list(_list_statements(viewer_id, spans, limit))
        found: tuple[list[Row], ...] = ([], [], [], [])
        texts = (text for _, text in asked)
        for (kind, _), rows in zip(asked, await run_together(self._connection, *texts), strict=True):
            found[kind].extend(rows)
        return _sort(spans, map(read_message, found[0]), *found[1:])


def _list_statements(viewer_id: int, spans: Sequence[Span], limit: int) -> Iterator[tuple[int, str]]:
    """Each with what it finds: 0 messages, 1 versions of memberships, 2 positions, 3 hides."""
    moved = [_values_of(viewer_id, span, limit) for span in spans if span.since < span.bound]
    if moved:
        yield 0, _unite(_MESSAGES_IN, moved)
        yield 1, _unite(_VERSIONS_IN, moved)
    if whole := [span.chat_id for span in spans if span.has_all_positions]:
        yield 2, _POSITIONS_IN % {"ids": _list(whole)}
    if own := [span.chat_id for span in spans if not span.has_all_positions]:
        yield 2, _OWN_POSITIONS_IN % {"viewer_id": viewer_id, "ids": _list(own)}
    # Not one SELECT a chat: of a UNION of ten, most of the server's time went into taking it apart.
    hidden = " OR ".join(_IS_HIDDEN_IN % _values_of(viewer_id, span, limit) for span in spans)
    yield 3, f"{_HIDES_IN % {'viewer_id': viewer_id}} AND ({hidden})"


def _unite(statement: str, values: Sequence[dict[str, int]]) -> str:
    """One statement that finds what it finds with each of the values."""
    texts = [statement % one for one in values]
    return texts[0] if len(texts) == 1 else " UNION ALL ".join(f"({text})" for text in texts)


def _list(ids: Collection[int]) -> str:
    return f"({','.join(f'{one:d}' for one in ids)})"
