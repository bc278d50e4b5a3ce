"""The command `fsck` at its terminal: findings on stdout, progress on stderr, an exit code, a clean Ctrl-C.

What is checked is the business of `services.fsck`; this module decides nothing.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from dataclasses import asdict, dataclass

import orjson
from sqlalchemy.exc import DBAPIError

from chat_service.app import StartupError, make_store_clock, open_stores
from chat_service.domain.errors import Unavailable
from chat_service.logs import configure_logging
from chat_service.services.fsck import Fsck, Options, Summary
from chat_service.services.fsck_chats import Finding
from chat_service.settings import Settings

CLEAN, FOUND, FAILED, INTERRUPTED = 0, 1, 2, 130
"""Exit codes; the last is what a shell gives a program that Ctrl-C has ended."""


@dataclass(frozen=True, slots=True)
class Output:
    """How a check is told. `with_progress` None: if stderr is a terminal."""

    as_json: bool = False
    with_progress: bool | None = None


def run_fsck(settings: Settings, options: Options, output: Output) -> int:
    """Check the configured stores and return the exit code. Whatever stops it is told in one line."""
    configure_logging("error", settings.environment)
    writer = _Writer(output)
    try:
        return asyncio.run(_check(settings, options, writer))
    except StartupError as error:
        writer.say(str(error))
    except Unavailable:
        writer.say(f"A store has stopped answering. {writer.how_to_go_on()}")
    except DBAPIError as error:
        writer.say(f"The metadata store cannot be read: {error.orig}. {writer.how_to_go_on()}")
    except asyncio.CancelledError:
        writer.say(f"Interrupted. {writer.how_to_go_on()}")
        return INTERRUPTED
    return FAILED


async def _check(settings: Settings, options: Options, writer: _Writer) -> int:
    task = asyncio.current_task()
    assert task is not None  # noqa: S101 - a coroutine that asyncio.run runs is in one
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    async with open_stores(settings) as (metadata, content):
        clock = await make_store_clock(settings, metadata)
        check = Fsck(metadata, content, clock, options, writer.write_finding, writer.show_progress)
        writer.summary = check.summary
        await check.run()
        writer.write_summary(options)
        return FOUND if check.summary.findings else CLEAN


class _Writer:
    def __init__(self, output: Output) -> None:
        self._as_json = output.as_json
        self._is_terminal = sys.stderr.isatty()
        self._has_progress = self._is_terminal if output.with_progress is None else output.with_progress
        self._began_s = time.monotonic()
        self._shown_s = 0.0
        self._is_line_open = False
        self.summary: Summary | None = None

    def write_finding(self, finding: Finding) -> None:
        self._write(orjson.dumps(finding.as_dict()).decode() if self._as_json else str(finding))

    def write_summary(self, options: Options) -> None:
        """Of the check that has come to its end."""
        summary = self.summary
        assert summary is not None  # noqa: S101 - set before the check began
        if self._as_json:
            seconds = {"seconds": round(time.monotonic() - self._began_s, 3)}
            self._write(orjson.dumps({"summary": asdict(summary) | seconds}).decode())
            return
        self._write(
            f"Checked {summary.chats:,} chats, {summary.messages:,} messages, {summary.bodies:,} bodies, "
            f"{summary.revisions:,} revisions, {summary.hides:,} hides and {summary.discarded:,} discarded "
            f"bodies in {time.monotonic() - self._began_s:.1f} s ({self._rate():,} messages/s)."
        )
        removed = f"; {summary.removed:,} removed" if options.repair else ""
        hours = options.min_age.total_seconds() / 3600
        kept = f"; {summary.kept:,} more kept, of damaged chats" if summary.kept else ""
        self._write(
            f"Orphans: {summary.orphans:,} of {summary.scanned:,} bodies older than {hours:g} h"
            f"{removed}{kept}."
        )
        repaired = f", {summary.repaired:,} repaired" if options.repair else ""
        self._write(f"Findings: {summary.findings:,}{repaired}.")

    def show_progress(self, summary: Summary) -> None:
        now_s = time.monotonic()
        if not self._has_progress or now_s - self._shown_s < (0.2 if self._is_terminal else 5.0):
            return
        self._shown_s = now_s
        text = (
            f"{summary.chats:,}/{summary.chats_total:,} chats, {summary.messages:,} messages, "
            f"{self._rate():,} messages/s, {summary.scanned:,} bodies, {summary.findings:,} findings"
        )
        sys.stderr.write(f"\r\x1b[K{text}" if self._is_terminal else f"{text}\n")
        sys.stderr.flush()
        self._is_line_open = self._is_terminal

    def say(self, sentence: str) -> None:
        """To the operator, on stderr."""
        self._close_line()
        sys.stderr.write(f"chat-service: {sentence}\n")

    def how_to_go_on(self) -> str:
        if self.summary is None:
            return "Nothing has been checked."
        return f"Go on with: chat-service fsck --from-chat {self.summary.next_chat_id}"

    def _rate(self) -> int:
        summary = self.summary
        return round(summary.messages / max(time.monotonic() - self._began_s, 0.001)) if summary else 0

    def _write(self, line: str) -> None:
        self._close_line()
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    def _close_line(self) -> None:
        if self._is_line_open:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()
            self._is_line_open = False
