"""The workload `returns`: what it costs a node that clients come back, each with a handshake and a resume."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Sequence
from typing import Any

from bench.stack import Service, Stack
from chat_service.load.options import LoadOptions
from chat_service.load.people import Group, Person, call, make_groups, register_people
from chat_service.load.sockets import SocketClient

PEOPLE = 40
CHATS = 40
CHATS_EACH = 10
MESSAGES_EACH = 20
"""In each chat, which those who come back have missed."""
DEVICES = 10
AT_ONCE = 16
"""Handshakes under way: more would only queue in the node."""
_ANSWERS = (b'{"type":"ack"', b'{"type":"pong"')


def returns(stack: Stack) -> dict[str, Any]:
    """400 sockets open; then they do so again, and each resumes ten chats in which nothing has happened; then
    once more, when 20 messages have been said in each, and told to others."""
    with stack.serve() as service:
        options = LoadOptions(service.url, chats=CHATS, people=PEOPLE * CHATS_EACH // CHATS, accounts=PEOPLE)
        people = asyncio.run(register_people(options))
        groups = asyncio.run(make_groups(options, people))
        return {**asyncio.run(_measure(service, people, groups)), "chats_each": CHATS_EACH}


async def _measure(service: Service, people: Sequence[Person], groups: Sequence[Group]) -> dict[str, Any]:
    pings: dict[Person, dict[str, Any]] = {one: {"type": "ping"} for one in people}
    resumes = {
        one: {
            "type": "resume",
            "cursors": {str(group.id): group.version for group in groups if one in group.people},
            "complete": True,
        }
        for one in people
    }
    found = {
        "handshake": await _come_back(service, pings),
        "handshake_and_resume": await _come_back(service, resumes),
    }
    listening = [Device(service.url, one, pings[one]) for one in people]
    await asyncio.gather(*(device.come_back() for device in listening))
    for group in groups:
        for number in range(MESSAGES_EACH):
            body = {"chat_id": group.id, "content": f"A message of some words, number {number}"}
            await asyncio.to_thread(call, service.url, "POST", "/messages", body, group.people[0].token)
    found["handshake_and_resume_of_messages"] = await _come_back(service, resumes)
    for device in listening:
        device.client.close()
    return found


async def _come_back(service: Service, commands: dict[Person, dict[str, Any]]) -> dict[str, Any]:
    """Everybody on all of their devices, in any order; each is back when its command is answered."""
    devices = [Device(service.url, one, command) for one, command in commands.items() for _ in range(DEVICES)]
    random.shuffle(devices)
    gate = asyncio.Semaphore(AT_ONCE)

    async def enter(device: Device) -> None:
        async with gate:
            await device.come_back()

    earlier, began_s = service.usage(), time.perf_counter()
    await asyncio.gather(*(enter(device) for device in devices))
    seconds, used = time.perf_counter() - began_s, service.usage() - earlier
    for device in devices:
        device.client.close()
    return {
        "sockets": len(devices),
        "sockets_per_s": round(len(devices) / seconds, 1),
        "cpu_s_per_1000_sockets": used.per(len(devices), 1000),
    }


class Device:
    """One socket, from its handshake to the answer to its first command."""

    def __init__(self, url: str, person: Person, command: dict[str, Any]) -> None:
        self.client = SocketClient(url, "/ws", person.token, self)
        self._url = url
        self._command = json.dumps(command | {"ref": "1"}).encode()
        self._is_back: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def come_back(self) -> None:
        """Raises `ConnectionError` when the socket ends before that."""
        host, _, port = self._url.removeprefix("http://").partition(":")
        await asyncio.get_running_loop().create_connection(lambda: self.client, host, int(port))
        await self._is_back

    def opened(self) -> None:
        self.client.send([self._command])

    def heard(self, texts: list[bytes], chunk: bytes | None) -> None:  # noqa: ARG002 - a `Listener`
        if any(text.startswith(_ANSWERS) for text in texts):
            self._is_back.set_result(None)

    def knows(self, chunk: bytes) -> bool:  # noqa: ARG002 - a `Listener`
        return False

    def ended(self, code: int, reason: str) -> None:
        if not self._is_back.done():
            self._is_back.set_exception(ConnectionError(f"{code} {reason}"))
