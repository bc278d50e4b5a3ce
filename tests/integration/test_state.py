"""Snapshot + pushes = fresh snapshot, and so is any earlier snapshot + what `resume` brings."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_service.domain.events import Event
from chat_service.domain.models import AccountState, GlobalRole, User
from chat_service.services.ports.metadata import Unit
from tests.builders import TestUser, a_direct_chat, a_group, a_user, close_clients, some_users
from tests.generated import THE_SAME_EACH_TIME
from tests.node import Node
from tests.replica import HeldChat, Replica, check_same, difference, fresh

ACTORS = 4
KINDS = (
    *("message",) * 6,
    *("reply", "edit", "edit", "delete", "hide", "hide", "read", "read", "delivered"),
    *(
        "rename",
        "add",
        "add",
        "remove",
        "leave",
        "role",
        "role",
        "handover",
        "group",
        "direct",
        "direct_hide",
    ),
)
REFUSALS = {403, 404, 409, 422}


@dataclass(frozen=True)
class Step:
    """Something that one of the actors tries; `x` chooses the chat, `y` the message or the other actor."""

    actor: int
    kind: str
    x: int
    y: int


@dataclass
class Stage:
    """The actors and what there is to act on."""

    users: list[TestUser]
    chats: list[int] = field(default_factory=list)
    messages: list[tuple[int, str, int]] = field(default_factory=list)
    """Of every message its chat, id and seq."""

    async def play(self, step: Step) -> int:
        """Try it, whether it is allowed or not; the status."""
        me, other = self.users[step.actor], self.users[step.y % len(self.users)]
        if step.kind in ("group", "direct"):
            return await self._create(me, other, step)
        if not self.chats:
            return 0
        chat_id = self.chats[step.x % len(self.chats)]
        in_chat = [one for one in self.messages if one[0] == chat_id]
        if step.kind in ("message", "reply"):
            target = in_chat[step.y % len(in_chat)][1] if step.kind == "reply" and in_chat else None
            return await self.send(me, chat_id, reply_to_id=target)
        chat, message = f"/chats/{chat_id}", ""
        if step.kind in ("edit", "delete", "hide"):
            if not in_chat:
                return 0
            message = f"/messages/{in_chat[step.y % len(in_chat)][1]}"
        person = f"{chat}/participants/{other.id}"
        role = "owner" if step.kind == "handover" else ("admin", "member")[step.x % 2]
        method, path, body = {
            "edit": ("PUT", message, {"content": f"edited {step.x} {step.y}"}),
            "delete": ("DELETE", message, None),
            "hide": ("DELETE", f"{message}?scope=me", None),
            "rename": ("PUT", chat, {"name": f"name {step.y}"}),
            "add": ("POST", f"{chat}/participants", {"user_ids": [other.id]}),
            "remove": ("DELETE", person, None),
            "leave": ("DELETE", chat, None),
            "direct_hide": ("DELETE", chat, None),
            "role": ("PUT", person, {"role": role}),
            "handover": ("PUT", person, {"role": role}),
            "read": ("PUT", f"{chat}/read", {"seq": step.y}),
            "delivered": ("PUT", f"{chat}/delivered", {"seq": step.y}),
        }[step.kind]
        return await self._request(me, method, path, body)

    async def send(self, sender: TestUser, chat_id: int, **fields: Any) -> int:
        body = {"chat_id": chat_id, "content": f"message {len(self.messages)}", **fields}
        response = await sender.http.post("/messages", json=body)
        if response.status_code == 201:
            message = response.json()
            self.messages.append((chat_id, message["id"], message["seq"]))
        return self._check(response.status_code, response.text)

    async def _create(self, me: TestUser, other: TestUser, step: Step) -> int:
        others = [user.id for index, user in enumerate(self.users) if step.x >> index & 1]
        if step.kind == "direct":
            body = {"chat_type": "direct", "participant_ids": [other.id]}
        else:
            body = {"chat_type": "group", "name": f"group {step.y}", "participant_ids": others}
        response = await me.http.post("/chats", json=body)
        if response.status_code == 201:
            self.chats.append(response.json()["id"])
        return self._check(response.status_code, response.text)

    async def _request(self, me: TestUser, method: str, path: str, body: Any) -> int:
        response = await me.http.request(method, path, json=body)
        return self._check(response.status_code, response.text)

    @staticmethod
    def _check(status: int, text: str) -> int:
        assert status < 300 or status in REFUSALS, f"{status} {text}"
        return status


def random_steps(rng: random.Random, count: int) -> list[Step]:
    return [
        Step(rng.randrange(ACTORS), rng.choice(KINDS), rng.randrange(32), rng.randrange(32))
        for _ in range(count)
    ]


@asynccontextmanager
async def replicas(*devices: Replica) -> AsyncIterator[None]:
    """Started together, stopped at the end."""
    async with AsyncExitStack() as stack:
        for device in devices:
            stack.push_async_callback(device.stop)
            await device.start()
        yield


Snapshot = dict[int, HeldChat]


def record(device: Replica) -> list[Snapshot]:
    """Copies of all that the replica holds, one after each version of each of its chats."""
    snapshots: list[Snapshot] = []
    seen: set[tuple[tuple[int, int], ...]] = set()

    def take() -> None:
        cursors = tuple(sorted((chat_id, held.cursor) for chat_id, held in device.chats.items()))
        if device.is_settled and cursors not in seen:
            seen.add(cursors)
            snapshots.append(device.copy_chats())

    device.on_change = take
    return snapshots


async def check_resumes(user: TestUser, snapshots: Sequence[Snapshot], **options: Any) -> None:
    """From each of the snapshots a device that comes back holds what a fresh read shows."""
    read = await fresh(user, also={chat_id for snapshot in snapshots for chat_id in snapshot})
    for start in range(0, len(snapshots), 16):
        devices = [Replica(user, chats=one, **options) for one in snapshots[start : start + 16]]
        try:
            for device in devices:
                await device.resume()
            for device in devices:
                # A direct chat that is hidden from the list is a chat all the same: `complete` names it.
                hidden = {chat_id: read[chat_id] for chat_id in device.chats if chat_id in read}
                await check_same(device, read if not hidden else {**read, **hidden})
        finally:
            for device in devices:
                await device.stop()


async def play_and_check(users: list[TestUser], steps: Sequence[Step]) -> Stage:
    """Everybody's device stays connected while the steps are played; then every earlier state comes back."""
    stage = Stage(users)
    devices = [Replica(user) for user in users]
    records = [record(device) for device in devices]
    async with replicas(*devices):
        for step in steps:
            await stage.play(step)
        for device in devices:
            await check_same(device)
    for user, snapshots in zip(users, records, strict=True):
        await check_resumes(user, snapshots)
    return stage


# --- Each kind of change ----------------------------------------------------------------------------------


async def test_every_kind_of_change_reaches_a_device_that_is_connected_and_one_that_comes_back(
    server: Node,
) -> None:
    ann, ben, cem, dan = users = await some_users(server, ACTORS)
    group = await a_group(ann, ben, cem)
    direct = await a_direct_chat(ann, ben)
    first = await ann.say(group, "first")
    second = await ben.say(group, "second")
    await ben.say(direct, "hello")
    people = f"/chats/{group}/participants"
    steps: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "message": lambda: ann.say(group, "third", reply_to_id=second["id"]),
        "edit": lambda: ann.put(f"/messages/{first['id']}", {"content": "first, edited"}),
        "delete for everyone": lambda: ben.delete(f"/messages/{second['id']}", 200),
        "hide": lambda: cem.delete(f"/messages/{first['id']}", scope="me"),
        "edit of what is hidden": lambda: ann.put(f"/messages/{first['id']}", {"content": "again"}),
        "hide of the newest": lambda: cem.delete(f"/messages/{newest()}", scope="me"),
        "rename": lambda: ann.put(f"/chats/{group}", {"name": "another name"}),
        "read": lambda: ben.put(f"/chats/{group}/read", {"seq": 2}),
        "delivered": lambda: cem.put(f"/chats/{group}/delivered", {"seq": 3}),
        "add": lambda: ann.post(people, {"user_ids": [dan.id]}, 200),
        "role": lambda: ann.put(f"{people}/{dan.id}", {"role": "admin"}),
        "remove": lambda: dan.delete(f"{people}/{cem.id}"),
        "message without the one removed": lambda: ben.say(group, "he is gone"),
        "rejoin": lambda: ann.post(people, {"user_ids": [cem.id]}, 200),
        "handover": lambda: ann.put(f"{people}/{ben.id}", {"role": "owner"}),
        "leave": lambda: ann.delete(f"/chats/{group}"),
        "group creation": lambda: a_group(ann, ben, dan),
        "group of one": lambda: a_group(cem),
        "direct creation": lambda: a_direct_chat(ann, dan),
        "hide of a direct chat": lambda: ann.delete(f"/chats/{direct}"),
        "its next message": lambda: ben.say(direct, "are you there?"),
    }

    def newest() -> str:
        return str(devices[0].chats[group].view(ann.id)["last_message"]["id"])

    devices = [Replica(user) for user in users]
    records = [record(device) for device in devices]
    async with replicas(*devices):
        for name, act in steps.items():
            await act()
            for device in devices:
                try:
                    await check_same(device)
                except AssertionError as error:
                    raise AssertionError(f"after {name}, for {device.user.username}:\n{error}") from None
        assert sum(device.resumes for device in devices) == 0, "no push was missed"
    for user, snapshots in zip(users, records, strict=True):
        assert len(snapshots) > 3
        await check_resumes(user, snapshots)


# --- Sequences --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [1, 2])
async def test_a_random_sequence(server: Node, seed: int) -> None:
    steps = random_steps(random.Random(seed), 70)
    await play_and_check(await some_users(server, ACTORS), steps)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(100, 112))
async def test_a_long_random_sequence(server: Node, seed: int) -> None:
    await play_and_check(await some_users(server, ACTORS), random_steps(random.Random(seed), 400))


STEPS = st.lists(
    st.builds(
        Step, st.integers(0, ACTORS - 1), st.sampled_from(KINDS), st.integers(0, 31), st.integers(0, 31)
    ),
    min_size=1,
    max_size=25,
)
PREFACE = [Step(0, "group", 0b0110, 1), Step(0, "message", 0, 0), Step(1, "message", 0, 0)]


@settings(THE_SAME_EACH_TIME, max_examples=3)
@given(steps=STEPS)
async def test_any_sequence(server: Node, steps: list[Step]) -> None:
    await play_and_check(await some_users(server, ACTORS), [*PREFACE, *steps])
    await close_clients()


@pytest.mark.long
@pytest.mark.timeout(1200)
@settings(THE_SAME_EACH_TIME, max_examples=200, derandomize=False)
@given(steps=STEPS)
async def test_any_of_many_sequences(server: Node, steps: list[Step]) -> None:
    await play_and_check(await some_users(server, ACTORS), [*PREFACE, *steps])
    await close_clients()


# --- While others write -----------------------------------------------------------------------------------


async def write(stage: Stage, rng: random.Random, count: int) -> None:
    for step in random_steps(rng, count):
        await stage.play(step)


async def come_and_go(device: Replica, rng: random.Random, writers: asyncio.Future[Any]) -> int:
    """Lose the connection again and again until the writers are done; the number of times."""
    times = 0
    while not writers.done():
        await asyncio.wait([writers], timeout=rng.uniform(0, 0.15))
        await (device.cut() if rng.random() < 0.7 else device.stop())
        await asyncio.wait([writers], timeout=rng.choice([0, 0.05, 0.2]))
        await device.resume()
        times += 1
    return times


async def play_with_cuts(server: Node, seed: int, count: int) -> None:
    rng = random.Random(seed)
    users = await some_users(server, ACTORS)
    stage = Stage(users)
    for step in (*PREFACE, Step(1, "group", 0b1101, 2), Step(2, "direct", 0, 3)):
        await stage.play(step)
    restless, steady = [Replica(user) for user in users], [Replica(user) for user in users]
    async with replicas(*restless, *steady):
        writers = asyncio.gather(*(write(stage, random.Random(seed * 10 + one), count) for one in range(3)))
        cuts = await asyncio.gather(*(come_and_go(device, rng, writers) for device in restless))
        await writers
        assert min(cuts) > 1
        for device in (*restless, *steady):
            await check_same(device)


async def test_devices_that_come_and_go_while_others_write_end_up_equal(server: Node) -> None:
    await play_with_cuts(server, seed=7, count=60)


@pytest.mark.long
@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", range(20, 28))
async def test_devices_that_come_and_go_for_long(server: Node, seed: int) -> None:
    await play_with_cuts(server, seed=seed, count=600)


async def test_two_devices_of_one_user_agree_with_each_other(server: Node) -> None:
    users = await some_users(server, ACTORS)
    stage = Stage(users)
    phone, laptop = Replica(users[0]), Replica(users[0])
    async with replicas(phone, laptop):
        rng = random.Random(11)
        for step in [*PREFACE, *random_steps(rng, 20)]:
            await stage.play(step)
        writers = [write(stage, random.Random(seed), 20) for seed in (12, 13)]
        await asyncio.gather(*writers)
        await check_same(phone)
        await check_same(laptop)
        assert not difference(phone.view(), laptop.view())


async def test_what_one_device_does_over_its_socket_reaches_the_other(server: Node) -> None:
    ann, ben = await some_users(server, 2)
    chat_id = await a_direct_chat(ann, ben)
    phone, laptop, other = Replica(ann), Replica(ann), Replica(ben)
    async with replicas(phone, laptop, other):
        sent = [await phone.client.say(chat_id, f"message {number}") for number in range(4)]
        await phone.client.call("edit_message", message_id=sent[0]["id"], content="edited")
        await phone.client.call("delete_message", message_id=sent[1]["id"])
        await phone.client.call("delete_message", message_id=sent[3]["id"], scope="me")
        await other.client.call("mark_as_delivered", chat_id=chat_id, seq=4)
        await other.client.call("mark_as_read", chat_id=chat_id, seq=3)
        for device in (phone, laptop, other):
            await check_same(device)
        assert phone.chats[chat_id].hidden == laptop.chats[chat_id].hidden == {4}
        assert other.chats[chat_id].hidden == set()


async def test_who_joins_hears_of_it_although_another_socket_has_read_the_chat_already(server: Node) -> None:
    """A socket that opens between the commit and its publication must not swallow the news for others."""
    ann, ben = await some_users(server, 2)
    device, bus = Replica(ben), server.services.bus
    async with replicas(device):
        held: list[Sequence[Event]] = []
        publish, bus.publish = bus.publish, held.append  # type: ignore[method-assign]
        try:
            chat_id = await a_group(ann, ben)
            socket = ann.socket()
            await socket.open()
        finally:
            bus.publish = publish  # type: ignore[method-assign]
        try:

            async def publish_late() -> None:
                for events in held:
                    bus.publish(events)

            await asyncio.wrap_future(server.run(publish_late()))
            await check_same(device)
            await ann.say(chat_id, "hello")
            await check_same(device)
        finally:
            await socket.close()


# --- Sockets of one chat, and large chats -----------------------------------------------------------------


async def test_a_socket_of_one_chat_holds_that_chat(server: Node) -> None:
    users = await some_users(server, ACTORS)
    ann, ben = users[:2]
    stage = Stage(users)
    chat_id = await a_group(ann, *users[1:])
    stage.chats = [chat_id, await a_direct_chat(ann, ben)]
    devices = [Replica(user, only=chat_id) for user in (ann, ben)]
    records = [record(device) for device in devices]
    async with replicas(*devices):
        for step in random_steps(random.Random(5), 70):
            # Whoever leaves a chat loses its socket: that is told in other tests.
            if step.kind not in ("remove", "leave", "direct_hide", "handover", "group", "direct"):
                await stage.play(replace(step, x=step.x % 8 == 0))
        for device in devices:
            await check_same(device)
            assert device.chats.keys() == {chat_id}
    for device, snapshots in zip(devices, records, strict=True):
        assert len(snapshots) > 10
        read = {chat_id: (await fresh(device.user))[chat_id]}
        for snapshot in snapshots:
            again = Replica(device.user, only=chat_id, chats=snapshot)
            try:
                await again.resume()
                await check_same(again, read)
            finally:
                await again.stop()


async def add_accounts(server: Node, count: int) -> list[int]:
    """People who never sign in, made without the cost of a password; their ids."""
    tag = random.randbytes(4).hex()

    async def add(unit: Unit) -> list[int]:
        ids = []
        for number in range(count):
            name = f"crowd-{tag}-{number}"
            user = User(
                id=0,
                username=name,
                full_name=None,
                bio=None,
                avatar_url=None,
                is_bot=False,
                email=f"{name}@example.org",
                phone=None,
                role=GlobalRole.USER,
                state=AccountState.ACTIVE,
                created_at=datetime.now(UTC),
            )
            stored = await unit.accounts.add_user(
                user, username_fold=name, email_fold=user.email, password_hash="-", words=[name]
            )
            ids.append(stored.id)
        return ids

    return await asyncio.wrap_future(server.run(server.services.metadata.transact(add)))


async def test_a_large_chat_is_held_but_for_the_positions_of_others(server: Node) -> None:
    ann, ben, cem = await some_users(server, 3)
    crowd = await add_accounts(server, 99)
    body = {"chat_type": "group", "name": "crowd", "participant_ids": [ben.id, cem.id, *crowd]}
    chat_id = (await ann.post("/chats", body))["id"]
    device = Replica(ann)
    snapshots = record(device)

    def shown(view: dict[str, Any]) -> dict[str, Any]:
        others = {
            who: {name: value for name, value in one.items() if who == ann.id or "_seq" not in name}
            for who, one in view["participants"].items()
        }
        return {**view, "participants": others}

    async with replicas(device):
        sent = [await (ann, ben, cem)[number % 3].say(chat_id, f"text {number}") for number in range(6)]
        await ben.put(f"/chats/{chat_id}/read", {"seq": 4})
        await ann.put(f"/chats/{chat_id}/read", {"seq": 2})
        await cem.put(f"/messages/{sent[2]['id']}", {"content": "edited"})
        await ann.put(f"/chats/{chat_id}/participants/{crowd[0]}", {"role": "admin"})
        await ann.delete(f"/chats/{chat_id}/participants/{crowd[1]}")
        await ann.put(f"/chats/{chat_id}", {"name": "a crowd"})
        await device.settle()
        assert not device.client.pushes("messages_read"), "stored, and not pushed"
        snapshots.append(device.copy_chats())
    read = shown((await fresh(ann))[chat_id])
    assert len(read["participants"]) == 101
    assert len(snapshots) > 8
    for snapshot in snapshots:
        again = Replica(ann, chats=snapshot)
        try:
            await again.resume()
            await again.settle()
            assert not difference(shown(again.view()[chat_id]), read)
        finally:
            await again.stop()


async def test_what_lies_far_back_is_read_afresh(server: Node) -> None:
    """A device that was away for more changes than the server resumes reads the chat anew."""
    ann, ben = await some_users(server, 2)
    chat_id = await a_direct_chat(ann, ben)
    device = Replica(ann)
    async with replicas(device):
        await device.settle()
        held = device.copy_chats()
    async with ben.socket() as socket:
        refs = [await socket.send("send_message", chat_id=chat_id, content=str(n)) for n in range(1100)]
        for ref in refs:
            assert (await socket.reply(ref))["type"] == "ack"
    again = Replica(ann, chats=held)
    try:
        await again.resume()
        await check_same(again)
        assert again.client.pushes("resync_required")
        assert len(again.chats[chat_id].messages) == 1100
    finally:
        await again.stop()


async def test_another_epoch_is_read_afresh(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    await ann.say(chat_id, "hello")
    device = Replica(ann)
    async with replicas(device):
        held = device.copy_chats()
    held[chat_id].cursor += 5
    held[chat_id].messages[2] = {**held[chat_id].messages[1], "seq": 2, "version": 4}
    for epoch in (None, "another epoch"):
        again = Replica(ann, chats={chat_id: held[chat_id].copy()})
        again.epoch = epoch
        try:
            await again.resume()
            await check_same(again)
            assert again.chats[chat_id].messages.keys() == {1}
        finally:
            await again.stop()
