"""One fault from its beginning to its verdict, and the people whom all faults share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from chat_service.load.options import LoadOptions
from chat_service.load.people import Person, register_people
from tests.faults.course import Course, Fault, Form
from tests.faults.load import Load
from tests.faults.stage import Stage
from tests.faults.verdict import Verdict, judge


async def register(stage: Stage, form: Form) -> list[Person]:
    """Once for all faults: signing in costs more than anything else that they need."""
    size = form.size
    options = LoadOptions(
        url=stage.entrance.url, chats=size.chats, people=size.chat_people, accounts=size.people
    )
    return await register_people(options)


async def play(stage: Stage, people: Sequence[Person], fault: Fault, form: Form) -> Verdict:
    """New groups and new sockets; then load, the fault under it, calm again, and the judge."""
    await stage.is_whole()
    size = form.many if fault.has_many else form.size
    async with Load(stage, people, size, stage.wire if fault.by_wire else None) as load:
        course = Course(stage, load, form)
        await asyncio.sleep(form.calm_s)
        await fault.inject(course)
        await asyncio.sleep(form.calm_s)
        await load.finish()
        verdict = judge(fault.name, load.lived(), course.injections, fault.target, course.notes)
    if not course.injections and not fault.is_control:
        verdict.problems.append("The fault was not played: nothing was hit.")
    return verdict
