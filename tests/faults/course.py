"""What a fault is, and what it works with: the stage, the load on it, how long and how often."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from tests.faults.load import Load, Size
from tests.faults.stage import Stage
from tests.faults.verdict import Injection, Target

off = asyncio.to_thread
"""What blocks goes off the loop, on which all clients live."""


@dataclass(frozen=True)
class Form:
    """The short form of every day, and the long one that docs/faults.md is made from."""

    size: Size
    many: Size
    """For the rolling restart."""
    kills: int
    every_s: float
    frozen_s: float
    away_s: float
    """How long something that was killed stays away where it does not come back at once."""
    cancels: int
    slow_messages: int
    """Of 10,000 characters each, for people who do not read."""
    calm_s: float
    """Before the first injection and after the last one."""
    election_ms: int
    drain_s: float


SHORT = Form(
    size=Size(people=12, devices=5, chats=10, chat_people=4, rate=40),
    many=Size(people=12, devices=10, chats=10, chat_people=4, rate=20),
    kills=2,
    every_s=1.0,
    frozen_s=2.0,
    away_s=1.0,
    cancels=1_000,
    slow_messages=150,
    calm_s=0.3,
    election_ms=2_000,
    drain_s=2.0,
)
LONG = Form(
    size=Size(people=100, devices=5, chats=50, chat_people=10, rate=100),
    many=Size(people=100, devices=20, chats=50, chat_people=10, rate=20),
    kills=12,
    every_s=5.0,
    frozen_s=30.0,
    away_s=10.0,
    cancels=100_000,
    slow_messages=3_000,
    calm_s=3.0,
    election_ms=10_000,
    drain_s=2.0,
)


@dataclass
class Course:
    """One fault at work."""

    stage: Stage
    load: Load
    form: Form
    injections: list[Injection] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def now_s(self) -> float:
        return asyncio.get_running_loop().time()

    def struck(self, at_s: float, *, gone: bool = True) -> None:
        """Something was hit then, and is back now; without `gone` nothing was away."""
        self.injections.append(Injection(at_s, self.now_s() - at_s if gone else 0.0))

    def note(self, sentence: str) -> None:
        """To stand below the table."""
        self.notes.append(sentence)

    async def rest_until(self, at_s: float) -> None:
        await asyncio.sleep(max(0.0, at_s - self.now_s()))


Inject = Callable[[Course], Awaitable[None]]
"""Returns once whatever it broke is whole again, or on the way there by itself."""


@dataclass(frozen=True)
class Fault:
    name: str
    inject: Inject
    target: Target | None = None
    by_wire: bool = False
    """Clients come in by the network that the fault is about."""
    has_many: bool = False
    """Under `Form.many` connections."""
    is_control: bool = False
    """It breaks nothing: what the others are compared with."""
    is_long: bool = False
    """Left out of the tests of every day: it takes its time, or one of them has it in another way."""
