"""Every fault in its long form, which docs/faults.md is made from too: `./scripts/test long`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from chat_service.load.people import Person
from tests.builders import close_clients
from tests.faults.chapter import play, register
from tests.faults.course import LONG, Fault
from tests.faults.crossing import measure, two_nodes
from tests.faults.faults import FAULTS
from tests.faults.page import list_unexplained
from tests.faults.results import forget_all, keep_crossing, keep_verdict, list_missing, write_page
from tests.faults.stage import Stage, allow_many_files

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A fault leaves it whole, or on the way there."""
    allow_many_files()
    forget_all()
    with Stage(election_ms=LONG.election_ms, drain_s=LONG.drain_s) as stage:
        yield stage


_people: list[Person] = []


@pytest.fixture
async def people(stage: Stage) -> AsyncIterator[list[Person]]:
    """The same for all faults."""
    if not _people:
        _people.extend(await register(stage, LONG))
    yield _people
    await close_clients()


async def test_everything_crosses_from_one_node_to_another(stage: Stage) -> None:
    with two_nodes(stage) as nodes:
        crossing = await measure(nodes)
    keep_crossing(crossing)
    print(crossing)
    assert crossing.delivered == crossing.messages
    assert list_unexplained([], crossing) == []


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.name.replace(" ", "-"))
async def test_a_fault_breaks_no_promise(stage: Stage, people: list[Person], fault: Fault) -> None:
    verdict = await play(stage, people, fault, LONG)
    keep_verdict(verdict, LONG)
    print(verdict.row)
    assert verdict.problems == []
    assert verdict.row.changed > 0
    assert verdict.row.returned > 0
    assert list_unexplained([verdict.row]) == []
    assert fault.name.startswith("a client that hangs up") or verdict.row.acknowledged == verdict.row.asked


def test_the_page_has_every_fault() -> None:
    assert list_missing() == []
    assert write_page() == []
