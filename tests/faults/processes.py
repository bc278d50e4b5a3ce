"""Processes that end without a word, that freeze, and that are restarted in order."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import httpx2

from chat_service.load.people import Person
from tests.crash_server import Lives
from tests.faults.course import Course, Inject, off
from tests.faults.stage import NODES, STOP_S, Stage
from tests.replica_set import wait_until
from tests.servers import Server

AHEAD_S = 3_600.0
CLOCK_WITHIN_S = 5.0


async def nothing(course: Course) -> None:
    """What the same load costs when nothing is broken."""
    await asyncio.sleep(course.form.kills * course.form.every_s)


async def kill_nodes(course: Course) -> None:
    """One after the other; each begins anew at once."""
    for number in range(course.form.kills):
        node = course.stage.nodes[number % NODES]
        at_s = course.now_s()
        await off(node.kill)
        await off(node.start)
        course.struck(at_s)
        await course.rest_until(at_s + course.form.every_s)


def kill(server: Callable[[Stage], Server], *, stays_away: bool = False) -> Inject:
    async def inject(course: Course) -> None:
        victim, at_s = server(course.stage), course.now_s()
        await off(victim.kill)
        if stays_away:
            await asyncio.sleep(course.form.away_s)
        await off(victim.start)
        course.struck(at_s)

    return inject


async def kill_primary(course: Course) -> None:
    victim, at_s = await off(course.stage.mongodb.get_primary), course.now_s()
    await off(victim.kill)
    await off(course.stage.mongodb.get_primary)
    course.struck(at_s)
    await off(victim.start)


def freeze(victim: Callable[[Stage], Server | Lives]) -> Inject:
    async def inject(course: Course) -> None:
        frozen = await off(victim, course.stage)
        at_s = course.now_s()
        frozen.freeze()
        try:
            await asyncio.sleep(course.form.frozen_s)
        finally:
            frozen.thaw()
        course.struck(at_s)

    return inject


async def restart_all_nodes(course: Course) -> None:
    """Each with SIGTERM, and the next one when the balancer has taken it back."""
    first_s = course.now_s()
    for number, node in enumerate(course.stage.nodes, 1):
        at_s = course.now_s()
        await off(node.stop, STOP_S)
        await off(node.start)
        course.struck(at_s)
        await off(_wait_for_balancer, course.stage, number)
    await asyncio.sleep(course.form.calm_s)
    closes = ", ".join(f"{count} × {what}" for what, count in course.load.count_closes().most_common())
    came = [moment for moment in course.load.waits.connected if moment >= first_s]
    course.note(
        f"{len(came)} connections were made again over {max(came) - min(came):.0f} s, at most "
        f"{course.load.waits.peak_connects(first_s)} within one second; they had ended with {closes}."
    )


def _wait_for_balancer(stage: Stage, number: int) -> None:
    """Until it hands connections to this node again."""
    wait_until(lambda: number in stage.balancer.list_serving())


async def set_a_clock_ahead(course: Course) -> None:
    """A node comes up an hour ahead. It must say so, get no connections, and stamp messages rightly."""
    node = course.stage.nodes[-1]
    await off(node.stop, STOP_S)
    at_s = course.now_s()
    node.begin(ahead_s=AHEAD_S)
    reason = await _wait_for_refusal(node)
    assert "3600 s ahead" in reason, reason
    assert NODES not in await off(course.stage.balancer.list_serving)
    off_by_s = await _measure_stamp(course, node, course.load.groups[0].people[0])
    assert off_by_s < CLOCK_WITHIN_S, off_by_s
    await asyncio.sleep(course.form.every_s)
    assert NODES not in await off(course.stage.balancer.list_serving)
    await off(node.stop, STOP_S)
    await off(node.start)
    course.struck(at_s)
    course.note(
        f"`/readyz` of the node said: {reason}. A message sent to it directly was stamped {off_by_s:.1f} s "
        "from the right time."
    )


async def _wait_for_refusal(node: Lives) -> str:
    """What the node's `/readyz` says against it, once it says anything of its clock."""
    async with httpx2.AsyncClient() as http:
        while True:
            with suppress(httpx2.TransportError):
                answer = await http.get(f"{node.url}/readyz")
                reason = str(answer.json().get("reason", ""))
                if answer.status_code == 503 and "clock" in reason:
                    return reason
            await asyncio.sleep(0.05)


async def _measure_stamp(course: Course, node: Lives, person: Person) -> float:
    """How far the timestamp of a message that goes over this node is from now."""
    return abs(await course.load.send_by_rest(person, course.load.groups[0].id, node.url))
