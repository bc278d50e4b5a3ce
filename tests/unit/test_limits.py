"""Limits by rate: how many pass, who is counted apart, and what is forgiven."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from chat_service.domain.errors import RateLimited
from chat_service.services import limits as module
from chat_service.services.limits import Limits


def count_passed(take: Callable[[], None], attempts: int = 5000) -> int:
    for number in range(attempts):
        try:
            take()
        except RateLimited:
            return number
    return attempts


@pytest.fixture
def limits() -> Limits:
    return Limits(enabled=True)


def test_an_address_registers_30_times_a_minute(limits: Limits) -> None:
    assert count_passed(lambda: limits.take_registration("192.0.2.1")) == 30
    assert count_passed(lambda: limits.take_registration("192.0.2.2")) == 30
    assert count_passed(lambda: limits.take_registration(None)) == 30


def test_a_refusal_says_how_long_to_wait(limits: Limits) -> None:
    count_passed(lambda: limits.take_registration("192.0.2.1"))

    with pytest.raises(RateLimited) as refused:
        limits.take_registration("192.0.2.1")

    assert refused.value.retry_after_s is not None
    assert 50 < refused.value.retry_after_s <= 60


def test_ten_failed_logins_a_minute_whatever_the_spelling(limits: Limits) -> None:
    assert count_passed(lambda: limits.take_login("192.0.2.1", "Anna")) == 10
    assert count_passed(lambda: limits.take_login("192.0.2.1", "ÄNNA")) == 0
    assert count_passed(lambda: limits.take_login("192.0.2.2", "anna")) == 10


def test_an_address_logs_in_60_times_a_minute(limits: Limits) -> None:
    def log_in() -> None:
        limits.take_login("192.0.2.1", "anna")
        limits.forgive_login("192.0.2.1", "anna")

    assert count_passed(log_in) == 60


def test_the_password_is_asked_again_ten_times(limits: Limits) -> None:
    assert count_passed(lambda: limits.take_password_check(7)) == 10
    limits.forgive_password_check(7)
    assert count_passed(lambda: limits.take_password_check(7)) == 10
    assert count_passed(lambda: limits.take_password_check(8)) == 10


def test_requests_are_counted_by_user_and_by_address(limits: Limits) -> None:
    assert count_passed(lambda: limits.take_user_request(7)) == 3000
    assert count_passed(lambda: limits.take_address_request("7")) == 1200


def test_after_a_minute_everything_is_allowed_again(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    count_passed(lambda: limits.take_registration("192.0.2.1"))
    now = module.time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 61)

    assert count_passed(lambda: limits.take_registration("192.0.2.1")) == 30


def test_old_windows_are_forgotten(limits: Limits, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(100):
        limits.take_address_request(f"192.0.2.{number}")
    now = module.time.time()
    monkeypatch.setattr(module.time, "time", lambda: now + 61)

    limits.take_address_request("192.0.2.1")

    assert len(limits._counters._counts) == 1


def test_nothing_is_limited_when_switched_off() -> None:
    limits = Limits(enabled=False)

    assert count_passed(lambda: limits.take_registration("192.0.2.1")) == 5000
    assert count_passed(lambda: limits.take_login("192.0.2.1", "anna")) == 5000
    limits.forgive_login("192.0.2.1", "anna")
    assert count_passed(lambda: limits.take_user_request(7)) == 5000


def test_the_addresses_of_one_ipv6_network_are_one(limits: Limits) -> None:
    assert count_passed(lambda: limits.take_registration("2001:db8:0:1::1")) == 30
    assert count_passed(lambda: limits.take_registration("2001:db8:0:1:ffff::2")) == 0
    assert count_passed(lambda: limits.take_registration("2001:db8:0:2::1")) == 30
    assert count_passed(lambda: limits.take_registration("192.0.2.9")) == 30
    assert count_passed(lambda: limits.take_registration("::ffff:192.0.2.9")) == 0


def test_a_login_that_nobody_could_judge_is_no_guess(limits: Limits) -> None:
    def meet_an_outage() -> None:
        limits.take_login("192.0.2.1", "anna")
        limits.return_login("192.0.2.1", "anna")

    assert count_passed(meet_an_outage) == 60
    limits.return_login("192.0.2.2", "nobody")
    assert count_passed(lambda: limits.take_login("192.0.2.2", "anna")) == 10


def test_somebody_makes_300_chats_and_adds_ten_thousand_people_a_minute(limits: Limits) -> None:
    assert count_passed(lambda: limits.take_new_chat(7, 1)) == 300
    assert count_passed(lambda: limits.take_additions(8, 2_500)) == 4
    assert count_passed(lambda: limits.take_new_chat(8, 1)) == 0
    assert count_passed(lambda: limits.take_additions(9, 4_999)) == 2


def test_somebody_opens_300_sockets_a_minute(limits: Limits) -> None:
    assert count_passed(lambda: limits.take_handshake(7)) == 300
    assert count_passed(lambda: limits.take_handshake(8)) == 300
