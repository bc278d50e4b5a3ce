"""The workloads of messages: `sends`, `latency`, `fanout` and `idle`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from bench.loads import measure
from bench.stack import Stack
from bench.targets import Results

SECONDS, RUNS = 4.0, 3
"""Of each run; and how many there are, of which the median is told."""
LIMITED = "bench.limited_server"
MANY_CHATS = {"chats": 100, "people": 10, "accounts": 20, "senders": 100, "window": 8}
"""1,000 connections of 20 people, who are all in 50 of the chats; each sender has 8 messages under way."""
ONE_CHAT = {"chats": 1, "people": 50, "senders": 8, "window": 8}
IDLE = 5_000
BIG_CHAT = {"chats": 1, "people": 50, "devices": 20}


Find = Callable[[Results], float]


def rate(run: Results) -> float:
    return float(run["messages_per_s"])


def delay(run: Results) -> float:
    return float(run["delivered_ms"]["p50"])


def efficiency(run: Results) -> float:
    return float(run["deliveries_per_server_cpu_s"])


def take_median(runs: Sequence[Results], find: Find) -> Results:
    """The run in the middle by this figure; beside it what the others came to, whose losses count too."""
    ordered = sorted(runs, key=find)
    middle = ordered.pop(len(ordered) // 2)
    others = {str(number): {name: run[name] for name in _OF_OTHERS} for number, run in enumerate(ordered, 1)}
    return {**middle, "spread": [find(min(runs, key=find)), find(max(runs, key=find))], "other_runs": others}


_OF_OTHERS = (
    *("messages_per_s", "deliveries_per_server_cpu_s", "delivered_ms"),
    *("lost", "duplicated", "misordered", "is_clean"),
)


def _run(
    stack: Stack, find: Find, *, runs: int = RUNS, module: str = "chat_service", **options: Any
) -> Results:
    """One service, so many runs of new groups and new sockets."""
    with stack.serve(module) as service:
        found = [measure(service, seconds=SECONDS, **options).summary() for _ in range(runs)]
    return take_median(found, find)


def sends(stack: Stack) -> dict[str, Any]:
    """Durable messages: 100 senders in 100 chats of 10, and 8 senders in one chat of 50; then the same with
    one message a transaction and one transaction at a time, once. There each sender has one message under
    way, which keeps that transaction as busy as eight would and lets none wait longer than a send may."""
    found = {}
    for name, options in (("many_chats", MANY_CHATS), ("one_chat", ONE_CHAT)):
        grouped = _run(stack, rate, **options)
        limited = _run(stack, rate, runs=1, module=LIMITED, **{**options, "window": 1})
        ratio = round(grouped["messages_per_s"] / max(0.1, limited["messages_per_s"]), 2)
        found[name] = {"grouped": grouped, "limited": limited, "ratio": ratio}
    return found


def latency(stack: Stack) -> dict[str, Any]:
    """200 messages a second, at their times whatever the server does, in 50 chats of 10."""
    return _run(stack, delay, chats=50, people=10, accounts=20, senders=50, rate=200)


def fanout(stack: Stack) -> dict[str, Any]:
    """One chat of 1,000 connections: one sender, and eight whose messages may share a write."""
    return {
        "one_sender": _run(stack, efficiency, senders=1, **BIG_CHAT),
        "eight_senders": _run(stack, efficiency, senders=8, window=2, **BIG_CHAT),
    }


def idle(stack: Stack) -> dict[str, Any]:
    """What 5,000 authenticated sockets that say nothing cost the server's memory."""
    with stack.serve() as service:
        measured = measure(service, chats=1, people=50, devices=IDLE // 50, senders=0, seconds=1.0)
    connections = measured.report.connections
    return {
        "connections": connections,
        "kb_per_connection": round(measured.grown_bytes / 1000 / max(1, connections), 1),
        "is_clean": measured.report.is_clean and connections == IDLE,
    }
