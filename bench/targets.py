"""What is aimed at on two cores that server, databases and generator share, and how far a run got."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Results = dict[str, Any]


@dataclass(frozen=True)
class Target:
    workload: str
    title: str
    unit: str
    goal: float
    find: Callable[[Results], float]
    is_upper_bound: bool = False

    def share(self, results: Results) -> float:
        """How much of the goal was reached; 1 and above is met."""
        value = self.find(results)
        if self.is_upper_bound:
            return self.goal / value if value else 9.99
        return value / self.goal if self.goal else float(value <= 0)


TARGETS = (
    Target(
        "sends",
        "durable sends, 100 senders in 100 chats of 10",
        "messages/s",
        4_500,
        lambda found: found["many_chats"]["grouped"]["messages_per_s"],
    ),
    Target(
        "sends", "the same over one message a transaction", "×", 4, lambda found: found["many_chats"]["ratio"]
    ),
    Target(
        "sends",
        "durable sends, 8 senders in one chat of 50",
        "messages/s",
        1_800,
        lambda found: found["one_chat"]["grouped"]["messages_per_s"],
    ),
    Target(
        "latency",
        "send to delivered at 200 messages/s, p50",
        "ms",
        3,
        lambda found: found["delivered_ms"]["p50"],
        is_upper_bound=True,
    ),
    Target(
        "latency",
        "send to delivered at 200 messages/s, p99",
        "ms",
        8,
        lambda found: found["delivered_ms"]["p99"],
        is_upper_bound=True,
    ),
    Target(
        "fanout",
        "fan-out to 1,000 connections, one sender",
        "deliveries/CPU s",
        130_000,
        lambda found: found["one_sender"]["deliveries_per_server_cpu_s"],
    ),
    Target(
        "fanout",
        "fan-out to 1,000 connections, eight senders",
        "deliveries/CPU s",
        450_000,
        lambda found: found["eight_senders"]["deliveries_per_server_cpu_s"],
    ),
    Target(
        "history",
        "cost of a page at 1,000,000 messages over 10,000",
        "×",
        1.3,
        lambda found: found["cost_ratio"],
        is_upper_bound=True,
    ),
    Target(
        "history",
        "pages of 50 at 1,000,000 messages, 8 readers",
        "pages/s",
        400,
        lambda found: found["large"]["pages_per_s"],
    ),
    Target(
        "idle",
        "memory of an idle connection, of 5,000",
        "kB",
        45,
        lambda found: found["kb_per_connection"],
        is_upper_bound=True,
    ),
    Target(
        "start",
        "embedded start to the first answer",
        "s",
        1.5,
        lambda found: found["median_s"],
        is_upper_bound=True,
    ),
    Target(
        "web",
        "first useful paint, signed in, empty cache",
        "ms",
        1_000,
        lambda found: found["cold"]["useful_ms"],
        is_upper_bound=True,
    ),
    Target(
        "web",
        "script, style and font, all of it, compressed",
        "kB",
        120,
        lambda found: found["weight_kb"]["all"],
        is_upper_bound=True,
    ),
    Target(
        "web",
        "opening a chat of 100,000 messages",
        "ms",
        300,
        lambda found: found["open_large_chat_ms"],
        is_upper_bound=True,
    ),
    Target(
        "web",
        "longest task at 100 incoming messages/s",
        "ms",
        50,
        lambda found: found["incoming"]["longest_task_ms"],
        is_upper_bound=True,
    ),
    Target(
        "web",
        "one's own message on screen",
        "frames",
        1,
        lambda found: found["own_message"]["frames"],
        is_upper_bound=True,
    ),
)


def count_wrong(results: Any) -> int:
    """Lost, duplicated and misordered deliveries of all runs together; must be 0."""
    own = sum(results.get(name, 0) for name in ("lost", "duplicated", "misordered"))
    return own + sum(count_wrong(value) for value in results.values() if isinstance(value, dict))


def list_unclean(results: Results, name: str = "") -> list[str]:
    """The runs in which a send was refused or not answered, a socket was closed or not opened, or anything
    was wrong with a delivery. What they measured is not what they say."""
    own = [name] if results.get("is_clean") is False else []
    parts = ((f"{name} {key}".strip(), value) for key, value in results.items() if isinstance(value, dict))
    return own + [found for key, value in parts for found in list_unclean(value, key)]
