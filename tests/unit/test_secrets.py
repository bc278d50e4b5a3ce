"""What people wrote and what lets them in shows in no repr, so that no log of a failure has it."""

from __future__ import annotations

from uuid import UUID

import pytest

from chat_service.domain.models import Body, Message
from chat_service.services.accounts import NewAccount
from chat_service.services.messages import Draft
from chat_service.services.sending import Send
from chat_service.services.sessions import SignedIn, Ticket
from chat_service.services.tokens import AccessToken, RefreshToken
from tests.contract.rows import a_chat, a_message, a_user

SECRET = "nobody else may read this"
ID = UUID(int=1)
ANN = a_user("ann")


@pytest.mark.parametrize(
    "value",
    [
        Body(ID, 1, SECRET),
        Message(a_message(a_chat(), ANN, 1), SECRET),
        Draft(1, SECRET),
        Send(ID, 1, 2, "ann", "text", SECRET, "key", b"", None, print, 0.0),
        NewAccount("ann", SECRET),
        AccessToken(SECRET, 1),
        RefreshToken(ID, SECRET.encode(), SECRET),
        SignedIn(ANN, ID, SECRET, 1, SECRET),
        Ticket(SECRET, 1),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_secret_shows_in_no_repr(value: object) -> None:
    assert SECRET not in repr(value)
