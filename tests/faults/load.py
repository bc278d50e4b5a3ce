"""People in groups who write at a steady rate while something is broken, and what they lived through.

`async with Load(…) as load:` makes the groups, opens all devices and begins to write; `finish` stops writing
and waits until everybody has everything. The rate does not depend on how the server keeps up: a message that
is due is due, and how long it waits for its acknowledgement and for its readers is what a client saw of an
outage.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import secrets
import ssl
from collections import Counter, defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import httpx2
from websockets.exceptions import WebSocketException

from chat_service.load.options import LoadOptions
from chat_service.load.people import Group, Person, make_groups
from tests.builders import TestUser, a_user
from tests.crowd import Device as Witness
from tests.crowd import read_stored
from tests.faults.asked import Asked
from tests.faults.device import Device
from tests.faults.guests import Guests
from tests.faults.stage import Entrance, Stage
from tests.faults.verdict import Lived
from tests.faults.waits import Waits
from tests.records import Compared, Deletion, Edit, Held, History, Json, Look, Send, Stay, Stored
from tests.replica import check_same, fresh

MARK = "this sentence is nobody else's"
"""In every message, so that none may be found in a log."""
CHANGES_EVERY, DELETIONS_EVERY = 10, 3
"""So often somebody changes a message of their own in place of sending one; and so often that is a deletion,
else an edit."""
RECENT = 20
"""Of somebody's own messages, those that are changed."""
SETTLED_WITHIN_S = 120.0
LOOKS_EVERY_S = 0.2


@dataclass(frozen=True)
class Size:
    people: int
    devices: int
    """Sockets of each person."""
    chats: int
    chat_people: int
    rate: float
    """Messages a second, of all together."""

    @property
    def connections(self) -> int:
        return self.people * self.devices


class Load:
    """`people` are registered already. Clients come in by `entrance`."""

    def __init__(
        self, stage: Stage, people: Sequence[Person], size: Size, entrance: Entrance | None = None
    ) -> None:
        self.stage = stage
        self.size = size
        self.past = History(secrets=stage.secrets | {MARK})
        self.waits = Waits()
        self.devices: list[Device] = []
        self.excused: set[Device] = set()
        """Those to whom the fault itself happens: how long they wait is not counted."""
        self.surprises: list[str] = []
        self.groups: list[Group] = []
        self._people = list(people)
        self._entrance = entrance or stage.entrance
        self._chats_of: dict[int, list[int]] = {}
        """By person, where they write: not where they come and go."""
        self._own: defaultdict[int, deque[Json]] = defaultdict(lambda: deque(maxlen=RECENT))
        """By person, what they have sent lately."""
        self._name = secrets.token_hex(3)
        self._asked_at_s: dict[str, float] = {}
        self._acknowledged_at_s: dict[str, float] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._writing: asyncio.Task[None] | None = None
        self._visiting: asyncio.Task[None] | None = None
        self._witnesses: list[Witness] = []
        self._loop = asyncio.get_running_loop()
        self._to_look: Json | None = None
        self._logs_before = stage.read_logs()
        self._numbers = itertools.count(1)
        self._tls = ssl.create_default_context()
        """Made once: certificates take longer than an answer, and nobody asks for them."""

    # --- The course -------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        size, url = self.size, self.stage.entrance.url
        options = LoadOptions(url=url, chats=size.chats, people=size.chat_people, accounts=size.people)
        self.groups = await make_groups(options, self._people)
        self.past.stays += [Stay(group.id, one.id, 1) for group in self.groups for one in group.people]
        self._guests = Guests(self.groups[:-1], self.past.stays)  # the last one is for slow readers
        self.past.secrets |= {one.token for one in self._people}
        for person in self._people:
            chats = {group.id: group.version for group in self.groups if person in group.people}
            self._chats_of[person.id] = [one for one in chats if not self._guests.are(person, one)]
            for _ in range(size.devices if chats else 0):
                connections = self.past.connections
                self.devices.append(Device(self._entrance.url, person, chats, self, connections))
        self._tasks += [asyncio.create_task(device.live()) for device in self.devices]
        await self.are_all_connected()
        await self._invite_witness()
        self._tasks += [asyncio.create_task(self._watch()), asyncio.create_task(self._look())]
        self._writing = asyncio.create_task(self._write())
        self._visiting = asyncio.create_task(self._let_guests_come_and_go())
        return self

    async def __aexit__(self, *_: object) -> None:
        tasks = [*self._tasks, *filter(None, [self._writing, self._visiting])]
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for device in self.devices:
            device.drop()
        for witness in self._witnesses:
            await witness.stop()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def finish(self) -> None:
        """Nobody writes any more, everybody gets what is under way, and the final reads are made."""
        assert self._writing is not None
        assert self._visiting is not None
        self._writing.cancel()
        await asyncio.gather(self._writing, return_exceptions=True)
        self._guests.end()
        await asyncio.wait_for(self._visiting, SETTLED_WITHIN_S)
        for device in self.devices:
            device.read(is_reading=True)
        await self._until(lambda: not any(one.has_unanswered for one in self.devices), "all are answered")
        for group in self.groups:
            self.past.stored.append(await self._read_stored(group))
        await self._until(self._has_everything, "everybody has everything", may_fail=True)
        for witness in self._witnesses:
            await self._compare(witness)
        for device in self.devices:
            self.past.held += device.list_held()
        self.past.logs = {
            name: text.removeprefix(self._logs_before.get(name, ""))
            for name, text in self.stage.read_logs().items()
        }
        self.past.damage = await self.stage.find_damage(self.groups[0].id)

    async def _read_stored(self, group: Group) -> Stored:
        """Again for as long as a node still answers `unavailable`."""
        deadline_s = self._loop.time() + SETTLED_WITHIN_S
        async with self.a_client(group.people[0]) as http:
            while True:
                try:
                    return await read_stored(self._as_user(group.people[0], http), group.id)
                except (AssertionError, httpx2.TransportError):
                    if self._loop.time() > deadline_s:
                        raise
                    await asyncio.sleep(LOOKS_EVERY_S)

    def _has_everything(self) -> bool:
        versions = {chat.chat_id: chat.version for chat in self.past.stored}
        return all(held.cursor == versions[held.chat_id] for one in self.devices for held in one.list_held())

    async def _until(self, is_so: object, what: str, *, may_fail: bool = False) -> None:
        assert callable(is_so)
        began_s = self._loop.time()
        while not is_so():
            if self._loop.time() - began_s > SETTLED_WITHIN_S:
                assert may_fail, f"{what}: not within {SETTLED_WITHIN_S} s; {self.describe()}"
                return
            await asyncio.sleep(0.02)

    def describe(self) -> str:
        """For whoever wonders why it does not end."""
        is_open = sum(device.is_open for device in self.devices)
        unanswered = sum(device.has_unanswered for device in self.devices)
        return f"{is_open} of {len(self.devices)} connected, {unanswered} unanswered, {self.surprises[:5]}"

    # --- Writing ----------------------------------------------------------------------------------

    async def _write(self) -> None:
        began_s, count = self._loop.time(), 0
        senders = [device for device in self.devices if self._chats_of[device.person.id]]
        random.shuffle(senders)
        while True:
            due_s = began_s + count / self.size.rate
            await asyncio.sleep(max(0.0, due_s - self._loop.time()))
            device = senders[count % len(senders)]
            count += 1
            if device in self.excused:
                continue
            if count % CHANGES_EVERY == 0 and self._own[device.person.id]:
                self._change(device, random.choice(self._own[device.person.id]))
            else:
                self.ask(device, random.choice(self._chats_of[device.person.id]))

    def _change(self, device: Device, message: Json) -> None:
        """Let somebody edit or delete what they have sent."""
        number, user_id, chat_id = next(self._numbers), device.person.id, message["chat_id"]
        request: Edit | Deletion
        if len(self.past.edits) >= (len(self.past.deletions) + 1) * (DELETIONS_EVERY - 1):
            request = Deletion(user_id, chat_id, message_id=message["id"])
            self.past.deletions.append(request)
        else:
            text = f"{MARK} {number}, in other words"
            request = Edit(user_id, chat_id, message_id=message["id"], content=text)
            self.past.edits.append(request)
        device.say(Asked(request, f"change {number}", self._loop.time()))

    async def _let_guests_come_and_go(self) -> None:
        async with self.a_client(self._people[0]) as http:
            await self._guests.come_and_go(http)

    async def add_group(self, *people: Person) -> Group:
        """Another chat, in which nobody writes by themselves."""
        async with self.a_client(people[0]) as http:
            ids = [one.id for one in people[1:]]
            body = {"chat_type": "group", "name": "Another", "participant_ids": ids}
            chat = await self._as_user(people[0], http).post("/chats", body)
        group = Group(chat["id"], chat["version"], people)
        self.groups.append(group)
        self.past.stays += [Stay(group.id, one.id, 1) for one in people]
        for device in self.devices:
            if device.person in people:
                device.learn(group.id, group.version)
        return group

    def ask(self, device: Device, chat_id: int, content: str = "") -> None:
        """Let somebody send a message."""
        self.ask_again(device, self.plan(device.person, chat_id, content))

    def plan(self, person: Person, chat_id: int, content: str = "") -> Send:
        """A message that is going to be sent."""
        number = next(self._numbers)
        text = content or f"{MARK} {number}"
        send = Send(person.id, chat_id, key=f"{self._name}-{number}", content=text)
        self.past.sends.append(send)
        return send

    def ask_again(self, device: Device, send: Send) -> None:
        now_s = self._loop.time()
        self._asked_at_s.setdefault(send.key, now_s)
        device.say(Asked(send, send.key, now_s))

    async def wait_for_answers(self, device: Device) -> None:
        await self._until(lambda: not device.has_unanswered, "somebody is answered")

    async def somebody_waits(self, for_s: float) -> None:
        """A message has had no answer for so long."""
        await self._until(
            lambda: any(one.waits_s(self._loop.time()) > for_s for one in self.devices), "somebody waits"
        )

    async def are_all_connected(self) -> None:
        await self._until(lambda: all(one.is_open for one in self.devices), "everybody is connected")

    async def are_connected_again(self, count: int) -> None:
        """So many connections have been opened since the beginning."""
        await self._until(lambda: len(self.waits.connected) >= count, "everybody is connected again")

    async def send_by_rest(self, person: Person, chat_id: int, url: str) -> float:
        """Send a message by way of this node; how many seconds its timestamp is ahead of now."""
        send = self.plan(person, chat_id)
        body = {"chat_id": chat_id, "content": send.content, "client_message_id": send.key}
        async with self.a_client(person) as http:
            answer = await http.post(f"{url}/api/v1/messages", json=body)
        assert answer.status_code == 201, answer.text
        send.acks.append(answer.json())
        stamped_at = datetime.fromisoformat(answer.json()["timestamp"])
        return (stamped_at - datetime.now(UTC)).total_seconds()

    # --- Watching ---------------------------------------------------------------------------------

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.25)
            for device in self.devices:
                device.check(self._loop.time())

    def acknowledged(self, asked: Asked, now_s: float) -> None:
        self.waits.acknowledged.append((now_s, now_s - asked.at_s))
        self.waits.outages.append((now_s, now_s - asked.at_s))
        if isinstance(asked.request, Send):
            self._acknowledged_at_s[asked.key] = now_s
            self._own[asked.request.user_id].append(asked.request.acks[0])

    def delivered(self, device: Device, message: Json, now_s: float) -> None:
        self._to_look = message
        if device in self.excused or self._guests.are(device.person, message["chat_id"]):
            return
        key = message["client_message_id"]
        for began_s, waits in (
            (self._acknowledged_at_s.get(key), self.waits.delivered),
            (self._asked_at_s.get(key), self.waits.outages),
        ):
            if began_s is not None:
                waits.append((now_s, now_s - began_s))

    def connected(self, device: Device, now_s: float) -> None:
        self.waits.connected.append(now_s)

    def surprised(self, sentence: str) -> None:
        self.surprises.append(sentence)

    def fell_behind(self, device: Device, chat_id: int) -> None:
        self._tasks.append(asyncio.create_task(self._read_feed(device, chat_id)))

    async def _read_feed(self, device: Device, chat_id: int) -> None:
        async with self.a_client(device.person) as http:
            has_more = True
            while has_more:
                since = device.stand_at(chat_id)
                try:
                    answer = await http.get(
                        f"/chats/{chat_id}/changes", params={"since": since, "limit": 100}
                    )
                except httpx2.TransportError:  # as any other request, it is asked again
                    continue
                if answer.status_code == 200:
                    device.take_page(answer.json())
                    has_more = answer.json()["has_more"]
                elif answer.status_code == 404:
                    return  # removed meanwhile: whoever is let in again begins anew
                else:
                    await asyncio.sleep(LOOKS_EVERY_S)

    async def _look(self) -> None:
        """Read what somebody has just heard of, by way of whichever node the balancer takes."""
        people = {person.id: person for person in self._people}
        async with self.a_client(self._people[0]) as http:
            while True:
                await asyncio.sleep(LOOKS_EVERY_S)
                message, self._to_look = self._to_look, None
                if message is None:
                    continue
                headers = {"Authorization": f"Bearer {people[message['sender_id']].token}"}
                with contextlib.suppress(httpx2.TransportError):
                    answer = await http.get(f"/messages/{message['id']}", headers=headers)
                    if answer.status_code in (200, 404):
                        found = answer.json() if answer.status_code == 200 else None
                        self.past.looks.append(Look("A push", message, found))

    # --- The witness ------------------------------------------------------------------------------

    async def _invite_witness(self) -> None:
        """Somebody new in the first group, whose device follows the contract to the letter."""
        user = await a_user(self._entrance)
        self.past.secrets |= {user.token, user.refresh_token, user.password}
        group = self.groups[0]
        async with self.a_client(group.people[0]) as http:
            path, body = f"/chats/{group.id}/participants", {"user_ids": [user.id]}
            listed = await self._as_user(group.people[0], http).post(path, body, 200)
        (version,) = [one["version"] for one in listed["items"] if one["user_id"] == user.id]
        self.past.stays.append(Stay(group.id, user.id, version))
        witness = Witness(user, self.past)
        await witness.start()
        self._witnesses.append(witness)
        self._tasks.append(asyncio.create_task(witness.live()))

    async def _compare(self, witness: Witness) -> None:
        """`check_same` gives it the time that the contract gives, again when its connection ended meanwhile;
        what differs then is for the judge."""
        deadline_s = self._loop.time() + SETTLED_WITHIN_S
        while self._loop.time() < deadline_s:
            try:
                await witness.is_connected.wait()
                await check_same(witness)
                break
            except TimeoutError:  # its ping had no answer: the connection is no good
                if witness.client.socket is not None:
                    witness.is_connected.clear()  # or the next round would ask the same connection
                    witness.client.socket.transport.abort()
            except (AssertionError, WebSocketException):
                continue
        name = f"{witness.record.name}, a witness"
        shown = await fresh(witness.user, also=witness.chats)
        self.past.compared.append(Compared(name, witness.view(), shown))
        for chat_id, held in witness.chats.items():
            self.past.held.append(Held(name, witness.user.id, chat_id, held.cursor, held.messages))

    def a_client(self, person: Person) -> httpx2.AsyncClient:
        """REST for somebody, by way of the balancer."""
        headers = {"Authorization": f"Bearer {person.token}"}
        return httpx2.AsyncClient(
            base_url=f"{self.stage.entrance.url}/api/v1", timeout=20, headers=headers, verify=self._tls
        )

    def _as_user(self, person: Person, http: httpx2.AsyncClient) -> TestUser:
        return TestUser(self.stage.entrance, person.id, "", "", person.token, "", http)

    def lived(self) -> Lived:
        """For the judge, after `finish`."""
        connections = len(self.devices) + len(self._witnesses)
        return Lived(self.past, self.waits, connections, self.surprises)

    def count_closes(self) -> Counter[str]:
        """How connections ended."""
        return Counter(
            f"{code} {reason}".strip() for device in self.devices for code, reason in device.closes
        )
