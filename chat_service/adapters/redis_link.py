"""One connection to Redis that never comes back by itself: whoever uses it decides when to make another.

redis-py's own `PubSub` reconnects and resubscribes behind the back of its caller, who would not know from
when on messages were missed.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from redis.asyncio import ConnectionPool
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from redis.maint_notifications import MaintNotificationsConfig

from chat_service.domain.errors import Unavailable

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMEOUT_S = 1.5
"""For a connection, a write, and the answer to a command."""


def connection_options() -> dict[str, Any]:
    return {
        "protocol": 3,
        "socket_timeout": None,  # redis-py waits with `wait_for`, which may swallow a cancellation
        "socket_connect_timeout": TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": 0,
        "retry": Retry(NoBackoff(), 0),
        "maint_notifications_config": MaintNotificationsConfig(enabled=False),
    }


@contextmanager
def translated() -> Iterator[None]:
    """Turn the driver's errors into `Unavailable`, with the reason in a few words."""
    try:
        yield
    except (RedisError, OSError, TimeoutError, asyncio.IncompleteReadError) as error:
        raise Unavailable(_explain(error)) from error
    except RuntimeError as error:  # which uvloop raises for a connection that has been found dead
        if "closed" not in str(error):
            raise
        raise Unavailable(_explain(error)) from error


def _explain(error: BaseException) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


class RedisLink:
    """Open it with `await link.open()`. Every call raises `Unavailable` when the connection is of no use
    any more; then close it."""

    def __init__(self, url: str) -> None:
        pool = ConnectionPool.from_url(url, **connection_options())
        self._connection = pool.make_connection()  # type: ignore[no-untyped-call]

    async def open(self) -> None:
        with translated():
            async with asyncio.timeout(2 * TIMEOUT_S):  # whatever the other side is, it cannot hold us
                await self._connection.connect()
        # The only door to it but for `PubSub`; the handler that is there writes every message to a log.
        self._connection._parser.set_pubsub_push_handler(_keep)  # noqa: SLF001

    async def call(self, *commands: Sequence[str | bytes]) -> list[Any]:
        """Send commands together; their answers in order, where an error is among them as an exception."""
        await self.send(*commands)
        answers: list[Any] = []
        with translated():
            async with asyncio.timeout(TIMEOUT_S):
                for _ in commands:
                    try:
                        answers.append(await self._connection.read_response())
                    except ResponseError as error:
                        answers.append(error)
        return answers

    async def send(self, *commands: Sequence[str | bytes]) -> None:
        """Send commands without waiting for what they answer."""
        packed = self._connection.pack_commands(commands)
        with translated():
            async with asyncio.timeout(TIMEOUT_S):
                await self._connection.send_packed_command(packed, check_health=False)

    async def read(self) -> Any:
        """The next thing that Redis says by itself, whenever that is."""
        with translated():
            return await self._connection.read_response(
                timeout=math.inf, disconnect_on_error=False, push_request=True
            )

    async def close(self) -> None:
        await self._connection.disconnect(nowait=True)


async def _keep(response: Any) -> Any:
    return response


def in_chunks(names: Iterable[bytes], size: int) -> Iterator[list[bytes]]:
    """The names in lists of `size` at most."""
    chunk: list[bytes] = []
    for name in names:
        chunk.append(name)
        if len(chunk) == size:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
