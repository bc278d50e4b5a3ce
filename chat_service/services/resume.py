"""What a client that comes back has missed, chat by chat (docs/protocol.md, section 5)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass

from chat_service.domain.errors import NotFound, ResyncRequired
from chat_service.domain.models import Changes, Chat
from chat_service.services.epoch import Epoch
from chat_service.services.history import ChangesFound, HistoryService, split_pages
from chat_service.services.ports.metadata import MetadataStore, Unit
from chat_service.services.recall import Recall
from chat_service.services.recent import RecentChanges
from chat_service.services.turns import Turns

PAGE_LIMIT = 100
READ_TOGETHER = 8
TURN_WITHIN_S = 15.0
"""Whoever is sent away comes again and stands behind all others: better to wait for as long as clients do."""
CHATS_TOGETHER = 20
"""Chats to hand to `resume_chats` at once: their rows fit into memory, and into a few milliseconds."""
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
    def __init__(
        self, metadata: MetadataStore, history: HistoryService, recent: RecentChanges, epoch: Epoch
    ) -> None:
        self._metadata = metadata
        self._history = history
        self._recent = recent
        self._recall = Recall(history, recent, epoch)
        self._turns = Turns(READ_TOGETHER, TURN_WITHIN_S)

    async def list_unknown(self, user_id: int, known: Collection[int]) -> list[Joined]:
        """The chats of the user that are not among those `known`."""

        async def read(unit: Unit) -> list[Chat]:
            memberships = await unit.participants.list_memberships(user_id)
            # Who was removed since, or removed and added again, is shown no version that they are not in.
            chats = await unit.feed.find_chats(user_id, memberships.keys() - set(known))
            return [chat for _, chat in sorted(chats.items())]

        return [Joined(chat) for chat in await self._metadata.read(read)]

    async def resume_chats(
        self, user_id: int, cursors: Mapping[int, int], epoch: str | None
    ) -> AsyncIterator[tuple[int, Step]]:
        """For every chat all pages of `Changes`, ascending and at least one; or `Resync`, or `Gone`.

        The first pages are found together; a chat with more pages ends before the next one begins.
        """
        refused: list[tuple[int, Step]] = []
        pages: list[ChangesFound] = []
        async with self._turns.take():
            if self._turns.are_taken:  # others come back too
                await self._recall.read_back(cursors)
            found = await self._history.find_changes(
                user_id, cursors, limit=PAGE_LIMIT, epoch=epoch, budget=BUDGET, recent=self._recent
            )
            for chat_id, one in found.items():
                match one:
                    case ChangesFound():
                        pages.append(one)
                    case ResyncRequired():
                        refused.append((chat_id, Resync(chat_id, one.version)))
                    case NotFound():
                        refused.append((chat_id, Gone(chat_id)))
            first, *others = split_pages(pages)
            loaded = await self._history.load_changes(first)
        for chat_id, step in refused:
            yield chat_id, step
        async for page in self._load(loaded, others):
            yield page.chat_id, page
            async for step in self._go_on(user_id, page, epoch):
                yield page.chat_id, step

    async def _load(self, loaded: list[Changes], others: list[list[ChangesFound]]) -> AsyncIterator[Changes]:
        for page in loaded:
            yield page
        for batch in others:
            async with self._turns.take():
                loaded = await self._history.load_changes(batch)
            for page in loaded:
                yield page

    async def _go_on(self, user_id: int, page: Changes, epoch: str | None) -> AsyncIterator[Step]:
        """The pages after the first. What is written meanwhile does not count against the budget."""
        try:
            while page.has_more:
                async with self._turns.take():
                    page = await self._history.list_changes(
                        user_id, page.chat_id, since=page.to, limit=PAGE_LIMIT, epoch=epoch
                    )
                yield page
        except ResyncRequired as error:
            yield Resync(page.chat_id, error.version)
        except NotFound:
            yield Gone(page.chat_id)
