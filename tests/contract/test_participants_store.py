"""Memberships and positions in the metadata store, on every engine."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta

from chat_service.domain.models import ChatType, Participant, Position, Role
from chat_service.services.ports.metadata import MetadataStore, Unit
from tests.contract.rows import NOW, a_message, a_participant, join, store_chat, store_messages, store_user

LATER = NOW + timedelta(hours=1)


async def find(store: MetadataStore, chat_id: int, user_id: int) -> Participant | None:
    return await store.read(lambda unit: unit.participants.find_participant(chat_id, user_id))


def ids_of(participants: Iterable[Participant]) -> list[int]:
    return [one.user_id for one in participants]


async def test_a_membership_is_found_as_it_was_stored(metadata_store: MetadataStore) -> None:
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    [stored] = await join(
        metadata_store, chat, ann, role=Role.OWNER, version=2**40, read_seq=3, delivered_seq=4
    )

    assert await find(metadata_store, chat.id, ann.id) == stored
    assert await find(metadata_store, chat.id, ann.id + 1) is None
    assert await find(metadata_store, chat.id + 1, ann.id) is None
    both = await metadata_store.read(lambda unit: unit.participants.find_membership(chat.id, ann.id))
    assert both == (chat, stored)


async def test_an_ended_membership_is_found_but_is_none(metadata_store: MetadataStore) -> None:
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    [stored] = await join(metadata_store, chat, ann, left_at=LATER)
    pair = (chat.id, ann.id)

    assert await find(metadata_store, *pair) == stored
    assert await metadata_store.read(lambda unit: unit.participants.find_membership(*pair)) is None
    assert await metadata_store.transact(lambda unit: unit.sends.lock([pair])) == ({chat.id: chat}, set())
    assert await metadata_store.read(lambda unit: unit.participants.get_positions([pair])) == {}
    assert await metadata_store.read(lambda unit: unit.participants.list_memberships(ann.id)) == {}
    assert await metadata_store.read(lambda unit: unit.chats.list_chats(ann.id, limit=9)) == []
    assert await metadata_store.read(lambda unit: unit.participants.list_positions(chat.id)) == []


async def test_putting_an_existing_one_replaces_the_membership(metadata_store: MetadataStore) -> None:
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    [stored] = await join(metadata_store, chat, ann, role=Role.ADMIN, left_at=NOW, version=3)
    again = replace(stored, role=Role.MEMBER, joined_at=LATER, left_at=None, version=7, read_seq=9)
    await metadata_store.transact(lambda unit: unit.participants.put_participants([again]))
    assert await find(metadata_store, chat.id, ann.id) == again


async def test_a_membership_that_is_put_takes_no_position_back(metadata_store: MetadataStore) -> None:
    """Positions move without the chat's lock, so whoever changes a role may have read older ones."""
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    [stored] = await join(metadata_store, chat, ann, read_seq=1, delivered_seq=9)
    await metadata_store.transact(
        lambda unit: unit.participants.advance_positions({(chat.id, ann.id): (5, 9)})
    )
    promoted = replace(stored, role=Role.ADMIN, version=2, delivered_seq=10)
    await metadata_store.transact(lambda unit: unit.participants.put_participants([promoted]))
    assert await find(metadata_store, chat.id, ann.id) == replace(promoted, read_seq=5)


async def test_participants_are_listed_by_user_id(metadata_store: MetadataStore) -> None:
    chat, other = await store_chat(metadata_store), await store_chat(metadata_store)
    users = [await store_user(metadata_store) for _ in range(4)]
    await join(metadata_store, chat, *users[:3][::-1])
    await join(metadata_store, chat, users[3], left_at=NOW)
    await join(metadata_store, other, *users)
    ids = [user.id for user in users]

    async def listed(**options: object) -> list[int]:
        found = await metadata_store.read(
            lambda unit: unit.participants.list_participants(chat.id, **options)  # type: ignore[arg-type]
        )
        return ids_of(found)

    assert await listed() == ids[:3]
    assert await listed(ended=True) == ids
    assert await listed(user_ids=[ids[3], ids[1]]) == [ids[1]]
    assert await listed(user_ids=[ids[3], ids[1]], ended=True) == [ids[1], ids[3]]
    assert await listed(user_ids=[]) == []


async def test_changed_memberships_come_by_version(metadata_store: MetadataStore) -> None:
    chat = await store_chat(metadata_store)
    users = [await store_user(metadata_store) for _ in range(6)]
    for user, version in zip(users, (5, 2, 2, 9, 7, 1), strict=True):
        await join(metadata_store, chat, user, version=version, left_at=NOW if version == 7 else None)

    async def changed(since: int, bound: int) -> list[int]:
        found = await metadata_store.read(
            lambda unit: unit.participants.list_changed(chat.id, since=since, bound=bound)
        )
        return [users.index(next(u for u in users if u.id == one.user_id)) for one in found]

    assert await changed(0, 9) == [5, 1, 2, 0, 4, 3]
    assert await changed(2, 7) == [0, 4]
    assert await changed(9, 9) == []


async def test_chats_are_locked_and_their_present_senders_told(metadata_store: MetadataStore) -> None:
    one, other = await store_chat(metadata_store), await store_chat(metadata_store)
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    await join(metadata_store, one, ann)
    await join(metadata_store, other, ben)
    pairs = [(chat.id, user.id) for chat in (one, other) for user in (ann, ben)]
    chats, present = await metadata_store.transact(lambda unit: unit.sends.lock([*pairs, (10**9, ann.id)]))
    assert chats == {one.id: one, other.id: other}
    assert present == {(one.id, ann.id), (other.id, ben.id)}


async def test_memberships_of_a_user_come_with_the_chats_versions(metadata_store: MetadataStore) -> None:
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    one = await store_chat(metadata_store, version=7)
    other = await store_chat(metadata_store, version=9)
    await join(metadata_store, one, ann, ben)
    await join(metadata_store, other, ann, version=4)

    found = await metadata_store.read(lambda unit: unit.participants.list_memberships(ann.id))
    assert found == {one.id: 7, other.id: 9}


async def test_peers_are_the_others_of_direct_chats(metadata_store: MetadataStore) -> None:
    ann, ben, eva = [await store_user(metadata_store) for _ in range(3)]
    direct = await store_chat(metadata_store, direct_key="1:2", chat_type=ChatType.DIRECT)
    group = await store_chat(metadata_store)
    await join(metadata_store, direct, ann, ben)
    await join(metadata_store, group, ann, ben, eva)
    for user, peer in ((ann, ben), (ben, ann)):
        found = await metadata_store.read(lambda unit, i=user.id: unit.participants.list_peers(i))
        assert found == [peer.id]
        peers = await metadata_store.read(
            lambda unit, i=user.id: unit.participants.list_direct_peers(i, [direct.id])
        )
        assert peers == {direct.id: peer}
    assert await metadata_store.read(lambda unit: unit.participants.list_peers(eva.id)) == []


# --- Positions


async def test_positions_advance_and_never_go_back(metadata_store: MetadataStore) -> None:
    chat = await store_chat(metadata_store, last_seq=20, participant_count=2)
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    await join(metadata_store, chat, ann, ben)
    key = (chat.id, ann.id)

    for wish, held in (((5, 3), (5, 3)), ((4, 9), (5, 9)), ((6, 1), (6, 9)), ((0, 0), (6, 9))):
        await metadata_store.transact(lambda unit, w=wish: unit.participants.advance_positions({key: w}))
        found = await metadata_store.read(lambda unit: unit.participants.get_positions([key]))
        assert found == {key: (Position(ann.id, *held), 20, 2)}
    await metadata_store.transact(lambda unit: unit.participants.advance_positions({}))
    positions = await metadata_store.read(lambda unit: unit.participants.list_positions(chat.id))
    assert positions == [Position(ann.id, 6, 9), Position(ben.id, 0, 0)]


async def test_many_positions_advance_together_from_many_sides(metadata_store: MetadataStore) -> None:
    chats = [await store_chat(metadata_store, last_seq=99) for _ in range(3)]
    users = [await store_user(metadata_store) for _ in range(5)]
    for chat in chats:
        await join(metadata_store, chat, *users)
    keys = [(chat.id, user.id) for chat in chats for user in users]

    async def advance(number: int) -> None:
        order = keys if number % 2 else keys[::-1]
        wishes = dict.fromkeys(order, (number, 20 - number))
        await metadata_store.transact(lambda unit: unit.participants.advance_positions(wishes))

    await asyncio.gather(*(advance(number) for number in range(1, 11)))
    found = await metadata_store.read(lambda unit: unit.participants.get_positions(keys))
    assert {(one.read_seq, one.delivered_seq) for one, _, _ in found.values()} == {(10, 19)}
    assert found.keys() == set(keys)


async def test_positions_move_while_somebody_holds_the_chat(
    metadata_store: MetadataStore, metadata_url: str
) -> None:
    if metadata_url.startswith("sqlite"):
        return  # one writer at a time
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    [stored] = await join(metadata_store, chat, ann)

    async def hold(unit: Unit) -> None:
        await unit.chats.lock_chats([chat.id])
        await metadata_store.transact(
            lambda inner: inner.participants.advance_positions({(chat.id, ann.id): (3, 3)})
        )
        await unit.participants.put_participants([replace(stored, role=Role.OWNER)])

    await metadata_store.transact(hold)
    held = await find(metadata_store, chat.id, ann.id)
    assert held == replace(stored, role=Role.OWNER, read_seq=3, delivered_seq=3)


async def test_unread_counts_from_the_position_or_the_own_newest_message(
    metadata_store: MetadataStore,
) -> None:
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    chats = [await store_chat(metadata_store, last_seq=10) for _ in range(4)]
    for chat, read_seq in zip(chats, (0, 4, 10, 0), strict=True):
        await join(metadata_store, chat, ann, ben, read_seq=read_seq)
    await store_messages(metadata_store, chats[1], ann, 2)
    await store_messages(metadata_store, chats[1], ben, 10)
    await store_messages(metadata_store, chats[3], ann, 3, 7)
    deleted = a_message(chats[3], ann, 8, is_deleted=True, body_id=None, body_sha256=None)
    await metadata_store.transact(lambda unit: unit.sends.add([deleted], []))

    async def count_unread(user_id: int) -> list[int]:
        found = await metadata_store.read(lambda unit: unit.chats.list_chats(user_id, limit=9))
        return [row.unread_count for row in sorted(found, key=lambda row: row.chat.id)]

    assert await count_unread(ann.id) == [10, 6, 0, 2]
    assert await count_unread(ben.id) == [10, 0, 0, 10]


async def test_a_large_group_is_stored_at_once(metadata_store: MetadataStore) -> None:
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    rows = [replace(a_participant(chat, ann), user_id=10**6 + number) for number in range(5000)]
    await metadata_store.transact(lambda unit: unit.participants.put_participants(rows))
    pairs = [(chat.id, row.user_id) for row in rows[:500]]
    _, present = await metadata_store.transact(lambda unit: unit.sends.lock(pairs))
    assert present == set(pairs)
    assert len(await metadata_store.read(lambda unit: unit.participants.list_positions(chat.id))) == 5000
