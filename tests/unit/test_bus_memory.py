"""The bus of a single node hands everything on, whatever its handlers do."""

from __future__ import annotations

from collections.abc import Sequence

from structlog.testing import capture_logs

from chat_service.adapters.bus_memory import MemoryBus
from chat_service.domain.events import ChatChanged, Event


def an_event(version: int = 1) -> ChatChanged:
    return ChatChanged(chat_id=1, version=version, push=b"{}")


def test_every_handler_hears_every_batch_in_order() -> None:
    bus, first, second = MemoryBus(), list[Sequence[Event]](), list[Sequence[Event]]()
    bus.subscribe(first.append)
    bus.subscribe(second.append)
    bus.publish([an_event(1), an_event(2)])
    bus.publish([an_event(3)])
    assert first == second == [(an_event(1), an_event(2)), (an_event(3),)]


def test_failing_handler_is_logged_and_keeps_the_events_from_nobody() -> None:
    bus, heard = MemoryBus(), list[Sequence[Event]]()

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


def test_later_changes_to_the_published_list_reach_nobody() -> None:
    bus, heard = MemoryBus(), list[Sequence[Event]]()
    bus.subscribe(heard.append)
    events: list[Event] = [an_event()]
    bus.publish(events)
    events.clear()
    assert heard == [(an_event(),)]


def test_nothing_published_calls_nobody() -> None:
    bus, heard = MemoryBus(), list[Sequence[Event]]()
    bus.subscribe(heard.append)
    bus.publish([])
    assert heard == []


def test_publishing_without_handlers_is_harmless() -> None:
    MemoryBus().publish([an_event()])


def test_handler_that_subscribes_another_hears_it_from_the_next_batch() -> None:
    bus, heard = MemoryBus(), list[Sequence[Event]]()
    bus.subscribe(lambda _events: bus.subscribe(heard.append))
    bus.publish([an_event(1)])
    assert heard == []
    bus.publish([an_event(2)])
    assert heard == [(an_event(2),)]


async def test_closed_bus_reaches_nobody() -> None:
    bus, heard = MemoryBus(), list[Sequence[Event]]()
    bus.subscribe(heard.append)
    await bus.ping()
    await bus.close()
    bus.publish([an_event()])
    assert heard == []
