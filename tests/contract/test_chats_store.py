"""Chats in the metadata store, on every engine."""

from __future__ import annotations

import asyncio
import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from chat_service.domain.models import Chat, ChatType
from chat_service.services.ports.metadata import Duplicate, MetadataStore, Unit
from tests.contract.rows import NOW, a_chat, a_message, join, store_chat, store_user

LATER = NOW + timedelta(microseconds=1)


async def find(store: MetadataStore, chat_id: int) -> Chat | None:
    return await store.read(lambda unit: unit.chats.find_chat(chat_id))


async def test_a_chat_is_found_as_it_was_stored(metadata_store: MetadataStore) -> None:
    chat = await store_chat(metadata_store, direct_key="1:2", creation_key="key")

    assert chat == a_chat(id=chat.id)
    assert await find(metadata_store, chat.id) == chat
    assert await find(metadata_store, chat.id + 1) is None
    mac = hashlib.sha256(b"key").digest()
    by_key = await metadata_store.read(lambda unit: unit.chats.find_created_chat(1, "key"))
    assert by_key == (chat, mac)
    assert await metadata_store.read(lambda unit: unit.chats.find_direct_chat("1:2")) == chat


async def test_keys_are_compared_byte_by_byte(metadata_store: MetadataStore) -> None:
    await store_chat(metadata_store, direct_key="1:2", creation_key="key")
    for other in ("Key", "key ", "ke", "kéy"):
        assert await metadata_store.read(lambda unit, key=other: unit.chats.find_created_chat(1, key)) is None
        await store_chat(metadata_store, creation_key=other)
    assert await metadata_store.read(lambda unit: unit.chats.find_created_chat(2, "key")) is None
    for other in ("2:1", "1:2 ", "1:22"):
        assert await metadata_store.read(lambda unit, key=other: unit.chats.find_direct_chat(key)) is None


@pytest.mark.parametrize("keys", [{"direct_key": "1:2"}, {"creation_key": "key"}])
async def test_a_key_that_is_taken_leaves_the_transaction_usable(
    metadata_store: MetadataStore, keys: dict[str, str]
) -> None:
    first = await store_chat(metadata_store, **keys)
    given: dict[str, Any] = {"direct_key": None, "creation_key": None, "creation_mac": b"\0" * 32} | keys

    async def work(unit: Unit) -> Chat:
        before = await unit.chats.add_chat(a_chat(), direct_key=None, creation_key=None, creation_mac=None)
        with pytest.raises(Duplicate):
            await unit.chats.add_chat(a_chat(), **given)
        assert await unit.chats.find_chat(first.id) == first
        await unit.chats.update_chat(replace(before, name="written afterwards"))
        return before

    before = await metadata_store.transact(work)
    assert await find(metadata_store, before.id) == replace(before, name="written afterwards")


async def test_chats_without_keys_are_no_duplicates(metadata_store: MetadataStore) -> None:
    one, other = await store_chat(metadata_store), await store_chat(metadata_store)
    assert one.id < other.id


async def test_an_update_writes_everything_that_changes(metadata_store: MetadataStore) -> None:
    chat, other = await store_chat(metadata_store), await store_chat(metadata_store)
    changed = replace(
        chat,
        name=None,
        version=2**40,
        settings_version=2**39,
        last_seq=2**38,
        last_activity_at=LATER,
        participant_count=5000,
    )
    await metadata_store.transact(lambda unit: unit.chats.update_chat(changed))
    assert await find(metadata_store, chat.id) == changed
    assert await find(metadata_store, other.id) == other


async def test_many_chats_advance_in_one_statement(metadata_store: MetadataStore) -> None:
    chats = [await store_chat(metadata_store) for _ in range(4)]
    advanced = [
        replace(chat, version=10 + i, last_seq=20 + i, last_activity_at=NOW + timedelta(microseconds=i))
        for i, chat in enumerate(chats[:3])
    ]
    await metadata_store.transact(lambda unit: unit.sends.add([], advanced))
    ids = [chat.id for chat in chats]
    assert await metadata_store.read(lambda unit: unit.chats.get_chats(ids)) == [*advanced, chats[3]]
    versions = await metadata_store.read(lambda unit: unit.chats.get_versions([*ids, 10**9]))
    assert versions == dict(zip(ids, (10, 11, 12, 1), strict=True))
    assert await metadata_store.read(lambda unit: unit.chats.get_versions([])) == {}


async def test_a_refusal_rolls_back(metadata_store: MetadataStore) -> None:
    chat = await store_chat(metadata_store)

    async def work(unit: Unit) -> None:
        await unit.chats.update_chat(replace(chat, name="never"))
        raise LookupError

    with pytest.raises(LookupError):
        await metadata_store.transact(work)
    assert await find(metadata_store, chat.id) == chat


# --- Locks


async def test_locked_chats_come_in_the_order_of_their_ids(metadata_store: MetadataStore) -> None:
    chats = [await store_chat(metadata_store) for _ in range(3)]
    ids = [chat.id for chat in chats]
    locked = await metadata_store.transact(lambda unit: unit.chats.lock_chats([*ids[::-1], 10**9]))
    assert list(locked.items()) == [(chat.id, chat) for chat in chats]


async def test_a_second_transaction_waits_for_the_lock_and_sees_what_the_first_wrote(
    metadata_store: MetadataStore,
) -> None:
    chat = await store_chat(metadata_store)
    is_locked, may_go = asyncio.Event(), asyncio.Event()
    seen: list[int] = []

    async def first(unit: Unit) -> None:
        held = (await unit.chats.lock_chats([chat.id]))[chat.id]
        is_locked.set()
        await may_go.wait()
        await unit.chats.update_chat(replace(held, version=2))

    async def second(unit: Unit) -> None:
        held = (await unit.chats.lock_chats([chat.id]))[chat.id]
        seen.append(held.version)
        await unit.chats.update_chat(replace(held, version=held.version + 1))

    one = asyncio.create_task(metadata_store.transact(first))
    await is_locked.wait()
    two = asyncio.create_task(metadata_store.transact(second))
    await asyncio.wait([two], timeout=0.2)
    assert not two.done()
    assert await find(metadata_store, chat.id) == chat  # readers wait for nobody
    may_go.set()
    await asyncio.gather(one, two)
    assert seen == [2]
    found = await find(metadata_store, chat.id)
    assert found is not None
    assert found.version == 3


async def test_many_transactions_lose_no_increment(metadata_store: MetadataStore) -> None:
    chats = [await store_chat(metadata_store) for _ in range(2)]
    ids = [chat.id for chat in chats]

    async def increment(unit: Unit) -> None:
        for held in (await unit.chats.lock_chats(ids)).values():
            await unit.chats.update_chat(replace(held, version=held.version + 1))

    await asyncio.gather(*(metadata_store.transact(increment) for _ in range(30)))
    versions = await metadata_store.read(lambda unit: unit.chats.get_versions(ids))
    assert versions == dict.fromkeys(ids, 31)


async def test_locked_chats_can_be_left_out(metadata_store: MetadataStore, metadata_url: str) -> None:
    """On SQLite writers follow one another, so that nobody ever meets a locked chat."""
    held, free = await store_chat(metadata_store), await store_chat(metadata_store)
    ids = [held.id, free.id]
    everything = await metadata_store.transact(lambda unit: unit.chats.lock_chats(ids, skip_locked=True))
    assert list(everything) == ids
    if metadata_url.startswith("sqlite"):
        return
    is_locked, may_go = asyncio.Event(), asyncio.Event()

    async def hold(unit: Unit) -> None:
        await unit.chats.lock_chats([held.id])
        is_locked.set()
        await may_go.wait()

    holding = asyncio.create_task(metadata_store.transact(hold))
    await is_locked.wait()
    found = await metadata_store.transact(lambda unit: unit.chats.lock_chats(ids, skip_locked=True))
    may_go.set()
    await holding
    assert list(found) == [free.id]


# --- The list of one user


async def listed(store: MetadataStore, user_id: int, **options: Any) -> list[int]:
    found = await store.read(lambda unit: unit.chats.list_chats(user_id, **{"limit": 50} | options))
    return [row.chat.id for row in found]


async def test_the_list_has_the_newest_activity_first_then_the_higher_id(
    metadata_store: MetadataStore,
) -> None:
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    old, low, high, foreign, left = [
        await store_chat(metadata_store, last_activity_at=at) for at in (NOW, LATER, LATER, LATER, LATER)
    ]
    for chat in (old, low, high):
        await join(metadata_store, chat, ann, ben)
    await join(metadata_store, foreign, ben)
    await join(metadata_store, left, ann, left_at=NOW)

    assert await listed(metadata_store, ann.id) == [high.id, low.id, old.id]
    assert await listed(metadata_store, ann.id, limit=1, offset=1) == [low.id]
    assert await listed(metadata_store, ann.id, offset=3) == []
    assert await metadata_store.read(lambda unit: unit.chats.count_chats(ann.id)) == 3
    assert await metadata_store.read(lambda unit: unit.chats.count_chats(10**9)) == 0
    found = await metadata_store.read(lambda unit: unit.chats.list_chats(ann.id, limit=1))
    assert [(row.chat, row.activity_at) for row in found] == [(high, LATER)]


async def test_a_hidden_chat_is_left_out_until_its_next_message(metadata_store: MetadataStore) -> None:
    ann = await store_user(metadata_store)
    chat = await store_chat(metadata_store, chat_type=ChatType.DIRECT, last_seq=5)
    await join(metadata_store, chat, ann)
    await metadata_store.transact(lambda unit: unit.participants.hide_chat(chat.id, ann.id, 5))
    assert await listed(metadata_store, ann.id) == []
    assert await metadata_store.read(lambda unit: unit.chats.count_chats(ann.id)) == 0
    await metadata_store.transact(lambda unit: unit.chats.update_chat(replace(chat, last_seq=6)))
    assert await listed(metadata_store, ann.id) == [chat.id]


async def test_the_list_as_of_a_moment_is_moved_by_no_later_message(metadata_store: MetadataStore) -> None:
    ann = await store_user(metadata_store)
    moments = [NOW + timedelta(seconds=second) for second in range(6)]
    chats = [await store_chat(metadata_store, last_activity_at=moments[0]) for _ in range(3)]
    for chat in chats:
        await join(metadata_store, chat, ann)

    async def speak(index: int, seq: int, moment: int) -> None:
        chat = replace(chats[index], last_seq=seq, last_activity_at=moments[moment])
        row = a_message(chat, ann, seq, created_at=moments[moment])
        await metadata_store.transact(lambda unit: unit.sends.add([row], []))
        await metadata_store.transact(lambda unit: unit.chats.update_chat(chat))

    await speak(0, 1, 1)
    await speak(1, 1, 2)
    as_of = moments[2]
    a, b, c = (chat.id for chat in chats)
    assert await listed(metadata_store, ann.id, as_of=as_of) == [b, a, c]
    await speak(2, 1, 3)
    await speak(0, 2, 4)
    later = await store_chat(metadata_store, created_at=moments[3], last_activity_at=moments[3])
    await join(metadata_store, later, ann)
    assert await listed(metadata_store, ann.id) == [a, later.id, c, b]
    assert await listed(metadata_store, ann.id, as_of=as_of) == [b, a, c]
    found = await metadata_store.read(lambda unit: unit.chats.list_chats(ann.id, limit=9, as_of=as_of))
    assert [row.activity_at for row in found] == [moments[2], moments[1], moments[0]]
    assert await listed(metadata_store, ann.id, as_of=as_of, after=(moments[2], b)) == [a, c]
    assert await listed(metadata_store, ann.id, as_of=as_of, after=(moments[1], a)) == [c]
    assert await listed(metadata_store, ann.id, as_of=as_of, after=(moments[0], c)) == []


async def test_the_list_after_one_of_equal_activity_goes_on_with_the_lower_ids(
    metadata_store: MetadataStore,
) -> None:
    ann = await store_user(metadata_store)
    chats = [await store_chat(metadata_store) for _ in range(4)]
    for chat in chats:
        await join(metadata_store, chat, ann)
    ids = [chat.id for chat in chats][::-1]
    for index, chat_id in enumerate(ids):
        after = (NOW, chat_id)
        assert await listed(metadata_store, ann.id, as_of=NOW, after=after) == ids[index + 1 :]
