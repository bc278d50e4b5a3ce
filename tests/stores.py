"""The services on both store pairs in the test's own loop, and ways to damage what they have stored."""

from __future__ import annotations

import hashlib
import itertools
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Executable, delete, insert, select

from chat_service import app
from chat_service.adapters.sql import tables
from chat_service.adapters.sql.store import SqlMetadataStore
from chat_service.app import build_services
from chat_service.domain.ids import new_id
from chat_service.domain.models import (
    AccountState,
    Body,
    Caller,
    Chat,
    ChatType,
    GlobalRole,
    Message,
    Participant,
    Role,
    User,
)
from chat_service.services.chats import NewChat
from chat_service.services.container import Services
from chat_service.services.messages import Draft
from chat_service.services.ports.metadata import Unit
from chat_service.services.sweeper import first_id_of
from chat_service.settings import Settings
from chat_service.supervisor import Supervisor

_numbers = itertools.count(1)
LAST_ID = UUID(int=2**128 - 1)


@dataclass(frozen=True)
class Stores:
    """Running services, without a server in front of them."""

    services: Services

    @property
    def settings(self) -> Settings:
        return self.services.settings

    @property
    def metadata(self) -> SqlMetadataStore:
        assert isinstance(self.services.metadata, SqlMetadataStore)
        return self.services.metadata

    @property
    def environment(self) -> dict[str, str]:
        """What a `chat-service` of another process needs to find the same stores."""
        return {
            "CHAT_DATABASE_URL": self.settings.metadata_url,
            "CHAT_CONTENT_URL": self.settings.body_url,
            "CHAT_DATA_DIR": str(self.settings.data_dir),
        }

    # --- As people use it --------------------------------------------------------------------------------

    async def a_user(self) -> Caller:
        name = f"user{next(_numbers)}-{secrets.token_hex(3)}"
        email = f"{name}@example.org"
        now = datetime.now(UTC)
        user = User(
            id=0,
            username=name,
            full_name=None,
            bio=None,
            avatar_url=None,
            is_bot=False,
            email=email,
            phone=None,
            role=GlobalRole.USER,
            state=AccountState.ACTIVE,
            created_at=now,
        )

        async def add(unit: Unit) -> User:
            return await unit.accounts.add_user(
                user, username_fold=name, email_fold=email, password_hash="none", words=[]
            )

        return Caller(await self.metadata.transact(add), uuid4(), now + timedelta(hours=1))

    async def a_chat(self, one: Caller, *others: Caller, kind: ChatType = ChatType.GROUP) -> int:
        wish = NewChat(kind, None, tuple(other.id for other in others), None)
        return (await self.services.chats.create_chat(one, wish))[0].id

    async def say(self, caller: Caller, chat_id: int, content: str, key: str | None = None) -> Message:
        draft = Draft(chat_id, content, client_message_id=key)
        return (await self.services.messages.send_message(caller, draft)).message

    async def add_bulk(self, owner: Caller, chats: int, messages: int) -> list[int]:
        """Chats full of messages, past the services; quick."""
        now = datetime.now(UTC) - timedelta(days=3)
        chat_ids = []
        for _ in range(chats):
            chat_id = await self.metadata.transact(lambda unit: _add_bulk_chat(unit, owner, messages, now))
            chat_ids.append(chat_id)
            for start in range(0, messages, 1000):
                bodies = [
                    Body(
                        _id_at(now), chat_id, f"Message {start + number} of a chat, as long as people write."
                    )
                    for number in range(min(1000, messages - start))
                ]
                await self.services.content.insert_bodies(bodies)
                rows = [_bulk_row(owner, body, start + number, now) for number, body in enumerate(bodies, 1)]
                await self.execute(insert(tables.messages), rows)
        return chat_ids

    # --- As nobody should --------------------------------------------------------------------------------

    async def execute(self, statement: Executable, rows: list[dict[str, Any]] | None = None) -> int:
        """Any statement on the metadata store; the number of rows changed."""
        async with self.metadata._writes.begin() as connection:
            return (await connection.execute(statement, rows)).rowcount

    async def put_body(self, chat_id: int, body_id: UUID, content: str) -> None:
        """In place of what may be there."""
        store = self.services.content
        await self.drop_body(body_id)
        assert await store.insert_bodies([Body(body_id, chat_id, content)]) == {}

    async def drop_body(self, body_id: UUID) -> None:
        store = self.services.content
        for key in await store.list_body_ids(UUID(int=body_id.int - 1), UUID(int=body_id.int + 1), 1):
            await store.delete_bodies([key])

    async def list_bodies(self) -> set[UUID]:
        found = await self.services.content.list_body_ids(None, LAST_ID, 1_000_000)
        return {body_id for _, body_id in found}

    async def an_orphan(self, chat_id: int, age: timedelta) -> UUID:
        body_id = _id_at(datetime.now(UTC) - age)
        await self.put_body(chat_id, body_id, "Nobody names this.")
        return body_id

    async def list_pointed(self) -> set[UUID]:
        """Every body that a row points to."""
        async with self.metadata._reads.connect() as connection:
            columns = tables.messages.c.body_id, tables.revisions.c.body_id
            found = [set((await connection.execute(select(column))).scalars()) for column in columns]
        return set.union(*found) - {None}

    async def clean(self) -> None:
        for table in tables.metadata.sorted_tables:
            if table is not tables.deployment:
                await self.execute(delete(table))
        while keys := await self.services.content.list_body_ids(None, LAST_ID, 1000):
            await self.services.content.delete_bodies(keys)


@asynccontextmanager
async def open_services(settings: Settings) -> AsyncIterator[Stores]:
    """A node's services with what sends need, and none of the tasks that tidy up."""
    services = build_services(settings)
    supervisor = Supervisor(services.readiness)
    try:
        await app._prepare_stores(services)
        supervisor.start("sender", services.sender.run)
        supervisor.start("receipts", services.receipts.run)
        yield Stores(services)
    finally:
        await supervisor.stop()
        services.accounts.close()
        await services.metadata.close()
        await services.content.close()


def _id_at(moment: datetime) -> UUID:
    """A UUIDv7 of that moment, behind all that were made before."""
    millisecond = first_id_of(moment).int >> 80
    return UUID(int=millisecond << 80 | 7 << 76 | 2 << 62 | next(_numbers) << 32 | secrets.randbits(32))


async def _add_bulk_chat(unit: Unit, owner: Caller, messages: int, now: datetime) -> int:
    chat = await unit.chats.add_chat(
        Chat(0, ChatType.GROUP, None, owner.id, now, messages + 1, 1, messages, now, 1),
        direct_key=None,
        creation_key=str(new_id()),
        creation_mac=bytes(32),
    )
    member = Participant(
        chat.id, owner.id, owner.user.username, None, Role.OWNER, now, None, 1, messages, messages
    )
    await unit.participants.put_participants([member])
    return chat.id


def _bulk_row(owner: Caller, body: Body, seq: int, now: datetime) -> dict[str, Any]:
    return {
        "chat_id": body.chat_id,
        "seq": seq,
        "id": body.id,
        "version": seq + 1,
        "revision": 1,
        "sender_id": owner.id,
        "message_type": "text",
        "dedupe_key": f"~{body.id}",
        "request_mac": bytes(32),
        "body_id": body.id,
        "body_sha256": hashlib.sha256(body.content.encode()).digest(),
        "created_at": now,
        "is_deleted": False,
    }
