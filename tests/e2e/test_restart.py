"""A real process: how it starts, how it goes, and that nothing acknowledged is lost on the way."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.builders import TestUser, a_direct_chat, a_group, a_user, close_clients, sockets
from tests.client import ChatClient
from tests.integration.test_slow_readers import StalledReader
from tests.process import STOP_S, Process, serving, start

CLIENTS = 250


@pytest.fixture(autouse=True)
async def _close_clients() -> AsyncIterator[None]:
    yield
    await close_clients()


async def watch_readiness(process: Process, seen: list[tuple[int, Any]]) -> None:
    """Ask again and again over one connection until there is no answer."""
    async with httpx2.AsyncClient() as http:
        with contextlib.suppress(httpx2.TransportError):
            while True:
                answer = await http.get(f"{process.url}/readyz")
                seen.append((answer.status_code, answer.json()))
                await asyncio.sleep(0.01)


async def keep_sending(client: ChatClient, chat_id: int, who: int, acknowledged: list[Any]) -> None:
    """One message after the other until the socket ends."""
    number = 0
    with contextlib.suppress(Exception):
        while True:
            number += 1
            ref = await client.send("send_message", chat_id=chat_id, content=f"{who} {number}")
            answer = await asyncio.wait_for(client.reply(ref), 1)
            if answer["type"] == "ack":
                acknowledged.append(answer["message"])


async def read_all(user: TestUser, chat_id: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    after = 0
    while after is not None:
        page = await user.get(f"/messages/chat/{chat_id}", after=after, limit=100)
        found |= {message["id"]: message for message in page["items"]}
        after = page["next_after"]
    return found


async def test_a_restart_is_told_and_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[Any] = []
    readiness: list[tuple[int, Any]] = []
    with serving(tmp_path / "data", CHAT_DRAIN_SECONDS="1") as process:
        print(f"\nstart to first answer: {process.started_in_s:.2f} s")
        ann, ben = await a_user(process), await a_user(process)
        chat_id = await a_direct_chat(ann, ben)
        async with sockets(*([ann] * CLIENTS)) as clients, sockets(*([ben] * 4)) as senders:
            sending = [
                asyncio.create_task(keep_sending(client, chat_id, number, acknowledged))
                for number, client in enumerate(senders)
            ]
            watching = asyncio.create_task(watch_readiness(process, readiness))
            await asyncio.sleep(0.5)
            while not (readiness and acknowledged):  # noqa: ASYNC110 - others fill these lists
                await asyncio.sleep(0.01)
            process.popen.send_signal(signal.SIGTERM)
            delays = [(await client.expect("server_restarting"))["retry_after_ms"] for client in clients]
            ends = await asyncio.gather(*(client.closed() for client in (*clients, *senders)))
            code, took = await asyncio.to_thread(process.wait)
            print(f"SIGTERM to exit with {CLIENTS + 4} sockets: {took:.2f} s after the last one closed")
            await asyncio.gather(watching, *sending)
        assert code == 0, process.log
        assert set(ends) == {(1012, "server_restarting")}
        assert len(set(delays)) > CLIENTS * 0.9
        assert min(delays) >= 500
        assert max(delays) - min(delays) > 2_000
        assert readiness[0][0] == 200
        assert (503, "draining") in [(status, body.get("reason")) for status, body in readiness]
        assert ann.token not in process.log
        assert "Traceback" not in process.log
    assert acknowledged
    with serving(tmp_path / "data") as process:
        ann.http.base_url = f"{process.url}/api/v1"
        stored = await read_all(ann, chat_id)
        for message in acknowledged:
            assert stored[message["id"]] == message
        assert sorted(one["seq"] for one in stored.values()) == list(range(1, len(stored) + 1))


async def test_a_killed_process_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[Any] = []
    with serving(tmp_path / "data") as process:
        ann, ben = await a_user(process), await a_user(process)
        chat_id = await a_direct_chat(ann, ben)
        async with sockets(*([ben] * 4)) as senders:
            sending = [
                asyncio.create_task(keep_sending(client, chat_id, number, acknowledged))
                for number, client in enumerate(senders)
            ]
            await asyncio.sleep(0.5)
            process.popen.kill()
            await asyncio.gather(*sending)
    assert acknowledged
    with serving(tmp_path / "data") as process:
        ann.http.base_url = f"{process.url}/api/v1"
        stored = await read_all(ann, chat_id)
        assert [stored[message["id"]] for message in acknowledged] == acknowledged


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_an_idle_process_ends_at_once_and_with_code_0(tmp_path: Path, number: signal.Signals) -> None:
    with serving(tmp_path / "data") as process:
        process.popen.send_signal(number)
        code, took = await asyncio.to_thread(process.wait)
        print(f"\n{number.name} to exit: {took:.2f} s")
        assert code == 0, process.log
        assert took < 5


async def test_a_reader_that_has_stopped_does_not_hold_the_exit(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as process:
        ann, slow = await a_user(process), await a_user(process)
        chat_id = await a_group(ann, slow)
        reader = StalledReader()
        await asyncio.to_thread(reader.connect, process, slow.token)
        async with sockets(ann) as (client,):
            for _ in range(330):
                await client.say(chat_id, "x" * 10_000)
        process.popen.send_signal(signal.SIGTERM)
        code, took = await asyncio.to_thread(process.wait)
        print(f"\nSIGTERM to exit with a reader that has stopped: {took:.2f} s")
        assert code == 0, process.log
        assert took < STOP_S
        reader.close()


async def test_a_second_signal_ends_the_process_without_waiting(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as process:
        ann = await a_user(process)
        async with sockets(*([ann] * CLIENTS)):
            process.popen.send_signal(signal.SIGTERM)
            await asyncio.sleep(0.05)
            process.popen.send_signal(signal.SIGTERM)
            _, took = await asyncio.to_thread(process.wait)
            assert took < 3


async def test_a_second_process_on_the_same_files_is_refused_in_one_clear_sentence(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as process:
        second = start(tmp_path / "data")
        code, took = await asyncio.to_thread(second.wait)
        assert code == 1
        assert "Another chat-service serves from" in second.log
        assert "Traceback" not in second.log
        assert httpx2.get(f"{process.url}/readyz").status_code == 200
        print(f"\nrefused after {took:.2f} s")
    with serving(tmp_path / "data"):
        pass  # a killed process leaves no claim behind
