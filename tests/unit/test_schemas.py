"""The REST models: strict about types, ranges and texts, and the answers' shapes as the contract has them."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from chat_service.domain.models import MAX_ID, ChatType, Role
from chat_service.routes import schemas
from chat_service.routes.asyncapi import EXAMPLES
from chat_service.routes.frames import Changes, ChatCreated, MessageSent, ParticipantUpdated
from chat_service.routes.schemas import (
    AddParticipantsIn,
    ChangesOut,
    ChatOut,
    CreateChatIn,
    EditMessageIn,
    ListedChatOut,
    LoginIn,
    MessageOut,
    ParticipantOut,
    PasswordIn,
    PositionIn,
    ProblemOut,
    ProfileIn,
    RegisterIn,
    RenameChatIn,
    RoleIn,
    SendMessageIn,
    Strict,
)

MESSAGE_ID = "01936f5e-7c1a-7b3e-9a55-3f0e5a2b8c11"


def a_message(**fields: Any) -> dict[str, Any]:
    return {"chat_id": 1, "content": "hello"} | fields


def an_account(**fields: Any) -> dict[str, Any]:
    return {"username": "mai", "email": "mai@example.org", "password": "correct horse"} | fields


def refusals(model: type[Strict], fields: dict[str, Any]) -> list[str]:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(fields)
    return [".".join(map(str, error["loc"])) for error in caught.value.errors()]


@pytest.mark.parametrize("chat_id", ["5", 5.0, True, None, 0, -1, MAX_ID + 1, 10**30, [5]])
def test_an_id_is_an_integer_in_range_and_nothing_is_converted(chat_id: object) -> None:
    assert refusals(SendMessageIn, a_message(chat_id=chat_id)) == ["chat_id"]


def test_the_largest_id_passes() -> None:
    assert SendMessageIn.model_validate(a_message(chat_id=MAX_ID)).chat_id == MAX_ID


def test_unknown_fields_are_refused() -> None:
    assert refusals(SendMessageIn, a_message(sender_id=1)) == ["sender_id"]


def test_ids_in_lists_are_as_strict() -> None:
    assert refusals(CreateChatIn, {"chat_type": "group", "participant_ids": [2, "3", True]}) == [
        "participant_ids.1",
        "participant_ids.2",
    ]
    assert refusals(AddParticipantsIn, {"user_ids": []}) == ["user_ids"]


@pytest.mark.parametrize("seq", [-1, "1", True, 1.5, MAX_ID + 1])
def test_a_position_is_a_seq(seq: object) -> None:
    assert refusals(PositionIn, {"seq": seq}) == ["seq"]
    assert PositionIn.model_validate({"seq": 0}).seq == 0


@pytest.mark.parametrize("given", [MESSAGE_ID, MESSAGE_ID.upper()])
def test_a_uuid_is_given_as_text(given: str) -> None:
    assert SendMessageIn.model_validate(a_message(reply_to_id=given)).reply_to_id == UUID(MESSAGE_ID)


@pytest.mark.parametrize(
    "given",
    [
        "",
        "x",
        MESSAGE_ID.replace("-", ""),
        f"{{{MESSAGE_ID}}}",
        f"urn:uuid:{MESSAGE_ID}",
        5,
        f"{MESSAGE_ID}\n",
    ],
)
def test_no_other_form_of_a_uuid_passes(given: object) -> None:
    assert refusals(SendMessageIn, a_message(reply_to_id=given)) == ["reply_to_id"]


@pytest.mark.parametrize("content", ["", " ", "\n\t\u2003", "a\0b", "\ud800", 5, None])
def test_empty_blank_and_broken_texts_are_refused(content: object) -> None:
    assert refusals(SendMessageIn, a_message(content=content)) == ["content"]
    assert refusals(EditMessageIn, {"content": content}) == ["content"]


@pytest.mark.parametrize("content", [" a ", "\u200d", "👩‍👩‍👧", "x" * 20_000, "\x01"])
def test_any_other_text_stays_as_it_was_sent(content: str) -> None:
    assert SendMessageIn.model_validate(a_message(content=content)).content == content


@pytest.mark.parametrize("key", ["", "a" * 65, "a b", "é", "a\n", 5])
def test_client_message_ids_have_a_fixed_alphabet(key: object) -> None:
    assert refusals(SendMessageIn, a_message(client_message_id=key)) == ["client_message_id"]


def test_optional_fields_may_be_null() -> None:
    given = SendMessageIn.model_validate(
        a_message(client_message_id=None, message_type=None, reply_to_id=None)
    )
    assert (given.client_message_id, given.message_type, given.reply_to_id) == (None, "text", None)


def test_only_text_is_a_message_type() -> None:
    assert refusals(SendMessageIn, a_message(message_type="image")) == ["message_type"]


def test_names_of_kinds_become_enumerations() -> None:
    assert RoleIn.model_validate({"role": "admin"}).role is Role.ADMIN
    chat = CreateChatIn.model_validate({"chat_type": "direct", "participant_ids": [2]})
    assert chat.chat_type is ChatType.DIRECT
    assert refusals(RoleIn, {"role": "boss"}) == ["role"]
    assert refusals(RoleIn, {"role": 1}) == ["role"]


@pytest.mark.parametrize("name", ["", "   ", "a" * 101, "a\0", None, 5])
def test_a_chat_name_has_1_to_100_characters(name: object) -> None:
    assert refusals(RenameChatIn, {"name": name}) == ["name"]


@pytest.mark.parametrize("password", ["short", "x" * 129, "\ud800" * 8, 12345678])
def test_new_passwords_have_8_to_128_code_points(password: object) -> None:
    assert refusals(RegisterIn, an_account(password=password)) == ["password"]
    assert refusals(PasswordIn, {"current_password": "x", "new_password": password}) == ["new_password"]


@pytest.mark.parametrize("password", ["        ", "👍" * 8, "a\0bcdefgh", "x" * 128])
def test_new_passwords_are_of_any_kind(password: str) -> None:
    assert RegisterIn.model_validate(an_account(password=password)).password == password


def test_a_login_takes_passwords_that_could_not_be_set() -> None:
    assert LoginIn.model_validate({"username": "mai", "password": "x"}).password == "x"


def test_a_profile_knows_which_fields_were_given() -> None:
    assert ProfileIn.model_validate({"bio": None}).model_fields_set == {"bio"}
    assert refusals(ProfileIn, {"username": "other"}) == ["username"]


def test_every_request_refuses_unknown_fields_and_says_so_in_its_schema() -> None:
    models = [model for name, model in vars(schemas).items() if name.endswith(("In", "Out"))]
    assert len(models) > 40
    for model in models:
        assert model.model_json_schema()["additionalProperties"] is False


# --- Answers: the fields that the contract names, no more and no fewer --------------------------------


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (schemas.UserOut, "id username full_name bio avatar_url is_bot"),
        (schemas.MeOut, "id username full_name bio avatar_url is_bot email phone role created_at"),
        (schemas.TokenOut, "access_token token_type expires_in refresh_token user"),
        (schemas.SessionOut, "id created_at last_used_at ip user_agent current"),
        (schemas.TicketOut, "ticket expires_in"),
        (ChatOut, "id chat_type name created_by created_at version epoch last_seq participant_count"),
        (
            ListedChatOut,
            (
                "id chat_type name created_by created_at version epoch last_seq participant_count"
                " last_message unread_count my peer"
            ),
        ),
        (schemas.MyOut, "role read_seq delivered_seq muted_until is_archived"),
        (
            ParticipantOut,
            "chat_id user_id username full_name role joined_at left_at version read_seq delivered_seq",
        ),
        (
            MessageOut,
            (
                "id chat_id seq version revision sender_id sender_username message_type content"
                " client_message_id timestamp is_edited edited_at is_deleted reply_to attachments mentions"
                " reactions is_pinned"
            ),
        ),
        (schemas.HistoryOut, "items has_more next_before next_after version epoch"),
        (schemas.MessagePageOut, "items total page limit pages"),
        (schemas.ChatPageOut, "items total page limit pages"),
        (schemas.ChatCursorOut, "items next_cursor has_more"),
        (schemas.RevisionOut, "revision content edited_at"),
        (ChangesOut, "chat_id epoch from to messages participants chat hidden positions has_more"),
        (
            schemas.LimitsOut,
            "frame_bytes frames_per_s connections_per_user outbound_bytes message_chars participants",
        ),
        (schemas.HealthOut, "status version environment websocket_connections checks timestamp"),
        (ProblemOut, "type title status detail status_code code request_id errors"),
    ],
)
def test_answers_have_the_fields_of_the_contract(model: type[Strict], fields: str) -> None:
    assert set(model.model_json_schema()["properties"]) == set(fields.split())


def test_the_objects_of_the_examples_are_answers_too() -> None:
    MessageOut.model_validate(EXAMPLES[MessageSent]["message"])
    ChatOut.model_validate(EXAMPLES[ChatCreated]["chat"])
    ParticipantOut.model_validate(EXAMPLES[ParticipantUpdated]["participants"][0])
    fields = {key: value for key, value in EXAMPLES[Changes].items() if key not in {"type", "ref"}}
    assert ChangesOut.model_validate(fields).since == fields["from"]


@pytest.mark.parametrize("time", ["2026-11-20T09:30:00+00:00", "2026-11-20 09:30:00Z", "2026-11-20T09:30:00"])
def test_answers_give_times_in_utc_with_z(time: str) -> None:
    message = EXAMPLES[MessageSent]["message"] | {"timestamp": time}
    assert refusals(MessageOut, message) == ["timestamp"]
