"""What happens when a node dies: its clients come back to the others, each after a pause drawn by chance.

A node is a queue here: it has a share of its core to spare, and each return takes some CPU time. Who has
waited for five seconds is refused (1013) without having cost anything, pauses for a random part of twice its
last pause at most, and tries again: full jitter. A real node works on many returns at once, so that early
ones take longer than here and the last ones as long.
"""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass

PATIENCE_S = 5.0
"""A store call that has waited this long is given up, and the socket closed with 1013."""
LONGEST_PAUSE_S = 30.0


@dataclass(frozen=True)
class Stampede:
    half_back_s: float
    nearly_all_back_s: float
    """99 of 100."""
    all_back_s: float
    refusals: int
    longest_wait_s: float
    """In the queue of a node, of those who were let in."""


def simulate(
    *, clients: int, nodes: int, return_cpu_s: float, spare: float, first_pause_s: float, seed: int = 1
) -> Stampede:
    """`clients` of a node that died come back to the `nodes` that are left, of which each has `spare` of a
    core for them; the balancer sends each to the node with the fewest of them."""
    rng = random.Random(seed)
    takes_s = return_cpu_s / spare
    free_at_s = [0.0] * nodes
    sent = [(0, node) for node in range(nodes)]
    tries = [(rng.uniform(0, first_pause_s), number, first_pause_s) for number in range(clients)]
    heapq.heapify(tries)
    back: list[float] = []
    refusals, longest_wait_s = 0, 0.0
    while tries:
        now_s, number, pause_s = heapq.heappop(tries)
        count, node = sent[0]
        wait_s = max(0.0, free_at_s[node] - now_s)
        if wait_s > PATIENCE_S:
            refusals += 1
            pause_s = min(LONGEST_PAUSE_S, 2 * pause_s)
            heapq.heappush(tries, (now_s + PATIENCE_S + rng.uniform(0, pause_s), number, pause_s))
            continue
        heapq.heapreplace(sent, (count + 1, node))
        longest_wait_s = max(longest_wait_s, wait_s)
        free_at_s[node] = now_s + wait_s + takes_s
        back.append(free_at_s[node])
    back.sort()
    return Stampede(back[len(back) // 2], back[len(back) * 99 // 100], back[-1], refusals, longest_wait_s)
