"""A caller that goes away in the middle of a transaction leaves a store that others can write to."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.services.ports.metadata import MetadataStore, Unit
from tests.contract.rows import NOW

WRITERS = 9
ROUNDS = 20


async def test_cancelled_transactions_hold_no_lock(metadata_store: MetadataStore) -> None:
    chance = random.Random(7)

    async def write(number: int) -> None:
        async def work(unit: Unit) -> None:
            await unit.accounts.set_last_seen([number], NOW)
            for _ in range(5):
                await unit.accounts.get_last_seen([number])

        while True:
            await metadata_store.transact(work)

    for _ in range(ROUNDS):
        writers = [asyncio.create_task(write(number)) for number in range(1, WRITERS + 1)]
        await asyncio.sleep(chance.uniform(0.01, 0.25))
        for writer in writers:
            writer.cancel()
        ended = await asyncio.gather(*writers, return_exceptions=True)
        assert all(isinstance(one, asyncio.CancelledError) for one in ended), ended
        await metadata_store.transact(lambda unit: unit.accounts.set_last_seen([1], NOW))


async def test_a_cancellation_that_meets_a_new_connection_is_heard(
    mysql_database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    connect = loop.create_connection
    asked = 0

    async def connect_and_cancel(*args: Any, **options: Any) -> Any:
        nonlocal asked
        made = await connect(*args, **options)
        if not asked:
            asking.cancel()
        asked += 1
        return made

    monkeypatch.setattr(loop, "create_connection", connect_and_cancel)
    store = SqlMetadataStore(mysql_database_url)
    asking = asyncio.create_task(store.ping())
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert asked
    await store.ping()
    await store.close()
