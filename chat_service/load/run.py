"""One run: people and groups, sockets, sending for a while, waiting for what is under way, the report.

Whatever the server does, the run ends: a socket that is closed, a refusal and a silence are counted, and
with nobody left to send it ends early.
"""

from __future__ import annotations

import asyncio
import gc
import secrets
import signal
import ssl
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from enum import StrEnum
from time import perf_counter
from typing import Any
from urllib.parse import urlsplit

from chat_service.load.client import Client
from chat_service.load.ledger import Ledger, Push
from chat_service.load.options import LoadFailed, LoadOptions, Sockets
from chat_service.load.people import Group, Person, make_groups, register_people
from chat_service.load.report import Latencies, LoadReport

OPENING_AT_ONCE = 64
OPEN_TIMEOUT_S = 15.0
"""Of one socket; and when none has come up for so long, the rest is not tried."""
OPENING_S = 300.0
"""Of all of them."""
QUIET_S = 8.0
"""Without a sign of life for so long, what is still missing is not waited for."""
PROGRESS_EVERY_S = 0.5

Progress = Callable[[str], None]


class Moment(StrEnum):
    """What a benchmark wants to know the time of."""

    OPENING = "opening"
    """People and groups are there, no socket yet."""
    SENDING = "sending"
    """All sockets are open; the first message goes out."""
    SETTLED = "settled"
    """Everything has arrived, or is not waited for any more."""


def ignore(_: Moment) -> None:
    """For runs that nobody samples."""


async def run_load(
    options: LoadOptions, progress: Progress, reached: Callable[[Moment], None] = ignore
) -> LoadReport:
    """Measure a deployment. `progress` is given a line now and then, at most twice a second; `reached` is
    called at each moment and must be quick.

    Raises `LoadFailed` when nothing could be measured at all: nobody answers, or the server refuses people,
    groups or every socket.
    """
    options.check()
    progress(f"registering {options.registered} people")
    people = await register_people(options)
    progress(f"making {options.chats} groups of {options.people}")
    groups = await make_groups(options, people)
    return await Run(options, people, groups, progress).measure(reached)


class Run:
    """What all sockets of one run share, and its course."""

    def __init__(
        self, options: LoadOptions, people: Sequence[Person], groups: Sequence[Group], progress: Progress
    ) -> None:
        self.options = options
        self.ledger = Ledger()
        self.known: dict[bytes, tuple[tuple[Push, float | None], ...]] = {}
        """What a read brought that other sockets are likely to bring too: the server sends all of them the
        same bytes."""
        self.to_ack, self.to_delivery = Latencies(), Latencies()
        self.errors: Counter[str] = Counter()
        self.closes: Counter[str] = Counter()
        self.failures: Counter[str] = Counter()
        self.deliveries = self.acknowledged = self.holes_filled = 0
        self.last_sign_s = perf_counter()
        self.is_sending = self.is_over = False
        self._people = people
        self._groups = groups
        self._progress = progress
        self._name = secrets.token_hex(4)
        self._sent_at: list[float] = []
        self._waiting: set[int] = set()
        self._behind_s = 0.0
        self._is_interrupted = False
        self._stop = asyncio.Event()
        self._padding = "x" * options.size
        self._clients: dict[tuple[int, int, int], Client] = {}
        """By chat (0: all), person and device."""

    # --- The course of a run ----------------------------------------------------------------------

    async def measure(self, reached: Callable[[Moment], None]) -> LoadReport:
        loop = asyncio.get_running_loop()
        with suppress(
            NotImplementedError, RuntimeError
        ):  # not the main thread: whoever runs us has the signals
            loop.add_signal_handler(signal.SIGINT, self._interrupt)
        # What is allocated here lives to the end, and a collection in between would delay what is measured.
        gc.disable()
        watching = asyncio.create_task(self._watch())
        try:
            reached(Moment.OPENING)
            await self._open_sockets()
            reached(Moment.SENDING)
            began_s = perf_counter()
            await self._send(self._list_senders())
            seconds = perf_counter() - began_s
            acknowledged, deliveries = self.acknowledged, self.deliveries
            await self._settle()
            reached(Moment.SETTLED)
            return self._report(seconds, acknowledged, deliveries)
        finally:
            self.is_over = True
            watching.cancel()
            gc.enable()
            for client in self._clients.values():
                client.socket.close()
            with suppress(NotImplementedError, RuntimeError):
                loop.remove_signal_handler(signal.SIGINT)

    async def _open_sockets(self) -> None:
        wanted: dict[tuple[int, int, int], tuple[Person, list[int]]] = {}
        for group in self._groups:
            self.ledger.add_chat(group.id, group.version)
            for person in group.people:
                for device in range(self.options.devices):
                    alone = self.options.sockets is Sockets.CHAT
                    key = (group.id if alone else 0, person.id, device)
                    wanted.setdefault(key, (person, []))[1].append(group.id)
        self._progress(f"opening {len(wanted)} sockets")
        room = asyncio.Semaphore(OPENING_AT_ONCE)
        began_s = self.last_sign_s = perf_counter()

        async def open_one(key: tuple[int, int, int], person: Person, chat_ids: list[int]) -> None:
            async with room:
                now_s = perf_counter()
                if now_s - self.last_sign_s > OPEN_TIMEOUT_S or now_s - began_s > OPENING_S:
                    self.failures["not tried: the server did not keep up"] += 1
                elif not self._stop.is_set():
                    await self._open(key, person, chat_ids)

        await asyncio.gather(*(open_one(key, *who) for key, who in wanted.items()))
        if not self._clients:
            reasons = "; ".join(f"{count} × {what}" for what, count in self.failures.most_common(3))
            raise LoadFailed(f"No socket could be opened: {reasons or 'interrupted'}.")

    async def _open(self, key: tuple[int, int, int], person: Person, chat_ids: list[int]) -> None:
        parts = urlsplit(self.options.url)
        client = Client(self, person, f"/ws/{key[0]}" if key[0] else "/ws", chat_ids)
        secure = ssl.create_default_context() if parts.scheme == "https" else None
        port = parts.port or (443 if secure else 80)
        try:
            async with asyncio.timeout(OPEN_TIMEOUT_S):
                loop = asyncio.get_running_loop()
                await loop.create_connection(lambda: client.socket, parts.hostname or "", port, ssl=secure)
                await client.connected
        except TimeoutError:
            client.socket.abort()
            self.failures["no `connected` frame in time"] += 1
        except OSError as error:
            client.socket.abort()
            self.failures[error.strerror or str(error)] += 1
        else:
            if client.is_live:
                self._clients[key] = client

    def _list_senders(self) -> list[tuple[Client, int]]:
        """Sockets and the chats they send into: the first person of every chat, then the second ones."""
        found = []
        for number in range(self.options.senders):
            group = self._groups[number % len(self._groups)]
            person = group.people[number // len(self._groups)]
            alone = self.options.sockets is Sockets.CHAT
            client = self._clients.get((group.id if alone else 0, person.id, 0))
            if client is not None:
                found.append((client, group.id))
        return found

    async def _send(self, senders: list[tuple[Client, int]]) -> None:
        self.is_sending = True
        timer = asyncio.get_running_loop().call_later(self.options.seconds, self._stop.set)
        try:
            if self.options.rate:
                await self._send_paced(senders)
            else:
                for client, chat_id in senders:
                    client.send(chat_id, self.options.window)
                await self._stop.wait()
        finally:
            timer.cancel()
            self.is_sending = False

    async def _send_paced(self, senders: list[tuple[Client, int]]) -> None:
        """An open loop: when a message is due does not depend on how the server keeps up."""
        began_s, count = perf_counter(), 0
        while not self._stop.is_set() and senders:
            due_s = began_s + count / self.options.rate
            wait_s = due_s - perf_counter()
            if wait_s > 0:
                with suppress(TimeoutError):
                    async with asyncio.timeout(wait_s):
                        await self._stop.wait()
                continue
            self._behind_s = max(self._behind_s, -wait_s)
            client, chat_id = senders[count % len(senders)]
            client.send(chat_id, 1)
            count += 1
            if count % 100 == 0:
                await asyncio.sleep(0)

    async def _settle(self) -> None:
        """Wait for what is under way, as long as anything comes."""
        self._stop.clear()
        self.last_sign_s = perf_counter()
        while (self._waiting or not self.ledger.is_settled()) and self._has_live():
            if perf_counter() - self.last_sign_s > QUIET_S or self._stop.is_set():
                return
            await asyncio.sleep(0.02)

    async def _watch(self) -> None:
        """Tell how far it is, and end a run that nobody is left for."""
        while True:
            await asyncio.sleep(PROGRESS_EVERY_S)
            if self.is_sending or self._sent_at:
                self._progress(
                    f"{len(self._sent_at):,} sent, {self.acknowledged:,} acknowledged, "
                    f"{self.deliveries:,} delivered, {sum(self.errors.values()):,} refused"
                )
            if self.is_sending and not self._has_live():
                self._stop.set()

    def _has_live(self) -> bool:
        return any(client.is_live for client in self._clients.values())

    def _interrupt(self) -> None:
        self._is_interrupted = True
        self._stop.set()

    def _report(self, seconds: float, acknowledged: int, deliveries: int) -> LoadReport:
        return LoadReport(
            connections=len(self._clients),
            seconds=seconds,
            sent=len(self._sent_at),
            acknowledged=self.acknowledged,
            unanswered=len(self._waiting),
            messages_per_s=round(acknowledged / seconds, 1),
            deliveries=self.deliveries,
            deliveries_per_s=round(deliveries / seconds, 1),
            ack_ms=self.to_ack.summary(),
            delivered_ms=self.to_delivery.summary(),
            behind_ms=round(self._behind_s * 1000, 1),
            tally=self.ledger.count(),
            holes_filled=self.holes_filled,
            errors=self.errors,
            closes=self.closes,
            connection_failures=self.failures,
            interrupted=self._is_interrupted,
        )

    # --- Messages ---------------------------------------------------------------------------------

    def make_message(self, chat_id: int) -> bytes:
        """The next message of the run; its number is its `ref` and the end of its client_message_id."""
        number = len(self._sent_at)
        self._sent_at.append(perf_counter())
        self._waiting.add(number)
        key = f"{self._name}-{number}"
        return (
            f'{{"type":"send_message","ref":"{number}","chat_id":{chat_id},'
            f'"client_message_id":"{key}","content":"{self._padding}"}}'
        ).encode()

    def take_ack(self, frame: dict[str, Any], now_s: float) -> None:
        number = int(frame["ref"])
        self._waiting.discard(number)
        self.acknowledged += 1
        self.to_ack.add(now_s - self._sent_at[number])
        message = frame["message"]
        self.ledger.acknowledge(
            message["chat_id"], message["version"], message["seq"], f"{self._name}-{number}"
        )

    def take_error(self, frame: dict[str, Any]) -> None:
        self.errors[frame["code"]] += 1
        if frame["ref"] is not None:
            self._waiting.discard(int(frame["ref"]))

    def find_sent_at(self, key: str | None) -> float | None:
        """When a message was sent; None for one that is not of this run."""
        name, _, number = (key or "").partition("-")
        return self._sent_at[int(number)] if name == self._name else None
