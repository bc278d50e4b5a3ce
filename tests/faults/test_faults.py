"""Every fault under load, in its short form: nothing acknowledged is lost, doubled or out of order."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from chat_service.load.people import Person
from tests.builders import close_clients
from tests.faults.chapter import play, register
from tests.faults.course import SHORT, Fault
from tests.faults.faults import FAULTS
from tests.faults.stage import Stage

pytestmark = pytest.mark.timeout(180)


@pytest.fixture(scope="module")
def stage() -> Iterator[Stage]:
    """A fault leaves it whole, or on the way there."""
    with Stage(election_ms=SHORT.election_ms, drain_s=SHORT.drain_s) as stage:
        yield stage


_people: list[Person] = []


@pytest.fixture
async def people(stage: Stage) -> AsyncIterator[list[Person]]:
    """The same for all faults."""
    if not _people:
        _people.extend(await register(stage, SHORT))
    yield _people
    await close_clients()


async def test_the_logs_of_all_parts_are_read(stage: Stage, people: list[Person]) -> None:
    assert people
    logs = stage.read_logs()
    parts = ["HAProxy", "MariaDB", "Redis", *(f"MongoDB member {number}" for number in (1, 2, 3))]
    assert [*sorted(name for name in logs if name.startswith("node")), *parts] == list(logs)
    assert "POST /api/v1/users/login" in logs["HAProxy"]
    assert logs["MongoDB member 1"]


@pytest.mark.parametrize(
    "fault", [one for one in FAULTS if not one.is_long], ids=lambda one: one.name.replace(" ", "-")
)
async def test_a_fault_breaks_no_promise(stage: Stage, people: list[Person], fault: Fault) -> None:
    verdict = await play(stage, people, fault, SHORT)
    print(verdict.row)
    assert verdict.problems == []
    assert verdict.row.changed > 0
    assert verdict.row.returned > 0
    assert fault.name.startswith("a client that hangs up") or verdict.row.acknowledged == verdict.row.asked
