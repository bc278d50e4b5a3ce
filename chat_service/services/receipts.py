"""Read and delivered positions: the newest of each is kept, written together, answered, then told.

A chat whose people all mark every message would otherwise cost the square of their number.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import StrEnum

import structlog

from chat_service.domain import pushes
from chat_service.domain.errors import ChatError, Internal, NotFound, Unavailable
from chat_service.domain.events import ChatSignalled
from chat_service.domain.models import Caller, Position
from chat_service.domain.rules import POSITIONS_PUSHED_UP_TO
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.metadata import MetadataStore, Unit

log = structlog.get_logger()

MAX_BATCH = 500
MAX_WAITING = 10_000
PUSH_EVERY_S = 1.0


class PositionKind(StrEnum):
    """Which position moves; the value is the type of its push."""

    READ = "messages_read"
    DELIVERED = "messages_delivered"


Key = tuple[int, int]
"""(chat_id, user_id)"""
Done = Callable[[int | ChatError], None]
"""Gets the position now held, or why it could not be moved."""


@dataclass(slots=True)
class _Wish:
    read_seq: int = 0
    delivered_seq: int = 0
    done: list[tuple[PositionKind, Done]] = field(default_factory=list)


class ReceiptService:
    """`run` is one long task; `submit` and `move_position` are the ways in."""

    def __init__(self, metadata: MetadataStore, bus: Bus) -> None:
        self._metadata = metadata
        self._bus = bus
        self._waiting: dict[Key, _Wish] = {}
        self._wakeup = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()
        self._pushes = _PushPacer(bus)

    def submit(self, caller: Caller, chat_id: int, kind: PositionKind, seq: int, done: Done) -> None:
        """Queue a position; `done` is called once, on the event loop. Raises `Unavailable` beyond 10,000."""
        if len(self._waiting) >= MAX_WAITING:
            raise Unavailable
        wish = self._waiting.setdefault((chat_id, caller.id), _Wish())
        if kind is PositionKind.READ:
            wish.read_seq = max(wish.read_seq, seq)
        else:
            wish.delivered_seq = max(wish.delivered_seq, seq)
        wish.done.append((kind, done))
        self._idle.clear()
        self._wakeup.set()

    async def move_position(self, caller: Caller, chat_id: int, kind: PositionKind, seq: int) -> int:
        """Move a position forward and return the one now held: never back, never above the last seq."""
        outcome: asyncio.Future[int | ChatError] = asyncio.get_running_loop().create_future()

        def done(result: int | ChatError) -> None:
            if not outcome.done():
                outcome.set_result(result)

        self.submit(caller, chat_id, kind, seq, done)
        result = await outcome
        if isinstance(result, ChatError):
            raise result
        return result

    async def run(self) -> None:
        while True:
            await self._wakeup.wait()
            keys = list(self._waiting)[:MAX_BATCH]
            if not keys:
                self._wakeup.clear()
                self._idle.set()
                continue
            await self._write({key: self._waiting.pop(key) for key in keys})

    async def drain(self) -> None:
        """Return when every position that was taken has its answer."""
        await self._idle.wait()

    async def _write(self, wishes: dict[Key, _Wish]) -> None:
        try:
            moves = await self._metadata.transact(lambda unit: _move(unit, wishes))
        except Exception as error:  # whoever waits must be answered, whatever went wrong
            if not isinstance(error, ChatError):
                log.exception("positions_failed", positions=len(wishes))
            refusal = error if isinstance(error, ChatError) else Internal()
            refused = list(wishes.values())
            if isinstance(error, Unavailable):  # who waited meanwhile would meet the same store: not twice
                refused += self._waiting.values()
                self._waiting.clear()
            for wish in refused:
                for _, done in wish.done:
                    done(refusal)
            return
        for key, wish in wishes.items():
            for kind, done in wish.done:
                done(_seq(moves[key].now, kind) if key in moves else NotFound())
        for key, move in moves.items():
            if move.participant_count <= POSITIONS_PUSHED_UP_TO:
                self._push(key, move)

    def _push(self, key: Key, move: _Move) -> None:
        for kind in PositionKind:
            if _seq(move.now, kind) > _seq(move.before, kind):
                self._pushes.push(key, kind, _seq(move.now, kind))


@dataclass(frozen=True, slots=True)
class _Move:
    before: Position
    now: Position
    participant_count: int


async def _move(unit: Unit, wishes: dict[Key, _Wish]) -> dict[Key, _Move]:
    """Write what has moved; those who are not in the chat are left out of the answer."""
    held = await unit.participants.get_positions(list(wishes))
    moves = {
        key: _Move(position, _advance(position, wishes[key], last_seq), count)
        for key, (position, last_seq, count) in held.items()
    }
    moved = {key: one.now for key, one in moves.items() if one.now != one.before}
    if moved:
        positions = {key: (now.read_seq, now.delivered_seq) for key, now in moved.items()}
        await unit.participants.advance_positions(positions)
        # Another node may have moved them further since they were read; now their rows are ours.
        for key, (now, _, _) in (await unit.participants.get_positions(list(moved))).items():
            moves[key] = replace(moves[key], now=now)
    return moves


def _advance(old: Position, wish: _Wish, last_seq: int) -> Position:
    return Position(
        old.user_id,
        max(old.read_seq, min(wish.read_seq, last_seq)),
        max(old.delivered_seq, min(wish.delivered_seq, last_seq)),
    )


def _seq(position: Position, kind: PositionKind) -> int:
    return position.read_seq if kind is PositionKind.READ else position.delivered_seq


class _PushPacer:
    """At most one push a user, chat and second; the newest position is always told in the end."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._newest: dict[tuple[Key, PositionKind], int | None] = {}

    def push(self, key: Key, kind: PositionKind, seq: int) -> None:
        if (key, kind) in self._newest:
            self._newest[key, kind] = seq
        else:
            self._tell(key, kind, seq)

    def _tell(self, key: Key, kind: PositionKind, seq: int) -> None:
        chat_id, user_id = key
        self._newest[key, kind] = None
        self._bus.publish([ChatSignalled(chat_id, pushes.position_moved(kind, chat_id, user_id, seq))])
        asyncio.get_running_loop().call_later(PUSH_EVERY_S, self._rest, key, kind)

    def _rest(self, key: Key, kind: PositionKind) -> None:
        """The second is over: tell what has moved meanwhile, or forget the key."""
        seq = self._newest.pop((key, kind))
        if seq is not None:
            self._tell(key, kind, seq)
