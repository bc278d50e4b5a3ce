"""What somebody wants to have done, and asks for until it is answered."""

from __future__ import annotations

from dataclasses import dataclass

from tests.records import Deletion, Edit, Json, Send


@dataclass(eq=False)
class Asked:
    request: Send | Edit | Deletion
    key: str
    """By which whoever asks knows it; of a message its `client_message_id`."""
    at_s: float
    tried_at_s: float = 0.0

    @property
    def may_be_refused_with(self) -> set[str]:
        """An edit comes too late where the message has been deleted."""
        return {"conflict"} if isinstance(self.request, Edit) else set()

    def to_frame(self, ref: str) -> Json:
        match self.request:
            case Send(chat_id=chat_id, content=content, key=key):
                fields = {"chat_id": chat_id, "content": content, "client_message_id": key}
                return {"type": "send_message", "ref": ref, **fields}
            case Edit(message_id=message_id, content=content):
                return {"type": "edit_message", "ref": ref, "message_id": message_id, "content": content}
            case Deletion(message_id=message_id):
                return {"type": "delete_message", "ref": ref, "message_id": message_id}
