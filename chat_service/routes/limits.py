"""The limits of a socket, as `connected` and `/info` tell them, and how floods are met."""

from __future__ import annotations

import time

from chat_service.domain.errors import RateLimited
from chat_service.services.connections import CONNECTIONS_PER_USER, OUTBOUND_BYTES
from chat_service.settings import Settings

FRAME_BYTES = 256 * 1024
FRAMES_PER_S = 100
BURST_FRAMES = 200
STRIKES = 100
"""So many refused frames within ten seconds are a flood, and the socket is closed with 1008."""
STRIKES_WITHIN_S = 10.0


def socket_limits(settings: Settings) -> dict[str, int | None]:
    """None means that the operator has lifted the limits by rate or count."""
    is_limited = settings.rate_limits_enabled
    return {
        "frame_bytes": FRAME_BYTES,
        "frames_per_s": FRAMES_PER_S if is_limited else None,
        "connections_per_user": CONNECTIONS_PER_USER if is_limited else None,
        "outbound_bytes": OUTBOUND_BYTES,
        "message_chars": settings.max_message_chars,
        "participants": settings.max_participants,
    }


class FrameBudget:
    """A token bucket for the frames of one socket, and a count of those that were refused."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._tokens = float(BURST_FRAMES)
        self._filled_at_s = time.monotonic()
        self._strikes = 0
        self._struck_at_s = 0.0

    def take(self) -> None:
        """Pay for one frame; raises `RateLimited` with the time until the next one may pass."""
        if not self._enabled:
            return
        now_s = time.monotonic()
        self._tokens = min(BURST_FRAMES, self._tokens + (now_s - self._filled_at_s) * FRAMES_PER_S)
        self._filled_at_s = now_s
        if self._tokens < 1:
            raise RateLimited(retry_after_s=(1 - self._tokens) / FRAMES_PER_S)
        self._tokens -= 1

    def strike(self) -> bool:
        """Count a refused frame; True when there have been too many."""
        now_s = time.monotonic()
        if now_s - self._struck_at_s > STRIKES_WITHIN_S:
            self._struck_at_s, self._strikes = now_s, 0
        self._strikes += 1
        return self._enabled and self._strikes > STRIKES
