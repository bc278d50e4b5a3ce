"""The changes that a node keeps for those who come back."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from chat_service.domain.events import ChatChanged
from chat_service.domain.models import ToldMessage
from chat_service.services.recent import KEPT_BYTES, READ_BACK, RecentChanges


def told(version: int, *, message: str = "", kind: str = "new_message", chat_id: int = 1) -> ChatChanged:
    frame: dict[str, Any] = {"type": kind, "chat_id": chat_id, "version": version}
    if "message" in kind:
        frame["message"] = {
            "id": message or str(version),
            "seq": version,
            "version": version,
            "content": "Hello",
            "is_edited": kind == "message_edited",
            "is_deleted": kind == "message_deleted",
        }
    return ChatChanged(chat_id, version, orjson.dumps(frame))


def keeping(*events: ChatChanged, max_bytes: int = 10_000) -> RecentChanges:
    recent = RecentChanges(max_bytes)
    for event in events:
        recent.keep(event)
    return recent


def found(recent: RecentChanges, since: int, until: int, chat_id: int = 1) -> list[int] | None:
    messages = recent.find_messages(chat_id, since, until)
    return None if messages is None else [one.version for one in messages]


def test_any_stretch_of_what_is_kept_is_found() -> None:
    recent = keeping(*(told(version) for version in range(5, 10)))
    for since in range(4, 10):
        for until in range(since, 10):
            assert found(recent, since, until) == list(range(since + 1, until + 1))


@pytest.mark.parametrize(("since", "until"), [(3, 6), (4, 10), (0, 1), (20, 30)])
def test_what_is_not_kept_to_its_ends_is_not_known(since: int, until: int) -> None:
    assert found(keeping(*(told(version) for version in range(5, 10))), since, until) is None


def test_a_chat_of_which_nothing_was_told_is_not_known() -> None:
    assert found(keeping(told(2)), 1, 2, chat_id=2) is None


def test_a_gap_begins_anew() -> None:
    recent = keeping(told(2), told(3), told(5), told(6))
    assert found(recent, 4, 6) == [5, 6]
    assert found(recent, 1, 3) is None
    assert found(recent, 2, 6) is None


def test_of_a_message_that_changed_twice_the_last_state_counts() -> None:
    recent = keeping(
        told(2, message="a"),
        told(3, message="b"),
        told(4, message="a", kind="message_edited"),
        told(5, message="b", kind="message_deleted"),
    )
    assert found(recent, 1, 5) == [4, 5]
    assert found(recent, 1, 4) == [4], "what has been deleted is not shown as it was"


@pytest.mark.parametrize("kind", ["user_joined", "user_left", "chat_updated", "participant_updated"])
def test_a_stretch_in_which_more_than_messages_has_changed_is_left_to_the_store(kind: str) -> None:
    recent = keeping(told(2), told(3, kind=kind), told(4))
    assert found(recent, 1, 4) is found(recent, 2, 3) is None
    assert found(recent, 3, 4) == [4]
    assert found(recent, 1, 2) == [2]


def read(*versions: int, message: str = "") -> list[ToldMessage]:
    """Messages from the store, which stand at these versions."""
    return [
        ToldMessage(message or str(version), version, version, is_first=True, chars=1, json=b"{}")
        for version in versions
    ]


def test_what_was_read_is_joined_to_what_was_told() -> None:
    recent = keeping(told(6), told(7))
    assert recent.lacks(1, 2)
    recent.add_read(1, 2, 7, read(3, 5, 7), is_closed=False)
    assert not recent.lacks(1, 2)
    assert found(recent, 2, 7) == [3, 5, 6, 7]
    assert found(recent, 4, 6) == [5, 6]
    assert found(recent, 6, 7) == [7]
    assert found(recent, 2, 5) == [3, 5]
    assert found(recent, 2, 4) is found(recent, 1, 7) is None
    recent.keep(told(8, message="3", kind="message_edited"))
    assert found(recent, 2, 8) == [5, 6, 7, 8]


def test_what_was_read_is_gone_on_with() -> None:
    recent = keeping()
    recent.add_read(1, 2, 5, read(3, 4), is_closed=False)
    for version in (4, 5, 6):  # the first two were read before they were told
        recent.keep(told(version))
    assert found(recent, 2, 6) == [3, 4, 6]


@pytest.mark.parametrize(("since", "until"), [(2, 4), (5, 9), (7, 9), (3, 3)])
def test_what_was_read_and_does_not_join_is_left_out(since: int, until: int) -> None:
    recent = keeping(told(6), told(7))
    recent.add_read(1, since, until, read(since + 1), is_closed=False)
    assert found(recent, 5, 7) == [6, 7]
    assert found(recent, since, 7) == found(keeping(told(6), told(7)), since, 7)


def test_a_quiet_chat_is_read_once() -> None:
    recent = keeping()
    assert recent.lacks(1, 5)
    recent.add_read(1, 5, 5, [], is_closed=False)
    assert not recent.lacks(1, 5)
    assert found(recent, 5, 5) == []
    assert recent.lacks(1, 4)
    assert found(recent, 4, 5) is None
    recent.keep(told(6))
    assert found(recent, 5, 6) == [6]
    recent.add_read(1, 3, 6, read(4, 6), is_closed=False)
    assert found(recent, 3, 6) == [4, 6]


def test_a_chat_whose_last_change_is_no_message_is_read_once() -> None:
    recent = keeping()
    recent.add_read(1, 5, 5, [], is_closed=True)
    assert not recent.lacks(1, 4)
    recent.keep(told(6))
    recent.add_read(1, 5, 6, [], is_closed=True)
    assert not recent.lacks(1, 4)
    assert found(recent, 5, 6) == [6]
    told_of = keeping(told(6))
    told_of.add_read(1, 5, 6, read(6), is_closed=True)
    assert not told_of.lacks(1, 4), "what came before 6 was more than a message"


def test_quiet_chats_are_forgotten_in_their_turn() -> None:
    recent = RecentChanges(max_bytes=3 * KEPT_BYTES)
    for chat_id in range(1, 10):
        recent.add_read(chat_id, 5, 5, [], is_closed=False)
    assert set(recent._chats) == {7, 8, 9}
    assert recent._bytes == 3 * KEPT_BYTES


def test_what_is_not_worth_reading_is_not_asked_for() -> None:
    recent = keeping(*(told(version) for version in range(1_000, 1_010)))
    assert recent.lacks(1, 999 - READ_BACK)
    assert not recent.lacks(1, 998 - READ_BACK)
    assert not recent.lacks(1, 1_005)
    recent.add_read(1, 990, 1_009, read(995), is_closed=True)
    assert not recent.lacks(1, 989)
    assert found(recent, 990, 1_001) == [995, 1_000, 1_001]


def test_what_was_read_is_forgotten_in_its_turn() -> None:
    recent = RecentChanges(max_bytes=2 * (KEPT_BYTES + len(told(10).push)) + 1)
    recent.add_read(1, 5, 9, read(7), is_closed=False)
    for version in range(10, 14):
        recent.keep(told(version))
    assert found(recent, 5, 13) is None
    assert found(recent, 11, 13) == [12, 13]
    recent.clear()
    recent.add_read(2, 1, 3, read(3), is_closed=False)
    for version in range(10, 14):
        recent.keep(told(version))
    assert set(recent._chats) == {1}


def test_the_oldest_of_all_chats_go_first() -> None:
    size = KEPT_BYTES + len(told(2).push)
    recent = keeping(
        told(2), told(2, chat_id=2), told(3), told(3, chat_id=2), told(9), told(10), max_bytes=4 * size + 1
    )
    assert found(recent, 1, 3) is None
    assert found(recent, 2, 3, chat_id=2) == [3]
    assert found(recent, 8, 10) == [9, 10]
    for version in range(11, 40):
        recent.keep(told(version))
        assert recent._bytes <= 4 * size + 1 + version
    assert set(recent._chats) == {1}


def test_nothing_is_known_after_a_restore() -> None:
    recent = keeping(told(2), told(3))
    recent.clear()
    assert found(recent, 1, 3) is None
    recent.keep(told(2))
    assert found(recent, 1, 2) == [2]
