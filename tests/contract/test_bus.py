"""What every bus promises to the node that it belongs to; what it does between nodes is tested beside it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from structlog.testing import capture_logs

from chat_service.adapters.bus_memory import MemoryBus
from chat_service.adapters.bus_redis import RedisBus
from chat_service.domain.events import ChatChanged, Event
from chat_service.domain.ids import new_id
from chat_service.services.ports.bus import Bus
from tests.eventually import eventually
from tests.lossy import LossyBus


def an_event(version: int = 1) -> ChatChanged:
    return ChatChanged(chat_id=1, version=version, push=b"{}")


@pytest.fixture(params=["memory", "redis", "redis in trouble"])
async def bus(request: pytest.FixtureRequest) -> AsyncIterator[Bus]:
    """A bus that is up. The last one loses, doubles and delays a fifth each of what it says to others."""
    made: Bus = MemoryBus()
    if request.param != "memory":
        # In a thread, because the first test that asks for the servers starts them.
        url = await asyncio.to_thread(request.getfixturevalue, "redis_url")
        made = (RedisBus if request.param == "redis" else LossyBus)(url, new_id())
    await made.connect("a deployment")
    running = asyncio.create_task(made.run())
    await eventually(lambda: made.is_up)
    yield made
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await made.close()


async def test_every_handler_has_heard_every_batch_in_order_when_publish_returns(bus: Bus) -> None:
    first, second = list[Sequence[Event]](), list[Sequence[Event]]()
    bus.subscribe(first.append)
    bus.subscribe(second.append)
    bus.publish([an_event(1), an_event(2)])
    bus.publish([an_event(3)])
    assert first == second == [(an_event(1), an_event(2)), (an_event(3),)]


async def test_what_a_node_publishes_reaches_it_once(bus: Bus) -> None:
    heard, gaps = list[Sequence[Event]](), list[object]()
    bus.subscribe(heard.append)
    bus.subscribe_gaps(gaps.append)
    bus.hear_chat(1)
    await bus.hear_user(7)
    bus.publish([ChatChanged(1, 1, b"{}", joined=(7,), joined_push=b"{}")])
    await bus.ping()
    await asyncio.sleep(0.1)  # long enough for an echo
    assert len(heard) == 1


async def test_failing_handler_is_logged_and_keeps_the_events_from_nobody(bus: Bus) -> None:
    heard = list[Sequence[Event]]()

    def fail(_events: Sequence[Event]) -> None:
        raise ValueError("a defect")

    bus.subscribe(fail)
    bus.subscribe(heard.append)
    with capture_logs() as logs:
        bus.publish([an_event()])
    assert heard == [(an_event(),)]
    assert [(entry["event"], entry["log_level"], entry["events"]) for entry in logs] == [
        ("bus_handler_failed", "error", 1)
    ]


async def test_later_changes_to_the_published_list_reach_nobody(bus: Bus) -> None:
    heard = list[Sequence[Event]]()
    bus.subscribe(heard.append)
    events: list[Event] = [an_event()]
    bus.publish(events)
    events.clear()
    assert heard == [(an_event(),)]


async def test_nothing_published_calls_nobody(bus: Bus) -> None:
    heard = list[Sequence[Event]]()
    bus.subscribe(heard.append)
    bus.publish([])
    assert heard == []


async def test_publishing_without_handlers_is_harmless(bus: Bus) -> None:
    bus.publish([an_event()])


async def test_handler_that_subscribes_another_hears_it_from_the_next_batch(bus: Bus) -> None:
    heard = list[Sequence[Event]]()
    bus.subscribe(lambda _events: bus.subscribe(heard.append))
    bus.publish([an_event(1)])
    assert heard == []
    bus.publish([an_event(2)])
    assert heard == [(an_event(2),)]


async def test_a_node_never_hears_itself_among_the_others(bus: Bus) -> None:
    await bus.ping()
    assert bus.list_heard() == set()


async def test_closed_bus_reaches_nobody(bus: Bus) -> None:
    heard = list[Sequence[Event]]()
    bus.subscribe(heard.append)
    await bus.ping()
    await bus.close()
    bus.publish([an_event()])
    assert heard == []
