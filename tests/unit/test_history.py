"""The history checker finds nothing in a clean history, and names each defect that is put into one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from tests.history import INVARIANTS, check
from tests.records import Compared, Connection, Deletion, Edit, Held, History, Json, Look, Send, Stay, Stored

ANN, BEN, CEM, EVE = 1, 2, 3, 4
CHAT = 7
NOBODY_SENT = "00000000-0000-7000-8000-000000000099"


def a_message(number: int, sender: int, version: int, content: str, **fields: Any) -> Json:
    return {
        "id": f"00000000-0000-7000-8000-{number:012}",
        "chat_id": CHAT,
        "seq": number,
        "version": version,
        "revision": 1,
        "sender_id": sender,
        "content": content,
        "client_message_id": f"key-{number}",
        "is_deleted": False,
        **fields,
    }


def a_push(kind: str, message: Json) -> Json:
    return {"type": kind, "chat_id": CHAT, "version": message["version"], "message": message}


def a_beginning(version: int) -> Json:
    """What a `resume` answers of a chat that its client does not know."""
    return {"type": "chat_created", "chat_id": CHAT, "version": version, "chat": {}}


ONE = a_message(1, ANN, 2, "one")
TWO = a_message(2, BEN, 3, "two")
THREE = a_message(3, ANN, 4, "three")
ONE_EDITED = ONE | {"version": 5, "revision": 2, "content": "one, edited"}
TWO_DELETED = TWO | {"version": 6, "content": "", "is_deleted": True}
CEM_LEAVES = {"type": "user_left", "chat_id": CHAT, "version": 7, "user_id": CEM}
FOUR = a_message(4, BEN, 8, "four")
PUSHES = [
    *(a_push("new_message", one) for one in (ONE, TWO, THREE)),
    a_push("message_edited", ONE_EDITED),
    a_push("message_deleted", TWO_DELETED),
    CEM_LEAVES,
    a_push("new_message", FOUR),
]
FINAL = [ONE_EDITED, TWO_DELETED, THREE, FOUR]


def an_ack(ref: str, message: Json, *, duplicate: bool = False) -> Json:
    return {"type": "ack", "ref": ref, "message": message, "duplicate": duplicate}


def a_page(since: int, to: int, ref: str | None, *messages: Json) -> Json:
    return {
        "type": "changes",
        "ref": ref,
        "chat_id": CHAT,
        "from": since,
        "to": to,
        "messages": list(messages),
        "participants": [],
    }


def a_history() -> History:
    """Ann and Ben write, Cem leaves, Eve was never in. Ann's connection breaks after version 4, so that she
    resumes; the edit and the send of message 4 were asked for twice."""
    first = [an_ack("1", ONE), PUSHES[0], PUSHES[1], an_ack("2", THREE), PUSHES[2]]
    second = [a_page(4, 6, "3", ONE_EDITED, TWO_DELETED), *PUSHES[5:]]
    ann = [Connection("ann#1", ANN, first, [("1", CHAT), ("2", CHAT)]), Connection("ann#2", ANN, second)]
    bens = [*PUSHES[:5], a_page(6, 7, None), an_ack("1", FOUR, duplicate=True), PUSHES[6]]
    cems = [*PUSHES[:6], {"type": "user_offline", "user_id": ANN}]
    past = History(
        sends=[
            Send(ANN, CHAT, [ONE], key="key-1", content="one"),
            Send(BEN, CHAT, [TWO], key="key-2", content="two"),
            Send(ANN, CHAT, [THREE], key="key-3", content="three"),
            Send(BEN, CHAT, [FOUR], None, True, key="key-4", content="four"),
            Send(BEN, CHAT, [], "client_message_id_conflict", key="key-2", content="not two"),
            Send(EVE, CHAT, [], "not_found", key="key-5", content="let me in"),
            Send(BEN, CHAT, [], None, True, key="key-6", content="never stored, never answered"),
        ],
        edits=[Edit(ANN, CHAT, [ONE_EDITED], None, True, message_id=ONE["id"], content="one, edited")],
        deletions=[Deletion(BEN, CHAT, [TWO_DELETED], message_id=TWO["id"])],
        stays=[Stay(CHAT, ANN, 1), Stay(CHAT, BEN, 1), Stay(CHAT, CEM, 1, 7)],
        connections=[*ann, Connection("ben#1", BEN, bens), Connection("cem#1", CEM, cems)],
        held=[
            Held("ann's phone", ANN, CHAT, 8, {one["seq"]: one for one in FINAL}),
            Held("ben's phone", BEN, CHAT, 8, {one["seq"]: one for one in FINAL}),
        ],
        stored=[
            Stored(
                CHAT,
                8,
                4,
                list(FINAL),
                {ONE["id"]: [{"revision": 1, "content": "one"}, {"revision": 2, "content": "one, edited"}]},
                [1, 7],
            )
        ],
        looks=[
            Look("the new_message to ben#1", ONE, ONE),
            Look("the new_message to ben#1", TWO, TWO_DELETED),
        ],
        compared=[Compared("ann's phone", {CHAT: {"messages": {4: FOUR}}}, {CHAT: {"messages": {4: FOUR}}})],
        logs={"node 1": '{"path":"/api/v1/messages","status":201}'},
        secrets={"a-token-of-ann", "three"},
    )
    # Each place a copy of its own, so that a defect stays where it is put.
    for connection in past.connections:
        connection.frames[:] = map(copy.deepcopy, connection.frames)
    for request in (*past.sends, *past.edits, *past.deletions):
        request.acks[:] = map(copy.deepcopy, request.acks)
    for held in past.held:
        held.messages = {seq: copy.deepcopy(one) for seq, one in held.messages.items()}
    past.stored[0].messages[:] = map(copy.deepcopy, past.stored[0].messages)
    return past


def heard_by(past: History, name: str) -> list[Json]:
    (connection,) = [one for one in past.connections if one.name == name]
    return connection.frames


def row(past: History, seq: int) -> Json:
    (found,) = [one for one in past.stored[0].messages if one["seq"] == seq]
    return found


def test_a_clean_history_passes() -> None:
    assert check(a_history()) == []
    assert check(History()) == []


def test_what_was_read_for_a_resume_is_pushed_once_more() -> None:
    past = a_history()
    heard_by(past, "ben#1").insert(1, a_beginning(3))
    assert check(past) == []
    heard_by(past, "ben#1").insert(1, a_beginning(2))
    assert check(past) == []


def test_who_leaves_may_miss_what_came_right_before() -> None:
    past = a_history()
    del heard_by(past, "cem#1")[3:5]
    assert check(past) == []
    heard_by(past, "ben#1")[5]["type"] = "user_left"  # of somebody else it is a change like others
    heard_by(past, "ben#1")[5] |= {"user_id": CEM, "version": 7}
    del heard_by(past, "ben#1")[4]
    assert {one.invariant for one in check(past)} >= {"pushes_have_no_hole"}


# --- Defects ----------------------------------------------------------------------------------------------

Defect = Callable[[History], Any]
DEFECTS: list[tuple[str, Defect]] = []


def breaks(invariant: str) -> Callable[[Defect], Defect]:
    def add(defect: Defect) -> Defect:
        DEFECTS.append((invariant, defect))
        return defect

    return add


@breaks("pushes_have_no_hole")
def a_push_is_dropped(past: History) -> None:
    del heard_by(past, "ben#1")[2]


@breaks("pushes_come_in_order")
def a_push_is_doubled(past: History) -> None:
    heard_by(past, "ben#1").insert(2, PUSHES[1])


@breaks("pushes_come_in_order")
def a_push_is_doubled_after_the_chat_was_read(past: History) -> None:
    heard_by(past, "ben#1")[1:2] = [a_beginning(3), PUSHES[1], PUSHES[1]]


@breaks("pushes_come_in_order")
def a_push_comes_again_after_a_page(past: History) -> None:
    heard_by(past, "ben#1").insert(6, PUSHES[5])


@breaks("pushes_come_in_order")
def two_pushes_are_swapped(past: History) -> None:
    frames = heard_by(past, "cem#1")
    frames[1], frames[2] = frames[2], frames[1]


@breaks("heard_is_stored")
def a_push_comes_before_a_commit_that_never_comes(past: History) -> None:
    lost = a_message(5, BEN, 9, "never stored, never answered", client_message_id="key-6")
    heard_by(past, "ben#1").append(a_push("new_message", lost))


@breaks("heard_is_stored")
def an_edit_is_pushed_and_not_stored(past: History) -> None:
    heard_by(past, "ben#1").append(a_push("message_edited", FOUR | {"version": 9, "revision": 2}))


@breaks("heard_is_stored")
def a_version_is_pushed_that_the_chat_does_not_have(past: History) -> None:
    heard_by(past, "ben#1").append({"type": "chat_updated", "chat_id": CHAT, "version": 9, "chat": {}})


@breaks("strangers_hear_nothing")
def a_push_leaks_to_a_stranger(past: History) -> None:
    past.connections.append(Connection("eve#1", EVE, [PUSHES[0]]))


@breaks("strangers_hear_nothing")
def a_position_leaks_to_a_stranger(past: History) -> None:
    read = {"type": "messages_read", "chat_id": CHAT, "user_id": ANN, "seq": 1}
    past.connections.append(Connection("eve#1", EVE, [read]))


@breaks("strangers_hear_nothing")
def a_push_comes_after_the_removal(past: History) -> None:
    heard_by(past, "cem#1").append(PUSHES[6])


@breaks("strangers_hear_nothing")
def a_new_connection_of_somebody_removed_hears_a_push(past: History) -> None:
    past.connections.append(Connection("cem#2", CEM, [PUSHES[6]]))


@breaks("strangers_hear_nothing")
def somebody_is_seen_typing_by_who_has_left(past: History) -> None:
    heard_by(past, "cem#1").append({"type": "user_typing", "chat_id": CHAT, "user_id": ANN})


@breaks("strangers_hear_nothing")
def a_resume_answers_somebody_removed(past: History) -> None:
    past.connections.append(Connection("cem#2", CEM, [a_page(7, 8, "1", FOUR)]))


@breaks("seqs_have_no_gap")
def a_seq_is_left_out(past: History) -> None:
    past.stored[0].last_seq = 5
    row(past, 4)["seq"] = 5


@breaks("seqs_have_no_gap")
def a_seq_is_given_twice(past: History) -> None:
    row(past, 4)["seq"] = 3


@breaks("acknowledged_is_stored_once")
def an_acknowledged_message_is_lost(past: History) -> None:
    past.stored[0].messages.pop()


@breaks("acknowledged_is_stored_once")
def an_acknowledged_message_is_stored_twice(past: History) -> None:
    past.stored[0].messages.append(row(past, 4) | {"seq": 5, "version": 9})


@breaks("acknowledged_is_stored_once")
def an_acknowledged_message_gets_another_seq(past: History) -> None:
    past.sends[0].acks[0]["seq"] = 9


@breaks("one_key_is_one_message")
def a_retry_is_answered_with_another_message(past: History) -> None:
    past.sends[3].acks.append(FOUR | {"id": NOBODY_SENT})


@breaks("one_key_is_one_message")
def a_retry_is_stored_again(past: History) -> None:
    past.stored[0].messages.append(FOUR | {"id": NOBODY_SENT, "seq": 5, "version": 9})


@breaks("versions_are_consistent")
def a_version_is_given_to_two_messages(past: History) -> None:
    row(past, 4)["version"] = 6


@breaks("versions_are_consistent")
def a_message_has_the_version_of_a_departure(past: History) -> None:
    row(past, 4)["version"] = 7


@breaks("versions_are_consistent")
def a_chat_is_ahead_of_its_items(past: History) -> None:
    past.stored[0].version = 9


@breaks("versions_are_consistent")
def a_chat_is_behind_its_items(past: History) -> None:
    past.stored[0].version = 7


@breaks("everybody_sees_the_same")
def a_version_is_used_again_after_a_crash(past: History) -> None:
    heard_by(past, "ben#1")[6] = a_push("new_message", FOUR | {"id": NOBODY_SENT, "content": "four"})


@breaks("everybody_sees_the_same")
def a_seq_is_another_message_to_one(past: History) -> None:
    heard_by(past, "cem#1")[1] = a_push("new_message", TWO | {"seq": 3})


@breaks("everybody_sees_the_same")
def a_version_is_another_change_to_one(past: History) -> None:
    heard_by(past, "cem#1")[4] = a_push("message_edited", TWO_DELETED)


@breaks("everybody_sees_the_same")
def a_push_differs_from_the_acknowledgement(past: History) -> None:
    heard_by(past, "cem#1")[2]["message"]["content"] = "three and more"


@breaks("held_equals_stored")
def a_client_has_missed_a_message(past: History) -> None:
    del past.held[0].messages[4]


@breaks("held_equals_stored")
def a_client_has_missed_an_edit(past: History) -> None:
    past.held[0].messages[1] = ONE


@breaks("held_equals_stored")
def a_client_stands_at_an_old_version(past: History) -> None:
    past.held[1].cursor = 7


@breaks("held_equals_stored")
def a_client_keeps_a_chat_that_its_user_has_left(past: History) -> None:
    past.held.append(Held("cem's phone", CEM, CHAT, 6, {}))


@breaks("acknowledged_edits_survive")
def an_edit_is_lost(past: History) -> None:
    row(past, 1).update(ONE)
    past.stored[0].revisions.clear()


@breaks("acknowledged_edits_survive")
def an_edit_has_another_text(past: History) -> None:
    row(past, 1)["content"] = "one, edited otherwise"


@breaks("acknowledged_edits_survive")
def an_edit_is_missing_in_the_revisions(past: History) -> None:
    past.stored[0].revisions[ONE["id"]].pop()


@breaks("acknowledged_deletions_survive")
def a_deletion_is_undone(past: History) -> None:
    row(past, 2).update(is_deleted=False, content="two")


@breaks("acknowledged_deletions_survive")
def a_deleted_message_comes_back_to_one(past: History) -> None:
    alive = TWO | {"version": 8}
    past.connections.append(Connection("ben#2", BEN, [a_page(0, 8, "1", alive)]))


@breaks("acknowledged_deletions_survive")
def a_deleted_message_keeps_its_revisions(past: History) -> None:
    past.stored[0].revisions[TWO["id"]] = [{"revision": 1, "content": "two"}]


@breaks("refused_is_not_stored")
def a_refused_send_is_stored(past: History) -> None:
    row(past, 3)["content"] = "let me in"


@breaks("refused_is_not_stored")
def a_refused_retry_has_replaced_the_first_text(past: History) -> None:
    row(past, 4)["content"] = "not two"


@breaks("refused_is_not_stored")
def a_refused_deletion_is_carried_out(past: History) -> None:
    past.deletions.append(Deletion(BEN, CHAT, [], "forbidden", message_id=THREE["id"]))
    row(past, 3).update(is_deleted=True, content="")


@breaks("content_is_as_sent")
def a_text_is_stored_wrongly(past: History) -> None:
    row(past, 4)["content"] = "fuor"


@breaks("content_is_as_sent")
def a_text_is_pushed_wrongly(past: History) -> None:
    heard_by(past, "cem#1")[0]["message"]["content"] = "One"


@breaks("content_is_as_sent")
def an_earlier_text_is_kept_wrongly(past: History) -> None:
    past.stored[0].revisions[ONE["id"]][0]["content"] = "another first text"


@breaks("nothing_is_stored_unasked")
def a_message_is_stored_that_nobody_sent(past: History) -> None:
    phantom = a_message(5, BEN, 9, "phantom", client_message_id="key-9")
    past.stored[0].messages.append(phantom)
    past.stored[0].last_seq, past.stored[0].version = 5, 9


@breaks("nothing_is_stored_unasked")
def a_message_is_deleted_that_nobody_deleted(past: History) -> None:
    row(past, 4).update(is_deleted=True, content="")


@breaks("nothing_is_stored_unasked")
def a_message_is_edited_that_nobody_edited(past: History) -> None:
    row(past, 4).update(revision=2)


@breaks("ack_comes_before_push")
def a_push_overtakes_its_acknowledgement(past: History) -> None:
    frames = heard_by(past, "ann#1")
    frames[0], frames[1] = frames[1], frames[0]


@breaks("sends_keep_their_order")
def a_send_is_overtaken_by_a_later_one(past: History) -> None:
    past.connections[0].sends.reverse()


@breaks("pushed_is_committed")
def a_push_comes_before_its_commit(past: History) -> None:
    past.looks.append(Look("the new_message to ben#1", FOUR, None))


@breaks("pushed_is_committed")
def an_edit_is_pushed_before_its_commit(past: History) -> None:
    past.looks.append(Look("the message_edited to ben#1", ONE_EDITED, ONE))


@breaks("snapshot_and_pushes_are_a_fresh_snapshot")
def a_device_has_missed_a_position(past: History) -> None:
    past.compared[0].fresh[CHAT]["participants"] = {BEN: {"read_seq": 4}}


@breaks("snapshot_and_pushes_are_a_fresh_snapshot")
def a_device_does_not_know_of_a_chat(past: History) -> None:
    past.compared[0].fresh[CHAT + 1] = {}


@breaks("logs_hold_no_secret")
def a_token_is_logged(past: History) -> None:
    past.logs["node 2"] = "GET /api/v1/ws?token=a-token-of-ann 101"


@breaks("logs_hold_no_secret")
def what_people_write_is_logged(past: History) -> None:
    past.logs["node 2"] = "duplicate entry: three"


@breaks("fsck_finds_nothing")
def a_text_has_no_row(past: History) -> None:
    past.damage.append("orphan: body 1 of chat 7")


@pytest.mark.parametrize(("invariant", "defect"), [pytest.param(*one, id=one[1].__name__) for one in DEFECTS])
def test_a_defect_is_caught_by_name(invariant: str, defect: Defect) -> None:
    past = a_history()
    defect(past)
    violations = check(past)
    assert invariant in {one.invariant for one in violations}, violations
    assert all(one.sentence.endswith(".") for one in violations)


def test_every_invariant_has_a_defect_that_breaks_it() -> None:
    assert {one.__name__ for one in INVARIANTS} == {invariant for invariant, _ in DEFECTS}
