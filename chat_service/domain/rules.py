"""Who may do what in a chat, and which texts and names are allowed. Plain functions that raise or return."""

from __future__ import annotations

import hmac
import re
from uuid import UUID

from chat_service.domain.errors import Conflict, Forbidden, InvalidRequest
from chat_service.domain.models import Chat, ChatType, MessageRow, Participant, Role

CHAT_NAME_CHARS = 100
POSITIONS_PUSHED_UP_TO = 100
"""Chats with more participants store positions but do not push them; the reader's own are still told."""

_CLIENT_MESSAGE_ID = re.compile(r"[A-Za-z0-9._:-]{1,64}", re.ASCII)


def check_group(chat: Chat) -> None:
    """Refuse what a direct chat does not have: a name, an owner, more people, leaving."""
    if chat.chat_type is ChatType.DIRECT:
        raise Conflict("A direct chat always has the same two people and no name.")


def check_manager(actor: Participant) -> None:
    """Owner and admins rename a group and add people to it."""
    if actor.role is Role.MEMBER:
        raise Forbidden("Only the owner and the admins of the group may do this.")


def check_may_remove(actor: Participant, target: Participant) -> None:
    check_manager(actor)
    if target.role is Role.OWNER or (actor.role is Role.ADMIN and target.role is not Role.MEMBER):
        raise Forbidden("Admins remove members; only the owner removes admins.")


def check_may_leave(actor: Participant, chat: Chat) -> None:
    if actor.role is Role.OWNER and chat.participant_count > 1:
        raise Conflict("Make somebody else the owner before you leave.")


def check_may_set_role(actor: Participant, target: Participant, role: Role) -> None:
    """The owner sets every role; an admin makes members admins."""
    check_manager(actor)
    if target.user_id == actor.user_id and actor.role is Role.OWNER and role is not Role.OWNER:
        raise Conflict("Make somebody else the owner first; you become an admin by that.")
    if actor.role is Role.ADMIN and (role is not Role.ADMIN or target.role is Role.OWNER):
        raise Forbidden("Admins can make members admins; the rest is up to the owner.")


def check_may_delete(actor: Participant, chat: Chat, message: MessageRow) -> None:
    if message.sender_id == actor.user_id:
        return
    if chat.chat_type is ChatType.DIRECT or actor.role is Role.MEMBER:
        raise Forbidden("Only its sender and the group's owner and admins may delete a message for everyone.")


def check_content(content: str, max_chars: int) -> None:
    """A text has 1 to `max_chars` code points, not only white space, and is stored exactly as sent."""
    if len(content) > max_chars:
        raise InvalidRequest(f"The message has {len(content)} characters; {max_chars} are allowed.")
    if not content.strip():
        raise InvalidRequest("The message is empty.")
    check_text(content, "content")


def check_text(text: str, field: str) -> None:
    """Refuse what the stores cannot hold: U+0000 and surrogates without a partner."""
    if "\x00" in text or any("\ud800" <= char <= "\udfff" for char in text if char > "\ud7ff"):
        raise InvalidRequest(f"{field} contains a character that is not allowed.")


def check_chat_name(name: str) -> str:
    """The name of a group without blanks around it."""
    name = name.strip()
    check_text(name, "name")
    if not 1 <= len(name) <= CHAT_NAME_CHARS:
        raise InvalidRequest(f"The name of a group has 1 to {CHAT_NAME_CHARS} characters.")
    return name


def check_client_message_id(value: str) -> None:
    if not _CLIENT_MESSAGE_ID.fullmatch(value):
        raise InvalidRequest(
            "A client_message_id or Idempotency-Key has 1 to 64 letters (A to Z), digits, dots, colons, "
            "hyphens and low lines."
        )


def make_direct_key(one: int, other: int) -> str:
    """The same for both orders of the pair."""
    return f"{min(one, other)}:{max(one, other)}"


def make_request_mac(key: bytes, *parts: str | UUID | None) -> bytes:
    """What a retried request is compared with: an HMAC-SHA-256, so that the row does not reveal a text
    that has been edited or deleted since. Every part carries its length, so no two requests look alike."""
    said = bytearray()
    for part in parts:
        data = b"" if part is None else str(part).encode()
        said += f"{'-' if part is None else len(data)}:".encode() + data
    return hmac.digest(key, said, "sha256")
