"""What a client that comes back has missed, chat by chat (docs/protocol.md, section 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection
from dataclasses import dataclass

from chat_service.domain.errors import NotFound, ResyncRequired
from chat_service.domain.models import Changes, Chat
from chat_service.services.access import access_chat
from chat_service.services.history import HistoryService
from chat_service.services.ports.metadata import MetadataStore, Unit

PAGE_LIMIT = 100
BUDGET = 1_000
"""A chat that has moved on by more versions than this is read afresh instead of resumed."""


@dataclass(frozen=True, slots=True)
class Gone:
    """The caller is not in this chat any more."""

    chat_id: int


@dataclass(frozen=True, slots=True)
class Resync:
    """The chat must be read afresh; it stands at `version`."""

    chat_id: int
    version: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A chat that the client did not know of."""

    chat: Chat


Step = Changes | Gone | Resync | Joined


class ResumeService:
    def __init__(self, metadata: MetadataStore, history: HistoryService) -> None:
        self._metadata = metadata
        self._history = history

    async def list_unknown(self, user_id: int, known: Collection[int]) -> list[Joined]:
        """The chats of the user that are not among those `known`."""

        async def read(unit: Unit) -> list[Chat]:
            memberships = await unit.participants.list_memberships(user_id)
            unknown = memberships.keys() - set(known)
            chats = await unit.chats.get_chats(sorted(unknown)) if unknown else []
            if all(chat.version == memberships[chat.id] for chat in chats):
                return chats
            # Whoever has been removed since must not be shown the chat as it stands without them.
            present = await unit.participants.list_memberships(user_id)
            return [chat for chat in chats if chat.id in present]

        return [Joined(chat) for chat in await self._metadata.read(read)]

    async def resume_chat(
        self, user_id: int, chat_id: int, since: int, epoch: str | None
    ) -> AsyncIterator[Step]:
        """All pages of `Changes`, ascending and at least one; or `Resync`, or `Gone`."""
        try:
            chat, _ = await self._metadata.read(lambda unit: access_chat(unit, chat_id, user_id))
            if chat.version - since > BUDGET:
                yield Resync(chat_id, chat.version)
                return
            has_more = True
            while has_more:
                try:
                    page = await self._history.list_changes(
                        user_id, chat_id, since=since, limit=PAGE_LIMIT, epoch=epoch
                    )
                except ResyncRequired:
                    yield Resync(chat_id, chat.version)
                    return
                yield page
                since, has_more = page.to, page.has_more
        except NotFound:
            yield Gone(chat_id)
