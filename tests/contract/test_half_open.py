"""Connections to the metadata store that are open on one side alone: on ours they cost one time-out and not
one each, on the server's they keep no locks."""

from __future__ import annotations

import asyncio
import contextlib
import time

from sqlalchemy import make_url

from chat_service.adapters.sql.migrate import upgrade
from chat_service.adapters.sql.store import CALL_TIMEOUT_S, SILENT_IN_TRANSACTION_S, SqlMetadataStore
from chat_service.domain.errors import Unavailable
from chat_service.services.ports.metadata import Unit
from tests.contract.rows import store_chat
from tests.network import Network

CALLS = 10


async def test_dead_connections_are_all_found_by_the_first_call_that_meets_one(
    mysql_database_url: str,
) -> None:
    url = make_url(mysql_database_url)
    with Network(url.port or 3306) as network:
        store = SqlMetadataStore(url.set(port=network.port).render_as_string(hide_password=False))
        await asyncio.gather(*(store.ping() for _ in range(CALLS)))
        assert network.open_half() > 1
        (first,) = await asyncio.gather(store.ping(), return_exceptions=True)
        assert isinstance(first, Unavailable)
        began_s = time.monotonic()
        for _ in range(CALLS):
            await store.ping()
        assert time.monotonic() - began_s < CALL_TIMEOUT_S
        await store.close()


async def test_a_node_that_vanishes_in_a_transaction_keeps_no_locks(mysql_database_url: str) -> None:
    url = make_url(mysql_database_url)
    await asyncio.to_thread(upgrade, mysql_database_url)
    rest = SqlMetadataStore(mysql_database_url)
    chat = await store_chat(rest)
    locked = asyncio.Event()

    async def lock(unit: Unit) -> None:
        await unit.chats.lock_chats([chat.id])
        locked.set()
        await asyncio.Event().wait()

    with Network(url.port or 3306) as network:
        store = SqlMetadataStore(url.set(port=network.port).render_as_string(hide_password=False))
        vanishing = asyncio.create_task(store.transact(lock))
        await locked.wait()
        network.silence()
        began_s = time.monotonic()
        while True:
            try:
                await rest.transact(lambda unit: unit.chats.lock_chats([chat.id]))
                break
            except Unavailable:
                assert time.monotonic() - began_s < 3 * SILENT_IN_TRANSACTION_S
        with contextlib.suppress(Unavailable):
            await vanishing
        network.speak()
        await store.close()
    await rest.close()
