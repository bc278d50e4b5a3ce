"""The command: one run on a loop of its own, its progress and its report."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import orjson
from uvicorn.loops.auto import auto_loop_factory

from chat_service.load.options import LoadFailed, LoadOptions
from chat_service.load.run import run_load


def measure(options: LoadOptions, json_file: Path | None) -> bool:
    """Run, print the report, write it to the file; True when nothing went wrong. Raises `LoadFailed`."""
    show = _show_line if sys.stderr.isatty() else _show_nothing
    try:
        with asyncio.Runner(loop_factory=auto_loop_factory()) as runner:
            report = runner.run(run_load(options, show))
    except KeyboardInterrupt:
        raise LoadFailed("Interrupted before anything was measured.") from None
    finally:
        show("")
    sys.stdout.write(report.to_text() + "\n")
    if json_file is not None:
        try:
            json_file.write_bytes(orjson.dumps(report.to_json(), option=orjson.OPT_INDENT_2) + b"\n")
        except OSError as error:
            raise LoadFailed(f"{json_file} cannot be written: {error.strerror}.") from error
    return report.is_clean


def _show_line(text: str) -> None:
    """In place of the line before; an empty text takes it away."""
    sys.stderr.write(f"\r\x1b[K{text}")
    sys.stderr.flush()


def _show_nothing(text: str) -> None:
    """Nobody is watching."""
