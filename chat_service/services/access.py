"""The doors to chats and messages: what one may not see is the same `NotFound` as what does not exist."""

from __future__ import annotations

from uuid import UUID

from chat_service.domain.errors import NotFound
from chat_service.domain.models import Chat, MessageRow, Participant
from chat_service.services.ports.metadata import Unit


async def access_chat(unit: Unit, chat_id: int, user_id: int) -> tuple[Chat, Participant]:
    """The chat and the caller's membership, read at the same moment; who has left is a stranger."""
    found = await unit.participants.find_membership(chat_id, user_id)
    if found is None:
        raise NotFound
    return found


async def access_locked_chat(unit: Unit, chat_id: int, user_id: int) -> tuple[Chat, Participant]:
    """The same with the chat's row locked: nobody joins, leaves or writes until the transaction ends."""
    chat = (await unit.chats.lock_chats([chat_id])).get(chat_id)
    if chat is None:
        raise NotFound
    me = await unit.participants.find_participant(chat_id, user_id)
    if me is None or not me.is_present:
        raise NotFound
    return chat, me


async def access_message(unit: Unit, message_id: UUID, user_id: int) -> MessageRow:
    """A message of a chat that the caller is in and that the caller has not hidden."""
    row = await unit.messages.find_visible(message_id, user_id)
    if row is None:
        raise NotFound
    return row
