"""The time as a value that is handed in, so that tests can turn it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the present time, aware and in UTC."""


def system_clock() -> datetime:
    return datetime.now(UTC)
