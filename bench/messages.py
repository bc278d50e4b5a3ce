"""The workloads of messages: `sends`, `latency`, `fanout` and `idle`."""

from __future__ import annotations

from typing import Any

from bench.loads import Measured, measure
from bench.stack import Stack

SECONDS = 10.0
LIMITED = "bench.limited_server"
MANY_CHATS = {"chats": 100, "people": 10, "accounts": 20, "senders": 100, "window": 8}
"""1,000 connections of 20 people, who are all in 50 of the chats; each sender has 8 messages under way."""
ONE_CHAT = {"chats": 1, "people": 50, "senders": 8, "window": 8}
IDLE = 5_000
BIG_CHAT = {"chats": 1, "people": 50, "devices": 20}


def _run(stack: Stack, *, module: str = "chat_service", **options: Any) -> Measured:
    with stack.serve(module) as service:
        return measure(service, seconds=SECONDS, **options)


def sends(stack: Stack) -> dict[str, Any]:
    """Durable messages: 100 senders in 100 chats of 10, and 8 senders in one chat of 50; then the same with
    one message a transaction and one transaction at a time."""
    found = {}
    for name, options in (("many_chats", MANY_CHATS), ("one_chat", ONE_CHAT)):
        grouped = _run(stack, **options).summary()
        limited = _run(stack, module=LIMITED, **options).summary()
        ratio = round(grouped["messages_per_s"] / max(0.1, limited["messages_per_s"]), 2)
        found[name] = {"grouped": grouped, "limited": limited, "ratio": ratio}
    return found


def latency(stack: Stack) -> dict[str, Any]:
    """200 messages a second, at their times whatever the server does, in 50 chats of 10."""
    return _run(stack, chats=50, people=10, accounts=20, senders=50, rate=200).summary()


def fanout(stack: Stack) -> dict[str, Any]:
    """One chat of 1,000 connections: one sender, and eight whose messages may share a write."""
    return {
        "one_sender": _run(stack, senders=1, **BIG_CHAT).summary(),
        "eight_senders": _run(stack, senders=8, window=2, **BIG_CHAT).summary(),
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
