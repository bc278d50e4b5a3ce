"""One socket of a run: what it hears goes into the ledger, and its sending goes on."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING, Any

import orjson

from chat_service.load.ledger import Cursor, Push
from chat_service.load.people import Person
from chat_service.load.sockets import SocketClient

if TYPE_CHECKING:
    from chat_service.load.run import Run

BACK_OFF_S = 0.1
"""A sender without a rate whose message was refused waits so long before the next."""
KNOWN_CHUNKS = 512


class Client:
    """The listener of its socket."""

    def __init__(self, run: Run, person: Person, path: str, chat_ids: list[int]) -> None:
        self._run = run
        self.socket = SocketClient(run.options.url, path, person.token, self)
        self.connected: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.is_live = False
        self._cursors: dict[int, Cursor] = {}
        self._chat_ids = chat_ids
        self._sends_into = 0

    def send(self, chat_id: int, count: int) -> None:
        if self.is_live and count:
            self._sends_into = chat_id
            self.socket.send([self._run.make_message(chat_id) for _ in range(count)])

    # --- As the listener of its socket ------------------------------------------------------------

    def opened(self) -> None:
        """The `connected` frame is what counts."""

    def knows(self, chunk: bytes) -> bool:
        run = self._run
        found = run.known.get(chunk)
        if found is None:
            return False
        now_s = perf_counter()
        for push, sent_at_s in found:
            cursor = self._cursors[push.chat_id]
            if push.version == cursor.next_version:
                cursor.next_version += 1
            else:
                run.ledger.deliver(cursor, push)
            if sent_at_s is not None:
                run.to_delivery.add(now_s - sent_at_s)
        run.deliveries += len(found)
        run.last_sign_s = now_s
        return True

    def heard(self, texts: list[bytes], chunk: bytes | None) -> None:
        run, now_s = self._run, perf_counter()
        run.last_sign_s = now_s
        answered = 0
        pushes: list[tuple[Push, float | None]] = []
        for text in texts:
            try:
                frame = orjson.loads(text)
                answered += frame["type"] == "ack"
                push = self._take(frame, now_s)
            except (ValueError, KeyError, TypeError, AttributeError):
                run.errors["(unreadable frame)"] += 1
            else:
                if push is not None:
                    pushes.append(push)
        if chunk is not None and len(pushes) == len(texts):
            if len(run.known) >= KNOWN_CHUNKS:
                run.known.clear()
            run.known[chunk] = tuple(pushes)
        if answered:
            self._go_on(answered)

    def _take(self, frame: dict[str, Any], now_s: float) -> tuple[Push, float | None] | None:
        """One frame; returns the push that it is, with the time at which its message was sent, if nothing is
        wrong with it: others may then be asked for their next version alone."""
        run, chat_id = self._run, frame.get("chat_id")
        match frame["type"]:
            case "ack":
                run.take_ack(frame, now_s)
            case "error":
                run.take_error(frame)
                asyncio.get_running_loop().call_later(BACK_OFF_S, self._go_on, 1)
            case "connected":
                self._begin()
            case "changes":
                run.holes_filled += 1
                since, to = frame["from"], frame["to"]
                run.ledger.fill(self._cursors[frame["chat_id"]], frame["chat_id"], since, to)
            case _ if "version" in frame and chat_id in self._cursors:
                return self._take_push(frame, now_s)
        return None

    def ended(self, code: int, reason: str) -> None:
        run, what = self._run, f"{code} {reason}".strip()
        if not self.connected.done():
            self.connected.set_result(None)
            run.failures[what] += 1
        elif self.is_live and not run.is_over:
            run.closes[what] += 1
        self.is_live = False
        for cursor in self._cursors.values():
            run.ledger.close(cursor)

    def _begin(self) -> None:
        self._cursors = {chat_id: self._run.ledger.open(chat_id) for chat_id in self._chat_ids}
        self.is_live = True
        if not self.connected.done():
            self.connected.set_result(None)

    def _take_push(self, frame: dict[str, Any], now_s: float) -> tuple[Push, float | None] | None:
        run, message = self._run, frame.get("message") or {}
        push = Push(frame["chat_id"], frame["version"], message.get("seq"), message.get("client_message_id"))
        is_right = run.ledger.deliver(self._cursors[push.chat_id], push)
        sent_at_s = run.find_sent_at(push.key)
        if sent_at_s is not None:
            run.to_delivery.add(now_s - sent_at_s)
        run.deliveries += 1
        return (push, sent_at_s) if is_right else None

    def _go_on(self, count: int) -> None:
        if self._run.is_sending and not self._run.options.rate:
            self.send(self._sends_into, count)
