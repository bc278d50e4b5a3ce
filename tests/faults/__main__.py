"""`./scripts/faults`: every fault in its long form, and docs/faults.md from what came of it.

`./scripts/faults Redis rolling` plays the faults whose names hold one of the words, in the words' order. What
came of it without a violation is kept below bench-results/; the page is written from there once it has every
fault. `--short` plays the short form, as the tests do; the page says so where there is no long one.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Coroutine
from typing import Any, TypeVar

from uvicorn.loops.auto import auto_loop_factory

from tests.faults.chapter import play, register
from tests.faults.course import LONG, SHORT, Fault, Form
from tests.faults.crossing import measure, two_nodes
from tests.faults.faults import FAULTS
from tests.faults.page import PAGE
from tests.faults.results import ACROSS, keep_crossing, keep_verdict, list_missing, write_page
from tests.faults.stage import Stage, allow_many_files
from tests.faults.verdict import Verdict

T = TypeVar("T")


def run(work: Coroutine[Any, Any, T]) -> T:
    """On uvloop where it is: what the clients need, the nodes do not have."""
    with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
        return runner.run(work)


async def play_all(stage: Stage, faults: list[Fault], form: Form) -> list[Verdict]:
    people = await register(stage, form)
    verdicts = []
    for fault in faults:
        began_s = time.monotonic()
        verdict = await play(stage, people, fault, form)
        verdicts.append(verdict)
        keep_verdict(verdict, form)
        print(f"{time.monotonic() - began_s:5.0f} s  {verdict.row}", flush=True)
        for problem in verdict.problems[:20]:
            print(f"         {problem}", flush=True)
    return verdicts


def main() -> int:
    parser = argparse.ArgumentParser(prog="./scripts/faults", description=__doc__)
    parser.add_argument("words", nargs="*")
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--write", action="store_true", help="only write the page from what is kept")
    given = parser.parse_args()
    if given.write:
        return tell_of_page(needs_all=True)
    form = SHORT if given.short else LONG
    words = given.words or [""]
    faults = list(dict.fromkeys(one for word in words for one in FAULTS if word in one.name))
    allow_many_files()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what was started and mounted is tidied up
    with Stage(election_ms=form.election_ms, drain_s=form.drain_s) as stage:
        if not given.words or ACROSS in given.words:
            with two_nodes(stage) as nodes:
                crossing = run(measure(nodes))
            print(crossing, flush=True)
            keep_crossing(crossing)
        verdicts = run(play_all(stage, faults, form))
    if any(verdict.problems for verdict in verdicts):
        return 1
    return tell_of_page(needs_all=not given.words)


def tell_of_page(*, needs_all: bool) -> int:
    if missing := list_missing():
        print(f"no page yet: {', '.join(missing)} is missing")
        return 1 if needs_all else 0
    unexplained = write_page()
    print(f"wrote {PAGE}", *(f"missed without a reason: {one}" for one in unexplained), sep="\n")
    return 1 if unexplained else 0


if __name__ == "__main__":
    sys.exit(main())
