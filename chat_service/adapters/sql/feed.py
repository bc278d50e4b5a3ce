"""The change feed: what has changed in many chats since the versions that somebody holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, select, tuple_
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.chats import CHAT_COLUMNS, to_chat
from chat_service.adapters.sql.messages import is_visible_to, read_message, select_messages, to_message
from chat_service.adapters.sql.packets import read_chat, run_together, write_out
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
).where(_OF_CHAT, _IS_PRESENT)
_OWN_POSITION = _POSITIONS.where(participants.c.user_id == bindparam("viewer_id"))
_HIDES = select(hides.c.chat_id, hides.c.seq).where(
    hides.c.user_id == bindparam("viewer_id"),
    hides.c.chat_id == bindparam("chat_id"),
    hides.c.chat_version >= bindparam("hides_since"),
)
_HIDDEN = select(hides.c.chat_id, hides.c.seq).where(
    hides.c.user_id == bindparam("viewer_id"),
    tuple_(hides.c.chat_id, hides.c.seq).in_(bindparam("messages", expanding=True)),
)

Steps = list[tuple[Select[Any], dict[str, int]]]


def _list_steps(viewer_id: int, spans: Sequence[Span], limit: int) -> tuple[Steps, Steps, Steps, Steps]:
    """The statements for messages, versions of memberships, positions and hides, with their values."""
    steps: tuple[Steps, Steps, Steps, Steps] = ([], [], [], [])
    for span in spans:
        values = {
            "viewer_id": viewer_id,
            "chat_id": span.chat_id,
            "since": span.since,
            "bound": span.bound,
            "hides_since": span.hides_since,
            "limit": limit,
        }
        if span.since < span.bound:
            steps[0].append((_MESSAGES, values))
            steps[1].append((_VERSIONS, values))
        steps[2].append((_POSITIONS if span.has_all_positions else _OWN_POSITION, values))
        steps[3].append((_HIDES, values))
    return steps


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
        rows, *others = [
            [row for query, values in steps for row in await self._connection.execute(query, values)]
            for steps in _list_steps(viewer_id, spans, limit)
        ]
        return _sort(spans, map(to_message, rows), *others)

    async def list_hidden(
        self, viewer_id: int, messages: Collection[tuple[int, int]]
    ) -> set[tuple[int, int]]:
        rows = await self._connection.execute(_HIDDEN, {"viewer_id": viewer_id, "messages": list(messages)})
        return {(chat_id, seq) for chat_id, seq in rows}


_WRITTEN = {query: write_out(query) for query in (_MESSAGES, _VERSIONS, _POSITIONS, _OWN_POSITION, _HIDES)}
_CHATS_OF = write_out(_CHATS.where(chats.c.id.op("IN")(bindparam("ids"))))


class PacketFeed(SqlFeed):
    """The same on MySQL and MariaDB: one round trip each, and one statement of a kind for all chats."""

    async def find_chats(self, user_id: int, chat_ids: Collection[int]) -> dict[int, Chat]:
        if not chat_ids:
            return {}
        ids = f"({','.join(f'{chat_id:d}' for chat_id in chat_ids)})"
        [rows] = await run_together(self._connection, _CHATS_OF % {"viewer_id": user_id, "ids": ids})
        return {row[0]: read_chat(row) for row in rows}

    async def read_spans(
        self, viewer_id: int, spans: Sequence[Span], *, limit: int
    ) -> dict[int, ChangedRows]:
        if not spans:
            return {}
        kinds = _list_steps(viewer_id, spans, limit)
        found = iter(await run_together(self._connection, *(_unite(steps) for steps in kinds if steps)))
        rows, *others = [next(found) if steps else [] for steps in kinds]
        return _sort(spans, map(read_message, rows), *others)


def _unite(steps: Steps) -> str:
    """One statement that finds what all of them find."""
    texts = [_WRITTEN[query] % values for query, values in steps]
    return texts[0] if len(texts) == 1 else " UNION ALL ".join(f"({text})" for text in texts)
