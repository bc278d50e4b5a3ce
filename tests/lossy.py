"""A Redis bus that loses, doubles and delays a fifth of its messages each, as a network in trouble would."""

from __future__ import annotations

import asyncio
import random
from functools import partial
from uuid import UUID

from chat_service.adapters.bus_redis import RedisBus

SHARE = 0.2
LATE_S = 0.4
_ALIVE_BYTES = 18


class LossyBus(RedisBus):
    """What it says is damaged on its way to Redis; signs of life pass, so that it thinks itself healthy."""

    def __init__(self, url: str, node_id: UUID, *, seed: int = 1) -> None:
        super().__init__(url, node_id)
        self._chance = random.Random(seed)
        self.lost = self.doubled = self.delayed = 0

    def _enqueue(self, channel: bytes, message: bytes, *, may_wait: bool) -> None:
        send = partial(super()._enqueue, may_wait=may_wait)
        draw = self._chance.random()
        if len(message) == _ALIVE_BYTES:
            send(channel, message)
        elif draw < SHARE:
            self.lost += 1
        elif draw < 2 * SHARE:
            self.doubled += 1
            send(channel, message)
            send(channel, message)
        elif draw < 3 * SHARE:
            self.delayed += 1
            late_s = self._chance.uniform(0, LATE_S)
            asyncio.get_running_loop().call_later(late_s, send, channel, message)
        else:
            send(channel, message)
