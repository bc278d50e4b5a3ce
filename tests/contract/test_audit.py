"""What the check and the sweeper read, on every metadata store: pages by key, each a range of an index."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from functools import partial
from typing import Any, TypeVar
from uuid import UUID

import pytest
from sqlalchemy import insert, text

from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.adapters.sql.tables import (
    chats,
    discarded_bodies,
    hides,
    messages,
    participants,
    revisions,
)
from chat_service.domain.ids import new_id
from chat_service.services.ports.audit import AFTER_ALL, BEFORE_ALL, Proven, Stretch
from chat_service.services.ports.metadata import MetadataStore, Unit

NOW = datetime(2026, 3, 1, tzinfo=UTC)
T = TypeVar("T")


async def put(store: MetadataStore, table: Any, *rows: dict[str, Any]) -> None:
    assert isinstance(store, SqlMetadataStore)
    async with store._writes.begin() as connection:
        await connection.execute(insert(table), list(rows))


def a_row(chat_id: int, seq: int, **values: Any) -> dict[str, Any]:
    message_id = values.pop("id", None) or new_id()
    return {
        "chat_id": chat_id,
        "seq": seq,
        "id": message_id,
        "version": seq + 1,
        "revision": 1,
        "sender_id": 1,
        "message_type": "text",
        "dedupe_key": str(message_id),
        "request_mac": bytes(32),
        "body_id": message_id,
        "body_sha256": bytes(32),
        "created_at": NOW,
        "is_deleted": False,
        **values,
    }


def a_member(chat_id: int, user_id: int, **values: Any) -> dict[str, Any]:
    positions = {"read_seq": 0, "delivered_seq": 0, "hidden_until_seq": None}
    others = {"role": "member", "joined_at": NOW, "left_at": None, "version": 1, "is_archived": False}
    return {"chat_id": chat_id, "user_id": user_id, **positions, **others, **values}


def a_chat(chat_id: int) -> dict[str, Any]:
    numbers = {"version": 1, "settings_version": 1, "last_seq": 0, "participant_count": 0}
    fixed = {"id": chat_id, "chat_type": "group", "created_by": 1, "created_at": NOW, "last_activity_at": NOW}
    return fixed | numbers | {"creation_key": str(chat_id)}


async def collect(
    store: MetadataStore, start: Any, list_page: Callable[[Any, Unit], Awaitable[list[T]]], key: Any
) -> list[T]:
    """Page after page of two, to the end."""
    found: list[T] = []
    while True:
        page = await store.read(partial(list_page, start))
        found += page
        if len(page) < 2:
            return found
        start = key(page[-1])


async def test_deployment_has_an_id(metadata_store: MetadataStore) -> None:
    found = await metadata_store.read(lambda unit: unit.audit.find_deployment_id())
    assert found is not None
    assert len(found) == 32


async def test_pages_follow_one_another_over_chats(metadata_store: MetadataStore) -> None:
    keys = [(1, 1), (1, 2), (1, 3), (2, 1), (5, 1), (5, 2), (5, 3), (5, 4), (9, 1)]
    await put(metadata_store, messages, *(a_row(*key) for key in keys))
    await put(metadata_store, participants, *(a_member(*key) for key in keys))
    found = await collect(
        metadata_store,
        (0, AFTER_ALL),
        lambda after, unit: unit.audit.list_messages(after, AFTER_ALL, 2),
        lambda row: (row.chat_id, row.seq),
    )
    assert [(row.chat_id, row.seq) for row in found] == keys
    members = await collect(
        metadata_store,
        (1, AFTER_ALL),
        lambda after, unit: unit.audit.list_memberships(after, 5, 2),
        lambda row: (row.chat_id, row.user_id),
    )
    assert [(row.chat_id, row.user_id) for row in members] == keys[3:8]
    assert await metadata_store.read(lambda unit: unit.audit.list_messages((9, 1), AFTER_ALL, 2)) == []


async def test_pages_of_hides_revisions_and_discarded_bodies(metadata_store: MetadataStore) -> None:
    triples = [(1, 1, 1), (1, 1, 2), (1, 2, 1), (2, 1, 1), (2, 1, 3), (3, 7, 1)]
    columns = ("user_id", "chat_id", "seq")
    rows = [dict(zip(columns, triple, strict=True)) | {"chat_version": 1} for triple in triples]
    await put(metadata_store, hides, *rows)
    start = (BEFORE_ALL, BEFORE_ALL, BEFORE_ALL)
    found = await collect(
        metadata_store, start, lambda after, unit: unit.audit.list_hides(after, 2), lambda row: row
    )
    assert found == triples
    ids = sorted(new_id() for _ in range(3))
    named = [(ids[0], 1), (ids[0], 2), (ids[0], 3), (ids[1], 1), (ids[2], 1)]
    rows = [
        {
            "message_id": one,
            "revision": number,
            "body_id": new_id(),
            "body_sha256": bytes(32),
            "edited_at": NOW,
        }
        for one, number in named
    ]
    await put(metadata_store, revisions, *rows)
    listed = await collect(
        metadata_store,
        (UUID(int=0), 0),
        lambda after, unit: unit.audit.list_all_revisions(after, 2),
        lambda row: (row.message_id, row.revision),
    )
    assert [(row.message_id, row.revision) for row in listed] == named
    some = await metadata_store.read(lambda unit: unit.audit.list_revisions([ids[2], ids[0]]))
    assert [(row.message_id, row.revision) for row in some] == [*named[:3], named[4]]
    rows = [{"body_id": body_id, "chat_id": 4, "due_at": NOW} for body_id in ids]
    await put(metadata_store, discarded_bodies, *rows)
    pages = await collect(
        metadata_store,
        UUID(int=0),
        lambda after, unit: unit.audit.list_discarded(after, 2),
        lambda row: row[0],
    )
    assert pages == [(body_id, 4) for body_id in ids]


async def test_bodies_are_named_by_messages_and_revisions(metadata_store: MetadataStore) -> None:
    plain, edited, deleted, later, discarded, unknown = (new_id() for _ in range(6))
    await put(
        metadata_store,
        messages,
        a_row(1, 1, id=plain),
        a_row(1, 2, id=edited, body_id=later, revision=2),
        a_row(1, 3, id=deleted, body_id=None, body_sha256=None, is_deleted=True),
    )
    fixed = {"message_id": edited, "body_sha256": bytes(32), "edited_at": NOW}
    await put(
        metadata_store,
        revisions,
        {**fixed, "revision": 1, "body_id": edited},
        {**fixed, "revision": 2, "body_id": later},
    )
    await put(metadata_store, discarded_bodies, {"body_id": discarded, "chat_id": 1, "due_at": NOW})
    ids = {plain, edited, deleted, later, discarded, unknown}
    ids |= {new_id() for _ in range(1_200)}
    assert await metadata_store.read(lambda unit: unit.audit.find_named(ids)) == {plain, edited, later}
    assert await metadata_store.read(lambda unit: unit.audit.find_discarded(ids)) == {discarded}


async def test_a_chat_is_read_stretch_by_stretch(metadata_store: MetadataStore) -> None:
    rows = [a_row(1, seq, body_id=new_id()) for seq in range(1, 6)]
    rows[1] |= {"revision": 3}
    rows[2] |= {"body_id": None}
    rows[3] |= {"body_id": None, "revision": 2, "is_deleted": True}
    await put(metadata_store, messages, *rows, a_row(2, 1))
    fixed = {"message_id": rows[1]["id"], "body_sha256": bytes(32), "edited_at": NOW}
    await put(metadata_store, revisions, {**fixed, "revision": 3, "body_id": new_id()})
    wanted = {rows[0]["body_id"], rows[4]["body_id"], new_id()}

    async def read(after: int) -> Stretch:
        return await metadata_store.read(lambda unit: unit.audit.read_stretch(1, wanted, after, 2))

    assert await read(BEFORE_ALL) == Stretch(frozenset([rows[0]["body_id"]]), 2, 2, 2)
    assert await read(2) == Stretch(frozenset(), 2, 1, 4)
    assert await read(4) == Stretch(frozenset([rows[4]["body_id"]]), 1, 0, None)
    assert await read(9) == Stretch(frozenset(), 0, 0, None)


async def test_rows_prove_counters_and_repairs_set_them(metadata_store: MetadataStore) -> None:
    await put(metadata_store, chats, a_chat(7), a_chat(8))
    await put(metadata_store, messages, a_row(7, 1), a_row(7, 2, version=9), a_row(8, 1))
    await put(
        metadata_store,
        participants,
        a_member(7, 1, role="owner", read_seq=2),
        a_member(7, 2, version=5, read_seq=3, delivered_seq=1),
        a_member(7, 3, role="owner", left_at=NOW),
        a_member(7, 4, hidden_until_seq=8),
        a_member(8, 1, read_seq=99),
    )

    async def prove(unit: Unit) -> Proven:
        await unit.chats.lock_chats([7])
        return await unit.audit.get_proven(7)

    assert await metadata_store.transact(prove) == Proven(2, 9, 5, present=3, owners=1)
    beyond = await metadata_store.read(lambda unit: unit.audit.list_beyond(7, 2, 10))
    assert [(row.user_id, row.furthest_seq) for row in beyond] == [(2, 3), (4, 8)]

    async def repair(unit: Unit) -> None:
        await unit.audit.set_counters(7, last_seq=2, version=9, participant_count=3)
        await unit.audit.clamp_positions(7, 2)

    await metadata_store.transact(repair)
    assert await metadata_store.read(lambda unit: unit.audit.list_beyond(7, 2, 10)) == []
    (member,) = await metadata_store.read(lambda unit: unit.audit.list_memberships((7, 1), 7, 1))
    assert (member.read_seq, member.delivered_seq, member.hidden_until_seq) == (2, 1, None)
    (other,) = await metadata_store.read(lambda unit: unit.audit.list_beyond(8, 2, 10))
    assert other.read_seq == 99
    seven, eight = await metadata_store.read(lambda unit: unit.audit.list_chats(6, 10))
    assert (seven.last_seq, seven.version, seven.participant_count) == (2, 9, 3)
    assert (eight.last_seq, eight.version) == (0, 1)
    assert await metadata_store.read(lambda unit: unit.audit.count_chats(7)) == 1


async def test_empty_chat_proves_nothing(metadata_store: MetadataStore) -> None:
    await put(metadata_store, chats, a_chat(7))
    assert await metadata_store.read(lambda unit: unit.audit.get_proven(7)) == Proven(0, 0, 0, 0, 0)


STATEMENTS = {
    "messages by key": "SELECT * FROM messages WHERE chat_id <= 900 AND chat_id = 1 AND seq > 5 "
    "ORDER BY chat_id, seq LIMIT 100",
    "messages of later chats": "SELECT * FROM messages WHERE chat_id <= 900 AND chat_id > 1 "
    "ORDER BY chat_id, seq LIMIT 100",
    "memberships": "SELECT * FROM participants WHERE chat_id <= 900 AND chat_id > 1 "
    "ORDER BY chat_id, user_id LIMIT 100",
    "hides": "SELECT * FROM hides WHERE user_id > 1 ORDER BY user_id, chat_id, seq LIMIT 100",
    "revisions": "SELECT * FROM revisions WHERE message_id > x'01' ORDER BY message_id, revision LIMIT 100",
    "named by a message": "SELECT id FROM messages WHERE body_id IS NOT NULL AND id IN (x'01', x'02')",
    "named by a revision": "SELECT body_id FROM revisions WHERE body_id IN (x'01', x'02')",
    "a version": "SELECT seq FROM messages WHERE chat_id = 1 AND version = 5 ORDER BY seq LIMIT 10",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS.keys())
async def test_every_page_is_a_range_of_an_index(metadata_store: MetadataStore, statement: str) -> None:
    assert isinstance(metadata_store, SqlMetadataStore)
    await put(metadata_store, messages, *(a_row(chat, seq) for chat in range(1, 4) for seq in range(1, 300)))
    is_sqlite = metadata_store._url.get_backend_name() == "sqlite"
    explain = "EXPLAIN QUERY PLAN" if is_sqlite else "EXPLAIN"
    async with metadata_store._reads.connect() as connection:
        if not is_sqlite:
            await connection.execute(text("ANALYZE TABLE messages"))
        plan = [row._asdict() for row in await connection.execute(text(f"{explain} {statement}"))]
    if is_sqlite:
        assert all(step["detail"].startswith("SEARCH") for step in plan), plan
    else:
        assert all(
            step["type"] in {"range", "ref", "const", "system"} or step["rows"] in (None, 1) for step in plan
        )
        assert not any("filesort" in (step["Extra"] or "") for step in plan), plan
