"""Messages, their earlier texts and their hides in the metadata store, on every engine."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest

from chat_service.domain.models import Chat, MessageRow, ReplyTo, Revision, User
from chat_service.services.ports.metadata import Duplicate, MetadataStore, Unit
from tests.contract.rows import NOW, a_message, join, read_feed, store_chat, store_messages, store_user

NOBODY = 0


@pytest.fixture
async def talk(metadata_store: MetadataStore) -> tuple[Chat, User, list[MessageRow]]:
    """A chat with the messages 1 to 7 of one user."""
    chat, ann = await store_chat(metadata_store, last_seq=7), await store_user(metadata_store)
    return chat, ann, await store_messages(metadata_store, chat, ann, *range(1, 8))


def seqs(rows: Iterable[MessageRow]) -> list[int]:
    return [row.seq for row in rows]


async def find(store: MetadataStore, message_id: UUID) -> MessageRow | None:
    return await store.read(lambda unit: unit.messages.find_message(message_id))


async def hide(store: MetadataStore, user_id: int, chat_id: int, seq: int, version: int = 1) -> bool:
    return await store.transact(lambda unit: unit.messages.add_hide(user_id, chat_id, seq, version))


async def test_a_message_is_found_as_it_was_stored(metadata_store: MetadataStore) -> None:
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    target = a_message(chat, ann, 1, dedupe_key="aZ09._:-")
    reply = a_message(
        chat,
        ann,
        2**40,
        version=2**41,
        revision=3,
        edited_at=NOW + timedelta(microseconds=1),
        reply_to=ReplyTo(target.id, 1, ann.id),
    )
    tombstone = a_message(chat, ann, 3, is_deleted=True, body_id=None, body_sha256=None)
    rows = [target, reply, tombstone]
    await metadata_store.transact(lambda unit: unit.sends.add(rows, []))

    for row in rows:
        assert await find(metadata_store, row.id) == row
    assert await find(metadata_store, uuid4()) is None
    found = await metadata_store.read(
        lambda unit: unit.messages.find_messages([target.id, reply.id, uuid4()])
    )
    assert found == {target.id: target, reply.id: reply}


@pytest.mark.parametrize("same", ["id", "seq", "dedupe_key"])
async def test_a_key_that_is_taken_stores_none_of_the_rows_and_the_transaction_goes_on(
    metadata_store: MetadataStore, same: str
) -> None:
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    first = a_message(chat, ann, 1, dedupe_key="key")
    await metadata_store.transact(lambda unit: unit.sends.add([first], []))
    batch = [a_message(chat, ann, 2), a_message(chat, ann, 3), a_message(chat, ann, 4)]
    batch[1] = batch[1]._replace(**{same: getattr(first, same)})
    again = a_message(chat, ann, 2)

    async def work(unit: Unit) -> None:
        with pytest.raises(Duplicate):
            await unit.sends.add(batch, [])
        assert await unit.messages.find_messages([row.id for row in batch if row.id != first.id]) == {}
        await unit.sends.add([again], [])

    await metadata_store.transact(work)
    rows = await metadata_store.read(lambda unit: unit.messages.list_history(chat.id, NOBODY, limit=9))
    assert rows == [first, again]


async def test_replays_are_found_by_chat_sender_and_exact_key(metadata_store: MetadataStore) -> None:
    one, other = await store_chat(metadata_store), await store_chat(metadata_store)
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    rows = [
        a_message(one, ann, 1, dedupe_key="key"),
        a_message(one, ann, 2, dedupe_key="KEY"),
        a_message(one, ben, 3, dedupe_key="key"),
        a_message(other, ann, 1, dedupe_key="key"),
    ]
    await metadata_store.transact(lambda unit: unit.sends.add(rows, []))
    keys = [(row.chat_id, row.sender_id, row.dedupe_key) for row in rows]
    missing = [(one.id, ann.id, "key "), (one.id, ann.id, "ke"), (other.id, ben.id, "key")]
    found = await metadata_store.read(lambda unit: unit.messages.find_replays(keys + missing))
    assert found == dict(zip(keys, rows, strict=True))
    many = [(one.id, ann.id, f"key{number}") for number in range(255)] + keys[:1]
    assert await metadata_store.read(lambda unit: unit.messages.find_replays(many)) == {keys[0]: rows[0]}


async def test_an_update_writes_what_edits_and_deletions_change(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    _, _, rows = talk
    edited = rows[2]._replace(
        version=9,
        revision=2,
        body_id=uuid4(),
        body_sha256=hashlib.sha256(b"2").digest(),
        edited_at=NOW + timedelta(seconds=1),
    )
    deleted = rows[3]._replace(version=10, body_id=None, body_sha256=None, is_deleted=True)
    for row in (edited, deleted):
        await metadata_store.transact(lambda unit, r=row: unit.messages.update_message(r))
        assert await find(metadata_store, row.id) == row
    assert await find(metadata_store, rows[1].id) == rows[1]


# --- Reading


async def test_history_is_read_in_both_directions(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    chat, ann, rows = talk
    await store_messages(metadata_store, await store_chat(metadata_store), ann, 1, 2, 3)

    async def history(limit: int, **options: int) -> list[int]:
        return seqs(
            await metadata_store.read(
                lambda unit: unit.messages.list_history(chat.id, NOBODY, limit=limit, **options)
            )
        )

    assert await history(3) == [5, 6, 7]
    assert await history(3, before=5) == [2, 3, 4]
    assert await history(3, before=2) == [1]
    assert await history(3, before=1) == []
    assert await history(3, after=0) == [1, 2, 3]
    assert await history(3, after=5) == [6, 7]
    assert await history(3, after=7) == []
    whole = await metadata_store.read(lambda unit: unit.messages.list_history(chat.id, NOBODY, limit=50))
    assert whole == rows

    async def page(limit: int, offset: int) -> list[int]:
        return seqs(
            await metadata_store.read(
                lambda unit: unit.messages.list_page(chat.id, NOBODY, limit=limit, offset=offset)
            )
        )

    assert [await page(3, offset) for offset in (0, 3, 6, 9)] == [[5, 6, 7], [2, 3, 4], [1], []]


async def test_a_page_comes_with_its_chat_and_a_look_to_the_other_side(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    chat, ann, rows = talk
    ben = await store_user(metadata_store)
    await join(metadata_store, chat, ann, ben)
    await hide(metadata_store, ben.id, chat.id, 7)
    await hide(metadata_store, ben.id, chat.id, 1)

    async def read(user: User, **options: int) -> tuple[list[int], bool]:
        found = await metadata_store.read(
            lambda unit: unit.messages.read_history(chat.id, user.id, limit=3, **options)
        )
        assert found is not None
        assert found.chat == await metadata_store.read(lambda unit: unit.chats.find_chat(chat.id))
        assert found.rows == [row for row in rows if row.seq in seqs(found.rows)]
        return seqs(found.rows), found.is_beyond

    assert await read(ann) == ([5, 6, 7], False)
    assert await read(ann, before=7) == ([4, 5, 6], True)
    assert await read(ann, before=8) == ([5, 6, 7], False)
    assert await read(ann, after=1) == ([2, 3, 4], True)
    assert await read(ann, after=0) == ([1, 2, 3], False)
    assert await read(ann, before=1) == ([], True)
    assert await read(ann, after=7) == ([], True)
    assert await read(ben, before=7) == ([4, 5, 6], False)
    assert await read(ben, after=1) == ([2, 3, 4], False)


async def test_a_page_is_nobodys_who_is_not_in_the_chat(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    chat, _, _ = talk
    ben, gone = await store_user(metadata_store), await store_user(metadata_store)
    await join(metadata_store, chat, gone, left_at=NOW)
    for chat_id, user in ((chat.id, ben), (chat.id, gone), (10**9, ben)):
        found = await metadata_store.read(
            lambda unit, c=chat_id, u=user: unit.messages.read_history(c, u.id, limit=3)  # type: ignore[misc]
        )
        assert found is None


async def test_hidden_messages_are_left_out_for_their_viewer_alone(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    chat, ann, _ = talk
    ben = await store_user(metadata_store)
    for seq in (7, 3):
        assert await hide(metadata_store, ben.id, chat.id, seq) is True

    async def seen_by(user_id: int) -> list[list[int]]:
        async def read(unit: Unit) -> list[list[MessageRow]]:
            messages = unit.messages
            return [
                await messages.list_history(chat.id, user_id, limit=3),
                await messages.list_history(chat.id, user_id, limit=3, before=5),
                await messages.list_history(chat.id, user_id, limit=2, after=2),
                await messages.list_page(chat.id, user_id, limit=2, offset=2),
                (await read_feed(unit, user_id, chat, bound=99)).messages,
                list((await messages.list_newest(user_id, {chat.id: 7})).values()),
            ]

        return [seqs(rows) for rows in await metadata_store.read(read)]

    assert await seen_by(ben.id) == [[4, 5, 6], [1, 2, 4], [4, 5], [2, 4], [1, 2, 4, 5, 6], [6]]
    assert await seen_by(ann.id) == [[5, 6, 7], [2, 3, 4], [3, 4], [4, 5], [1, 2, 3, 4, 5, 6, 7], [7]]


async def test_the_first_message_not_older_than_a_time_is_found(metadata_store: MetadataStore) -> None:
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    moments = [NOW + timedelta(microseconds=number) for number in (0, 1, 1, 3)]
    rows = [a_message(chat, ann, seq, created_at=at) for seq, at in enumerate(moments, start=1)]
    await metadata_store.transact(lambda unit: unit.sends.add(rows, []))
    for microseconds, seq in ((-1, 1), (0, 1), (1, 2), (2, 4), (3, 4), (4, None)):
        at = NOW + timedelta(microseconds=microseconds)
        assert await metadata_store.read(lambda unit, a=at: unit.messages.find_seq_at(chat.id, a)) == seq


async def test_the_newest_of_many_chats_are_found_at_once(metadata_store: MetadataStore) -> None:
    ann = await store_user(metadata_store)
    chats = [await store_chat(metadata_store, last_seq=seq) for seq in (3, 1, 0)]
    newest = {}
    for chat, count in zip(chats, (3, 1, 0), strict=True):
        rows = await store_messages(metadata_store, chat, ann, *range(1, count + 1)) if count else []
        newest |= {chat.id: rows[-1]} if rows else {}
    last = {chat.id: chat.last_seq for chat in chats}
    one, other, empty = last
    assert await metadata_store.read(lambda unit: unit.messages.list_newest(ann.id, last)) == newest
    await hide(metadata_store, ann.id, other, 1)
    found = await metadata_store.read(lambda unit: unit.messages.list_newest(ann.id, last))
    assert found == {one: newest[one]}
    assert await metadata_store.read(lambda unit: unit.messages.list_newest(ann.id, {empty: 0})) == {}


# --- Hides


async def test_a_second_hide_changes_nothing_and_the_transaction_goes_on(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    chat, ann, _ = talk

    async def work(unit: Unit) -> list[bool]:
        return [
            await unit.messages.add_hide(ann.id, chat.id, seq, version)
            for seq, version in ((3, 8), (3, 99), (1, 9), (7, 10))
        ]

    assert await metadata_store.transact(work) == [True, False, True, True]

    async def hides(since: int) -> list[int]:
        return (
            await metadata_store.read(lambda unit: read_feed(unit, ann.id, chat, hides_since=since))
        ).hidden

    assert [await hides(since) for since in (0, 8, 9, 10, 11)] == [[1, 3, 7], [1, 3, 7], [1, 7], [7], []]

    async def count(user_id: int, chat_id: int) -> int:
        return await metadata_store.read(lambda unit: unit.messages.count_hides(user_id, chat_id))

    assert await count(ann.id, chat.id) == 3
    assert await count(ann.id + 1, chat.id) == 0
    assert await count(ann.id, chat.id + 1) == 0


async def test_a_message_is_seen_by_those_who_are_in_its_chat_and_have_not_hidden_it(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    chat, ann, rows = talk
    ben, has_left, elsewhere = [await store_user(metadata_store) for _ in range(3)]
    await join(metadata_store, chat, ann)
    await join(metadata_store, chat, ben)
    await join(metadata_store, chat, has_left, left_at=NOW)
    await join(metadata_store, await store_chat(metadata_store), elsewhere)
    await hide(metadata_store, ann.id, chat.id, 3)

    async def seen(message_id: UUID, viewer_id: int) -> MessageRow | None:
        return await metadata_store.read(lambda unit: unit.messages.find_visible(message_id, viewer_id))

    for row in rows:
        assert await seen(row.id, ann.id) == (None if row.seq == 3 else row)
        assert await seen(row.id, ben.id) == row
        for stranger in (has_left, elsewhere):
            assert await seen(row.id, stranger.id) is None
    assert await seen(uuid4(), ben.id) is None


# --- Earlier texts


def a_revision(number: int) -> Revision:
    return Revision(
        number, uuid4(), hashlib.sha256(bytes([number])).digest(), NOW + timedelta(seconds=number)
    )


async def test_revisions_are_listed_ascending(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    _, _, rows = talk
    revisions = [a_revision(number) for number in (3, 1, 2)]
    for revision in revisions:
        await metadata_store.transact(lambda unit, r=revision: unit.messages.add_revision(rows[0].id, r))
    found = await metadata_store.read(lambda unit: unit.messages.list_revisions(rows[0].id))
    assert found == sorted(revisions, key=lambda revision: revision.revision)
    assert await metadata_store.read(lambda unit: unit.messages.list_revisions(rows[1].id)) == []


async def test_discarded_bodies_are_listed_once_they_are_due(
    metadata_store: MetadataStore, talk: tuple[Chat, User, list[MessageRow]]
) -> None:
    chat, _, rows = talk
    edited, plain = rows[0], rows[1]
    revisions = [a_revision(1), replace(a_revision(2), body_id=edited.body_id or uuid4())]
    for revision in revisions:
        await metadata_store.transact(lambda unit, r=revision: unit.messages.add_revision(edited.id, r))
    soon, later = NOW + timedelta(minutes=10), NOW + timedelta(minutes=11)
    await metadata_store.transact(lambda unit: unit.messages.discard_bodies(edited, later))
    await metadata_store.transact(lambda unit: unit.messages.discard_bodies(plain, soon))

    async def due(at: Any, limit: int = 50) -> set[tuple[int, UUID]]:
        found = await metadata_store.read(lambda unit: unit.messages.list_discarded(at, limit))
        assert len(found) == len(set(found))
        return set(found)

    first = {(chat.id, plain.body_id)}
    both = first | {(chat.id, revision.body_id) for revision in revisions}
    assert await due(NOW) == set()
    assert await due(soon) == first
    assert await due(later) == both
    assert await due(later, 1) == first  # the oldest first
    assert await metadata_store.read(lambda unit: unit.messages.list_revisions(edited.id)) == []
    await metadata_store.transact(
        lambda unit: unit.messages.forget_discarded([body_id for _, body_id in first if body_id])
    )
    assert await due(later) == both - first
