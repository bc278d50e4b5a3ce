"""How the engines find the rows of the statements that run all the time: by the index made for them.

The statements are those that the adapters issue, caught on their way to the driver.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import Connection, event, text

from chat_service.adapters.sql.store import SqlMetadataStore, SqlUnit
from chat_service.domain.models import Chat, MessageRow, Session, User
from chat_service.services.ports.metadata import Unit
from tests.contract.rows import NOW, a_chat, a_message, a_participant, a_span, add_user, read_feed

CHATS, BUSY_CHATS, USERS, MESSAGES = 1000, 200, 1000, 100
PART = 250
LAST = NOW + timedelta(seconds=MESSAGES)
Work = Callable[[Unit], Awaitable[Any]]


@dataclass
class Plan:
    """What an engine says that it will do."""

    engine: str
    lines: list[str]
    raw: list[dict[str, Any]]

    def uses(self, mysql: str, sqlite: str | None = None) -> None:
        """An index is used, by its names on the engines."""
        name = mysql if self.engine == "mysql" else sqlite or mysql
        assert any(name in line for line in self.lines), self.lines

    def scans_nothing(self) -> None:
        for row in self.raw:
            # `<subquery2>` is what another line of the plan has found.
            if self.engine == "mysql" and not str(row["table"]).startswith("<"):
                assert row["type"] not in ("ALL", "index"), self.lines
        found = {line.split()[1] for line in self.lines if line.startswith(("CO-ROUTINE", "MATERIALIZE"))}
        for line in self.lines:
            if self.engine == "sqlite" and line.startswith("SCAN"):
                # Values that were given are no table, nor is what another line of the plan has found.
                is_given = "CONSTANT" in line or "(subquery" in line
                assert is_given or line.split()[1] in found, self.lines

    def sorts_nothing(self) -> None:
        assert not any("filesort" in line or "TEMP B-TREE" in line for line in self.lines), self.lines
        assert not any("temporary" in line for line in self.lines), self.lines


@dataclass
class World:
    """A store with some thousands of rows, analysed."""

    store: SqlMetadataStore
    chats: list[Chat]
    users: list[User]
    rows: list[MessageRow]
    sessions: list[Session]

    async def explain(self, work: Work, mark: str | tuple[str, ...] = "SELECT") -> list[Plan]:
        """The plans of the statements that `work` issues and that begin with `mark`."""
        caught: list[tuple[str, Any]] = []

        def catch(_c: Connection, _cur: Any, statement: str, parameters: Any, *_: Any) -> None:
            if statement.lstrip().upper().startswith(mark):
                caught.append((statement, parameters))

        engine = self.store._reads.sync_engine
        event.listen(engine, "before_cursor_execute", catch)
        try:
            await self.store.read(work)
        finally:
            event.remove(engine, "before_cursor_execute", catch)
        assert caught, "no statement was issued"
        return [await self._explain(statement, parameters) for statement, parameters in caught]

    async def _explain(self, statement: str, parameters: Any) -> Plan:
        is_mysql = self.store._url.get_backend_name() == "mysql"
        word = "EXPLAIN" if is_mysql else "EXPLAIN QUERY PLAN"
        async with self.store._reads.connect() as connection:
            result = await connection.exec_driver_sql(f"{word} {statement}", parameters)
            raw = [dict(row._mapping) for row in result]
        lines = [json.dumps(row, default=str) if is_mysql else str(row["detail"]) for row in raw]
        return Plan("mysql" if is_mysql else "sqlite", lines, raw)

    async def count_steps(self, work: Work) -> int:
        """How many rows MySQL goes on to from another, which its plans do not tell; 0 on SQLite."""
        steps = 0
        async with self.store._reads.connect() as connection:
            if connection.dialect.name == "sqlite":
                return 0
            for factor, before in ((-1, None), (1, work)):
                if before is not None:
                    await before(SqlUnit(connection))
                rows = await connection.execute(text("SHOW SESSION STATUS LIKE 'Handler_read%'"))
                told = {row[0]: int(row[1]) for row in rows}
                steps += factor * (told["Handler_read_next"] + told["Handler_read_prev"])
        return steps


@pytest.fixture
async def world(metadata_store: SqlMetadataStore) -> World:
    return await _fill(metadata_store)


async def _add_people(store: SqlMetadataStore) -> list[User]:
    """In parts, as all of this, because the store gives a transaction five seconds."""

    async def add(unit: Unit, first: int) -> list[User]:
        names = [f"user{number:04}" for number in range(first, first + PART)]
        return [await add_user(unit, name, [name, "word"]) for name in names]

    users: list[User] = []
    for first in range(0, USERS, PART):
        users += await store.transact(lambda unit, first=first: add(unit, first))  # type: ignore[misc]
    return users


async def _add_chats(store: SqlMetadataStore) -> list[Chat]:
    keys = {"direct_key": None, "creation_key": None, "creation_mac": None}

    async def add(unit: Unit) -> list[Chat]:
        return [
            await unit.chats.add_chat(a_chat(last_seq=MESSAGES, last_activity_at=LAST), **keys)
            for _ in range(PART)
        ]

    chats: list[Chat] = []
    for _ in range(0, CHATS, PART):
        chats += await store.transact(add)
    return chats


async def _fill(store: SqlMetadataStore) -> World:
    users, chats = await _add_people(store), await _add_chats(store)
    rows = [
        a_message(
            chat, users[seq % 20], seq, created_at=NOW + timedelta(seconds=seq), dedupe_key=f"key-{seq}"
        )
        for chat in chats[:BUSY_CHATS]
        for seq in range(1, MESSAGES + 1)
    ]
    members = [
        a_participant(chat, user, version=1 + index)
        for number, chat in enumerate(chats[:BUSY_CHATS])
        for index, user in enumerate(users[number % 20 : number % 20 + 40])
    ]
    sessions = [
        Session(uuid4(), user.id, NOW, NOW, NOW + timedelta(days=1), None, None, b"r" * 32, None, NOW, None)
        for user in users
    ]

    async def add_sessions(unit: Unit, first: int) -> None:
        for session in sessions[first : first + PART]:
            await unit.sessions.add_session(session)

    async def add_hides(unit: Unit) -> None:
        for chat in chats[:40]:
            for seq in range(1, 6):
                await unit.messages.add_hide(users[0].id, chat.id, seq, seq)

    await store.transact(lambda unit: unit.participants.put_participants(members))
    for first in range(0, len(sessions), PART):
        await store.transact(lambda unit, first=first: add_sessions(unit, first))  # type: ignore[misc]
    await store.transact(add_hides)
    for start in range(0, len(rows), 2000):
        part = rows[start : start + 2000]
        await store.transact(lambda unit, part=part: unit.sends.add(part, []))  # type: ignore[misc]
    async with store._writes.begin() as connection:
        if store._url.get_backend_name() == "mysql":
            names = "users, user_words, sessions, chats, participants, messages, hides"
            await connection.execute(text(f"ANALYZE TABLE {names} PERSISTENT FOR ALL"))
        else:
            await connection.execute(text("ANALYZE"))
    return World(store, chats, users, rows, sessions)


async def test_every_hot_statement_finds_its_rows_by_an_index(world: World) -> None:
    """One test, because the rows take longer than all the plans."""
    failures = []
    for check in CHECKS:
        try:
            await check(world)
        except AssertionError as error:
            failures.append(f"{check.__name__}: {error}")
    assert not failures, "\n\n".join(failures)


async def a_page_of_history_is_a_range_of_the_primary_key(world: World) -> None:
    chat, user = world.chats[7], world.users[0]
    for options in ({}, {"before": 60}, {"after": 60}):
        [plan] = await world.explain(
            lambda unit, o=options: unit.messages.list_history(chat.id, user.id, limit=50, **o)  # type: ignore[arg-type]
        )
        plan.uses('"key": "PRIMARY"', "messages USING INDEX sqlite_autoindex_messages_1")
        plan.scans_nothing()
        plan.sorts_nothing()


async def a_whole_page_is_three_lookups(world: World) -> None:
    chat, user = world.chats[7], world.users[20]
    for options in ({"before": 60}, {"after": 60}):
        plans = await world.explain(
            lambda unit, o=options: unit.messages.read_history(chat.id, user.id, limit=50, **o)  # type: ignore[arg-type]
        )
        assert len(plans) == 3
        for plan in plans[1:]:
            plan.uses('"key": "PRIMARY"', "messages USING INDEX sqlite_autoindex_messages_1")
        for plan in plans:
            plan.scans_nothing()
            plan.sorts_nothing()


async def a_numbered_page_is_too(world: World) -> None:
    [plan] = await world.explain(
        lambda unit: unit.messages.list_page(world.chats[7].id, world.users[0].id, limit=50, offset=50)
    )
    plan.uses('"key": "PRIMARY"', "messages USING INDEX sqlite_autoindex_messages_1")
    plan.scans_nothing()
    plan.sorts_nothing()


async def the_newest_messages_are_found_by_their_keys(world: World) -> None:
    last = {chat.id: MESSAGES for chat in world.chats[:20]}
    [plan] = await world.explain(lambda unit: unit.messages.list_newest(world.users[0].id, last))
    plan.uses('"key": "PRIMARY"', "messages USING INDEX sqlite_autoindex_messages_1")
    plan.scans_nothing()
    plan.sorts_nothing()


async def the_feed_is_ranges_of_versions(world: World) -> None:
    rows, versions, positions, hides = await world.explain(
        lambda unit: read_feed(unit, world.users[0].id, world.chats[7], since=90, bound=101, hides_since=3)
    )
    rows.uses("ix_messages_version")
    rows.sorts_nothing()
    versions.uses("ix_participants_version")
    hides.uses("ix_hides_version")
    for plan in (rows, versions, positions, hides):
        plan.scans_nothing()


async def the_feed_of_many_chats_is_as_many_ranges(world: World) -> None:
    user_id, chats = world.users[0].id, world.chats[5:15]

    async def read(unit: Unit) -> None:
        await unit.feed.find_chats(user_id, [chat.id for chat in chats])
        await unit.feed.read_spans(user_id, [a_span(chat, since=90, bound=101) for chat in chats], limit=51)

    of_chats, *plans = await world.explain(read, mark=("SELECT", "(SELECT"))
    assert len(plans) == (4 if of_chats.engine == "mysql" else 4 * len(chats))
    for plan in (of_chats, *plans):
        plan.scans_nothing()
    for index in ("ix_messages_version", "ix_participants_version"):
        used = f'"key": "{index}"' if of_chats.engine == "mysql" else f"INDEX {index}"
        assert sum(used in line for plan in plans for line in plan.lines) >= len(chats), index


async def hides_of_given_messages_are_found_by_key(world: World) -> None:
    user_id, chats = world.users[0].id, world.chats[5:15]
    messages = [(chat.id, seq) for chat in chats for seq in (3, 40)]
    [plan] = await world.explain(lambda unit: unit.feed.list_hidden(user_id, messages))
    plan.scans_nothing()


async def changed_participants_are_a_range_of_versions(world: World) -> None:
    chat_id = world.chats[7].id
    [plan] = await world.explain(lambda unit: unit.participants.list_changed(chat_id, since=38, bound=151))
    plan.uses("ix_participants_version")
    plan.scans_nothing()


async def memberships_are_found_by_user(world: World) -> None:
    [plan] = await world.explain(lambda unit: unit.participants.list_memberships(world.users[0].id))
    plan.uses("ix_participants_user_id")
    plan.scans_nothing()


async def who_joined_lately_is_a_range_of_times(world: World) -> None:
    [plan] = await world.explain(
        lambda unit: unit.participants.list_joined(NOW + timedelta(seconds=1)), "SELECT"
    )
    plan.uses("ix_participants_joined_at")
    plan.scans_nothing()


async def a_membership_is_found_by_its_key(world: World) -> None:
    pair = (world.chats[7].id, world.users[20].id)
    for plan in await world.explain(lambda unit: unit.participants.find_membership(*pair)):
        plan.uses("PRIMARY", "sqlite_autoindex_participants_1")
        plan.scans_nothing()


async def senders_and_positions_are_found_by_their_keys(world: World) -> None:
    pairs = [(chat.id, user.id) for chat in world.chats[:16] for user in world.users[20:24]]
    [locked, present] = await world.explain(lambda unit: unit.sends.lock(pairs))
    [positions] = await world.explain(lambda unit: unit.participants.get_positions(pairs))
    locked.uses("PRIMARY", "INTEGER PRIMARY KEY")
    for plan in (present, positions):
        plan.uses("PRIMARY", "sqlite_autoindex_participants_1")
    for plan in (locked, present, positions):
        plan.scans_nothing()


async def replays_are_found_by_their_keys(world: World) -> None:
    for count in (1, 64):
        keys = [(row.chat_id, row.sender_id, row.dedupe_key) for row in world.rows[: count * 50 : 50]]
        [plan] = await world.explain(lambda unit, k=keys: unit.messages.find_replays(k))
        plan.uses("uq_messages_dedupe_key", "sqlite_autoindex_messages_")
        plan.scans_nothing()


async def the_list_of_chats_begins_at_the_user(world: World) -> None:
    [plan] = await world.explain(lambda unit: unit.chats.list_chats(world.users[0].id, limit=50))
    plan.uses("ix_participants_user_id")
    plan.uses("ix_messages_sender")
    plan.scans_nothing()
    after = (NOW, world.chats[5].id)
    [plan] = await world.explain(
        lambda unit: unit.chats.list_chats(world.users[0].id, limit=50, as_of=NOW, after=after)
    )
    plan.uses("ix_participants_user_id")
    plan.scans_nothing()


async def the_list_of_chats_reads_no_more_where_more_was_said(world: World) -> None:
    user = world.users[0]  # in ten chats, with five messages in each; and a hundred are others'
    for options in ({}, {"as_of": LAST - timedelta(seconds=1)}):
        steps = await world.count_steps(
            lambda unit, o=options: unit.chats.list_chats(user.id, limit=10, **o)  # type: ignore[arg-type]
        )
        assert steps <= 30, f"{steps} steps for ten chats"


async def a_time_is_found_by_its_index(world: World) -> None:
    at = NOW + timedelta(seconds=60)
    [plan] = await world.explain(lambda unit: unit.messages.find_seq_at(world.chats[7].id, at))
    plan.uses("ix_messages_created_at")
    plan.scans_nothing()
    # Of equal times SQLite sorts the few; its indexes do not end with the primary key.
    assert not any("TEMP B-TREE FOR ORDER BY" in line or "filesort" in line for line in plan.lines)


async def a_message_is_found_by_its_id(world: World) -> None:
    message_id = world.rows[500].id  # of a chat that this person is in; else MariaDB needs no row to know
    for work in (
        lambda unit: unit.messages.find_message(message_id),
        lambda unit: unit.messages.find_visible(message_id, world.users[20].id),
    ):
        [plan] = await world.explain(work)
        plan.uses("uq_messages_id", "sqlite_autoindex_messages_")
        plan.scans_nothing()


async def hides_are_found_by_user_and_chat(world: World) -> None:
    pair = (world.users[0].id, world.chats[7].id)
    [plan] = await world.explain(lambda unit: unit.messages.count_hides(*pair))
    plan.scans_nothing()


async def people_are_searched_by_the_beginning_of_a_word(world: World) -> None:
    [plan] = await world.explain(lambda unit: unit.accounts.search_users(["user001"], 20))
    plan.uses("user_words")
    plan.scans_nothing()


async def a_session_is_found_by_its_id(world: World) -> None:
    session_id: UUID = world.sessions[100].id
    for work in (
        lambda unit: unit.sessions.find_session(session_id),
        lambda unit: unit.sessions.find_session_with_user(session_id),
    ):
        [plan] = await world.explain(work)
        plan.uses("PRIMARY", "sqlite_autoindex_sessions_1")
        plan.scans_nothing()


async def chats_are_locked_by_their_ids(world: World) -> None:
    ids = [chat.id for chat in world.chats[:8]]
    [plan] = await world.explain(lambda unit: unit.chats.lock_chats(ids))
    plan.uses("PRIMARY", "INTEGER PRIMARY KEY")
    plan.scans_nothing()


CHECKS = (
    a_page_of_history_is_a_range_of_the_primary_key,
    a_whole_page_is_three_lookups,
    a_numbered_page_is_too,
    the_newest_messages_are_found_by_their_keys,
    the_feed_is_ranges_of_versions,
    hides_of_given_messages_are_found_by_key,
    the_feed_of_many_chats_is_as_many_ranges,
    changed_participants_are_a_range_of_versions,
    memberships_are_found_by_user,
    who_joined_lately_is_a_range_of_times,
    a_membership_is_found_by_its_key,
    senders_and_positions_are_found_by_their_keys,
    replays_are_found_by_their_keys,
    the_list_of_chats_begins_at_the_user,
    the_list_of_chats_reads_no_more_where_more_was_said,
    a_time_is_found_by_its_index,
    a_message_is_found_by_its_id,
    hides_are_found_by_user_and_chat,
    people_are_searched_by_the_beginning_of_a_word,
    a_session_is_found_by_its_id,
    chats_are_locked_by_their_ids,
)
