"""A MongoDB replica set of three members, each of which can be killed, frozen and started again.

A member is a `MongoDb` of its own with its own data; whoever connects to `url` sees one server.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Self

import pymongo
import pymongo.errors

from tests.hosts import THIS_MACHINE, Host
from tests.programs import MissingProgramError
from tests.servers import MongoDb

SIZE = 3
VOTES_WITHIN_S = 60.0
CATCH_UP_MS = 2_000
"""How long a new primary looks for what the majority did not have, which nobody was told is stored. Without a
limit it may wait for the frozen one, and as long as that is frozen."""


def wait_until(is_so: Callable[[], bool]) -> None:
    """In a thread; from a coroutine there is `eventually`."""
    deadline = time.monotonic() + VOTES_WITHIN_S
    while not is_so():
        if time.monotonic() > deadline:
            raise AssertionError(f"it did not come to that within {VOTES_WITHIN_S} s")
        time.sleep(0.05)


class Member(MongoDb):
    """It is ready when it answers: as primary, as secondary, or waiting to be told what it is."""

    name = "mongodb-member"

    def __init__(self, root: Path | None = None, host: Host = THIS_MACHINE) -> None:
        super().__init__(root, host)
        if self._program is None:
            raise MissingProgramError(
                "missing: mongod. A replica set of several members is not run by Docker."
            )

    def _check_ready(self) -> None:
        self.hello()

    def hello(self) -> dict[str, Any]:
        """What the member says of itself; raises when it does not answer within half a second."""
        address = f"mongodb://{self.address}/?directConnection=true&serverSelectionTimeoutMS=500"
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient(address, socketTimeoutMS=500) as client:
            return dict(client.admin.command("hello"))

    def initiate(self, members: list[Member], election_ms: int) -> None:
        configuration = {
            "_id": "rs0",
            "members": [{"_id": number, "host": one.address} for number, one in enumerate(members)],
            "settings": {"electionTimeoutMillis": election_ms, "catchUpTimeoutMillis": CATCH_UP_MS},
        }
        address = f"mongodb://{self.address}/?directConnection=true"
        client: pymongo.MongoClient[dict[str, object]]
        with pymongo.MongoClient(address) as client:
            client.admin.command("replSetInitiate", configuration)


class ReplicaSet:
    """As a context manager it starts and closes. `election_ms`: how long the members wait for a primary that
    is silent before they elect another one; MongoDB's default is 10 s. `places`: for each member a folder for
    its data, and its machine."""

    def __init__(
        self, election_ms: int = 10_000, places: Sequence[tuple[Path | None, Host]] | None = None
    ) -> None:
        self.members = [Member(*place) for place in places or [(None, THIS_MACHINE)] * SIZE]
        self._election_ms = election_ms

    @property
    def url(self) -> str:
        return f"mongodb://{','.join(one.address for one in self.members)}/?replicaSet=rs0"

    def __enter__(self) -> Self:
        try:
            with ThreadPoolExecutor() as pool:
                list(pool.map(lambda one: one.start(), self.members))
            self.members[0].initiate(self.members, self._election_ms)
            wait_until(lambda: len(self.list_states()) == SIZE and None not in self.list_states())
            self.get_primary()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        for one in self.members:
            one.close()

    def get_primary(self) -> Member:
        """The member that takes writes; waits for one to be elected."""
        found: list[Member] = []

        def is_there() -> bool:
            found[:] = [one for one in self.members if self._state(one) == "primary"]
            return bool(found)

        wait_until(is_there)
        return found[0]

    def list_states(self) -> list[str | None]:
        """Of each member `primary`, `secondary`, or None: it does not answer, or is neither."""
        return [self._state(one) for one in self.members]

    def _state(self, member: Member) -> str | None:
        if not member.is_running:
            return None
        with contextlib.suppress(pymongo.errors.PyMongoError):
            hello = member.hello()
            if hello.get("isWritablePrimary"):
                return "primary"
            if hello.get("secondary"):
                return "secondary"
        return None
