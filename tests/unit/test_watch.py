"""How often the store is asked for what was missed, and what for."""

from __future__ import annotations

import asyncio

import pytest

from chat_service.services.nodes import APART_EVERY_S, JOINED_EVERY_S
from chat_service.services.watch import SHARE, Watch, find_next_s
from tests.world import World, frames, until_heard


@pytest.mark.parametrize("every_s", [APART_EVERY_S, JOINED_EVERY_S])
def test_a_quick_answer_is_asked_for_again_in_time(every_s: float) -> None:
    assert find_next_s(10.0, 10.01, every_s) == 10.0 + every_s


def test_a_slow_store_is_left_alone_for_most_of_the_time() -> None:
    took_s = 0.3
    next_s = find_next_s(10.0, 10.0 + took_s, APART_EVERY_S)
    assert took_s / (next_s - 10.0) == pytest.approx(SHARE)


def test_however_slow_the_store_nobody_rests_for_long() -> None:
    assert find_next_s(10.0, 40.0, APART_EVERY_S) == 40.0 + JOINED_EVERY_S


async def test_who_was_let_in_by_what_was_taken_for_failed_hears_of_it_also_where_there_is_one_node(
    world: World,
) -> None:
    services = world.services
    watch = Watch(world.streams, services.metadata, world.manager, services.nodes, services.clock)
    ann, ben = await world.user(), await world.user()
    listening = await world.listen(ben)
    watching = asyncio.create_task(watch.run())
    chat_id = await world.group(ann, ben)  # of whose commit nobody hears
    await until_heard(listening, 1)
    assert [(frame["type"], frame["chat"]["id"]) for frame in frames(listening)] == [
        ("chat_created", chat_id)
    ]
    watching.cancel()
    await asyncio.gather(watching, return_exceptions=True)
