"""The nodes that serve from this store, and what time it is there."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from sqlalchemy import delete, select, text
from sqlalchemy.dialects.mysql import insert as mysql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection

from chat_service.adapters.sql.tables import deployment, nodes


class SqlNodes:
    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def get_time(self) -> datetime:
        is_sqlite = self._connection.dialect.name == "sqlite"
        query = "SELECT strftime('%Y-%m-%d %H:%M:%f', 'now')" if is_sqlite else "SELECT UTC_TIMESTAMP(6)"
        now = (await self._connection.execute(text(query))).scalar_one()
        found = datetime.fromisoformat(now) if is_sqlite else now
        assert isinstance(found, datetime)  # noqa: S101 - what both drivers give
        return found.replace(tzinfo=UTC)

    async def put_node(self, node_id: UUID, seen_at: datetime) -> None:
        values = {"id": node_id, "seen_at": seen_at}
        if self._connection.dialect.name == "sqlite":
            lite = sqlite_insert(nodes).values(values)
            update = lite.on_conflict_do_update(index_elements=["id"], set_={"seen_at": seen_at})
            await self._connection.execute(update)
        else:
            mysql = mysql_insert(nodes).values(values)
            await self._connection.execute(mysql.on_duplicate_key_update(seen_at=seen_at))

    async def list_nodes(self, since: datetime) -> list[UUID]:
        query = select(nodes.c.id).where(nodes.c.seen_at >= since).order_by(nodes.c.id)
        return list((await self._connection.execute(query)).scalars())

    async def remove_nodes(self, before: datetime) -> None:
        await self._connection.execute(delete(nodes).where(nodes.c.seen_at < before))

    async def remove_node(self, node_id: UUID) -> None:
        await self._connection.execute(delete(nodes).where(nodes.c.id == node_id))

    async def set_epoch(self, epoch: str) -> None:
        await self._connection.execute(
            deployment.update().where(deployment.c.name == "epoch").values(value=epoch)
        )
