"""The content store's promises, on every implementation."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from uuid import UUID, uuid4

import pymongo
import pytest

from chat_service.adapters.content_mongo import MongoContentStore
from chat_service.adapters.content_sqlite import SqliteContentStore
from chat_service.domain.errors import Internal, Unavailable
from chat_service.domain.models import Body
from chat_service.services.ports.content import ContentStore
from tests.servers import MongoDb, Servers, with_database

TEXTS = {
    "emoji": "😀😁 👩‍👩‍👧‍👦 🇻🇳",
    "right to left": "שלום \u200fسلم\u200e abc",
    "combining marks": "e\u0301 and \u00e9 are not the same",
    "blanks around": " \t\n text \u00a0\u3000 \r\n",
    "only one code point": "\U0001d518",
    "control characters": "\x01\x7f\x85\u2028\ufeff\ufffe\U0010ffff",
    "the longest": "𠜎" * 10_000,
    "operators": '{"$gt": ""} $where \' OR 1=1; --',
}


def a_body(content: str = "hello", *, chat_id: int = 1, body_id: UUID | None = None) -> Body:
    return Body(body_id or uuid4(), chat_id, content)


def key(body: Body) -> tuple[int, UUID]:
    return body.chat_id, body.id


async def test_what_was_inserted_is_found(content_store: ContentStore) -> None:
    one, other = a_body("one"), a_body("other", chat_id=2**53 - 1)
    assert await content_store.insert_bodies([one, other]) == {}
    assert await content_store.get_bodies([key(one), key(other)]) == {one.id: "one", other.id: "other"}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
async def test_texts_come_back_exactly(content_store: ContentStore, text: str) -> None:
    body = a_body(text)
    await content_store.insert_bodies([body])
    assert await content_store.get_bodies([key(body)]) == {body.id: text}


async def test_bodies_that_do_not_exist_are_left_out(content_store: ContentStore) -> None:
    body = a_body()
    await content_store.insert_bodies([body])
    assert await content_store.get_bodies([(1, uuid4()), key(body)]) == {body.id: "hello"}


async def test_body_is_found_only_in_its_chat(content_store: ContentStore) -> None:
    one, other = a_body(chat_id=1), a_body(chat_id=2)
    await content_store.insert_bodies([one, other])
    assert await content_store.get_bodies([(2, one.id), (1, other.id)]) == {}


async def test_nothing_asked_is_nothing_done(content_store: ContentStore) -> None:
    assert await content_store.insert_bodies([]) == {}
    assert await content_store.get_bodies([]) == {}
    await content_store.delete_bodies([])


async def test_page_larger_than_one_batch_is_whole(content_store: ContentStore) -> None:
    bodies = [a_body(f"number {number}", chat_id=number % 7) for number in range(1_500)]
    assert await content_store.insert_bodies(bodies) == {}
    found = await content_store.get_bodies([key(body) for body in bodies])
    assert found == {body.id: body.content for body in bodies}


async def test_deleted_bodies_are_gone_and_may_be_deleted_again(content_store: ContentStore) -> None:
    gone, also_gone, kept = a_body(), a_body(chat_id=2), a_body()
    await content_store.insert_bodies([gone, also_gone, kept])
    for _ in range(2):
        await content_store.delete_bodies([key(gone), key(also_gone), (1, uuid4())])
    assert await content_store.get_bodies([key(gone), key(also_gone), key(kept)]) == {kept.id: "hello"}


async def test_body_is_deleted_only_in_its_chat(content_store: ContentStore) -> None:
    one, other = a_body(chat_id=1), a_body(chat_id=2)
    await content_store.insert_bodies([one, other])
    await content_store.delete_bodies([(2, one.id), (1, other.id)])
    assert set(await content_store.get_bodies([key(one), key(other)])) == {one.id, other.id}


async def test_ids_are_listed_in_order_between_two_bounds(content_store: ContentStore) -> None:
    start = uuid4().int >> 16 << 16
    ids = [UUID(int=start + number) for number in range(1, 8)]
    bodies = [a_body(chat_id=number, body_id=body_id) for number, body_id in enumerate(ids, 1)]
    await content_store.insert_bodies(bodies[::-1])
    keys = [key(body) for body in bodies]
    lowest, highest = UUID(int=start), UUID(int=start + 9)
    assert await content_store.list_body_ids(lowest, highest, 100) == keys
    assert await content_store.list_body_ids(lowest, highest, 3) == keys[:3]
    assert await content_store.list_body_ids(ids[2], highest, 2) == keys[3:5]
    assert await content_store.list_body_ids(ids[2], ids[5], 100) == keys[3:5]
    assert await content_store.list_body_ids(ids[6], highest, 100) == []
    assert set(keys) <= set(await content_store.list_body_ids(None, UUID(int=2**128 - 1), 100_000))


async def test_ids_sort_by_their_bytes(content_store: ContentStore) -> None:
    ids = [UUID(int=number) for number in (1, 255, 256, 65_536, 2**63, 2**64, 2**96, 2**127, 2**128 - 2)]
    await content_store.insert_bodies([a_body(body_id=body_id) for body_id in reversed(ids)])
    listed = [found for _, found in await content_store.list_body_ids(None, UUID(int=2**128 - 1), 100_000)]
    assert [body_id for body_id in listed if body_id in ids] == ids
    await content_store.delete_bodies([(1, body_id) for body_id in ids])


async def test_store_belongs_to_the_first_who_claims_it(content_store: ContentStore) -> None:
    owner = await content_store.find_owner()
    assert owner in {None, "one"}  # MongoDB's was claimed by this test before, if it runs again
    assert await asyncio.gather(*(content_store.claim("one") for _ in range(5))) == ["one"] * 5
    assert await content_store.claim("other") == "one"
    assert await content_store.find_owner() == "one"


async def test_same_text_again_is_success(content_store: ContentStore) -> None:
    body = a_body()
    for _ in range(2):
        assert await content_store.insert_bodies([body, a_body("new")]) == {}
    assert await content_store.insert_bodies([body, body]) == {}


async def test_another_text_under_the_same_id_is_refused(content_store: ContentStore) -> None:
    body = a_body("first")
    await content_store.insert_bodies([body])
    failures = await content_store.insert_bodies([a_body("second", body_id=body.id)])
    assert set(failures) == {body.id}
    assert isinstance(failures[body.id], Internal)
    assert await content_store.get_bodies([key(body)]) == {body.id: "first"}


async def test_same_id_in_another_chat_is_refused(content_store: ContentStore) -> None:
    body = a_body(chat_id=1)
    await content_store.insert_bodies([body])
    assert set(await content_store.insert_bodies([a_body(chat_id=2, body_id=body.id)])) == {body.id}


async def test_one_poisoned_body_fails_alone(content_store: ContentStore) -> None:
    taken = a_body("first")
    await content_store.insert_bodies([taken])
    bodies = [a_body(f"number {number}") for number in range(63)]
    bodies.insert(31, a_body("second", body_id=taken.id))
    assert set(await content_store.insert_bodies(bodies)) == {taken.id}
    found = await content_store.get_bodies([key(body) for body in bodies])
    assert found == {body.id: body.content for body in bodies} | {taken.id: "first"}


async def test_concurrent_inserts_do_not_disturb_each_other(content_store: ContentStore) -> None:
    taken = a_body("first")
    await content_store.insert_bodies([taken])
    bodies = [a_body(f"number {number}", chat_id=number) for number in range(200)]
    poison = a_body("second", body_id=taken.id)
    *answers, refusal = await asyncio.gather(
        *(content_store.insert_bodies([body]) for body in bodies), content_store.insert_bodies([poison])
    )
    assert answers == [{}] * 200
    assert set(refusal) == {taken.id}
    found = await content_store.get_bodies([key(body) for body in bodies])
    assert found == {body.id: body.content for body in bodies}


async def test_one_of_two_texts_wins_a_race_for_one_id(content_store: ContentStore) -> None:
    body_id = uuid4()
    rivals = [a_body(f"number {number}", body_id=body_id) for number in range(20)]
    answers = await asyncio.gather(*(content_store.insert_bodies([rival]) for rival in rivals))
    (winner,) = [rival for rival, answer in zip(rivals, answers, strict=True) if not answer]
    assert await content_store.get_bodies([(1, body_id)]) == {body_id: winner.content}


async def test_cancelled_calls_leave_the_store_working(content_store: ContentStore) -> None:
    body = a_body()
    await content_store.insert_bodies([body])
    open_files = count_open_files()
    for number in range(400):
        task: asyncio.Future[object] = asyncio.ensure_future(
            content_store.insert_bodies([a_body()]) if number % 2 else content_store.get_bodies([key(body)])
        )
        for _ in range(number // 2 % 20):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
    assert await content_store.insert_bodies([body]) == {}
    assert await content_store.get_bodies([key(body)]) == {body.id: "hello"}
    # A pool may have grown, but no socket is left behind for each call.
    assert count_open_files() < open_files + 110


def count_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_store_in_order_answers_a_ping(content_store: ContentStore) -> None:
    await content_store.ping()


async def test_closed_store_is_unavailable(content_store: ContentStore) -> None:
    await content_store.close()
    await expect_unavailable(content_store, within_s=1)
    await content_store.close()


# --- stores that do not answer ----------------------------------------------------------------------------


async def expect_unavailable(store: ContentStore, *, within_s: float) -> None:
    """Every call, all at once."""
    began = time.monotonic()
    answers = await asyncio.gather(
        store.insert_bodies([a_body()]),
        store.get_bodies([(1, uuid4())]),
        store.delete_bodies([(1, uuid4())]),
        store.ping(),
        return_exceptions=True,
    )
    assert [type(answer) for answer in answers] == [Unavailable] * 4
    assert time.monotonic() - began < within_s


async def expect_recovery(store: ContentStore, kept: Body, *, within_s: float = 15) -> None:
    deadline = time.monotonic() + within_s
    while True:
        with suppress(Unavailable):
            await store.ping()
            break
        assert time.monotonic() < deadline
    body = a_body()
    assert await store.insert_bodies([body]) == {}
    assert await store.get_bodies([key(body), key(kept)]) == {body.id: "hello", kept.id: kept.content}


@asynccontextmanager
async def a_store(url: str) -> AsyncIterator[MongoContentStore]:
    store = MongoContentStore(url)
    await store.connect()
    try:
        yield store
    finally:
        await store.close()


async def test_mongodb_that_is_frozen_or_dead_is_unavailable_and_comes_back() -> None:
    kept = a_body("kept")
    with await asyncio.to_thread(MongoDb) as mongod:
        url = with_database(mongod.url, "chat")
        async with a_store(url) as store:
            await store.insert_bodies([kept])
            mongod.freeze()
            await expect_unavailable(store, within_s=5)
            mongod.thaw()
            await expect_recovery(store, kept)
            mongod.kill()
            async with a_store(url) as late:  # a server that is down is no error here
                await asyncio.gather(*(expect_unavailable(one, within_s=5) for one in (store, late)))
                await asyncio.to_thread(mongod.start)
                await asyncio.gather(*(expect_recovery(one, kept) for one in (store, late)))


class FailingMongoDb(MongoDb):
    """A server that can be told to fail."""

    def _flags(self, address: str, data: str) -> list[str]:
        return [*super()._flags(address, data), "--setParameter=enableTestCommands=1"]


@pytest.mark.parametrize(
    "failure",
    [
        {"writeConcernError": {"code": 64, "errmsg": "waiting for replication timed out"}},
        {"closeConnection": True},
    ],
    ids=["no majority", "lost connections"],
)
async def test_insert_with_an_unknown_outcome_is_unavailable_and_settled_by_the_next(
    failure: dict[str, object], failing_mongodb: FailingMongoDb
) -> None:
    bodies = [a_body(), a_body()]
    async with a_store(with_database(failing_mongodb.url, "chat")) as store:
        fail(failing_mongodb, "alwaysOn", failure)
        with pytest.raises(Unavailable):
            await store.insert_bodies(bodies)
        fail(failing_mongodb, "off")
        assert await store.insert_bodies(bodies) == {}


@pytest.mark.parametrize("failure", [{"errorCode": 10107}, {"closeConnection": True}])
async def test_one_change_of_the_primary_is_not_noticed(
    failure: dict[str, object], failing_mongodb: FailingMongoDb
) -> None:
    body = a_body()
    async with a_store(with_database(failing_mongodb.url, "chat")) as store:
        fail(failing_mongodb, {"times": 1}, failure)
        assert await store.insert_bodies([body]) == {}
        assert await store.get_bodies([key(body)]) == {body.id: "hello"}


@pytest.fixture(scope="module")
def failing_mongodb() -> Iterator[FailingMongoDb]:
    with FailingMongoDb() as server:
        yield server


def fail(server: MongoDb, mode: object, failure: Mapping[str, object] | None = None) -> None:
    """Let inserts fail in that way, for as long as `mode` says."""
    data = {"failCommands": ["insert"], **(failure or {})}
    client: pymongo.MongoClient[dict[str, object]]
    with pymongo.MongoClient(server.url) as client:
        client.admin.command("configureFailPoint", "failCommand", mode=mode, data=data)


async def test_body_that_mongodb_refuses_fails_alone(servers: Servers) -> None:
    url = servers.mongodb_database_url("test_refusals")
    servers.drop_mongodb_database("test_refusals")
    client: pymongo.MongoClient[dict[str, object]]
    with pymongo.MongoClient(url) as client:
        rule = {"content": {"$not": {"$eq": "poison"}}}
        client.get_default_database().create_collection("bodies", validator=rule)
    good, poison = [a_body() for _ in range(20)], a_body("poison")
    async with a_store(url) as store:
        failures = await store.insert_bodies([*good[:10], poison, *good[10:]])
        assert {body_id: type(failure) for body_id, failure in failures.items()} == {poison.id: Internal}
        assert len(await store.get_bodies([key(body) for body in good])) == 20
    servers.drop_mongodb_database("test_refusals")


async def test_replica_set_is_safe(servers: Servers, mongodb_database_url: str) -> None:
    async with a_store(mongodb_database_url) as store:
        assert await store.check_safety() == []


class LoneMongoDb(MongoDb):
    """What a careless installation looks like: no replica set, no journal."""

    def _flags(self, address: str, data: str) -> list[str]:
        flags = [flag for flag in super()._flags(address, data) if not flag.startswith("--replSet")]
        return [*flags, "--nojournal"]

    def _check_ready(self) -> None:
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient("127.0.0.1", self.port, serverSelectionTimeoutMS=500) as client:
            client.admin.command("ping")


async def test_weak_settings_of_mongodb_are_named() -> None:
    with await asyncio.to_thread(LoneMongoDb) as server:
        async with a_store(f"mongodb://127.0.0.1:{server.port}/chat") as store:
            replica_set, journal = await store.check_safety()
    assert "replica set" in replica_set
    assert "journal" in journal


async def test_url_cannot_weaken_the_writes(mongodb_database_url: str) -> None:
    weak = "w=0&journal=false&readPreference=secondary&timeoutMS=60000"
    async with a_store(f"{mongodb_database_url}&{weak}") as store:
        options = store._access_database().client.options
        assert options.write_concern.document == {"w": "majority", "j": True}
        assert options.read_preference == pymongo.ReadPreference.PRIMARY
        assert options.timeout == 4.5


# --- SQLite alone -----------------------------------------------------------------------------------------


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Another process that is writing, for as long as the block lasts."""
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("ROLLBACK")


@pytest.fixture
async def sqlite_store(tmp_path: Path) -> AsyncIterator[SqliteContentStore]:
    store = SqliteContentStore(tmp_path / "new" / "folder" / "content.db")
    await store.connect()
    yield store
    await store.close()


async def test_locked_file_is_unavailable_for_writes_and_comes_back(sqlite_store: SqliteContentStore) -> None:
    kept = a_body("kept")
    await sqlite_store.insert_bodies([kept])
    with locked(sqlite_store._path):
        began = time.monotonic()
        answers = await asyncio.gather(
            sqlite_store.insert_bodies([a_body()]),
            sqlite_store.delete_bodies([key(kept)]),
            sqlite_store.ping(),
            return_exceptions=True,
        )
        assert [type(answer) for answer in answers] == [Unavailable] * 3
        assert time.monotonic() - began < 6
        assert await sqlite_store.get_bodies([key(kept)]) == {kept.id: "kept"}
    await expect_recovery(sqlite_store, kept)


async def test_full_disk_is_unavailable_and_comes_back(sqlite_store: SqliteContentStore) -> None:
    kept = a_body("kept")
    await sqlite_store.insert_bodies([kept])
    writing = sqlite_store._writer._connection  # type: ignore[union-attr]
    (pages,) = writing.execute("PRAGMA page_count").fetchone()
    writing.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unavailable):
        await sqlite_store.insert_bodies([a_body("x" * 100_000)])
    writing.execute("PRAGMA max_page_count = 1000000")
    await expect_recovery(sqlite_store, kept)


async def test_files_are_private_and_their_folder_is_made(sqlite_store: SqliteContentStore) -> None:
    await sqlite_store.insert_bodies([a_body()])
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in sqlite_store._path.parent.iterdir()}
    assert modes == dict.fromkeys(("content.db", "content.db-wal", "content.db-shm"), 0o600)


async def test_file_that_is_no_database_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "content.db").write_text("not a database, but long enough to be taken for one" * 100)
    with pytest.raises(Unavailable, match="file is not a database"):
        await SqliteContentStore(tmp_path / "content.db").connect()


async def test_bodies_survive_a_new_start(sqlite_store: SqliteContentStore) -> None:
    body = a_body("kept")
    await sqlite_store.insert_bodies([body])
    await sqlite_store.close()
    await sqlite_store.connect()
    assert await sqlite_store.get_bodies([key(body)]) == {body.id: "kept"}


async def test_closing_finishes_what_waits(sqlite_store: SqliteContentStore) -> None:
    bodies = [a_body(f"number {number}") for number in range(50)]
    sends = [asyncio.ensure_future(sqlite_store.insert_bodies([body])) for body in bodies]
    await asyncio.sleep(0)
    await sqlite_store.close()
    assert await asyncio.gather(*sends) == [{}] * 50


async def test_text_that_sqlite_cannot_take_harms_nobody_else(sqlite_store: SqliteContentStore) -> None:
    good = [a_body(f"number {number}") for number in range(20)]
    answers = await asyncio.gather(
        *(sqlite_store.insert_bodies([body]) for body in [*good[:10], a_body("\ud800"), *good[10:]]),
        return_exceptions=True,
    )
    assert [answer for answer in answers if answer == {}] == [{}] * 20
    assert isinstance(answers[10], UnicodeEncodeError)
    assert len(await sqlite_store.get_bodies([key(body) for body in good])) == 20
