"""A content store that says how long its reads and writes took."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar
from uuid import UUID

from chat_service.domain.models import Body
from chat_service.services.ports.content import ContentStore

T = TypeVar("T")


class TimedContentStore:
    """A `ContentStore` in front of another. `observe` hears the name and the seconds of each call that
    moves bodies, refused ones included."""

    def __init__(self, store: ContentStore, observe: Callable[[str, float], None]) -> None:
        self._store = store
        self._observe = observe
        self.connect = store.connect
        self.close = store.close
        self.check_safety = store.check_safety
        self.ping = store.ping
        self.list_body_ids = store.list_body_ids
        self.claim = store.claim
        self.find_owner = store.find_owner

    async def insert_bodies(self, bodies: Sequence[Body]) -> dict[UUID, Exception]:
        return await self._time("insert", self._store.insert_bodies(bodies))

    async def get_bodies(self, keys: Sequence[tuple[int, UUID]]) -> dict[UUID, str]:
        return await self._time("get", self._store.get_bodies(keys))

    async def delete_bodies(self, keys: Sequence[tuple[int, UUID]]) -> None:
        await self._time("delete", self._store.delete_bodies(keys))

    async def _time(self, call: str, work: Awaitable[T]) -> T:
        began_s = time.perf_counter()
        try:
            return await work
        finally:
            self._observe(call, time.perf_counter() - began_s)
