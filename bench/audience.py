"""How many people, and how many nodes, hear a message: by chats of very different sizes, drawn by chance.

A mean would do for the people. For the nodes it would not: a large chat has a listener on every node, a
direct one on one or two, and the bus carries a message once to each node.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

SAMPLES = 20_000
ONLINE = 0.3
"""The share of a chat's people who hold a socket."""
LARGEST = 5_000
"""People of a group, by the default of CHAT_MAX_PARTICIPANTS."""


@dataclass(frozen=True)
class Audience:
    """Means of one message, and the hundredth of messages that reach the most people."""

    sockets: float
    nodes: float
    sockets_p99: int


def draw_chat_size(rng: random.Random) -> int:
    """People in the chat that a message is written to. Half of all messages are in direct chats, most others
    in groups of some ten people, and one in a hundred in a group without an upper end to speak of."""
    kind = rng.random()
    if kind < 0.5:
        return 2
    if kind < 0.99:
        return max(3, round(rng.lognormvariate(2.3, 0.8)))
    return min(LARGEST, round(100 * rng.paretovariate(1.0)))


def simulate(nodes: int, seed: int = 1) -> Audience:
    """Listeners are on any node with the same chance, as a balancer spreads them."""
    rng, places = random.Random(seed), random.Random(seed + 1)
    listeners, hearing = [], 0
    for _ in range(SAMPLES):
        others = draw_chat_size(rng) - 1
        online = 1 + sum(rng.random() < ONLINE for _ in range(others))  # who writes is there
        listeners.append(online)
        hearing += len({places.randrange(nodes) for _ in range(online)})
    listeners.sort()
    return Audience(sum(listeners) / SAMPLES, hearing / SAMPLES, listeners[SAMPLES * 99 // 100])
