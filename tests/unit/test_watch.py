"""How often the store is asked for what was missed."""

from __future__ import annotations

import pytest

from chat_service.services.nodes import APART_EVERY_S, JOINED_EVERY_S
from chat_service.services.watch import SHARE, find_next_s


@pytest.mark.parametrize("every_s", [APART_EVERY_S, JOINED_EVERY_S])
def test_a_quick_answer_is_asked_for_again_in_time(every_s: float) -> None:
    assert find_next_s(10.0, 10.01, every_s) == 10.0 + every_s


def test_a_slow_store_is_left_alone_for_most_of_the_time() -> None:
    took_s = 0.3
    next_s = find_next_s(10.0, 10.0 + took_s, APART_EVERY_S)
    assert took_s / (next_s - 10.0) == pytest.approx(SHARE)


def test_however_slow_the_store_nobody_rests_for_long() -> None:
    assert find_next_s(10.0, 40.0, APART_EVERY_S) == 40.0 + JOINED_EVERY_S
