"""One run of the load generator in this process, with what the service used meanwhile."""

from __future__ import annotations

import asyncio
import sys
import time
from dataclasses import dataclass, field
from typing import Any

from uvicorn.loops.auto import auto_loop_factory

from bench.stack import Service, Usage, resident_bytes
from chat_service.load.options import LoadOptions
from chat_service.load.report import LoadReport
from chat_service.load.run import Moment, run_load


@dataclass
class Measured:
    report: LoadReport
    usage: Usage
    """From the first message until all had arrived."""
    generator_s: float
    """CPU seconds of the generator in the same time."""
    grown_bytes: int
    """By how much the server grew while the sockets were opened."""

    def summary(self) -> dict[str, Any]:
        """What every workload of messages tells."""
        report = self.report
        return {
            **report.to_json(),
            "cpu_s_per_1000_messages": self.usage.per(report.acknowledged, 1_000),
            "cpu_s_per_100000_deliveries": self.usage.per(report.deliveries, 100_000),
            "deliveries_per_server_cpu_s": round(report.deliveries / max(self.usage.server, 0.01)),
            "generator_cpu_s": round(self.generator_s, 2),
        }


@dataclass
class _Samples:
    service: Service
    taken: dict[Moment, tuple[Usage, float, int]] = field(default_factory=dict)

    def take(self, moment: Moment) -> None:
        self.taken[moment] = (self.service.usage(), time.process_time(), resident_bytes(self.service.pid))


def measure(service: Service, **options: Any) -> Measured:
    """Run the load generator against a service. The options are those of `chat-service load`."""
    samples = _Samples(service)
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        report = runner.run(run_load(LoadOptions(service.url, **options), _say_nothing, samples.take))
    opening, sending, settled = (samples.taken[moment] for moment in Moment)
    if not report.is_clean:
        print(report.to_text(), file=sys.stderr)
    return Measured(report, settled[0] - sending[0], settled[1] - sending[1], sending[2] - opening[2])


def _say_nothing(_: str) -> None:
    """The bench tells its own progress."""
