"""Sends that share a transaction: what is wrong with one never fails, delays or reorders another."""

from __future__ import annotations

import asyncio
import json
import secrets
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar
from urllib.parse import urlsplit

import pymysql
import pytest
import structlog

from chat_service.domain import rules
from chat_service.domain.errors import ChatError, ClientMessageIdConflict, Internal, NotFound, Unavailable
from chat_service.domain.ids import new_id
from chat_service.domain.models import Body
from chat_service.services.sending import LANES, LOCKED_S, MAX_WAITING, Outcome, Send, Sent
from tests.builders import TestUser, a_direct_chat, a_group, a_user, check, some_users
from tests.node import Node, make_settings
from tests.proxy import Proxy
from tests.replica import Replica, check_same
from tests.servers import Servers

T = TypeVar("T")
GOOD = 63
AT = 20
"""Where among the good ones the bad one stands."""
on_servers = pytest.mark.parametrize("server", ["servers"], indirect=True)


@pytest.fixture(autouse=True, scope="module")
def _plain_tracebacks() -> Iterator[None]:
    """Unconfigured, structlog draws every local variable of a failed batch, which takes seconds."""
    renderer = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[structlog.processors.add_log_level, renderer])
    yield
    structlog.reset_defaults()


async def on(server: Node, work: Awaitable[T]) -> T:
    """Run something on the loop of the node."""

    async def run() -> T:
        return await work

    return await asyncio.wrap_future(server.run(run()))


def a_send(server: Node, user: TestUser, chat_id: int, content: str, **fields: Any) -> Send:
    """What a request becomes once it is accepted; `submit` fills in the rest."""
    message_id = new_id()
    mac = rules.make_request_mac(server.services.messages._mac_key, "text", content, None)
    given = {
        "id": message_id,
        "chat_id": chat_id,
        "sender_id": user.id,
        "sender_username": user.username,
        "message_type": "text",
        "content": content,
        "dedupe_key": f"~{message_id}",
        "request_mac": mac,
        "reply_to": None,
        "done": lambda outcome: None,
        "accepted_at_s": 0.0,
    }
    return Send(**{**given, **fields})


async def submit(server: Node, sends: Sequence[Send], *, age_s: float = 0) -> list[Outcome]:
    """Hand all of them to the committer within one turn of its loop, so that they wait together."""

    async def run() -> list[Outcome]:
        loop = asyncio.get_running_loop()
        outcomes: list[asyncio.Future[Outcome]] = [loop.create_future() for _ in sends]
        for send, outcome in zip(sends, outcomes, strict=True):
            accepted = replace(send, done=outcome.set_result, accepted_at_s=loop.time() - age_s)
            server.services.sender.submit(accepted)
        return await asyncio.wait_for(asyncio.gather(*outcomes), 30)

    return await on(server, run())


async def read_messages(user: TestUser, chat_id: int) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    after: int | None = 0
    while after is not None:
        page = await user.get(f"/messages/chat/{chat_id}", after=after, limit=100)
        items += page["items"]
        after = page["next_after"]
    return items


@asynccontextmanager
async def a_device(user: TestUser) -> AsyncIterator[Replica]:
    device = Replica(user)
    await device.start()
    try:
        yield device
    finally:
        await device.stop()


# --- One bad one among 63 good ones -----------------------------------------------------------------------

Poison = Callable[[Node, list[TestUser], int], Awaitable[Send]]


async def of_a_stranger(server: Node, users: list[TestUser], chat_id: int) -> Send:
    return a_send(server, users[2], chat_id, "let me in")


async def into_no_chat(server: Node, users: list[TestUser], chat_id: int) -> Send:
    return a_send(server, users[0], 2**53 - 1, "is anybody there?")


async def with_a_taken_key(server: Node, users: list[TestUser], chat_id: int) -> Send:
    await submit(server, [a_send(server, users[0], chat_id, "first", dedupe_key="taken")])
    return a_send(server, users[0], chat_id, "another text", dedupe_key="taken")


async def with_a_refused_body(server: Node, users: list[TestUser], chat_id: int) -> Send:
    send = a_send(server, users[0], chat_id, "my text")
    await on(server, server.services.content.insert_bodies([Body(send.id, chat_id, "another text")]))
    return send


async def with_a_null_column(server: Node, users: list[TestUser], chat_id: int) -> Send:
    return a_send(server, users[0], chat_id, "of no type", message_type=None)


async def with_an_unencodable_key(server: Node, users: list[TestUser], chat_id: int) -> Send:
    return a_send(server, users[0], chat_id, "half a character", dedupe_key="\ud800")


@pytest.mark.parametrize(
    ("poison", "error"),
    [
        (of_a_stranger, NotFound),
        (into_no_chat, NotFound),
        (with_a_taken_key, ClientMessageIdConflict),
        (with_a_refused_body, Unavailable),
        (with_a_null_column, Internal),
        (with_an_unencodable_key, Internal),
    ],
)
async def test_a_bad_send_fails_alone(server: Node, poison: Poison, error: type[ChatError]) -> None:
    users = await some_users(server, 3)
    chat_id = await a_group(*users[:2])
    async with a_device(users[1]) as device:
        bad = await poison(server, users, chat_id)
        before = len(await read_messages(users[0], chat_id))
        sends = [a_send(server, users[one % 2], chat_id, f"good {one}") for one in range(GOOD)]
        outcomes = await submit(server, [*sends[:AT], bad, *sends[AT:]])
        refused = outcomes.pop(AT)
        assert type(refused) is error
        check_stored(outcomes, sends, after=before)
        await check_same(device)
        pushed = [push["message"]["content"] for push in device.client.pushes("new_message")]
        assert pushed[before:] == [send.content for send in sends]
        assert device.resumes == 0


def check_stored(outcomes: Sequence[Outcome], sends: Sequence[Send], *, after: int) -> None:
    """All are new messages, numbered without a gap in the order they were sent."""
    for number, (outcome, send) in enumerate(zip(outcomes, sends, strict=True), after + 1):
        assert isinstance(outcome, Sent), outcome
        assert not outcome.duplicate
        assert (outcome.message.row.id, outcome.message.content) == (send.id, send.content)
        assert outcome.message.row.seq == number
        assert outcome.message.row.version == number + 1


@on_servers
async def test_a_value_too_long_for_its_column_fails_alone(server: Node) -> None:
    users = await some_users(server, 2)
    chat_id = await a_group(*users)
    sends = [a_send(server, users[one % 2], chat_id, f"good {one}") for one in range(GOOD)]
    bad = a_send(server, users[0], chat_id, "long", dedupe_key="k" * 65)
    outcomes = await submit(server, [*sends[:AT], bad, *sends[AT:]])
    assert isinstance(outcomes.pop(AT), Internal)
    check_stored(outcomes, sends, after=0)


async def test_a_replay_among_new_ones_answers_with_the_first_message(server: Node) -> None:
    users = await some_users(server, 2)
    chat_id = await a_group(*users)
    again = partial(a_send, server, users[0], chat_id, "once", dedupe_key="once")
    [first] = await submit(server, [again()])
    sends = [a_send(server, users[one % 2], chat_id, f"good {one}") for one in range(GOOD)]
    outcomes = await submit(server, [*sends[:AT], again(), *sends[AT:]])
    replayed = outcomes.pop(AT)
    assert isinstance(first, Sent)
    assert replayed == replace(first, duplicate=True)
    check_stored(outcomes, sends, after=1)


async def test_a_repeat_within_the_batch_is_decided_like_a_later_one(server: Node) -> None:
    users = await some_users(server, 2)
    chat_id = await a_group(*users)
    once = partial(a_send, server, users[0], chat_id, dedupe_key="once")
    sends = [a_send(server, users[one % 2], chat_id, f"good {one}") for one in range(GOOD - 1)]
    sends.insert(AT, once("once"))
    same, other = once("once"), once("another text")
    outcomes = await submit(server, [*sends[: AT + 2], other, same, *sends[AT + 2 :]])
    conflict, repeated = outcomes.pop(AT + 2), outcomes.pop(AT + 2)
    assert isinstance(conflict, ClientMessageIdConflict)
    assert repeated == replace(outcomes[AT], duplicate=True)
    check_stored(outcomes, sends, after=0)


async def test_a_true_repeat_behind_a_false_one_is_no_conflict(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    once = partial(a_send, server, ann, chat_id, dedupe_key="once")
    [first] = await submit(server, [once("once")])
    conflict, repeated = await submit(server, [once("another text"), once("once")])
    assert isinstance(conflict, ClientMessageIdConflict)
    assert isinstance(first, Sent)
    assert repeated == replace(first, duplicate=True)


async def test_a_replay_answers_with_the_present_state(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    body = {"chat_id": chat_id, "content": "once", "client_message_id": "once"}
    sent = await ann.post("/messages", body)
    edited = await ann.put(f"/messages/{sent['id']}", {"content": "twice"})
    assert await ann.post("/messages", body, 200) == edited
    tombstone = await ann.delete(f"/messages/{sent['id']}", 200)
    assert await ann.post("/messages", body, 200) == tombstone


# --- A chat that somebody else holds ----------------------------------------------------------------------


@contextmanager
def locked(server: Node, *chat_ids: int) -> Iterator[threading.Event]:
    """The chats' rows are locked by another connection until the event is set or the block ends."""
    parts = urlsplit(server.settings.metadata_url)
    is_locked, release = threading.Event(), threading.Event()

    def hold() -> None:
        database = parts.path.strip("/")
        connection = pymysql.connect(
            host=parts.hostname, port=parts.port or 3306, user="root", database=database, autocommit=False
        )
        with connection, connection.cursor() as cursor:
            for chat_id in chat_ids:  # one by one, or the server may lock the rows between as well
                cursor.execute("SELECT id FROM chats WHERE id = %s FOR UPDATE", (chat_id,))
            is_locked.set()
            release.wait(10)
            connection.rollback()

    holder = threading.Thread(target=hold)
    holder.start()
    try:
        assert is_locked.wait(5)
        yield release
    finally:
        release.set()
        holder.join()


@on_servers
async def test_a_chat_that_is_locked_delays_no_other_and_keeps_its_order(server: Node) -> None:
    users = await some_users(server, 2)
    held, free = await a_group(*users), await a_group(*users)
    sends = [a_send(server, users[one % 2], (held, free)[one % 2], f"text {one}") for one in range(64)]
    late = [a_send(server, users[0], held, f"late {one}") for one in range(40)]
    with locked(server, held) as release:
        first = asyncio.create_task(submit(server, sends[0::2]))
        others = await asyncio.wait_for(submit(server, sends[1::2]), 0.9)
        second = asyncio.create_task(submit(server, late))
        check_stored(others, sends[1::2], after=0)
        await asyncio.wait([first, second], timeout=1)
        assert not first.done()
        await users[1].say(free, "still going on")
        release.set()
        check_stored(await first, sends[0::2], after=0)
        check_stored(await second, late, after=32)


@on_servers
async def test_many_locked_chats_delay_no_other_and_go_on_together(server: Node) -> None:
    """A node that died may leave locks on all the chats of its last batch."""
    users = await some_users(server, 2)
    held, free = [await a_group(*users) for _ in range(20)], await a_group(*users)
    sends = {one: [a_send(server, users[0], one, f"text {n}") for n in range(20)] for one in held}
    transactions = 0
    transact = server.services.metadata.transact_sends

    async def count(work: Any) -> Any:
        nonlocal transactions
        transactions += 1
        return await transact(work)

    with locked(server, *held) as release:
        waiting = [asyncio.create_task(submit(server, some)) for some in sends.values()]
        await asyncio.sleep(LOCKED_S + 0.1)
        for number in range(3):
            async with asyncio.timeout(0.5):
                message = await users[1].say(free, f"going on {number}")
                await users[1].put(f"/messages/{message['id']}", {"content": "and changed"})
        assert not any(task.done() for task in waiting)
        server.services.metadata.transact_sends = count  # type: ignore[method-assign]
        try:
            release.set()
            for task, some in zip(waiting, sends.values(), strict=True):
                check_stored(await task, some, after=0)
        finally:
            server.services.metadata.transact_sends = transact  # type: ignore[method-assign]
    assert transactions < 15


@on_servers
async def test_many_chats_that_stay_locked_are_unavailable(server: Node) -> None:
    ann = await a_user(server)
    held = [await a_group(ann) for _ in range(2 * LANES)]
    sends = [a_send(server, ann, one, "text") for one in held]
    with locked(server, *held):
        outcomes = await asyncio.wait_for(submit(server, sends), 6.0)
        assert {type(one) for one in outcomes} == {Unavailable}
    for send, outcome in zip(sends, await submit(server, sends), strict=True):
        check_stored([outcome], [send], after=0)


@on_servers
async def test_a_stranger_does_not_wait_for_a_locked_chat(server: Node) -> None:
    ann, ben = await some_users(server, 2)
    chat_id = await a_group(ann)
    with locked(server, chat_id):
        [refused] = await asyncio.wait_for(submit(server, [a_send(server, ben, chat_id, "let me in")]), 1)
        assert isinstance(refused, NotFound)


@on_servers
async def test_a_chat_that_stays_locked_is_unavailable_and_works_again(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    body = {"chat_id": chat_id, "content": "text", "client_message_id": "one"}
    with locked(server, chat_id):
        started = asyncio.get_running_loop().time()
        problem = await ann.post("/messages", body, 503)
        assert problem["code"] == "unavailable"
        assert asyncio.get_running_loop().time() - started < 6
    await ann.post("/messages", body, 201)
    assert [one["content"] for one in await read_messages(ann, chat_id)] == ["text"]


# --- The queue --------------------------------------------------------------------------------------------


async def test_beyond_ten_thousand_waiting_a_send_is_unavailable(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    done: list[Outcome] = []

    async def flood() -> bool:
        now_s = asyncio.get_running_loop().time()
        sends = [a_send(server, ann, chat_id, f"{one}") for one in range(MAX_WAITING + 1)]
        for send in sends[:-1]:
            server.services.sender.submit(replace(send, done=done.append, accepted_at_s=now_s))
        with pytest.raises(Unavailable):
            server.services.sender.submit(replace(sends[-1], done=done.append, accepted_at_s=now_s))
        await asyncio.wait_for(server.services.sender.drain(), 60)
        return True

    assert await on(server, flood())
    assert len(done) == MAX_WAITING
    assert all(isinstance(outcome, Sent) for outcome in done)
    assert (await ann.get(f"/chats/{chat_id}"))["last_seq"] == MAX_WAITING


async def test_a_send_that_waited_a_minute_is_given_up(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    [outcome] = await submit(server, [a_send(server, ann, chat_id, "old")], age_s=61)
    assert isinstance(outcome, Unavailable)
    [outcome] = await submit(server, [a_send(server, ann, chat_id, "young")], age_s=59)
    assert isinstance(outcome, Sent)
    assert [one["content"] for one in await read_messages(ann, chat_id)] == ["young"]


async def test_drained_means_that_all_is_done(server: Node) -> None:
    ann = await a_user(server)
    chat_id = await a_group(ann)
    sends = [a_send(server, ann, chat_id, f"{one}") for one in range(600)]
    done: list[Outcome] = []

    async def run() -> int:
        now_s = asyncio.get_running_loop().time()
        for send in sends:
            server.services.sender.submit(replace(send, done=done.append, accepted_at_s=now_s))
        await asyncio.wait_for(server.services.sender.drain(), 30)
        return len(done)

    assert await on(server, run()) == 600
    await on(server, asyncio.wait_for(server.services.sender.drain(), 1))


# --- Over the wire ----------------------------------------------------------------------------------------


async def test_answers_come_in_the_order_of_the_frames_and_each_ack_before_its_push(server: Node) -> None:
    ann, ben = await some_users(server, 2)
    chat_id = await a_direct_chat(ann, ben)
    async with ann.socket() as socket:
        await socket.say(chat_id, "taken", client_message_id="taken")
        refs = []
        for number in range(60):
            fields = {"content": f"text {number}", "client_message_id": f"key-{number}"}
            if number % 6 == 2:
                fields = {"content": "taken", "client_message_id": "taken"}
            elif number % 6 == 4:
                fields = {"content": "another text", "client_message_id": "taken"}
            elif number % 6 == 5:
                fields = {"content": f"text {number - 1}", "client_message_id": f"key-{number - 2}"}
            refs.append(await socket.send("send_message", chat_id=chat_id, **fields))
        for ref in refs:
            await socket.reply(ref)
        await socket.settle()
        answers = [frame for frame in socket.frames if frame["type"] in ("ack", "error")][1:]
        assert [frame["ref"] for frame in answers] == refs
        acked, pushed = {}, {}
        for index, frame in enumerate(socket.frames):
            if frame["type"] == "ack":
                acked.setdefault(frame["message"]["id"], index)
            elif frame["type"] == "new_message":
                pushed[frame["message"]["id"]] = index
        assert acked.keys() == pushed.keys()
        assert all(acked[one] < pushed[one] for one in pushed)
        seqs = [frame["message"]["seq"] for frame in socket.pushes("new_message")]
        assert seqs == [*range(1, len(pushed) + 1)]


async def post_and_hang_up(server: Node, user: TestUser, body: dict[str, Any]) -> None:
    """Write a whole request and close the socket without reading the answer."""
    _, writer = await asyncio.open_connection("127.0.0.1", server.port)
    data = json.dumps(body).encode()
    head = (
        f"POST /api/v1/messages HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {user.token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
    )
    writer.write(head.encode() + data)
    await writer.drain()
    await asyncio.sleep(0.2)  # the request is in the service now, or already answered
    writer.transport.abort()


async def test_a_caller_who_hangs_up_cancels_nothing(server: Node) -> None:
    ann, ben = await some_users(server, 2)
    chat_id = await a_direct_chat(ann, ben)
    async with ben.socket() as socket:
        await post_and_hang_up(server, ann, {"chat_id": chat_id, "content": "bye"})
        push = await socket.expect("new_message")
    assert await read_messages(ben, chat_id) == [push["message"]]


@on_servers
async def test_a_caller_who_hangs_up_while_the_store_is_busy_cancels_nothing(server: Node) -> None:
    ann, ben = await some_users(server, 2)
    chat_id = await a_direct_chat(ann, ben)
    async with ben.socket() as socket:
        with locked(server, chat_id):
            await post_and_hang_up(server, ann, {"chat_id": chat_id, "content": "bye"})
        push = await socket.expect("new_message")
    assert await read_messages(ben, chat_id) == [push["message"]]


# --- A COMMIT whose answer is lost ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def proxied(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Node, Proxy]]:
    """A node that reaches MariaDB through a proxy."""
    name = f"test_proxied_{secrets.token_hex(4)}"
    with Proxy(servers.create_mysql_database(name)) as proxy:
        settings = make_settings(
            data_dir=tmp_path_factory.mktemp("proxied"),
            database_url=proxy.url,
            content_url=servers.mongodb_database_url(name),
            auto_migrate=True,
        )
        with Node(settings) as node:
            yield node, proxy
    servers.drop_mysql_database(name)
    servers.drop_mongodb_database(name)


LOCK = "FOR UPDATE"
KEY = "creation_key"
LOST = {
    "send": LOCK,
    "edit": LOCK,
    "delete": LOCK,
    "hide": LOCK,
    "create": KEY,
    "direct": KEY,
    "rename": LOCK,
    "add": LOCK,
    "role": LOCK,
    "remove": LOCK,
    "leave": LOCK,
}
"""What every run of its transaction says, also one that finds its work done."""


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("act", LOST)
async def test_a_lost_answer_to_a_commit_is_settled_by_the_same_request(
    proxied: tuple[Node, Proxy], act: str, times: int
) -> None:
    node, proxy = proxied
    ann, ben, cem, dan = await some_users(node, 4)
    chat_id = await a_group(ann, ben, cem)
    message = await ann.say(chat_id, "text")
    people = f"/chats/{chat_id}/participants"
    requests: dict[str, tuple[TestUser, str, str, Any]] = {
        "send": (
            ann,
            "POST",
            "/messages",
            {"chat_id": chat_id, "content": "once", "client_message_id": "once"},
        ),
        "edit": (ann, "PUT", f"/messages/{message['id']}", {"content": "edited"}),
        "delete": (ann, "DELETE", f"/messages/{message['id']}", None),
        "hide": (ann, "DELETE", f"/messages/{message['id']}?scope=me", None),
        "create": (ann, "POST", "/chats", {"chat_type": "group", "name": "new", "participant_ids": [dan.id]}),
        "direct": (ann, "POST", "/chats", {"chat_type": "direct", "participant_ids": [dan.id]}),
        "rename": (ann, "PUT", f"/chats/{chat_id}", {"name": "another name"}),
        "add": (ann, "POST", people, {"user_ids": [dan.id]}),
        "role": (ann, "PUT", f"{people}/{ben.id}", {"role": "admin"}),
        "remove": (ann, "DELETE", f"{people}/{ben.id}", None),
        "leave": (ben, "DELETE", f"/chats/{chat_id}", None),
    }
    who, method, path, body = requests[act]
    headers = {"Idempotency-Key": "once"} if act == "create" else {}
    devices = [Replica(user) for user in (ann, ben, dan)]
    try:
        for device in devices:
            await device.start()
        proxy.lose_commits(LOST[act], times)
        first = await who.http.request(method, path, json=body, headers=headers)
        assert proxy.lost == times
        if first.status_code == 503:
            assert check(first, 503)["code"] == "unavailable"
            second = await who.http.request(method, path, json=body, headers=headers)
            assert second.status_code < 300 or (act == "leave" and second.status_code == 404), second.text
        else:
            assert first.status_code < 300, first.text
            assert times == 1
        chat = await ann.get(f"/chats/{chat_id}")
        assert chat["version"] == (2 if act in ("hide", "create", "direct") else 3)
        for device in devices:
            await check_same(device)
    finally:
        for device in devices:
            await device.stop()
    if act == "send":
        assert [one["content"] for one in await read_messages(ben, chat_id)] == ["text", "once"]
    if act in ("create", "direct"):
        assert len((await dan.get("/chats"))["items"]) == 1
    if act == "edit":
        revisions = (await ann.get(f"/messages/{message['id']}/revisions"))["items"]
        assert [one["content"] for one in revisions] == ["text", "edited"]
