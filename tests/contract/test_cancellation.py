"""A caller that goes away in the middle of a transaction leaves a store that others can write to."""

from __future__ import annotations

import asyncio
import random

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
