"""Parsing commands: every accepted form, every refusal with its code and ref, and nothing but refusals."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chat_service.domain.models import MAX_ID, DeleteScope
from chat_service.routes import frames
from chat_service.routes.frames import (
    COMMANDS,
    MAX_CURSORS,
    PUSHES,
    REPLIES,
    DeleteMessage,
    RefusedFrame,
    Resume,
    SendMessage,
    Typing,
    parse_command,
    types_of,
)
from chat_service.routes.schemas import Strict

MESSAGE_ID = "01936f5e-7c1a-7b3e-9a55-3f0e5a2b8c11"
COMMAND_NAMES = [name for model in COMMANDS for name in types_of(model)]


def parse(**fields: Any) -> frames.Command:
    return parse_command(orjson.dumps(fields).decode())


def refusal(text: str | bytes) -> RefusedFrame:
    with pytest.raises(RefusedFrame) as caught:
        parse_command(text)
    return caught.value


def refusal_of(**fields: Any) -> RefusedFrame:
    return refusal(orjson.dumps(fields))


def a_send(**fields: Any) -> dict[str, Any]:
    return {"type": "send_message", "ref": "r", "chat_id": 1, "content": "hello"} | fields


@pytest.mark.parametrize("name", ["send_message", "message"])
def test_send_message_has_an_alias(name: str) -> None:
    command = parse(**a_send(type=name, client_message_id="k:1", reply_to_id=MESSAGE_ID))
    assert isinstance(command, SendMessage)
    assert (command.ref, command.chat_id, command.content) == ("r", 1, "hello")
    assert (command.client_message_id, command.reply_to_id) == ("k:1", UUID(MESSAGE_ID))
    assert command.message_type == "text"


def test_the_chat_may_be_left_out_for_a_socket_of_one_chat() -> None:
    command = parse(type="send_message", content="hello")
    assert isinstance(command, SendMessage)
    assert command.chat_id is None
    assert command.ref is None


@pytest.mark.parametrize(
    ("fields", "has_started"),
    [
        ({"is_typing": True}, True),
        ({"is_typing": False}, False),
        ({"content": "start"}, True),
        ({"content": "stop"}, False),
        ({"content": "stop", "is_typing": False}, False),
        ({"content": "start", "is_typing": None}, True),
    ],
)
def test_typing_is_said_in_two_ways(fields: dict[str, Any], has_started: bool) -> None:
    command = parse(type="typing", chat_id=1, **fields)
    assert isinstance(command, Typing)
    assert command.has_started is has_started


@pytest.mark.parametrize(
    "fields", [{}, {"content": "maybe"}, {"is_typing": 1}, {"is_typing": True, "content": "stop"}]
)
def test_typing_says_exactly_one_thing(fields: dict[str, Any]) -> None:
    assert refusal_of(type="typing", chat_id=1, **fields).error.code == "invalid_request"


@pytest.mark.parametrize(
    ("fields", "scope"),
    [({}, DeleteScope.EVERYONE), ({"scope": None}, DeleteScope.EVERYONE), ({"scope": "me"}, DeleteScope.ME)],
)
def test_deletions_are_for_everyone_by_default(fields: dict[str, Any], scope: DeleteScope) -> None:
    command = parse(type="delete_message", message_id=MESSAGE_ID, **fields)
    assert isinstance(command, DeleteMessage)
    assert command.scope is scope


def test_resume_reads_cursors_by_chat_id() -> None:
    command = parse(type="resume", cursors={"7": 0, str(MAX_ID): MAX_ID}, epoch="e", complete=True)
    assert isinstance(command, Resume)
    assert command.cursors == {7: 0, MAX_ID: MAX_ID}
    assert command.complete is True


@pytest.mark.parametrize(
    "cursors",
    [
        {"0": 1},
        {"07": 1},
        {"+7": 1},
        {"x": 1},
        {"7": "1"},
        {"7": -1},
        {"7": True},
        {"\u0667": 1},
        {str(2**53): 1},
        [],
        None,
    ],
)
def test_bad_cursors_are_refused(cursors: object) -> None:
    assert refusal_of(type="resume", cursors=cursors).error.code == "invalid_request"


def test_a_resume_names_at_most_2000_chats() -> None:
    cursors = {str(chat_id): 1 for chat_id in range(1, MAX_CURSORS + 1)}
    parse(type="resume", cursors=cursors)
    refused = refusal_of(type="resume", cursors=cursors | {"9999": 1})
    assert "cursors" in refused.error.detail


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "nonsense",
        "NaN",
        '{"type":"ping","ref":NaN}',
        "[" * 5000 + "]" * 5000,
        '"\ud800"',
        b"\xff",
        b'{"type":"ping","ref":"\xed\xa0\x80"}',
    ],
)
def test_what_is_no_json_is_an_invalid_frame(text: str | bytes) -> None:
    refused = refusal(text)
    assert (refused.error.code, refused.ref) == ("invalid_frame", None)


@pytest.mark.parametrize(
    ("text", "ref"),
    [
        ('{"type":"send_message","ref":"r1","chat_id":1,"content":"cut \\ud83d"}', "r1"),
        ('{"type":"send_message","ref":"r1","chat_id":1,"\\udc00":1}', "r1"),
        ('{"type":"ping","ref":"\\ud800"}', None),
    ],
)
def test_half_a_character_is_an_invalid_request_with_its_ref(text: str, ref: str | None) -> None:
    refused = refusal(text)
    assert (refused.error.code, refused.ref) == ("invalid_request", ref)


@pytest.mark.parametrize("text", ["[]", "5", "null", '"ping"', "true"])
def test_what_is_no_object_is_an_invalid_frame(text: str) -> None:
    assert refusal(text).error.code == "invalid_frame"


@pytest.mark.parametrize("kind", [None, 5, "", "nonsense", "ack", ["ping"], {}, True])
def test_an_unknown_type_is_an_invalid_frame_with_its_ref(kind: object) -> None:
    refused = refusal_of(type=kind, ref="r1")
    assert (refused.error.code, refused.ref) == ("invalid_frame", "r1")


def test_a_missing_type_is_an_invalid_frame() -> None:
    assert refusal_of(ref="r1").error.code == "invalid_frame"


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"chat_id": "1"}, "chat_id"),
        ({"chat_id": True}, "chat_id"),
        ({"chat_id": 0}, "chat_id"),
        ({"chat_id": 1.0}, "chat_id"),
        ({"chat_id": MAX_ID + 1}, "chat_id"),
        ({"content": ""}, "content"),
        ({"content": " \n"}, "content"),
        ({"content": "a\0"}, "content"),
        ({"client_message_id": "a b"}, "client_message_id"),
        ({"message_type": "image"}, "message_type"),
        ({"reply_to_id": "x"}, "reply_to_id"),
        ({"room": 1}, "room"),
    ],
)
def test_wrong_fields_are_named_in_one_sentence(fields: dict[str, Any], field: str) -> None:
    refused = refusal_of(**a_send(**fields))
    assert (refused.error.code, refused.ref) == ("invalid_request", "r")
    assert field in refused.error.detail
    assert refused.error.detail.endswith(".")


def test_a_missing_field_is_named() -> None:
    assert (
        refusal_of(type="edit_message", message_id=MESSAGE_ID).error.detail == "The field content is missing."
    )


@pytest.mark.parametrize("ref", [5, None, {"a": 1}, "x" * 257])
def test_a_ref_that_is_no_short_text_is_not_repeated(ref: object) -> None:
    assert refusal_of(**a_send(ref=ref, content="")).ref is None


@pytest.mark.parametrize("ref", ["", "x" * 256, "\0", "🙂"])
def test_any_short_text_is_a_ref(ref: str) -> None:
    assert parse(type="ping", ref=ref).ref == ref


def test_refusals_never_repeat_a_token() -> None:
    refused = refusal_of(type="authenticate", token="s3cret" * 1000)
    assert "s3cret" not in f"{refused.error.detail}{refused.error.errors}"


def test_names_of_unknown_fields_are_cut_and_cleaned() -> None:
    refused = refusal_of(type="ping", **{"\x1b" + "x" * 10_000: 1})
    assert len(refused.error.detail) < 200
    assert refused.error.detail.isprintable()


def test_every_type_belongs_to_one_direction() -> None:
    commands = {name for model in COMMANDS for name in types_of(model)}
    answers = {name for model in (*REPLIES, *PUSHES) for name in types_of(model)}
    assert not commands & answers


def test_every_frame_class_is_in_one_of_the_lists() -> None:
    listed = {*COMMANDS, *REPLIES, *PUSHES}
    written = {
        found
        for found in vars(frames).values()
        if isinstance(found, type)
        and issubclass(found, Strict)
        and found.__module__ == frames.__name__
        and "type" in found.model_fields
    }
    assert written == listed


# --- Anything at all ----------------------------------------------------------------------------------

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
field_names = st.sampled_from(sorted({name for model in COMMANDS for name in model.model_fields})) | st.text()
near_commands = st.builds(
    lambda kind, fields: fields | {"type": kind},
    st.sampled_from(COMMAND_NAMES),
    st.dictionaries(
        field_names, json_values | st.sampled_from([1, "hello", MESSAGE_ID, {"1": 1}]), max_size=6
    ),
)


def assert_parses_or_refuses(text: str | bytes) -> None:
    outcome: frames.Command | RefusedFrame
    try:
        outcome = parse_command(text)
    except RefusedFrame as error:
        outcome = error
    if not isinstance(outcome, RefusedFrame):
        assert isinstance(outcome, COMMANDS)
        return
    refused = outcome
    assert refused.error.code in {"invalid_frame", "invalid_request"}
    assert refused.error.detail.endswith(".")
    assert refused.ref is None or isinstance(refused.ref, str)


@given(st.text() | st.binary())
def test_any_text_parses_or_is_refused(text: str | bytes) -> None:
    assert_parses_or_refuses(text)


@given(json_values | near_commands)
def test_any_json_parses_or_is_refused(value: object) -> None:
    try:
        text = orjson.dumps(value)
    except TypeError:
        # Integers beyond 64 bits and lone surrogates; the standard library writes them.
        text = json.dumps(value).encode()
    assert_parses_or_refuses(text)


@given(st.text(min_size=1, max_size=300).filter(lambda text: text.strip() and "\0" not in text))
def test_content_arrives_exactly_as_sent(content: str) -> None:
    try:
        text = orjson.dumps(a_send(content=content))
    except TypeError:
        return
    command = parse_command(text)
    assert isinstance(command, SendMessage)
    assert command.content == content
