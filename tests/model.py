"""The contract as a model: what a group is, and what every request on it must answer. No store, no network.

`Model.expect` takes a request and changes the model as a correct server would change its stores; it returns
the status that the server must answer with. `view` is what somebody must see of a group then.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True)
class Act:
    """Something that somebody asks for. `target` is a message's seq, or another person's number."""

    who: int
    kind: str
    target: int = 0
    text: str = ""
    key: str = ""


@dataclass(frozen=True)
class Message:
    seq: int
    sender: int
    content: str
    key: str
    first: str
    """Its first text, with which a repeated send is compared."""
    version: int
    revision: int = 1
    is_deleted: bool = False

    def view(self) -> dict[str, Any]:
        return {
            "seq": self.seq,
            "version": self.version,
            "revision": self.revision,
            "content": self.content,
            "is_deleted": self.is_deleted,
            "client_message_id": self.key,
        }


@dataclass
class Model:
    """One group: its first person is the owner, and nobody else is in it yet."""

    name: str
    version: int = 1
    roles: dict[int, str] = field(default_factory=lambda: {0: "owner"})
    read: dict[int, int] = field(default_factory=lambda: {0: 0})
    messages: list[Message] = field(default_factory=list)

    def expect(self, act: Act) -> int:
        """The status of the answer."""
        if act.who not in self.roles:
            return 404
        return getattr(self, f"_{act.kind}")(act)

    def find(self, seq: int) -> Message | None:
        return self.messages[seq - 1] if 1 <= seq <= len(self.messages) else None

    def view(self, who: int) -> dict[str, Any] | None:
        """What they must see; None: nothing at all."""
        if who not in self.roles:
            return None
        mine = max((one.seq for one in self.messages if one.sender == who), default=0)
        return {
            "name": self.name,
            "version": self.version,
            "last_seq": len(self.messages),
            "roles": dict(self.roles),
            "read": {one: self.read[one] for one in self.roles},
            "messages": [one.view() for one in self.messages],
            "unread_count": max(0, len(self.messages) - max(self.read[who], mine)),
        }

    # --- One for each kind ------------------------------------------------------------------------

    def _send(self, act: Act) -> int:
        for one in self.messages:
            if (one.sender, one.key) == (act.who, act.key):
                return 200 if one.first == act.text else 409
        seq, version = len(self.messages) + 1, self._next()
        self.messages.append(Message(seq, act.who, act.text, act.key, act.text, version))
        return 201

    def _edit(self, act: Act) -> int:
        one = self.find(act.target)
        if one is None:
            return 404
        if one.sender != act.who:
            return 403
        if one.is_deleted:
            return 409
        if one.content != act.text:
            revision = one.revision + 1
            self._put(replace(one, content=act.text, revision=revision, version=self._next()))
        return 200

    def _delete(self, act: Act) -> int:
        one = self.find(act.target)
        if one is None:
            return 404
        if one.sender != act.who and self.roles[act.who] == "member":
            return 403
        if not one.is_deleted:
            self._put(replace(one, content="", is_deleted=True, version=self._next()))
        return 200

    def _join(self, act: Act) -> int:
        if self.roles[act.who] == "member":
            return 403
        if act.target not in self.roles:
            self._next()
            self.roles[act.target] = "member"
            self.read[act.target] = len(self.messages)
        return 200

    def _remove(self, act: Act) -> int:
        if act.target == act.who:
            return self._leave(act)
        if act.target not in self.roles:
            return self._remove_stranger(act)
        mine, theirs = self.roles[act.who], self.roles[act.target]
        if mine == "member" or theirs == "owner" or (mine == "admin" and theirs != "member"):
            return 403
        self._end(act.target)
        return 204

    def _remove_stranger(self, act: Act) -> int:
        """Who was in once is gone already; who never was does not exist here."""
        if act.target not in self.read:
            return 404
        return 403 if self.roles[act.who] == "member" else 204

    def _leave(self, act: Act) -> int:
        if self.roles[act.who] == "owner" and len(self.roles) > 1:
            return 409
        self._end(act.who)
        return 204

    def _promote(self, act: Act) -> int:
        """To admin."""
        if act.target not in self.roles:
            return 404
        mine, theirs = self.roles[act.who], self.roles[act.target]
        if mine == "member":
            return 403
        if act.target == act.who and mine == "owner":
            return 409
        if mine == "admin" and theirs == "owner":
            return 403
        if theirs != "admin":
            self._next()
            self.roles[act.target] = "admin"
        return 200

    def _rename(self, act: Act) -> int:
        if self.roles[act.who] == "member":
            return 403
        if self.name != act.text:
            self._next()
            self.name = act.text
        return 200

    def _move(self, act: Act) -> int:
        """Of the read position, which never moves back or beyond the end."""
        self.read[act.who] = max(self.read[act.who], min(act.target, len(self.messages)))
        return 200

    def _next(self) -> int:
        self.version += 1
        return self.version

    def _put(self, message: Message) -> None:
        self.messages[message.seq - 1] = message

    def _end(self, who: int) -> None:
        self._next()
        del self.roles[who]
