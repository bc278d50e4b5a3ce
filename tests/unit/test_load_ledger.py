"""The counting of the load generator: what is right is not counted, and every seeded defect is, exactly."""

from __future__ import annotations

import random
from collections.abc import Callable

import grimp
import pytest

from chat_service.load.ledger import Cursor, Ledger, Push, Tally

CHAT = 7
SOCKETS = 3
MESSAGES = 20

Story = list[Push]


def message(number: int) -> Push:
    """The message of this number, from 1; the chat's creation was version 1."""
    return Push(CHAT, number + 1, number, f"run-{number}")


def listen(stories: list[Story], *, acknowledged: int = MESSAGES) -> Ledger:
    """What the ledger has after each socket heard its story, and so many messages were acknowledged."""
    ledger = Ledger()
    ledger.add_chat(CHAT, 1)
    cursors = [ledger.open(CHAT) for _ in stories]
    for cursor, story in zip(cursors, stories, strict=True):
        for push in story:
            hear(ledger, cursor, push)
    for number in range(1, acknowledged + 1):
        push = message(number)
        ledger.acknowledge(CHAT, push.version, number, str(push.key))
    return ledger


def hear(ledger: Ledger, cursor: Cursor, push: Push) -> None:
    ledger.deliver(cursor, push)


def whole() -> Story:
    return [message(number) for number in range(1, MESSAGES + 1)]


def with_defect(seed: Callable[[Story], None]) -> Tally:
    """The count when one of the sockets hears something else than the others."""
    stories = [whole() for _ in range(SOCKETS)]
    seed(stories[1])
    return listen(stories).count()


def test_nothing_is_wrong_with_what_is_right() -> None:
    ledger = listen([whole() for _ in range(SOCKETS)])
    assert ledger.count() == Tally(0, 0, 0)
    assert ledger.count().is_clean
    assert ledger.is_settled()


@pytest.mark.parametrize("index", [0, 9, MESSAGES - 1])
def test_a_message_that_one_socket_never_hears_is_lost(index: int) -> None:
    assert with_defect(lambda story: story.__delitem__(index)) == Tally(1, 0, 0)


def test_everything_that_a_silent_socket_misses_is_lost() -> None:
    assert with_defect(lambda story: story.clear()) == Tally(MESSAGES, 0, 0)


@pytest.mark.parametrize("index", [0, 9, MESSAGES - 1])
def test_a_message_heard_twice_is_duplicated(index: int) -> None:
    assert with_defect(lambda story: story.insert(index + 1, story[index])) == Tally(0, 1, 0)


def test_a_message_heard_again_much_later_is_duplicated() -> None:
    assert with_defect(lambda story: story.append(story[0])) == Tally(0, 1, 0)


@pytest.mark.parametrize("index", [0, 9, MESSAGES - 2])
def test_neighbours_that_change_places_are_misordered(index: int) -> None:
    def swap(story: Story) -> None:
        story[index], story[index + 1] = story[index + 1], story[index]

    assert with_defect(swap) == Tally(0, 0, 1)


def test_a_message_with_another_seq_than_others_heard_is_misordered() -> None:
    def renumber(story: Story) -> None:
        story[5] = story[5]._replace(seq=99)

    found = with_defect(renumber)
    assert found.misordered == 1


def test_a_message_that_others_heard_in_another_place_is_not_what_they_heard() -> None:
    def replace(story: Story) -> None:
        story[5] = story[5]._replace(key="run-1")

    assert not with_defect(replace).is_clean


def test_an_acknowledged_message_that_nobody_hears_is_lost_to_every_socket() -> None:
    stories = [whole()[:-1] for _ in range(SOCKETS)]
    assert listen(stories).count() == Tally(SOCKETS, 0, 0)


def test_an_acknowledged_message_in_whose_place_all_hear_another_is_lost_to_every_socket() -> None:
    stories = [whole() for _ in range(SOCKETS)]
    for story in stories:
        story[5] = story[5]._replace(key="run-other")
    assert listen(stories).count() == Tally(SOCKETS, 0, 0)


def test_a_message_that_is_stored_twice_is_duplicated_at_every_socket() -> None:
    stories = [[*whole(), message(MESSAGES + 1)._replace(key="run-1")] for _ in range(SOCKETS)]
    assert listen(stories).count() == Tally(0, SOCKETS, 0)


def test_seqs_with_a_hole_are_misordered_at_every_socket() -> None:
    stories = [[*whole(), message(MESSAGES + 1)._replace(seq=MESSAGES + 2)] for _ in range(SOCKETS)]
    assert listen(stories).count() == Tally(0, 0, SOCKETS)


def test_changes_that_are_no_messages_take_versions_and_no_seqs() -> None:
    joined = Push(CHAT, MESSAGES + 2, None, None)
    after = Push(CHAT, MESSAGES + 3, MESSAGES + 1, "run-21")
    assert listen([[*whole(), joined, after] for _ in range(SOCKETS)]).count().is_clean


def test_a_socket_that_ended_early_is_owed_nothing_after_its_end() -> None:
    ledger = Ledger()
    ledger.add_chat(CHAT, 1)
    alive, ended = ledger.open(CHAT), ledger.open(CHAT)
    for push in whole():
        hear(ledger, alive, push)
    hear(ledger, ended, message(1))
    assert ledger.count().lost == MESSAGES - 1
    assert not ledger.is_settled()
    ledger.close(ended)
    assert ledger.count().is_clean
    assert ledger.is_settled()


def test_what_a_socket_missed_before_its_end_is_lost() -> None:
    ledger = Ledger()
    ledger.add_chat(CHAT, 1)
    ended = ledger.open(CHAT)
    hear(ledger, ended, message(1))
    hear(ledger, ended, message(3))
    ledger.close(ended)
    assert ledger.count() == Tally(1, 0, 0)


def test_a_hole_that_the_server_fills_is_none() -> None:
    ledger = Ledger()
    ledger.add_chat(CHAT, 1)
    cursor = ledger.open(CHAT)
    hear(ledger, cursor, message(1))
    ledger.fill(cursor, CHAT, message(1).version, message(5).version)
    hear(ledger, cursor, message(6))
    assert ledger.count().is_clean
    assert ledger.is_settled()


def test_a_filling_that_begins_too_late_leaves_a_hole_before_it() -> None:
    ledger = Ledger()
    ledger.add_chat(CHAT, 1)
    cursor = ledger.open(CHAT)
    for number in range(1, 5):
        hear(ledger, cursor, message(number))
    ledger.fill(cursor, CHAT, 10, 20)  # versions 6 to 10 are in nothing that it heard
    assert ledger.count() == Tally(5, 0, 0)
    ledger.fill(cursor, CHAT, 7, 9)
    assert ledger.count() == Tally(3, 0, 0)


def test_a_message_unlike_what_others_heard_is_wrong_once_and_not_lost_as_well() -> None:
    ledger = Ledger()
    ledger.add_chat(CHAT, 1)
    first, second = ledger.open(CHAT), ledger.open(CHAT)
    assert ledger.deliver(first, message(1))
    assert not ledger.deliver(second, message(1)._replace(seq=99))
    assert ledger.deliver(second, message(2))
    hear(ledger, first, message(2))
    assert ledger.count() == Tally(0, 0, 1)
    assert ledger.is_settled()


@pytest.mark.parametrize("seed", range(20))
def test_any_mix_of_losses_and_repetitions_is_counted_exactly(seed: int) -> None:
    choose = random.Random(seed)
    lost = duplicated = 0
    stories: list[Story] = []
    for _ in range(SOCKETS):
        story: Story = []
        for push in whole():
            fate = choose.choice(["right", "right", "lost", "twice"])
            story += [push] * {"right": 1, "lost": 0, "twice": 2}[fate]
            lost += fate == "lost"
            duplicated += fate == "twice"
        stories.append(story)
    assert listen(stories).count() == Tally(lost, duplicated, 0)


def test_the_generator_knows_nothing_of_the_service_and_only_the_command_line_knows_it() -> None:
    imports = grimp.build_graph("chat_service", cache_dir=None)
    inside = {"chat_service.load", *imports.find_descendants("chat_service.load")}
    imported = {found for module in inside for found in imports.find_modules_directly_imported_by(module)}
    users = {found for module in inside for found in imports.find_modules_that_directly_import(module)}
    assert imported <= inside
    assert users - inside == {"chat_service.cli"}
