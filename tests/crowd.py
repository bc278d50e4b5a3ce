"""People who send, edit, delete, come and go while their server is killed and started again.

Everybody asks again, with the same key, for what was not answered, and comes back by `resume`. All that they
ask for and hear is written into a `History`; `check` judges it once they are done.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from typing import Any

import httpx2
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, WebSocketException

from tests import history
from tests.builders import Server, TestUser, a_group, some_users
from tests.client import ChatClient
from tests.records import Connection, Deletion, Edit, Held, History, Json, Request, Send, Stay, Stored
from tests.replica import Replica, check_same

ANSWER_TIMEOUT_S = 30.0
RETRY_S = 0.02
GIVEN_UP = 0.1
"""The share of lost sends that are never asked for again: they are stored once or not at all."""
TEXTS = ("plain", " kept \t as\nit is ", "🙂 nai\u0308ve été ", "long " * 200)


class LostError(Exception):
    """The connection ended before the answer."""


class RawClient(ChatClient):
    """It does not hold frames against their schemas, which under load is most of the work of a test."""

    async def _read(self, socket: ClientConnection) -> None:
        with contextlib.suppress(ConnectionClosed):
            async for text in socket:
                await self._file(json.loads(text))


class Device(Replica):
    """A replica that comes back by itself for as long as `live` runs, which begins after `start`."""

    def __init__(self, user: TestUser, past: History, *, only: int | None = None) -> None:
        self._past = past
        self._sending = asyncio.Lock()
        self.is_connected = asyncio.Event()
        super().__init__(user, only=only)

    async def live(self) -> None:
        while True:
            self.is_connected.set()
            assert self.client._reader is not None
            await asyncio.wait([self.client._reader])
            self.is_connected.clear()
            is_back = False
            while not is_back:
                is_back = await self._come_back()

    async def command(self, kind: str, **fields: Any) -> Json:
        """Its `ack` or `error`. Raises `LostError` when the connection ends before."""
        await self.is_connected.wait()
        client, record = self.client, self.record
        async with self._sending:
            try:
                ref = await client.send(kind, **fields)
            except WebSocketException as error:
                raise LostError from error
            if kind == "send_message":
                record.sends.append((ref, fields["chat_id"]))
        answer, reader = client._replies[ref], client._reader
        assert reader is not None
        await asyncio.wait([answer, reader], timeout=ANSWER_TIMEOUT_S, return_when=asyncio.FIRST_COMPLETED)
        if answer.done():
            return answer.result()
        assert reader.done(), f"{kind} of {record.name} was not answered for {ANSWER_TIMEOUT_S} s"
        raise LostError

    async def _come_back(self) -> bool:
        """Forget the connection that has ended, and try for another one; whether there is one now."""
        await asyncio.sleep(RETRY_S)
        for task in list(self._reads):
            task.cancel()
        await self.cut()
        resume = asyncio.create_task(self.resume())
        while not resume.done():
            await asyncio.wait([resume], timeout=0.05)
            reader = self.client._reader
            if reader is not None and reader.done():
                resume.cancel()
        try:
            await resume
        except (OSError, WebSocketException, asyncio.CancelledError):
            return False
        return True

    async def _read_one(self, chat_id: int, mine: int) -> None:
        """The server may die in the middle: then the chat is not held, and the next `resume` brings it."""
        try:
            await super()._read_one(chat_id, mine)
        except httpx2.TransportError:
            self._reading.pop(chat_id, None)
        except asyncio.CancelledError:
            self._reading.pop(chat_id, None)
            raise

    def _make_client(self) -> ChatClient:
        path = "" if self.only is None else f"/{self.only}"
        client = RawClient(self.user.server.ws_url + path, token=self.user.token)
        client.listeners.append(self._hear)
        name = f"{self.user.username}#{len(self._past.connections) + 1}"
        self.record = Connection(name, self.user.id, client.frames)
        self._past.connections.append(self.record)
        return client


@dataclass(frozen=True)
class Way:
    """The same request as a command of the socket and over REST."""

    kind: str
    fields: Json
    method: str
    path: str
    body: Json | None


class Crowd:
    """Ann owns two groups, Ben and Cem are in both, Dan comes and goes in the first, Eve is in none."""

    def __init__(self, server: Server, seed: int, *, pace_s: float = 0.03) -> None:
        self.past = History()
        self.devices: list[Device] = []
        self._acknowledged = asyncio.Condition()
        self._acks = self._replays = 0
        self._surprises: list[str] = []
        self._server = server
        self._rng = random.Random(seed)
        self._pace_s = pace_s
        self._is_over = False
        self._sent = 0
        self._recent: deque[Json] = deque(maxlen=80)

    async def prepare(self) -> None:
        """The server answers, and nobody kills it yet."""
        users = await some_users(self._server, 5)
        self.ann, self.ben, self.cem, self.dan, self.eve = users
        self._users = {user.id: user for user in users}
        self.groups = [await a_group(*users[:4]), await a_group(*users[:3])]
        self.past.stays += [Stay(self.groups[0], user.id, 1) for user in users[:4]]
        self.past.stays += [Stay(self.groups[1], user.id, 1) for user in users[:3]]
        self.devices = [Device(user, self.past) for user in users]
        self.devices.append(Device(self.cem, self.past, only=self.groups[0]))
        for device in self.devices:
            await device.start()

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Ends once everything that was asked for has its answer, so the server must be there at the end."""
        works: list[Callable[[], Awaitable[None]]] = []
        for user in (self.ann, self.ben, self.cem):
            works += [self._burst(user), self._request(user), self._edit(user)]
        works += [self._request(self.dan), self._trespass, self._contradict]
        works += [self._delete(self.ann), self._delete(self.ben)]
        lives = [asyncio.create_task(device.live()) for device in self.devices]
        tasks = [asyncio.create_task(self._repeat(work)) for work in works]
        tasks.append(asyncio.create_task(self._come_and_go()))
        try:
            yield
            self._is_over = True
            done, pending = await asyncio.wait(tasks, timeout=ANSWER_TIMEOUT_S)
            if pending:
                self._surprises.append(f"{len(pending)} people still wait for an answer.")
            for task in done:
                task.result()
            await asyncio.gather(*(self._check_device(device) for device in self.devices))
        finally:
            for task in (*tasks, *lives):
                task.cancel()
            await asyncio.gather(*tasks, *lives, return_exceptions=True)
            for device in self.devices:
                await device.stop()

    async def check(self) -> None:
        """Nothing that was promised has been broken."""
        for device in self.devices:
            for chat_id, held in device.chats.items():
                name = device.record.name
                one = Held(name, device.user.id, chat_id, held.cursor, held.messages)
                self.past.held.append(one)
        self.past.stored = [await read_stored(self.ann, chat_id) for chat_id in self.groups]
        problems = [*map(str, history.check(self.past)), *self._surprises]
        assert not problems, "\n".join(problems[:20])

    async def _check_device(self, device: Device) -> None:
        try:
            await check_same(device)
        except AssertionError as error:
            self._surprises.append(f"{device.record.name} does not hold what a fresh read shows: {error}")

    async def wait_for_acks(self, count: int) -> None:
        """Until that many more requests have been acknowledged."""
        async with self._acknowledged:
            goal = self._acks + count
            await asyncio.wait_for(self._acknowledged.wait_for(lambda: self._acks >= goal), ANSWER_TIMEOUT_S)

    def count(self) -> dict[str, int]:
        requests = [*self.past.sends, *self.past.edits, *self.past.deletions]
        return {
            "sends": len(self.past.sends),
            "edits": len(self.past.edits),
            "deletions": len(self.past.deletions),
            "acknowledged": sum(bool(one.acks) for one in requests),
            "lost at first": sum(one.is_unknown for one in requests),
            "settled by a replay": self._replays,
            "given up": sum(one.is_unknown and not one.acks and one.refusal is None for one in requests),
            "refused": sum(one.refusal is not None for one in requests),
            "stays": len(self.past.stays),
            "connections": sum(bool(one.frames) for one in self.past.connections),
            "frames": sum(len(one.frames) for one in self.past.connections),
        }

    # --- What people do ---------------------------------------------------------------------------

    async def _repeat(self, work: Callable[[], Awaitable[None]]) -> None:
        while not self._is_over:
            await work()
            await asyncio.sleep(self._rng.uniform(0, 2 * self._pace_s))

    def _burst(self, user: TestUser) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            """Several frames at once."""
            count = self._rng.randint(1, 6)
            await asyncio.gather(*(self._send(self._a_send(user)) for _ in range(count)))

        return work

    def _request(self, user: TestUser) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            refusals = {"not_found"} if user is self.dan else set()
            await self._send(self._a_send(user), by_rest=True, refusals=refusals)

        return work

    def _edit(self, user: TestUser) -> Callable[[], Awaitable[None]]:
        async def work() -> None:
            own = [message for message in self._recent if message["sender_id"] == user.id]
            if not own:
                return
            message = self._rng.choice(own)
            edit = Edit(user.id, message["chat_id"], message_id=message["id"], content=self._a_text("edit"))
            self.past.edits.append(edit)
            fields = {"message_id": edit.message_id, "content": edit.content}
            path, body = f"/messages/{edit.message_id}", {"content": edit.content}
            way = Way("edit_message", fields, "PUT", path, body)
            await self._ask(edit, way, by_rest=self._rng.random() < 0.5, refusals={"conflict"})

        return work

    def _delete(self, user: TestUser) -> Callable[[], Awaitable[None]]:
        """The owner's also of what others have sent."""

        async def work() -> None:
            await asyncio.sleep(self._pace_s)
            seen = [one for one in self._recent if user is self.ann or one["sender_id"] == user.id]
            if not seen:
                return
            message = self._rng.choice(seen)
            deletion = Deletion(user.id, message["chat_id"], message_id=message["id"])
            self.past.deletions.append(deletion)
            fields, path = {"message_id": deletion.message_id}, f"/messages/{deletion.message_id}"
            way = Way("delete_message", fields, "DELETE", path, None)
            await self._ask(deletion, way, by_rest=self._rng.random() < 0.5)

        return work

    async def _trespass(self) -> None:
        """Somebody who is not in."""
        by_rest = self._rng.random() < 0.5
        await self._send(self._a_send(self.eve), by_rest=by_rest, refusals={"not_found"})

    async def _contradict(self) -> None:
        """A key that is taken, with another text."""
        known = [one for one in self.past.sends[-50:] if one.acks and one.user_id == self.ben.id]
        if known:
            taken = self._rng.choice(known)
            send = Send(self.ben.id, taken.chat_id, key=taken.key, content=self._a_text("contradiction"))
            by_rest = self._rng.random() < 0.5
            await self._send(send, by_rest=by_rest, refusals={"client_message_id_conflict"})

    async def _come_and_go(self) -> None:
        """Dan is removed and added again. Ann's device tells at which version he went."""
        chat_id = self.groups[0]
        people, person = f"/chats/{chat_id}/participants", f"/chats/{chat_id}/participants/{self.dan.id}"
        while not self._is_over:
            await asyncio.sleep(self._rng.uniform(0, 10 * self._pace_s))
            await self._insist(self.ann, "DELETE", person)
            self._stay_of_dan().until = await self._wait_for_departure(chat_id)
            await asyncio.sleep(self._rng.uniform(0, 5 * self._pace_s))
            listed = await self._insist(self.ann, "POST", people, {"user_ids": [self.dan.id]})
            (version,) = [one["version"] for one in listed["items"] if one["user_id"] == self.dan.id]
            self.past.stays.append(Stay(chat_id, self.dan.id, version))

    def _stay_of_dan(self) -> Stay:
        return [stay for stay in self.past.stays if stay.user_id == self.dan.id][-1]

    async def _wait_for_departure(self, chat_id: int) -> int:
        device, since = self.devices[0], self._stay_of_dan().since
        while True:
            held = device.chats.get(chat_id)
            if held is not None:
                item = held.participants.get(self.dan.id)
                if item is not None and item["left_at"] is not None and item["version"] > since:
                    return int(item["version"])
            await asyncio.sleep(RETRY_S)

    # --- Asking until there is an answer ----------------------------------------------------------

    def _a_send(self, user: TestUser) -> Send:
        chat_id = self.groups[0] if user is self.dan else self._rng.choice(self.groups)
        content = self._a_text("send")
        return Send(user.id, chat_id, key=f"key-{self._sent}", content=content)

    def _a_text(self, kind: str) -> str:
        """No two are equal."""
        self._sent += 1
        return f"{self._rng.choice(TEXTS)}{kind} {self._sent}{self._rng.choice(TEXTS)}"

    async def _send(self, send: Send, *, by_rest: bool = False, refusals: Collection[str] = ()) -> None:
        self.past.sends.append(send)
        fields = {"chat_id": send.chat_id, "content": send.content, "client_message_id": send.key}
        way = Way("send_message", fields, "POST", "/messages", fields)
        await self._ask(send, way, by_rest=by_rest, refusals=refusals)
        if send.acks:
            self._recent.append(send.acks[0])

    async def _ask(
        self, request: Request, way: Way, *, by_rest: bool, refusals: Collection[str] = ()
    ) -> None:
        """Again and again, until somebody answers."""
        user = self._users[request.user_id]
        while True:
            try:
                answer = await (self._ask_by_rest(user, way) if by_rest else self._ask_by_socket(user, way))
            except (LostError, httpx2.TransportError):
                answer = {"code": "unavailable"}
            code = answer.get("code")
            if code is None:
                request.acks.append(answer["message"])
                self._replays += answer["duplicate"]
                async with self._acknowledged:
                    self._acks += 1
                    self._acknowledged.notify_all()
                return
            if code != "unavailable":
                request.refusal = code
                if code not in refusals:
                    self._surprises.append(f"{way.method} {way.path} was refused: {code}")
                return
            if not request.is_unknown and self._rng.random() < GIVEN_UP:
                request.is_unknown = True
                return
            request.is_unknown = True
            await asyncio.sleep(RETRY_S)

    async def _ask_by_socket(self, user: TestUser, way: Way) -> Json:
        answer = await self._device_of(user).command(way.kind, **way.fields)
        return {"duplicate": False, **answer}

    async def _ask_by_rest(self, user: TestUser, way: Way) -> Json:
        await self._device_of(user).is_connected.wait()
        response = await user.http.request(way.method, way.path, json=way.body)
        if response.status_code >= 400:
            return dict(response.json())
        is_replay = response.headers.get("Idempotent-Replay") == "true"
        return {"message": response.json(), "duplicate": is_replay}

    def _device_of(self, user: TestUser) -> Device:
        return next(device for device in self.devices if device.user is user)

    async def _insist(self, user: TestUser, method: str, path: str, body: Json | None = None) -> Json:
        """A change of who is in; once it is done, to do it again is 404 or changes nothing."""
        while True:
            with contextlib.suppress(httpx2.TransportError):
                response = await user.http.request(method, path, json=body)
                if response.status_code != 503:
                    assert response.status_code in (200, 204, 404), response.text
                    return dict(response.json()) if response.content else {}
            await asyncio.sleep(RETRY_S)


async def read_stored(user: TestUser, chat_id: int) -> Stored:
    """The whole chat over REST: every page of its history, the earlier texts, and the feed from the start."""
    messages: list[Json] = []
    after: int | None = 0
    while after is not None:
        page = await user.get(f"/messages/chat/{chat_id}", after=after, limit=100)
        messages += page["items"]
        after = page["next_after"]
    chat = await user.get(f"/chats/{chat_id}")
    revisions = {
        one["id"]: (await user.get(f"/messages/{one['id']}/revisions"))["items"]
        for one in messages
        if one["revision"] > 1 and not one["is_deleted"]
    }
    others: list[int] = []
    since, has_more = 0, True
    fed: list[Json] = []
    while has_more:
        changes = await user.get(f"/chats/{chat_id}/changes", since=since, limit=100)
        fed += changes["messages"]
        others += [one["version"] for one in changes["participants"]]
        since, has_more = changes["to"], changes["has_more"]
    assert sorted(fed, key=lambda one: one["seq"]) == messages, "the feed and the history differ"
    return Stored(chat_id, chat["version"], chat["last_seq"], messages, revisions, others)
