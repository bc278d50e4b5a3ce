"""A metadata store that takes no writes, because its disk is full or it hands over to another server."""

from __future__ import annotations

import pytest
from sqlalchemy import text

from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.domain.errors import Unavailable
from tests.contract.rows import store_chat, store_messages, store_user

REFUSALS = (1021, 1026, 1030, 1114, 1290, 1598, 1836)


async def execute(store: SqlMetadataStore, statement: str) -> None:
    async with store._writes.begin() as connection:
        await connection.execute(text(statement))


async def test_a_full_disk_is_unavailable_until_there_is_room(metadata_store: SqlMetadataStore) -> None:
    chat, ann = await store_chat(metadata_store), await store_user(metadata_store)
    if metadata_store._url.get_backend_name() == "sqlite":
        await execute(metadata_store, "PRAGMA max_page_count = 1")
        with pytest.raises(Unavailable):
            await store_messages(metadata_store, chat, ann, *range(1, 500))
        await execute(metadata_store, "PRAGMA max_page_count = 1073741823")
    for code in REFUSALS if metadata_store._url.get_backend_name() == "mysql" else ():
        signal = f"SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = {code}, MESSAGE_TEXT = 'no room'"
        await execute(
            metadata_store, f"CREATE TRIGGER no_room BEFORE INSERT ON messages FOR EACH ROW {signal}"
        )
        with pytest.raises(Unavailable):
            await store_messages(metadata_store, chat, ann, 1)
        await execute(metadata_store, "DROP TRIGGER no_room")
    assert len(await store_messages(metadata_store, chat, ann, *range(1, 500))) == 499
