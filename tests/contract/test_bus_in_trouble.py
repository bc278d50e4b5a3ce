"""Between nodes, through a Redis that loses, doubles and delays a fifth of its messages each: what comes is
what was said, of the chats that are heard. That the rest heals is for `tests/integration/test_two_nodes.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from itertools import pairwise

from chat_service.adapters.bus_redis import RedisBus
from chat_service.domain.events import ChatChanged, Event
from chat_service.domain.ids import new_id
from tests.eventually import eventually
from tests.lossy import LATE_S, SHARE, LossyBus

HEARD, UNHEARD = (1, 2), 3
VERSIONS = 200


@contextlib.asynccontextmanager
async def connected(*buses: RedisBus) -> AsyncIterator[None]:
    """Up, and heard by one another, as the nodes of one deployment."""
    for bus in buses:
        await bus.connect("a deployment in trouble")
    tasks = [asyncio.create_task(bus.run()) for bus in buses]
    await eventually(lambda: all(bus.is_up and len(bus.list_heard()) == len(buses) - 1 for bus in buses))
    yield
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for bus in buses:
        await bus.close()


def a_change(chat_id: int, version: int) -> ChatChanged:
    return ChatChanged(chat_id, version, b'{"chat_id":%d,"version":%d}' % (chat_id, version))


async def test_what_comes_is_what_was_said_and_of_the_chats_that_are_listened_to(redis_url: str) -> None:
    speaker, listener = LossyBus(redis_url, new_id()), RedisBus(redis_url, new_id())
    stranger = RedisBus(redis_url, new_id())
    heard: list[Event] = []
    gaps: list[int] = []
    listener.subscribe(heard.extend)
    listener.subscribe_gaps(gaps.extend)
    said = [a_change(chat_id, version) for version in range(1, VERSIONS + 1) for chat_id in HEARD]
    async with connected(speaker, listener, stranger):
        for chat_id in HEARD:
            listener.hear_chat(chat_id)
        # What was said before a channel is heard is signalled, so that the store is asked.
        await eventually(lambda: set(gaps) == set(HEARD))
        for event in said:
            speaker.publish([event])
            stranger.publish([a_change(UNHEARD, event.version)])
        await eventually(lambda: len(heard) == len(said) - speaker.lost + speaker.doubled)
        await asyncio.sleep(LATE_S)  # nothing more comes
    counted = Counter(heard)
    assert set(counted) <= set(said)
    assert len(counted) == len(said) - speaker.lost
    assert sorted(set(counted.values())) == [1, 2]
    assert sum(count == 2 for count in counted.values()) == speaker.doubled
    assert min(speaker.lost, speaker.doubled, speaker.delayed) > len(said) * SHARE / 2
    assert not all(_is_in_order(heard, chat_id) for chat_id in HEARD)  # which the sequencer sets right


def _is_in_order(heard: Sequence[Event], chat_id: int) -> bool:
    versions = [one.version for one in heard if isinstance(one, ChatChanged) and one.chat_id == chat_id]
    return all(before <= after for before, after in pairwise(versions))
