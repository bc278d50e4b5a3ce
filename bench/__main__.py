"""`python -m bench [WORKLOAD…] [--publish]`; see `./scripts/bench --help`."""

from __future__ import annotations

import argparse
import os
import sys
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from bench import background, messages, reading, returning, stores, web, yardstick
from bench.report import describe_machine, publish, to_table, write_latest
from bench.stack import Stack, allow_many_files
from bench.targets import count_wrong, list_unclean
from tests.programs import MissingProgramError
from tests.servers import ServerStartError

WORKLOADS = {
    "sends": messages.sends,
    "latency": messages.latency,
    "fanout": messages.fanout,
    "history": reading.history,
    "idle": messages.idle,
    "returns": returning.returns,
    "background": background.background,
    "rest": reading.rest,
    "start": reading.start,
    "stores": stores.stores,
    "web": web.web,
}


def main() -> int:
    described = "\n".join(
        f"  {name:<8} {' '.join((work.__doc__ or '').split())}" for name, work in WORKLOADS.items()
    )
    parser = argparse.ArgumentParser(
        prog="scripts/bench",
        description=__import__("bench").__doc__,
        epilog=f"workloads (all, if none is named):\n{described}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("workloads", nargs="*", metavar="WORKLOAD")
    parser.add_argument("--publish", action="store_true", help="write docs/bench/; needs all workloads")
    asked = parser.parse_args()
    unknown = set(asked.workloads) - set(WORKLOADS)
    if unknown:
        parser.error(f"there is no workload {', '.join(sorted(unknown))}")
    names = [name for name in WORKLOADS if name in asked.workloads or not asked.workloads]
    if asked.publish and len(names) < len(WORKLOADS):
        parser.error("only a run of all workloads is published")
    allow_many_files()
    columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True)) as progress, Stack() as stack:
        found: dict[str, Any] = {
            "machine": describe_machine(stack),
            "workloads": {},
            "load_averages": {},
            "yardsticks": {},
        }
        bar = progress.add_task("", total=len(names))
        for name in names:
            progress.update(bar, description=name)
            found["load_averages"][name] = round(os.getloadavg()[0], 2)
            found["yardsticks"][name] = yardstick.measure()._asdict()
            found["workloads"][name] = WORKLOADS[name](stack)
            write_latest(found)
            progress.advance(bar)
    print(to_table(found))
    if unclean := list_unclean(found["workloads"]):
        print(f"not clean: {', '.join(unclean)}", file=sys.stderr)
    if unclean or count_wrong(found["workloads"]):
        return 1  # and nothing is published
    if asked.publish:
        publish(found)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (MissingProgramError, ServerStartError) as error:
        sys.exit(str(error))
