"""The sweeper removes what nobody names and is old, and never a body that a row points to."""

from __future__ import annotations

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import delete, select, update

from chat_service.adapters.sql.tables import chats, deployment, messages, revisions
from chat_service.domain.clock import Clock, system_clock
from chat_service.domain.ids import new_id
from chat_service.services import sweeper as sweeping
from chat_service.services.sweeper import LOWEST_AGE, ForeignStore, Pace, Sweeper, first_id_of
from chat_service.supervisor import Supervisor
from tests.stores import Stores
from tests.traffic import Traffic, traffic

QUICK = Pace(page=7, pause_s=0.0, second_look_s=0.0, held=20, messages=50)
DAY = timedelta(hours=24)


def a_sweeper(stores: Stores, pace: Pace = QUICK, clock: Clock = system_clock, **ages: timedelta) -> Sweeper:
    return Sweeper(stores.metadata, stores.services.content, clock, pace=pace, **ages)


async def some_orphans(stores: Stores, chat_id: int, count: int, age: timedelta) -> set[UUID]:
    return {await stores.an_orphan(chat_id, age) for _ in range(count)}


def test_the_first_id_of_a_moment_lies_between_its_neighbours() -> None:
    before = new_id()
    moment = datetime.now(UTC) + timedelta(milliseconds=2)
    assert before < first_id_of(moment) < first_id_of(moment + timedelta(milliseconds=1))
    assert first_id_of(moment - timedelta(seconds=1)) < before
    assert first_id_of(datetime(1960, 1, 1, tzinfo=UTC)) == UUID(int=0)


async def test_old_orphans_go_and_all_else_stays(stores: Stores) -> None:
    owner = await stores.a_user()
    (chat_id,) = await stores.add_bulk(owner, 1, 60)
    young = await some_orphans(stores, chat_id, 5, timedelta(hours=23, minutes=59))
    kept = await stores.list_bodies()
    old = await some_orphans(stores, chat_id, 40, timedelta(hours=24, minutes=1))
    sweeper = a_sweeper(stores)
    assert await sweeper.sweep() == len(old)
    assert await stores.list_bodies() == kept >= young
    assert await sweeper.sweep() == 0
    assert await a_sweeper(stores).sweep() == 0


async def test_no_wish_makes_it_take_what_is_younger_than_two_hours(stores: Stores) -> None:
    chat_id = await stores.a_chat(await stores.a_user())
    older, younger = [await stores.an_orphan(chat_id, LOWEST_AGE + timedelta(minutes=m)) for m in (1, -1)]
    assert await a_sweeper(stores, min_age=timedelta(0)).sweep() == 1
    assert await stores.list_bodies() & {older, younger} == {younger}


async def test_named_bodies_stay_whatever_their_age(stores: Stores) -> None:
    """First and later texts, and those of a deleted message until they are purged."""
    ann = await stores.a_user()
    chat_id = await stores.a_chat(ann)
    said = [await stores.say(ann, chat_id, f"Message {number}") for number in range(3)]
    service = stores.services.messages
    for text in ("once", "twice"):
        await service.edit_message(ann, said[0].row.id, text)
        await service.edit_message(ann, said[1].row.id, text)
    await service.delete_message(ann, said[1].row.id)
    bodies = await stores.list_bodies()
    assert len(bodies) == 7
    sweeper = a_sweeper(stores, clock=lambda: system_clock() + timedelta(days=365))
    assert await sweeper.sweep() == 0
    assert await stores.list_bodies() == bodies


async def test_what_a_repeated_send_left_behind_goes_in_the_end(stores: Stores) -> None:
    ann = await stores.a_user()
    chat_id = await stores.a_chat(ann)
    for _ in range(3):
        await stores.say(ann, chat_id, "Once and only once", "key")
    assert len(await stores.list_bodies()) == 3
    assert await a_sweeper(stores, clock=lambda: system_clock() + DAY * 2).sweep() == 2
    assert await stores.list_bodies() == await stores.list_pointed()


async def test_later_sweeps_begin_where_the_last_one_ended(stores: Stores) -> None:
    chat_id = await stores.a_chat(await stores.a_user())
    now = datetime.now(UTC)
    moment = [now]
    await some_orphans(stores, chat_id, 3, DAY + timedelta(minutes=1))
    late = await some_orphans(stores, chat_id, 4, DAY - timedelta(minutes=30))
    sweeper = a_sweeper(stores, clock=lambda: moment[0])
    assert await sweeper.sweep() == 3
    behind = await stores.an_orphan(chat_id, DAY * 2)
    moment[0] = now + timedelta(hours=1)
    assert await sweeper.sweep() == len(late)
    assert behind in await stores.list_bodies()
    assert await a_sweeper(stores).sweep() == 1


async def test_what_got_a_name_in_between_stays(stores: Stores) -> None:
    """The list was made before the row was there; the second look finds it."""
    ann = await stores.a_user()
    chat_id = await stores.a_chat(ann)
    message = await stores.say(ann, chat_id, "Slow")
    mine = messages.c.id == message.row.id
    gone = await stores.an_orphan(chat_id, DAY * 2)
    await stores.execute(update(messages).where(mine).values(body_id=None))
    sweeper = a_sweeper(stores, pace=Pace(second_look_s=0.5), clock=lambda: system_clock() + DAY * 2)
    sweep = asyncio.create_task(sweeper.sweep())
    await asyncio.sleep(0.25)
    await stores.execute(update(messages).where(mine).values(body_id=message.row.id))
    assert await sweep == 1
    assert await stores.list_bodies() == {message.row.id}
    assert gone != message.row.id


LOSSES: dict[str, Any] = {
    "a row": lambda mine: delete(messages).where(mine),
    "its place in the row": lambda mine: update(messages).where(mine).values(body_id=None),
    "the rows of all chats": lambda mine: delete(chats),
    "revisions": lambda mine: delete(revisions),
}


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES.keys())
async def test_texts_of_a_chat_that_has_lost_rows_stay(stores: Stores, loss: Any) -> None:
    """A backup may give the rows back, but not a text that has been swept."""
    ann = await stores.a_user()
    chat_id = await stores.a_chat(ann)
    said = [await stores.say(ann, chat_id, f"Message {number}") for number in range(3)]
    for text in ("once", "twice"):
        await stores.services.messages.edit_message(ann, said[0].row.id, text)
    await stores.an_orphan(chat_id, DAY * 2)
    bodies = await stores.list_bodies()
    await stores.execute(loss(messages.c.id == said[1].row.id))
    assert await a_sweeper(stores, clock=lambda: system_clock() + DAY * 2).sweep() == 0
    assert await stores.list_bodies() == bodies


async def test_sends_into_chats_that_never_were_leave_nothing_in_the_end(stores: Stores) -> None:
    await some_orphans(stores, 2**40, 3, DAY * 2)
    assert await a_sweeper(stores).sweep() == 3


async def test_ids_without_a_time_are_never_taken(stores: Stores) -> None:
    chat_id = await stores.a_chat(await stores.a_user())
    # Below every id of this century, as a random one may be.
    timeless = UUID(int=uuid4().int & (2**80 - 1))
    await stores.put_body(chat_id, timeless, "Not ours?")
    assert await a_sweeper(stores).sweep() == 0
    assert timeless in await stores.list_bodies()


async def test_a_sweep_may_be_killed_anywhere_and_repeated(stores: Stores) -> None:
    owner = await stores.a_user()
    (chat_id,) = await stores.add_bulk(owner, 1, 100)
    kept = await stores.list_bodies()
    await some_orphans(stores, chat_id, 60, DAY * 2)
    for delay_s in (0.0, 0.01, 0.02, 0.03, 0.05):
        sweep = asyncio.create_task(a_sweeper(stores).sweep())
        await asyncio.sleep(delay_s)
        sweep.cancel()
        await asyncio.gather(sweep, return_exceptions=True)
        assert await stores.list_bodies() >= kept
    await asyncio.gather(*(a_sweeper(stores).sweep() for _ in range(3)))
    assert await stores.list_bodies() == kept


async def test_another_deployments_bodies_are_not_touched(stores: Stores) -> None:
    chat_id = await stores.a_chat(await stores.a_user())
    orphans = await some_orphans(stores, chat_id, 3, DAY * 2)
    own = await stores.services.content.find_owner()
    assert own is not None
    mine = deployment.c.name == "deployment_id"
    await stores.execute(update(deployment).where(mine).values(value="f" * 32))
    try:
        with pytest.raises(ForeignStore):
            await a_sweeper(stores).sweep()
        with pytest.raises(ForeignStore):
            await a_sweeper(stores).run()
    finally:
        await stores.execute(update(deployment).where(mine).values(value=own))
    assert await stores.list_bodies() == orphans
    assert await stores.services.content.find_owner() == own


async def test_a_node_sweeps_by_itself(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    chat_id = await stores.a_chat(await stores.a_user())
    monkeypatch.setattr(sweeping, "EVERY_S", 0.05)
    # Before it begins: later sweeps look only at what has become old since.
    await some_orphans(stores, chat_id, 2, DAY + timedelta(seconds=1))
    supervisor = Supervisor(stores.services.readiness)
    supervisor.start("sweeper", a_sweeper(stores).run)
    try:
        for _ in range(500):
            if not await stores.list_bodies():
                break
            await asyncio.sleep(0.02)
        assert await stores.list_bodies() == set()
    finally:
        await supervisor.stop()


# --- The property -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
async def test_no_body_goes_that_a_row_points_to(stores: Stores, seed: int) -> None:
    """Sweeps without any lowest age, beside sends and edits, over rows that are being damaged. A second look
    after some seconds is then what stands for the two hours."""
    choice = random.Random(seed)
    pace = Pace(page=50, pause_s=0.0, second_look_s=3.0, held=200, messages=50)
    none = timedelta(0)
    async with traffic(stores, over_damage=True) as people:
        sweepers = [asyncio.create_task(_sweep_on(stores, pace, none)) for _ in range(2)]
        for _ in range(8):
            await asyncio.sleep(0.6)
            await _damage(stores, people, choice)
        await asyncio.sleep(4)
        for task in sweepers:
            task.cancel()
        await asyncio.gather(*sweepers, return_exceptions=True)
    # Those that were damaged keep more than what is pointed to; never less.
    swept = a_sweeper(stores, pace=pace, min_age=none, lowest_age=none, clock=_tomorrow)
    await swept.sweep()
    pointed, bodies = await stores.list_pointed(), await stores.list_bodies()
    assert pointed <= bodies, f"{len(pointed - bodies)} of {len(pointed)} texts are lost"
    assert len(pointed) > 20
    assert [task for task in sweepers if not task.cancelled()] == []


def _tomorrow() -> datetime:
    return system_clock() + DAY


async def _sweep_on(stores: Stores, pace: Pace, age: timedelta) -> None:
    while True:
        await a_sweeper(stores, pace=pace, min_age=age, lowest_age=age).sweep()


async def _damage(stores: Stores, people: Traffic, choice: random.Random) -> None:
    """Names are lost, but a row still points to each text."""
    group = choice.choice(list(people.said))
    here = messages.c.chat_id == group
    some: Any = here & (messages.c.seq == choice.randint(1, 30))
    edited = select(messages.c.id).where(here & (messages.c.revision > 1)).limit(3)
    async with stores.metadata._reads.connect() as connection:
        ids = list((await connection.execute(edited)).scalars())
    match choice.randint(0, 3):
        case 0:
            await stores.execute(delete(revisions).where(revisions.c.message_id.in_(ids)))
        case 1:
            await stores.execute(update(messages).where(some).values(id=new_id()))
        case 2:
            await stores.execute(update(messages).where(some).values(revision=1, version=1))
        case _:
            await stores.execute(delete(revisions).where(revisions.c.revision == 2))
