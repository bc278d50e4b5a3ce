"""Which channels are asked for and when one counts as heard, without a Redis."""

from __future__ import annotations

import asyncio

import pytest

from chat_service.adapters.bus_subscriptions import Subscriptions


async def test_wishes_are_taken_together_and_only_what_changed() -> None:
    wishes = Subscriptions()
    for channel in (b"a", b"b", b"b", b"c"):
        wishes.want(channel)
    wishes.drop(b"c")
    assert await wishes.take_changes() == ([b"a", b"b"], [])
    wishes.drop(b"a")
    wishes.want(b"d")
    assert await wishes.take_changes() == ([b"d"], [b"a"])
    assert len(wishes) == 2


async def test_a_wish_that_is_taken_back_at_once_is_none() -> None:
    wishes = Subscriptions()
    wishes.want(b"a")
    await wishes.take_changes()
    wishes.drop(b"a")
    wishes.want(b"a")
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(wishes.take_changes(), 0.05)


async def test_a_channel_is_heard_when_its_last_request_is_confirmed() -> None:
    wishes = Subscriptions()
    wishes.want(b"a")
    await wishes.take_changes()
    wishes.drop(b"a")
    await wishes.take_changes()
    wishes.want(b"a")
    await wishes.take_changes()
    assert not wishes.confirm(b"a")  # of the first request, which has been ended since
    assert wishes.confirm(b"a")


async def test_an_answer_for_a_channel_that_is_wanted_no_more_means_nothing() -> None:
    wishes = Subscriptions()
    wishes.want(b"a")
    await wishes.take_changes()
    wishes.drop(b"a")
    await wishes.take_changes()
    assert not wishes.confirm(b"a")


async def test_on_a_new_connection_everything_is_asked_for_again() -> None:
    wishes = Subscriptions()
    wishes.want(b"a")
    await wishes.take_changes()
    assert wishes.confirm(b"a")
    wishes.restart()
    assert await wishes.take_changes() == ([b"a"], [])
    assert wishes.confirm(b"a")


async def test_who_waits_for_a_channel_goes_on_when_it_is_heard_or_dropped() -> None:
    wishes = Subscriptions()
    for channel in (b"a", b"b"):
        wishes.want(channel)
    waiting = [asyncio.create_task(wishes.wait(channel)) for channel in (b"a", b"b")]
    await wishes.take_changes()
    assert wishes.confirm(b"a")
    wishes.drop(b"b")
    await asyncio.wait_for(asyncio.gather(*waiting), 1)
    await asyncio.wait_for(wishes.wait(b"a"), 1)
    await asyncio.wait_for(wishes.wait(b"never wanted"), 1)
