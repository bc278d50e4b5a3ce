"""Limits by rate on REST: how often an address registers or logs in, and how much one user asks.

Counted per node, in memory: a limit protects the node, and a restart forgives. Windows of one minute begin
with the first request. `limits`' own memory store sweeps all keys in a thread every few milliseconds; the
one here sweeps every `_SWEEP_S` on the way.
"""

from __future__ import annotations

import time
from ipaddress import ip_address, ip_network

from limits import RateLimitItem, RateLimitItemPerMinute
from limits.storage import Storage
from limits.strategies import FixedWindowRateLimiter

from chat_service.domain.errors import RateLimited
from chat_service.domain.names import fold

REGISTRATIONS = RateLimitItemPerMinute(30, namespace="registrations")
LOGINS = RateLimitItemPerMinute(60, namespace="logins")
FAILED_LOGINS = RateLimitItemPerMinute(10, namespace="failed-logins")
HANDSHAKES = RateLimitItemPerMinute(300, namespace="handshakes")
CHATS_MADE = RateLimitItemPerMinute(300, namespace="chats-made")
PEOPLE_ADDED = RateLimitItemPerMinute(10_000, namespace="people-added")
"""What each of them costs lasts: a row, a subscription and a place in every socket of theirs."""
USER_REQUESTS = RateLimitItemPerMinute(3000, namespace="user-requests")
ADDRESS_REQUESTS = RateLimitItemPerMinute(1200, namespace="address-requests")

_SWEEP_S = 10.0


class Limits:
    """Every `take_` counts one request and raises `RateLimited` beyond the limit; none does if not
    `enabled`. An address of None (a Unix socket) is one address like any other."""

    def __init__(self, *, enabled: bool) -> None:
        self._enabled = enabled
        self._counters = _Counters()
        self._windows = FixedWindowRateLimiter(self._counters)

    def take_registration(self, address: str | None) -> None:
        self._take(REGISTRATIONS, _origin(address))

    def take_login(self, address: str | None, name: str) -> None:
        """Every attempt counts as failed until `forgive_login` says otherwise, so that a burst of guesses
        at the same time is no way around."""
        self._take(LOGINS, _origin(address))
        self._take(FAILED_LOGINS, _origin(address), fold(name))

    def forgive_login(self, address: str | None, name: str) -> None:
        """The password was right."""
        if self._enabled:
            self._windows.clear(FAILED_LOGINS, _origin(address), fold(name))

    def return_login(self, address: str | None, name: str) -> None:
        """Nothing was found out about the password."""
        if self._enabled:
            self._counters.take_back(FAILED_LOGINS.key_for(_origin(address), fold(name)))

    def take_password_check(self, user_id: int) -> None:
        """As `take_login`, for a signed-in user who has to give the password once more."""
        self._take(FAILED_LOGINS, "user", str(user_id))

    def forgive_password_check(self, user_id: int) -> None:
        if self._enabled:
            self._windows.clear(FAILED_LOGINS, "user", str(user_id))

    def take_user_request(self, user_id: int) -> None:
        self._take(USER_REQUESTS, str(user_id))

    def take_handshake(self, user_id: int) -> None:
        self._take(HANDSHAKES, str(user_id))

    def take_new_chat(self, user_id: int, people: int) -> None:
        """A chat that the user makes with so many others."""
        self._take(CHATS_MADE, str(user_id))
        self.take_additions(user_id, people)

    def take_additions(self, user_id: int, people: int) -> None:
        """So many people whom the user puts into a chat."""
        self._take(PEOPLE_ADDED, str(user_id), cost=people)

    def take_address_request(self, address: str | None) -> None:
        """A request of somebody who has not shown a valid access token."""
        self._take(ADDRESS_REQUESTS, _origin(address))

    def _take(self, limit: RateLimitItem, *whose: str, cost: int = 1) -> None:
        if not self._enabled or self._windows.hit(limit, *whose, cost=cost):
            return
        reset_at = self._windows.get_window_stats(limit, *whose).reset_time
        raise RateLimited(retry_after_s=max(1.0, reset_at - time.time()))


def _origin(address: str | None) -> str:
    """One client's: of IPv6 everybody has at least a /64 to choose from."""
    try:
        parsed = ip_address(str(address))
    except ValueError:
        return str(address)
    if parsed.version == 4:
        return str(address)
    return str(parsed.ipv4_mapped or ip_network((parsed, 64), strict=False))


class _Counters(Storage):
    """Counts of the present windows, for one event loop."""

    STORAGE_SCHEME = None

    def __init__(self) -> None:
        super().__init__()
        self._counts: dict[str, tuple[int, float]] = {}
        self._swept_at = 0.0

    @property
    def base_exceptions(self) -> type[Exception]:
        return ValueError

    def incr(self, key: str, expiry: int, amount: int = 1) -> int:
        self._sweep()
        count, expires_at = self._find(key) or (0, time.time() + expiry)
        self._counts[key] = (count + amount, expires_at)
        return count + amount

    def take_back(self, key: str) -> None:
        found = self._find(key)
        if found and found[0] > 0:
            self._counts[key] = (found[0] - 1, found[1])

    def get(self, key: str) -> int:
        found = self._find(key)
        return found[0] if found else 0

    def get_expiry(self, key: str) -> float:
        found = self._find(key)
        return found[1] if found else time.time()

    def check(self) -> bool:
        return True

    def reset(self) -> int:
        count = len(self._counts)
        self._counts.clear()
        return count

    def clear(self, key: str) -> None:
        self._counts.pop(key, None)

    def _find(self, key: str) -> tuple[int, float] | None:
        found = self._counts.get(key)
        return found if found and found[1] > time.time() else None

    def _sweep(self) -> None:
        now = time.time()
        if now - self._swept_at >= _SWEEP_S:
            self._swept_at = now
            self._counts = {key: value for key, value in self._counts.items() if value[1] > now}
