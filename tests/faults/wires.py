"""Connections that are cut, slow, silent, or open on one side only."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from tests.crash_server import Lives
from tests.faults.course import Course, Inject, off
from tests.faults.stage import Stage
from tests.network import Network
from tests.servers import Server

DELAY_S = 0.2
FROZEN_INSTEAD = "This system gave no network namespaces: the process was frozen in place of it."
Wire = Callable[[Stage], Network]


def cut(wire: Wire) -> Inject:
    """Every connection is reset, again and again."""

    async def inject(course: Course) -> None:
        counts = []
        for _ in range(course.form.kills):
            at_s = course.now_s()
            counts.append(await off(wire(course.stage).cut))
            course.struck(at_s, gone=False)
            await course.rest_until(at_s + course.form.every_s)
        course.note(f"{sum(counts)} connections were reset.")

    return inject


def delay(wire: Wire) -> Inject:
    async def inject(course: Course) -> None:
        network, at_s = wire(course.stage), course.now_s()
        network.delay_s = DELAY_S
        try:
            await asyncio.sleep(course.form.frozen_s)
        finally:
            network.delay_s = 0.0
        course.struck(at_s)
        course.note(f"{DELAY_S * 1000:.0f} ms were added each way.")

    return inject


def silence(wire: Wire) -> Inject:
    """Nothing passes for a while, and nothing is reset."""

    async def inject(course: Course) -> None:
        network, at_s = wire(course.stage), course.now_s()
        await off(network.silence)
        try:
            await asyncio.sleep(course.form.frozen_s)
        finally:
            await off(network.speak)
        course.struck(at_s)

    return inject


def unplug(victim: Callable[[Stage], Server | Lives]) -> Inject:
    """The cable of a host is pulled: what it sends and what is sent to it is lost, and nobody is told. Where
    the system gives no network namespaces there is none, and the process is frozen, which is as silent."""

    async def inject(course: Course) -> None:
        lost = await off(victim, course.stage)
        pull, put_back = lost.host.unplug, lost.host.plug_in
        if not course.stage.hosts.are_separate:
            pull, put_back = lost.freeze, lost.thaw
            course.note(FROZEN_INSTEAD)
        at_s = course.now_s()
        await off(pull)
        try:
            await asyncio.sleep(course.form.frozen_s)
        finally:
            await off(put_back)
        course.struck(at_s)

    return inject


def open_half(wire: Wire) -> Inject:
    """The far side has reset every connection, and the near side is never told. New ones are sound."""

    async def inject(course: Course) -> None:
        at_s = course.now_s()
        count = await off(wire(course.stage).open_half)
        course.struck(at_s, gone=False)
        course.note(f"{count} connections were left half-open.")
        await asyncio.sleep(course.form.frozen_s)

    return inject
