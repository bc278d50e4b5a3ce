"""What a metadata store knows of its nodes, of its own time and of who has lately joined."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from chat_service.domain.ids import new_id
from chat_service.services.ports.metadata import MetadataStore, Unit
from tests.contract.rows import NOW, join, store_chat, store_user

SECOND = timedelta(seconds=1)


async def test_the_time_of_the_store_is_the_present_in_utc(metadata_store: MetadataStore) -> None:
    found = await metadata_store.read(lambda unit: unit.nodes.get_time())
    assert found.tzinfo is UTC
    assert abs(found - datetime.now(UTC)) < timedelta(seconds=5)


async def test_nodes_are_those_seen_lately(metadata_store: MetadataStore) -> None:
    one, other = sorted([new_id(), new_id()])

    async def put(unit: Unit) -> None:
        await unit.nodes.put_node(one, NOW - 20 * SECOND)
        await unit.nodes.put_node(other, NOW - 5 * SECOND)

    async def find(since: datetime) -> list[UUID]:
        return await metadata_store.read(lambda unit: unit.nodes.list_nodes(since))

    await metadata_store.transact(put)
    assert await find(NOW - 10 * SECOND) == [other]
    await metadata_store.transact(lambda unit: unit.nodes.put_node(one, NOW))
    assert await find(NOW - 10 * SECOND) == [one, other]
    await metadata_store.transact(lambda unit: unit.nodes.remove_node(other))
    assert await find(NOW - 60 * SECOND) == [one]


async def test_dead_nodes_are_forgotten(metadata_store: MetadataStore) -> None:
    old, young = new_id(), new_id()

    async def put(unit: Unit) -> None:
        await unit.nodes.put_node(old, NOW - 20 * SECOND)
        await unit.nodes.put_node(young, NOW)
        await unit.nodes.remove_nodes(NOW - 10 * SECOND)

    await metadata_store.transact(put)
    assert await metadata_store.read(lambda unit: unit.nodes.list_nodes(NOW - 60 * SECOND)) == [young]


async def test_a_new_epoch_is_read_by_everybody(metadata_store: MetadataStore) -> None:
    before = await metadata_store.get_epoch()
    await metadata_store.transact(lambda unit: unit.nodes.set_epoch("another"))
    assert await metadata_store.get_epoch() == "another" != before


async def test_who_joined_lately_is_found_also_when_gone_again(metadata_store: MetadataStore) -> None:
    chat = await store_chat(metadata_store)
    early, lately, briefly = [await store_user(metadata_store) for _ in range(3)]
    await join(metadata_store, chat, early, joined_at=NOW - 60 * SECOND)
    await join(metadata_store, chat, lately, joined_at=NOW - 5 * SECOND)
    await join(metadata_store, chat, briefly, joined_at=NOW, left_at=NOW)
    found = await metadata_store.read(lambda unit: unit.participants.list_joined(NOW - 10 * SECOND))
    assert sorted(found) == [(chat.id, lately.id), (chat.id, briefly.id)]
