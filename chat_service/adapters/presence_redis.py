"""Presence over Redis: a set of users for each node, and a key that expires when the node is gone.

    …:presence:nodes          the nodes there are
    …:presence:alive:<node>   expires 8 s after the node's last sign of life
    …:presence:users:<node>   the users connected to it
    …:presence:missed:<node>  somebody has taken it for dead and told of its users

A sign of life costs the same for one user as for a hundred thousand. Whoever first removes a dead node from
`nodes` tells of its users. Times are those of Redis's own expiry; nothing here must outlive Redis, and a
node that finds its set incomplete writes it again. A node that could not reach Redis itself for a while
takes nobody for dead until the others have had time to say that they live.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar
from uuid import UUID

from redis.asyncio import BlockingConnectionPool, Redis

from chat_service.adapters.redis_link import TIMEOUT_S, connection_options, translated
from chat_service.domain.errors import Unavailable
from chat_service.services.ports.presence import Signs

T = TypeVar("T")

ALIVE_MS = 8_000
USERS_LAST_S = 60
MISSED_LASTS_S = 3_600
AWAY_S = 2.0
"""After a failure Redis is not asked again for this long, so that nobody waits for it in a row."""
_CONNECTIONS = 8
_CHUNK = 1_000


class RedisPresence:
    """A `Presence`."""

    def __init__(self, url: str, node_id: UUID) -> None:
        options = {**connection_options(), "socket_timeout": TIMEOUT_S, "decode_responses": True}
        pool = BlockingConnectionPool.from_url(
            url, max_connections=_CONNECTIONS, timeout=TIMEOUT_S, **options
        )
        self._redis = Redis(connection_pool=pool)
        self._node = str(node_id)
        self._prefix = ""
        self._failed_s = 0.0
        self._refreshed_s = self._buries_from_s = time.monotonic()

    def connect(self, deployment_id: str) -> None:
        self._prefix = f"chat-service:{deployment_id}:presence:"

    async def enter(self, user_id: int) -> bool:
        async def work() -> bool:
            # Written first: a node that the user leaves meanwhile must see them here, or be seen to be left.
            await self._ask(("SADD", self._users(), user_id))
            return not await self._is_elsewhere(user_id)

        return await self._guard(work)

    async def leave(self, user_id: int) -> bool:
        async def work() -> bool:
            await self._ask(("SREM", self._users(), user_id))
            return not await self._is_elsewhere(user_id)

        return await self._guard(work)

    async def list_online(self, user_ids: Collection[int]) -> set[int]:
        async def work() -> set[int]:
            return await self._find(list(user_ids), await self._list_living())

        return await self._guard(work)

    async def refresh(self, present: Collection[int]) -> Signs:
        async def work() -> Signs:
            count, was_missed = await self._say_alive()
            if count != len(present):
                await self._write_users(present)
            living = await self._list_living()
            gone: set[int] = set()
            if self._may_bury():
                (known,) = await self._ask(("SMEMBERS", self._prefix + "nodes"))
                for node in set(known) - set(living):
                    gone |= await self._bury(node, living)
            return Signs(frozenset(gone - set(present)), was_missed)

        return await self._guard(work)

    async def close(self) -> None:
        await self._redis.aclose(close_connection_pool=True)

    # --- Parts ------------------------------------------------------------------------------------

    def _users(self, node: str | None = None) -> str:
        return f"{self._prefix}users:{node or self._node}"

    def _alive(self, node: str) -> str:
        return f"{self._prefix}alive:{node}"

    def _missed(self, node: str) -> str:
        return f"{self._prefix}missed:{node}"

    async def _guard(self, work: Callable[[], Awaitable[T]]) -> T:
        if self._failed_s and time.monotonic() - self._failed_s < AWAY_S:
            raise Unavailable("Redis was away a moment ago")
        try:
            with translated():
                result = await work()
        except Unavailable:
            self._failed_s = time.monotonic()
            raise
        self._failed_s = 0.0
        return result

    async def _ask(self, *commands: Sequence[Any]) -> list[Any]:
        """Several commands in one round trip, together or not at all."""
        async with self._redis.pipeline(transaction=len(commands) > 1) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            return list(await pipeline.execute())

    async def _say_alive(self) -> tuple[int, bool]:
        """Returns how many users Redis counts here, and whether somebody has told of them as gone."""
        *_, count, missed = await self._ask(
            ("SET", self._alive(self._node), 1, "PX", ALIVE_MS),
            ("SADD", self._prefix + "nodes", self._node),
            ("EXPIRE", self._users(), USERS_LAST_S),
            ("SCARD", self._users()),
            ("DEL", self._missed(self._node)),
        )
        return int(count), bool(missed)

    def _may_bury(self) -> bool:
        """Not right after an absence, when the others may only be about to come back too."""
        now_s, alive_s = time.monotonic(), ALIVE_MS / 1000
        if now_s - self._refreshed_s > alive_s / 2:
            self._buries_from_s = now_s + alive_s
        self._refreshed_s = now_s
        return now_s >= self._buries_from_s

    async def _write_users(self, present: Collection[int]) -> None:
        users = list(present)
        adds = [
            ("SADD", self._users(), *users[start : start + _CHUNK]) for start in range(0, len(users), _CHUNK)
        ]
        await self._ask(("DEL", self._users()), *adds, ("EXPIRE", self._users(), USERS_LAST_S))

    async def _list_living(self) -> list[str]:
        """The nodes that have said so lately, this one among them if it has."""
        (known,) = await self._ask(("SMEMBERS", self._prefix + "nodes"))
        nodes = sorted(known)
        alive = await self._ask(*(("EXISTS", self._alive(node)) for node in nodes)) if nodes else []
        return [node for node, is_alive in zip(nodes, alive, strict=True) if is_alive]

    async def _find(self, user_ids: list[int], nodes: Collection[str]) -> set[int]:
        found: set[int] = set()
        for start in range(0, len(user_ids), _CHUNK):
            part = user_ids[start : start + _CHUNK]
            answers = await self._ask(*(("SMISMEMBER", self._users(node), *part) for node in nodes))
            for answer in answers:
                found.update(user_id for user_id, is_there in zip(part, answer, strict=True) if is_there)
        return found

    async def _is_elsewhere(self, user_id: int) -> bool:
        others = [node for node in await self._list_living() if node != self._node]
        return bool(others) and bool(await self._find([user_id], others))

    async def _bury(self, node: str, living: Collection[str]) -> set[int]:
        """The users of a dead node who are nowhere else, for the one who removes it first. Everything is
        asked before it is removed, so that a failure on the way leaves it to the next round."""
        (known,) = await self._ask(("SMEMBERS", self._users(node)))
        users = [int(user_id) for user_id in known]
        elsewhere = await self._find(users, living)
        removed, *_ = await self._ask(
            ("SREM", self._prefix + "nodes", node),
            ("DEL", self._users(node)),
            ("SET", self._missed(node), 1, "EX", MISSED_LASTS_S),
        )
        return set(users) - elsewhere if removed else set()
