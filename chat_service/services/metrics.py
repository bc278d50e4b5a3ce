"""What a node counts of itself, for Prometheus; docs/metrics.md says what each means and when to worry.

One registry a node and nothing global, so that two nodes in one process do not add up. Names and units
follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
    generate_latest,
)

_LATENCIES_S = (0.0005, 0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.25, 0.5, 1, 2.5, 5)
_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
LAG_EVERY_S = 0.5


class Metrics:
    """The counters of one node. Everything here is cheap enough for every message."""

    def __init__(self) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call]  # a series each of when counting began
        self.registry = registry = CollectorRegistry()
        self.messages = Counter("chat_messages", "Messages stored by this node.", registry=registry)
        self.duplicates = Counter(
            "chat_duplicates_answered", "Sends whose key was stored already.", registry=registry
        )
        self.batch_size = Histogram(
            "chat_commit_batch_messages", "Messages of one commit.", buckets=_SIZES, registry=registry
        )
        self.deliveries = Counter("chat_deliveries", "Durable changes written to sockets.", registry=registry)
        self.commit_to_socket = Histogram(
            "chat_commit_to_socket_seconds",
            "From the commit of a change to its write to the last socket of this node.",
            buckets=_LATENCIES_S,
            registry=registry,
        )
        self.push_bytes = Counter(
            "chat_push_bytes", "Bytes of durable changes written to sockets.", registry=registry
        )
        self.slow_consumers = Counter(
            "chat_slow_consumers_closed", "Sockets closed with 4008.", registry=registry
        )
        self.resumes = Counter("chat_resumes", "Chats resumed by clients.", registry=registry)
        self.resume_changes = Histogram(
            "chat_resume_changes",
            "Versions that a resumed chat was behind.",
            buckets=_SIZES,
            registry=registry,
        )
        self.resyncs = Counter("chat_resyncs", "Chats that clients must read afresh.", registry=registry)
        self.holes = Counter(
            "chat_holes_filled", "Pages pushed because changes were missing.", registry=registry
        )
        self.refusals = Counter("chat_refusals", "Requests and frames refused.", ["code"], registry=registry)
        self.store_seconds = Histogram(
            "chat_store_seconds",
            "Calls of the stores.",
            ["store", "call"],
            buckets=_LATENCIES_S,
            registry=registry,
        )
        self.orphans = Counter("chat_orphan_bodies_removed", "Bodies that no row named.", registry=registry)
        self.bus_messages = Counter(
            "chat_bus_messages", "Messages between nodes.", ["outcome"], registry=registry
        )
        self.loop_lag = Histogram(
            "chat_event_loop_lag_seconds",
            "How late the event loop wakes a task.",
            buckets=_LATENCIES_S,
            registry=registry,
        )

    def watch_gauge(self, name: str, text: str, read: Callable[[], float]) -> None:
        """Read a value when it is asked for, instead of keeping it in step."""
        Gauge(name, text, registry=self.registry).set_function(read)

    def observe_store(self, store: str) -> Callable[[str, float], None]:
        """What a store's adapter calls with the name of a call and its seconds."""
        return lambda call, seconds: self.store_seconds.labels(store, call).observe(seconds)

    def observe_bus(self, outcome: str, count: int) -> None:
        """What the bus calls with the number of messages `sent`, `received`, `dropped` or `ignored`."""
        self.bus_messages.labels(outcome).inc(count)

    async def watch_loop(self) -> None:
        """One long task: measure how late it is woken."""
        loop = asyncio.get_running_loop()
        while True:
            due_s = loop.time() + LAG_EVERY_S
            await asyncio.sleep(LAG_EVERY_S)
            self.loop_lag.observe(max(0.0, loop.time() - due_s))

    def render(self) -> bytes:
        """The text format of Prometheus, version 0.0.4."""
        return generate_latest(self.registry)
