"""Whatever people do on two nodes, each answer and each view is what a simple model of the contract says.

Every person has a device that lives on pushes, now on one node, now on the other; requests go to either node,
over REST or the socket. Hypothesis chooses, and shrinks what fails to a few steps.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chat_service.adapters.sql.sends import PacketSends
from chat_service.domain import pushes
from chat_service.domain.events import ChatChanged
from chat_service.domain.models import Caller, Message, Participant, Position, Role
from chat_service.services import receipts
from chat_service.services.messages import MessageService
from chat_service.services.participants import ParticipantService
from chat_service.services.streams import Streams
from tests.builders import TestUser, a_group, close_clients, some_users
from tests.cluster import Cluster, on, running
from tests.generated import THE_SAME_EACH_TIME
from tests.model import Act, Model
from tests.node import make_settings
from tests.replica import Replica, check_same, read_chat, read_list

Defect = Callable[[pytest.MonkeyPatch], list[Act]]
"""Puts something wrong into all nodes; what must be asked of them for it to show."""
PEOPLE = 4
SHOWN = ("seq", "version", "revision", "content", "is_deleted", "client_message_id")
NOBODYS_ID = "00000000-0000-7000-8000-000000000000"
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def cluster(
    mysql_database_url: str,
    mongodb_database_url: str,
    servers: Any,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Cluster]:
    values = make_settings(
        data_dir=tmp_path_factory.mktemp("nodes"),
        database_url=mysql_database_url,
        content_url=mongodb_database_url,
        redis_url=servers.redis_url,
        auto_migrate=True,
    )
    with running(2, values) as cluster:
        yield cluster


_known: list[TestUser] = []


@pytest.fixture
async def people(cluster: Cluster) -> AsyncIterator[list[TestUser]]:
    """The same in every example, each in a new group."""
    await cluster.are_joined()
    _known[:] = await some_users(cluster.first, PEOPLE)
    yield _known
    await close_clients()


@dataclass
class World:
    """The group, the people's devices, and the model that they are compared with."""

    cluster: Cluster
    people: list[TestUser]
    chat_id: int
    model: Model
    devices: list[Replica] = field(default_factory=list)
    ids: dict[int, str] = field(default_factory=dict)
    """Of the messages, by seq."""

    def by_way_of(self, who: int, node: int) -> TestUser:
        return on(self.people[who], self.cluster.nodes[node])

    async def do(self, act: Act, node: int) -> None:
        """Ask for it; the answer is what the model expects."""
        expected = self.model.expect(act)
        method, path, body = self._request(act)
        answer = await self.by_way_of(act.who, node).http.request(method, path, json=body)
        assert answer.status_code == expected, f"{act}: {answer.status_code} {answer.text}, not {expected}"
        if act.kind == "send" and expected in (200, 201):
            message = answer.json()
            assert self.ids.setdefault(message["seq"], message["id"]) == message["id"]

    def _request(self, act: Act) -> tuple[str, str, Any]:
        chat = f"/chats/{self.chat_id}"
        people = f"{chat}/participants"
        other = self.people[act.target % PEOPLE].id
        message = f"/messages/{self.ids.get(act.target, NOBODYS_ID)}"
        send = {"chat_id": self.chat_id, "content": act.text, "client_message_id": act.key}
        requests: dict[str, tuple[str, str, Any]] = {
            "send": ("POST", "/messages", send),
            "edit": ("PUT", message, {"content": act.text}),
            "delete": ("DELETE", message, None),
            "join": ("POST", people, {"user_ids": [other]}),
            "remove": ("DELETE", f"{people}/{other}", None),
            "leave": ("DELETE", chat, None),
            "promote": ("PUT", f"{people}/{other}", {"role": "admin"}),
            "rename": ("PUT", chat, {"name": act.text}),
            "move": ("PUT", f"{chat}/read", {"seq": act.target}),
        }
        return requests[act.kind]

    async def reconnect(self, who: int, node: int) -> None:
        """The device loses its connection and comes back to this node."""
        device = self.devices[who]
        await device.cut()
        device.user = self.by_way_of(who, node)
        await device.resume()

    async def check(self, who: int, node: int) -> None:
        """A fresh read by way of this node shows what the model says."""
        user = self.by_way_of(who, node)
        held = await read_chat(user, self.chat_id)
        expected = self.model.view(who)
        assert (held is None) == (expected is None), who
        if held is None or expected is None:
            return
        numbers = {one.id: number for number, one in enumerate(self.people)}
        shown = held.view(user.id)
        item = (await read_list(user))[self.chat_id]
        assert {
            "name": shown["chat"]["name"],
            "version": shown["chat"]["version"],
            "last_seq": shown["chat"]["last_seq"],
            "roles": {numbers[one]: row["role"] for one, row in shown["participants"].items()},
            "read": {numbers[one]: row["read_seq"] for one, row in shown["participants"].items()},
            "messages": [
                {name: message[name] for name in SHOWN} for _, message in sorted(shown["messages"].items())
            ],
            "unread_count": item["unread_count"],
        } == expected


@dataclass(frozen=True)
class Step:
    act: Act
    node: int


def an_act(kind: str) -> st.SearchStrategy[Act]:
    who, seq, other = st.integers(0, PEOPLE - 1), st.integers(0, 6), st.integers(0, PEOPLE - 1)
    text, key = st.sampled_from(["one", "two", "three"]), st.sampled_from(["a", "b", "c", "d"])
    match kind:
        case "send":
            return st.builds(Act, who, st.just(kind), text=text, key=key)
        case "edit" | "rename":
            return st.builds(Act, who, st.just(kind), seq, text)
        case "join" | "remove" | "promote":
            return st.builds(Act, who, st.just(kind), other)
        case _:
            return st.builds(Act, who, st.just(kind), seq)


KINDS = ("send", "send", "edit", "delete", "join", "join", "remove", "leave", "promote", "rename", "move")
ACTS = st.sampled_from((*KINDS, "reconnect")).flatmap(an_act)
STEPS = st.lists(st.builds(Step, ACTS, st.integers(0, 1)), min_size=5, max_size=40)


@asynccontextmanager
async def a_world(cluster: Cluster, people: list[TestUser]) -> AsyncIterator[World]:
    """A group of the first person, in which nobody else is yet, and everybody's device, on both nodes."""
    chat_id = await a_group(people[0], name="A group")
    world = World(cluster, people, chat_id, Model("A group"))
    try:
        for number in range(PEOPLE):
            device = Replica(world.by_way_of(number, number % 2))
            world.devices.append(device)
            await device.start()
        yield world
    finally:
        # All of them, also where one has failed: what stays open is found in the middle of another test.
        ends = await asyncio.gather(*(device.stop() for device in world.devices), return_exceptions=True)
        for who in sorted(world.model.roles, key=lambda one: world.model.roles[one] == "owner"):
            await people[who].delete(f"/chats/{chat_id}")
    for end in ends:
        if isinstance(end, BaseException):
            raise end


async def play(cluster: Cluster, people: list[TestUser], steps: Sequence[Step]) -> None:
    async with a_world(cluster, people) as world:
        for number in range(1, PEOPLE - 1):
            await world.do(Act(0, "join", number), 0)
        for step in steps:
            if step.act.kind == "reconnect":
                await world.reconnect(step.act.who, step.node)
            else:
                await world.do(step.act, step.node)
        for who, device in enumerate(world.devices):
            await check_same(device)
            for node in range(2):
                await world.check(who, node)


@settings(THE_SAME_EACH_TIME, max_examples=10)
@given(steps=STEPS)
async def test_two_nodes_do_what_the_model_says(
    cluster: Cluster, people: list[TestUser], steps: list[Step]
) -> None:
    await play(cluster, people, steps)


# --- Defects that it must find ---------------------------------------------------------------------------


def an_edit_is_answered_and_not_stored(patch: pytest.MonkeyPatch) -> list[Act]:
    async def edit(self: MessageService, caller: Caller, message_id: UUID, *_: Any, **__: Any) -> Message:
        return await self.get_message(caller, message_id)

    patch.setattr(MessageService, "edit_message", edit)
    return [SENT, Act(0, "edit", 1, "two")]


def a_role_is_answered_and_not_given(patch: pytest.MonkeyPatch) -> list[Act]:
    async def set_role(
        self: ParticipantService, caller: Caller, chat_id: int, user_id: int, _: Role
    ) -> Participant:
        found = await self.list_participants(caller, chat_id)
        return next(one for one in found if one.user_id == user_id)

    patch.setattr(ParticipantService, "set_role", set_role)
    return [Act(0, "promote", 1)]


def a_position_goes_back(patch: pytest.MonkeyPatch) -> list[Act]:
    def take_as_given(old: Position, wish: Any, _last_seq: int) -> Position:
        return Position(old.user_id, wish.read_seq, wish.read_seq)

    patch.setattr(receipts, "_advance", take_as_given)
    return [SENT, Act(1, "move", 6)]


def whoever_was_removed_may_write_on(patch: pytest.MonkeyPatch) -> list[Act]:
    lock = PacketSends.lock

    async def let_in(self: PacketSends, senders: Any, *, skip_locked: bool = False) -> Any:
        locked, _ = await lock(self, senders, skip_locked=skip_locked)
        return locked, set(senders)

    patch.setattr(PacketSends, "lock", let_in)
    return [Act(0, "remove", 1), Act(1, "send", text="one", key="a")]


def the_last_push_reaches_nobody(patch: pytest.MonkeyPatch) -> list[Act]:
    offer = Streams.offer

    def lose_the_last(self: Streams, events: Sequence[ChatChanged]) -> None:
        """What comes in its place is a frame that changes nothing."""
        offer(
            self,
            [
                replace(one, push=pushes.typing(one.chat_id, 1, is_typing=True)) if one.version == 5 else one
                for one in events
            ],
        )

    patch.setattr(Streams, "offer", lose_the_last)
    return [SENT, Act(0, "edit", 1, "two")]


SENT = Act(0, "send", text="one", key="a")
DEFECTS = (
    an_edit_is_answered_and_not_stored,
    a_role_is_answered_and_not_given,
    a_position_goes_back,
    whoever_was_removed_may_write_on,
    the_last_push_reaches_nobody,
)


@pytest.mark.parametrize("seed", DEFECTS, ids=lambda seed: seed.__name__)
async def test_a_node_with_a_defect_is_found_out(
    cluster: Cluster, people: list[TestUser], monkeypatch: pytest.MonkeyPatch, seed: Defect
) -> None:
    with monkeypatch.context() as patch:
        steps = [Step(act, number % 2) for number, act in enumerate(seed(patch))]
        with pytest.raises(AssertionError):
            await play(cluster, people, steps)


@pytest.mark.long
@pytest.mark.timeout(1200)
@settings(THE_SAME_EACH_TIME, max_examples=150, derandomize=False)
@given(steps=STEPS)
async def test_two_nodes_do_what_the_model_says_for_long(
    cluster: Cluster, people: list[TestUser], steps: list[Step]
) -> None:
    await play(cluster, people, steps)
