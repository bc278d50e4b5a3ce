"""Removes orphans: bodies that no message, revision or list of discarded bodies names.

Sends and edits write the body first, so a refused or repeated send, a lost race of edits and a crash each
leave one. A new body is not named yet either, so only age tells them apart, and age is the time in the
UUIDv7 against this node's clock. A waiting send is given up after 60 s (`sending.MAX_AGE_S`) and an edit
after some ten, so two hours of age are safe with an hour and more to spare for clocks that differ; a day is
taken. Against a clock that is wrong by more, nothing is removed at first sight: what looked like an orphan
is looked at again a minute later, right before its removal.

It may be killed at any point, run on every node at once, and be repeated: removing a body again is no error.
It must not touch the bodies of another deployment, whose rows it cannot see, or of a chat that lost rows.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

import structlog

from chat_service.domain.clock import Clock
from chat_service.domain.errors import Unavailable
from chat_service.services.ports.audit import BEFORE_ALL, Stretch
from chat_service.services.ports.content import ContentStore
from chat_service.services.ports.metadata import MetadataStore, Unit

log = structlog.get_logger()

MIN_AGE = timedelta(hours=24)
LOWEST_AGE = timedelta(hours=2)
EVERY_S = 3600.0
CLAIM_AGAIN_S = 5.0

Key = tuple[int, UUID]
"""(chat_id, body_id), as the content store has it."""


class ForeignStore(Exception):
    """The content store belongs to another deployment, or to nobody; the message is for the operator."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How gently the stores are read. A sweep of ten million bodies takes some twenty minutes so."""

    page: int = 500
    pause_s: float = 0.05
    """After every page."""
    second_look_s: float = 60.0
    """Between what looks like an orphan and its removal."""
    held: int = 5_000
    """Suspects held in memory before they are looked at again."""
    messages: int = 20_000
    """Of one chat, read in one statement."""


async def claim_content(metadata: MetadataStore, content: ContentStore) -> None:
    """Make the content store that of this deployment if it is nobody's yet, or raise `ForeignStore`."""
    deployment_id = await get_deployment_id(metadata)
    _check_owner(await content.claim(deployment_id), deployment_id)


async def check_owner(metadata: MetadataStore, content: ContentStore) -> None:
    """Raise `ForeignStore` unless both stores belong together; an unclaimed one is not taken."""
    deployment_id = await get_deployment_id(metadata)
    owner = await content.find_owner()
    if owner is None:
        raise ForeignStore(
            "No server has served from this content store (CHAT_CONTENT_URL) yet, so nothing says that it "
            "belongs to this metadata store. Check both addresses, then run `chat-service serve` once."
        )
    _check_owner(owner, deployment_id)


def _check_owner(owner: str, deployment_id: str) -> None:
    if owner != deployment_id:
        raise ForeignStore(
            f"The content store (CHAT_CONTENT_URL) belongs to the deployment {owner}, and the metadata "
            f"store (CHAT_DATABASE_URL) is that of {deployment_id}. Correct one of the two addresses; a new "
            "deployment starts with an empty content store of its own."
        )


async def get_deployment_id(metadata: MetadataStore) -> str:
    deployment_id = await metadata.read(lambda unit: unit.audit.find_deployment_id())
    if deployment_id is None:
        raise ForeignStore("The metadata store has no deployment id, which the first migration gives it.")
    return deployment_id


def _ignore(_removed: int) -> None:
    pass


class Sweeper:
    """`run` is one long task; `removed` hears how many bodies each sweep took away. `lowest_age` and `pace`
    are for tests: the service has no setting for them."""

    def __init__(  # noqa: PLR0913 - its parts, put together once in app.py
        self,
        metadata: MetadataStore,
        content: ContentStore,
        clock: Clock,
        *,
        min_age: timedelta = MIN_AGE,
        lowest_age: timedelta = LOWEST_AGE,
        pace: Pace | None = None,
        removed: Callable[[int], None] = _ignore,
    ) -> None:
        self._removed = removed
        self._metadata = metadata
        self._content = content
        self._clock = clock
        self._age = max(min_age, lowest_age)
        self._pace = pace or Pace()
        self._swept_to: UUID | None = None

    async def run(self) -> None:
        """Sweep every hour, first after a random delay, so that nodes started together take turns.

        Raises `ForeignStore`, now or when it shows, so that the node becomes unready.
        """
        await self._claim()
        await asyncio.sleep(random.uniform(0, EVERY_S))  # noqa: S311 - jitter
        while True:
            try:
                await self.sweep()
            except Unavailable:
                log.warning("sweep_put_off", reason="a store does not answer")
            await asyncio.sleep(EVERY_S)

    async def sweep(self) -> int:
        """Remove the orphans that are old enough, and count them.

        The first sweep goes through all bodies, later ones through those that have become old since: a
        body that was named stays so until its deletion lists it as discarded.
        """
        await check_owner(self._metadata, self._content)
        before, scanned, removed = self.get_bound(), 0, 0
        suspects: list[Key] = []
        async for page, unnamed in self.find_unnamed(self._swept_to, before):
            scanned += page
            suspects += unnamed
            if len(suspects) >= self._pace.held:
                removed += await self.remove(suspects)
                suspects = []
            await asyncio.sleep(self._pace.pause_s)
        removed += await self.remove(suspects)
        self._swept_to = before
        self._removed(removed)
        log.info("orphans_swept", bodies=scanned, removed=removed)
        return removed

    def get_bound(self) -> UUID:
        """The id below which every body is old enough now."""
        return first_id_of(self._clock() - self._age)

    async def find_unnamed(self, after: UUID | None, before: UUID) -> AsyncIterator[tuple[int, list[Key]]]:
        """Page by page how many bodies there are between the two ids, and those that nothing names now."""
        while True:
            page = await self._content.list_body_ids(after, before, self._pace.page)
            if page:
                yield len(page), await self._pick_unnamed(page)
            if len(page) < self._pace.page:
                return
            after = page[-1][1]

    async def remove(self, suspects: Sequence[Key]) -> int:
        """Remove those that after a minute nothing names either; count them."""
        if not suspects:
            return 0
        await asyncio.sleep(self._pace.second_look_s)
        removed = 0
        for start in range(0, len(suspects), self._pace.page):
            unnamed = await self._pick_unnamed(suspects[start : start + self._pace.page])
            orphans = await self.pick_orphans(unnamed)
            await self._content.delete_bodies(orphans)
            removed += len(orphans)
        return removed

    async def pick_orphans(self, unnamed: Sequence[Key]) -> list[Key]:
        """Those whose chat is whole. Where rows are missing, theirs may be the texts that nothing names, and
        they are kept until somebody has looked at it."""
        by_chat: dict[int, set[UUID]] = {}
        for chat_id, body_id in unnamed:
            by_chat.setdefault(chat_id, set()).add(body_id)
        kept = [await self._find_kept(chat_id, body_ids) for chat_id, body_ids in by_chat.items()]
        return [key for key in unnamed if not any(key[1] in some for some in kept)]

    async def _claim(self) -> None:
        while True:
            try:
                return await claim_content(self._metadata, self._content)
            except Unavailable:
                await asyncio.sleep(CLAIM_AGAIN_S)

    async def _pick_unnamed(self, keys: Sequence[Key]) -> list[Key]:
        """Those that nothing names. Ids of another version carry no time, so they are never picked.

        Messages and revisions are asked before the discarded bodies, because a deletion moves names that
        way: one that happens in between is seen on one side at least.
        """

        async def find(unit: Unit) -> set[UUID]:
            ids = {body_id for _, body_id in keys if body_id.version == 7}
            ids -= await unit.audit.find_named(ids)
            return ids - await unit.audit.find_discarded(ids) if ids else ids

        unnamed = await self._metadata.read(find)
        return [key for key in keys if key[1] in unnamed]

    async def _find_kept(self, chat_id: int, body_ids: set[UUID]) -> set[UUID]:
        """Those that a message of their chat points to all the same; all, if rows of the chat are missing.

        Of a chat that never was there are no rows at all: a send into it is refused after its body was
        written.
        """
        chat = await self._metadata.read(lambda unit: unit.chats.find_chat(chat_id))
        pointed: set[UUID] = set()
        rows = damaged = 0
        after: int | None = BEFORE_ALL
        while after is not None:
            stretch = await self._metadata.read(partial(self._read_stretch, chat_id, body_ids, after))
            pointed |= stretch.pointed
            rows += stretch.rows
            damaged += stretch.damaged
            after = stretch.next_seq
        if chat is None:
            rest = await self._metadata.read(
                lambda unit: unit.audit.list_memberships((chat_id, BEFORE_ALL), chat_id, 1)
            )
            is_whole = not rows and not rest
        else:
            is_whole = rows >= chat.last_seq and not damaged
        if is_whole:
            return pointed
        log.warning(
            "orphans_kept", chat_id=chat_id, bodies=len(body_ids), reason="rows are missing; run fsck"
        )
        return body_ids

    async def _read_stretch(self, chat_id: int, body_ids: set[UUID], after: int, unit: Unit) -> Stretch:
        return await unit.audit.read_stretch(chat_id, body_ids, after, self._pace.messages)


def first_id_of(moment: datetime) -> UUID:
    """What no UUIDv7 of that millisecond or a later one lies below (RFC 9562, section 5.7)."""
    return UUID(int=max(0, int(moment.timestamp() * 1000)) << 80)
