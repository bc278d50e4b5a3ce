"""The change feed of one chat and of many, on every metadata store."""

from __future__ import annotations

from chat_service.domain.models import Chat, MessageRow, Position, User
from chat_service.services.ports.metadata import ChangedRows, MetadataStore, Unit
from tests.contract.rows import (
    NOW,
    a_span,
    join,
    read_feed,
    store_chat,
    store_messages,
    store_user,
)

NOTHING = ChangedRows([], [], [], [])


async def store_talk(store: MetadataStore, user: User, count: int) -> tuple[Chat, list[MessageRow]]:
    """A chat with one person in it, and messages of versions 2 and up."""
    chat = await store_chat(store, version=count + 1, last_seq=count)
    await join(store, chat, user)
    return chat, await store_messages(store, chat, user, *range(1, count + 1))


async def test_only_chats_that_the_user_is_in_are_found(metadata_store: MetadataStore) -> None:
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    chats = [await store_chat(metadata_store, version=version) for version in (5, 6, 7)]
    await join(metadata_store, chats[0], ann, ben)
    await join(metadata_store, chats[1], ann, left_at=NOW)
    await join(metadata_store, chats[2], ben)
    ids = [*(chat.id for chat in chats), 10**12]
    found = await metadata_store.read(lambda unit: unit.feed.find_chats(ann.id, ids))
    assert found == {chats[0].id: chats[0]}
    assert await metadata_store.read(lambda unit: unit.feed.find_chats(ann.id, [])) == {}


async def test_messages_come_by_their_present_version(metadata_store: MetadataStore) -> None:
    ann = await store_user(metadata_store)
    chat, rows = await store_talk(metadata_store, ann, 7)
    for row, version in ((rows[0], 10), (rows[4], 9)):
        changed = row._replace(version=version)
        await metadata_store.transact(lambda unit, r=changed: unit.messages.update_message(r))  # type: ignore[misc]

    async def seqs(since: int, bound: int, limit: int = 50) -> list[int]:
        found = await metadata_store.read(
            lambda unit: read_feed(unit, ann.id, chat, since=since, bound=bound, limit=limit)
        )
        return [row.seq for row in found.messages]

    assert await seqs(0, 99) == [2, 3, 4, 6, 7, 5, 1]
    assert await seqs(3, 9) == [3, 4, 6, 7, 5]
    assert await seqs(3, 9, limit=2) == [3, 4]
    assert await seqs(10, 10) == []


async def test_versions_of_memberships_come_each_once(metadata_store: MetadataStore) -> None:
    chat = await store_chat(metadata_store)
    users = [await store_user(metadata_store) for _ in range(6)]
    for user, version in zip(users, (5, 2, 2, 9, 7, 1), strict=True):
        await join(metadata_store, chat, user, version=version, left_at=NOW if version == 7 else None)

    async def versions(since: int, bound: int, limit: int = 50) -> list[int]:
        found = await metadata_store.read(
            lambda unit: read_feed(unit, users[0].id, chat, since=since, bound=bound, limit=limit)
        )
        return found.versions

    assert await versions(0, 9) == [1, 2, 5, 7, 9]
    assert await versions(0, 9, limit=2) == [1, 2]
    assert await versions(1, 7) == [2, 5, 7]
    assert await versions(9, 99) == []


async def test_positions_are_those_of_who_is_in_or_the_viewers_alone(metadata_store: MetadataStore) -> None:
    chat = await store_chat(metadata_store)
    ann, ben, cem = [await store_user(metadata_store) for _ in range(3)]
    await join(metadata_store, chat, ben, read_seq=2, delivered_seq=3)
    await join(metadata_store, chat, ann)
    await join(metadata_store, chat, cem, left_at=NOW)

    async def positions(*, has_all: bool) -> list[Position]:
        found = await metadata_store.read(
            lambda unit: read_feed(unit, ben.id, chat, has_all_positions=has_all)
        )
        return found.positions

    assert await positions(has_all=True) == [Position(ann.id, 0, 0), Position(ben.id, 2, 3)]
    assert await positions(has_all=False) == [Position(ben.id, 2, 3)]


async def test_many_chats_are_read_as_each_alone(metadata_store: MetadataStore) -> None:
    """Those where nothing is new among them, and one nobody has ever been in."""
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    talks = [await store_talk(metadata_store, ann, count) for count in (3, 1, 5)]
    quiet, empty = await store_chat(metadata_store, version=4), await store_chat(metadata_store)
    await join(metadata_store, talks[2][0], ben, version=7)
    await join(metadata_store, quiet, ann, version=4, read_seq=1)
    for chat, seq in ((talks[0][0], 2), (talks[2][0], 5), (talks[2][0], 1)):
        await metadata_store.transact(
            lambda unit, c=chat, s=seq: unit.messages.add_hide(ann.id, c.id, s, 3)  # type: ignore[misc]
        )
    spans = [
        a_span(talks[0][0], since=1),
        a_span(talks[1][0], since=2),
        a_span(quiet, since=4, bound=4, has_all_positions=False),
        a_span(talks[2][0], hides_since=4),
        a_span(empty, bound=1),
    ]
    together = await metadata_store.read(lambda unit: unit.feed.read_spans(ann.id, spans, limit=3))

    async def read_each(unit: Unit) -> dict[int, ChangedRows]:
        found: dict[int, ChangedRows] = {}
        for span in spans:
            found |= await unit.feed.read_spans(ann.id, [span], limit=3)
        return found

    assert together == await metadata_store.read(read_each)
    assert list(together) == [span.chat_id for span in spans]
    first, second, silent, third, nothing = together.values()
    assert [row.seq for row in first.messages] == [1, 3]
    assert first.messages[0] == talks[0][1][0]
    assert (first.hidden, second.messages, second.hidden) == ([2], [], [])
    assert silent == ChangedRows([], [], [Position(ann.id, 1, 0)], [])
    assert ([row.seq for row in third.messages], third.versions, third.hidden) == ([2, 3, 4], [1, 7], [])
    assert nothing == NOTHING
    assert await metadata_store.read(lambda unit: unit.feed.read_spans(ann.id, [], limit=3)) == {}


async def test_of_many_messages_those_are_found_that_the_viewer_has_hidden(
    metadata_store: MetadataStore,
) -> None:
    ann, ben = await store_user(metadata_store), await store_user(metadata_store)
    chats = [(await store_talk(metadata_store, ann, 3))[0] for _ in range(2)]
    hides = [(ann, chats[0], 1), (ann, chats[1], 2), (ben, chats[1], 3)]
    for user, chat, seq in hides:
        await metadata_store.transact(
            lambda unit, u=user, c=chat, s=seq: unit.messages.add_hide(u.id, c.id, s, 4)  # type: ignore[misc]
        )
    asked = [(chat.id, seq) for chat in chats for seq in (2, 3)] + [(chats[0].id, 1)]
    found = await metadata_store.read(lambda unit: unit.feed.list_hidden(ann.id, asked))
    assert found == {(chats[0].id, 1), (chats[1].id, 2)}
