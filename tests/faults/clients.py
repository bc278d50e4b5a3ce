"""What clients do to a server: hang up in the middle, do not read, and all leave at once."""

from __future__ import annotations

import asyncio
import json
import random
from contextlib import suppress

from chat_service.load.people import Person
from tests.faults.course import Course
from tests.faults.load import MARK
from tests.records import Send

CANCELLED_TOGETHER = 50
PATIENCE_S = 0.02
SETTLED_SHARE = 0.2
"""Of the requests that were given up, so many are asked for again; the others are stored once or never."""
SLOW_READERS = 3


async def drop_everybody(course: Course) -> None:
    at_s, waits = course.now_s(), course.load.waits
    before = len(waits.connected)
    for device in course.load.devices:
        device.drop()
    course.struck(at_s, gone=False)
    await course.load.are_connected_again(before + len(course.load.devices))
    course.note(
        f"All {len(course.load.devices)} were back after {course.now_s() - at_s:.1f} s, at most "
        f"{waits.peak_connects(at_s)} of them within one second."
    )


async def stop_reading(course: Course) -> None:
    """Some do not read while long messages come; what they missed they get later."""
    load, form = course.load, course.form
    group = load.groups[-1]
    slow = [device for device in load.devices if device.person in group.people][:SLOW_READERS]
    writer = next(
        one
        for one in load.devices
        if one.person in group.people and one.person not in {d.person for d in slow}
    )
    load.excused |= {*slow, writer}
    at_s = course.now_s()
    for device in slow:
        device.read(is_reading=False)
    for number in range(form.slow_messages):
        load.ask(writer, group.id, f"{MARK} {number} ".ljust(10_000, "x"))
        if number % 10 == 9:
            await load.wait_for_answers(writer)
    for device in slow:
        device.read(is_reading=True)
    course.struck(at_s)
    ends = [f"{code} {reason}".strip() for device in slow for code, reason in device.closes]
    course.note(
        f"{SLOW_READERS} sockets did not read while {form.slow_messages} messages of 10,000 characters came; "
        f"{len(ends)} of their connections were ended by the server{': ' if ends else ''}{', '.join(ends)}."
    )


async def cancel_requests(course: Course) -> None:
    """Sends over REST whose client hangs up somewhere on the way; a share of them is asked for again."""
    load, at_s = course.load, course.now_s()
    device = load.devices[0]
    person = device.person
    group = await load.add_group(person)
    given_up: list[Send] = []
    room = asyncio.Semaphore(CANCELLED_TOGETHER)
    for start in range(0, course.form.cancels, 1_000):
        count = min(1_000, course.form.cancels - start)
        sends = [load.plan(person, group.id) for _ in range(count)]
        await asyncio.gather(*(_give_up(course, person, one, room) for one in sends))
        again = random.sample(sends, int(count * SETTLED_SHARE))
        for send in again:
            load.ask_again(device, send)
        await load.wait_for_answers(device)
        given_up += sends
    course.struck(at_s, gone=False)
    settled = sum(bool(one.acks) for one in given_up)
    course.note(f"{len(given_up)} requests were given up; {settled} of them were asked for again.")


async def _give_up(course: Course, person: Person, send: Send, room: asyncio.Semaphore) -> None:
    """Hang up before, while or after the request is written; the answer, if it comes, counts."""
    body = json.dumps(
        {"chat_id": send.chat_id, "content": send.content, "client_message_id": send.key}
    ).encode()
    head = (
        f"POST /api/v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {person.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode()
    request = head + body
    send.is_unknown = True
    async with room:
        with suppress(OSError):
            balancer = course.stage.balancer
            _, writer = await asyncio.open_connection(balancer.host.address, balancer.port)
            whole = random.random() < 0.8
            writer.write(request if whole else request[: random.randrange(len(request))])
            await asyncio.sleep(random.uniform(0, PATIENCE_S))
            writer.transport.abort()
