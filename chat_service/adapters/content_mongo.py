"""The content store in MongoDB: one collection `bodies` of `{_id, chat_id, content}`, and whose it is.

A body counts as stored once a majority of the replica set has it in the journal. Reads go to the primary
with read concern `local`: a body is looked up because of a row that was committed after the majority had
it, so the primary, also one elected since, has it for certain, while a secondary may lag behind; waiting
for a majority snapshot would add nothing.

The index of `_id` is all that a replica set needs. A sharded cluster takes `{chat_id: 1, _id: 1}` as its
shard key: every query names both, so it asks only the shards that hold those chats, and a chat that has
outgrown a chunk can still be split. There `_id` is unique on each shard and not in the cluster, which is
enough, because a body is always written under the one chat of its message.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from uuid import UUID

import pymongo
import structlog
from pymongo import AsyncMongoClient, DeleteMany, ReadPreference, ReturnDocument
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.asynchronous.database import AsyncDatabase
from pymongo.errors import BulkWriteError, PyMongoError, WriteError
from pymongo.read_concern import ReadConcern

from chat_service.domain.errors import Internal, Unavailable
from chat_service.domain.models import Body

DEFAULT_DATABASE = "chat"
COLLECTION = "bodies"
DEPLOYMENT_COLLECTION = "deployment"
PING_TIMEOUT_S = 2.0
CLOSE_S = 1.0
OPTIONS: Mapping[str, Any] = {
    "appname": "chat-service",
    "uuidRepresentation": "standard",
    "w": "majority",
    "journal": True,
    "retryWrites": True,
    "retryReads": True,
    "readPreference": "primary",
    "readConcernLevel": "local",
    "connectTimeoutMS": 2_000,
    # A primary that stopped answering is noticed after this and the time to connect; the default is 10 s.
    "heartbeatFrequencyMS": 2_000,
    # Of a whole call: selecting a server, sending, waiting and every retry. It replaces the time-outs of
    # server selection and of sockets, so that five seconds hold whichever step hangs.
    "timeoutMS": 4_500,
}

_DUPLICATE_KEY = 11_000
# What a single document can be refused for although nothing is wrong with it: out of disk space,
# time limits, conflicts and interruptions by a change of the primary.
_PASSING = frozenset({50, 91, 112, 189, 262, 11_600, 11_602, 14_031})

_WITHOUT_REPLICA_SET = (
    "MongoDB runs without a replica set, so a lost answer cannot be retried and one lost disk loses "
    "every body."
)

_WITHOUT_JOURNAL = "MongoDB runs without a journal, so a crash loses what it has acknowledged."

log = structlog.get_logger(__name__)

Document = dict[str, Any]
T = TypeVar("T")


class MongoContentStore:
    """A `ContentStore`. What the URL says of write concern, read preference or time-outs is overruled.

    A call that is cancelled returns at once and is carried out all the same: PyMongo 4.20 keeps the socket
    of a connection for ever that was being opened when its caller was cancelled.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._client: AsyncMongoClient[Document] | None = None
        self._database: AsyncDatabase[Document] | None = None
        self._running: set[asyncio.Task[Any]] = set()

    async def connect(self) -> None:
        """Opens nothing yet: the first call does."""
        self._client = AsyncMongoClient(self._url, **OPTIONS)
        self._database = self._client.get_default_database(DEFAULT_DATABASE)

    async def close(self) -> None:
        """Finish what has been asked for, if that is quick; calls after this raise `Unavailable`."""
        client, self._client, self._database = self._client, None, None
        if self._running:
            await asyncio.wait(self._running, timeout=CLOSE_S)
        if client is not None:
            await client.close()

    async def ping(self) -> None:
        await self._finish(self._ping())

    async def insert_bodies(self, bodies: Sequence[Body]) -> dict[UUID, Exception]:
        return await self._finish(self._insert(bodies)) if bodies else {}

    async def get_bodies(self, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, str]:
        return await self._finish(_find(self._bodies, keys)) if keys else {}

    async def delete_bodies(self, keys: Sequence[tuple[int, UUID]]) -> None:
        if keys:
            await self._finish(self._delete(keys))

    async def list_body_ids(self, after: UUID | None, before: UUID, limit: int) -> list[tuple[int, UUID]]:
        """Asks every shard: whoever looks for what nobody names has no chat to name."""
        return await self._finish(self._list_ids(after, before, limit))

    async def claim(self, deployment_id: str) -> str:
        return await self._finish(self._claim(deployment_id))

    async def find_owner(self) -> str | None:
        return await self._finish(self._find_owner())

    async def check_safety(self) -> list[str]:
        """One sentence for each thing by which this server could lose an acknowledged body.

        Raises `Unavailable` when it does not answer.
        """
        return await self._finish(self._find_weaknesses())

    async def _finish(self, call: Coroutine[Any, Any, T]) -> T:
        """What `call` returns; it runs on when the caller is cancelled, for as long as its time-out."""
        task = asyncio.ensure_future(call)
        self._running.add(task)
        task.add_done_callback(self._end)
        return await asyncio.shield(task)

    def _end(self, task: asyncio.Task[Any]) -> None:
        """Whoever asked may be gone: then nobody else takes note of how it failed."""
        self._running.discard(task)
        if not task.cancelled():
            task.exception()

    async def _ping(self) -> None:
        with _translated(), pymongo.timeout(PING_TIMEOUT_S):
            admin = self._access_database().client.admin
            hello = await admin.command("hello", read_preference=ReadPreference.PRIMARY)
        if not hello.get("isWritablePrimary"):
            raise Unavailable

    async def _insert(self, bodies: Sequence[Body]) -> dict[UUID, Exception]:
        documents = [{"_id": body.id, "chat_id": body.chat_id, "content": body.content} for body in bodies]
        errors = await self._list_write_errors(documents)
        return await self._find_failures(bodies, errors) if errors else {}

    async def _list_write_errors(self, documents: list[Document]) -> list[dict[str, Any]]:
        """The driver's exception shows the texts of what was refused: it goes no further than here."""
        try:
            with _translated():
                if len(documents) == 1:  # what a quiet node writes: without the machinery for many
                    await self._bodies.insert_one(documents[0])
                else:
                    await self._bodies.insert_many(documents, ordered=False)
        except WriteError as error:
            return [{"index": 0, "code": error.code, "errmsg": (error.details or {}).get("errmsg")}]
        except BulkWriteError as error:
            if error.details["writeConcernErrors"]:
                log.warning("content_store_unavailable", error=error.details["writeConcernErrors"][0])
                raise Unavailable from None
            return list(error.details["writeErrors"])
        return []

    async def _delete(self, keys: Sequence[tuple[int, UUID]]) -> None:
        by_chat: defaultdict[int, list[UUID]] = defaultdict(list)
        for chat_id, body_id in keys:
            by_chat[chat_id].append(body_id)
        deletions = [
            DeleteMany({"_id": {"$in": ids}, "chat_id": chat_id}, hint=[("_id", 1)])
            for chat_id, ids in by_chat.items()
        ]
        try:
            with _translated():
                await self._bodies.bulk_write(deletions, ordered=False)
        except BulkWriteError as error:
            raise Unavailable from error

    async def _list_ids(self, after: UUID | None, before: UUID, limit: int) -> list[tuple[int, UUID]]:
        between = {"$lt": before} if after is None else {"$gt": after, "$lt": before}
        with _translated():
            cursor = self._bodies.find({"_id": between}, {"chat_id": 1}, hint=[("_id", 1)], batch_size=limit)
            return [(found["chat_id"], found["_id"]) async for found in cursor.sort("_id", 1).limit(limit)]

    async def _claim(self, deployment_id: str) -> str:
        with _translated():
            found: Document | None = await self._deployment.find_one_and_update(
                {"_id": "deployment_id"},
                {"$setOnInsert": {"value": deployment_id}},
                upsert=True,
                return_document=ReturnDocument.AFTER,
            )
        return deployment_id if found is None else str(found["value"])

    async def _find_owner(self) -> str | None:
        with _translated():
            found = await self._deployment.find_one({"_id": "deployment_id"})
        return None if found is None else str(found["value"])

    async def _find_weaknesses(self) -> list[str]:
        found = []
        database = self._access_database()
        with _translated():
            hello = await database.client.admin.command("hello")
            if "setName" not in hello and hello.get("msg") != "isdbgrid":
                found.append(_WITHOUT_REPLICA_SET)
            try:
                # Changes nothing, but is refused where a journal cannot be waited for. As a plain command,
                # because a server without a replica set refuses whatever the driver may retry.
                nobody = {"q": {"_id": None, "chat_id": 0}, "limit": 1}
                concern = {"w": 1, "j": True}
                await database.command("delete", COLLECTION, deletes=[nobody], writeConcern=concern)
            except PyMongoError as error:
                if "journal" not in str(error):
                    raise
                found.append(_WITHOUT_JOURNAL)
        return found

    def _access_database(self) -> AsyncDatabase[Document]:
        if self._database is None:
            raise Unavailable
        return self._database

    @property
    def _bodies(self) -> AsyncCollection[Document]:
        return self._access_database()[COLLECTION]

    @property
    def _deployment(self) -> AsyncCollection[Document]:
        return self._access_database()[DEPLOYMENT_COLLECTION]

    async def _find_failures(
        self, bodies: Sequence[Body], errors: Sequence[Mapping[str, Any]]
    ) -> dict[UUID, Exception]:
        """Sort the refused bodies: those that are stored already with the same text are no failure."""
        refused = [(bodies[error["index"]], error) for error in errors]
        keys = [(body.chat_id, body.id) for body, error in refused if error["code"] == _DUPLICATE_KEY]
        # Only what the majority has counts: the earlier try may have reached the primary alone.
        majority = self._bodies.with_options(read_concern=ReadConcern("majority"))
        stored = await _find(majority, keys)
        failures = {body.id: _failure(body, error, stored) for body, error in refused}
        return {body_id: failure for body_id, failure in failures.items() if failure is not None}


async def _find(bodies: AsyncCollection[Document], keys: Sequence[tuple[int, UUID]]) -> dict[UUID, str]:
    if not keys:
        return {}
    query = {
        "_id": {"$in": [body_id for _, body_id in keys]},
        "chat_id": {"$in": list({chat_id for chat_id, _ in keys})},
    }
    with _translated():
        # One batch, so that a page of bodies is one round trip.
        cursor = bodies.find(query, hint=[("_id", 1)], batch_size=len(keys) + 1)
        documents = await cursor.to_list()
    found = {(document["chat_id"], document["_id"]): document["content"] for document in documents}
    return {key[1]: found[key] for key in keys if key in found}


def _failure(body: Body, error: Mapping[str, Any], stored: Mapping[UUID, str]) -> Exception | None:
    if error["code"] == _DUPLICATE_KEY:
        if body.id not in stored:
            return Unavailable()
        if stored[body.id] == body.content:
            return None
        return Internal(f"Another text is stored under the body id {body.id}.")
    log.warning("body_refused", code=error["code"], error=str(error.get("errmsg"))[:300])
    if error["code"] in _PASSING:
        return Unavailable()
    return Internal(f"MongoDB refused the body {body.id} with code {error['code']}.")


@contextmanager
def _translated() -> Iterator[None]:
    """Turn the driver's errors into `Unavailable`, but for the refusal of single documents."""
    try:
        yield
    except (BulkWriteError, WriteError):
        raise
    except PyMongoError as error:
        log.warning("content_store_unavailable", error=str(error)[:300])
        raise Unavailable from error
