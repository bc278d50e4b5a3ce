"""A client that follows docs/protocol.md, section 5, to the letter; what it holds must equal a fresh read.

`Replica` connects, reads over REST while frames arrive, and from then on lives on frames alone.
`fresh` reads the same state over REST only. Both give a `View`; `difference` names where two views part.
"""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import Callable, Collection, Coroutine, Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from websockets.exceptions import ConnectionClosed

from tests.builders import TestUser
from tests.client import ChatClient, Frame

Json = dict[str, Any]
View = dict[int, Json]
"""By chat id: chat, participants by user id, messages by seq, hidden seqs, and what the list says of it."""

HEALS_WITHIN_S = 6.0
_POSITIONS = {"messages_read": "read_seq", "messages_delivered": "delivered_seq"}
_EPHEMERAL = frozenset({"user_typing", "user_stopped_typing", "user_online", "user_offline"})


@dataclass
class HeldChat:
    """What a client keeps of one chat. The values inside are replaced, never changed in place."""

    chat: Json
    cursor: int
    participants: dict[int, Json]
    """Those who have left too: their versions tell which news of them is old."""
    messages: dict[int, Json]
    hidden: set[int]
    last_seq: int
    mine: int = 0
    """The newest seq that is known to be the user's own, or read."""
    foreign_hidden: set[int] = field(default_factory=set)
    """Hidden messages that this client never held, so it cannot know whose they are."""
    early: dict[int, Frame] = field(default_factory=dict)

    def copy(self) -> HeldChat:
        return replace(
            self,
            participants=dict(self.participants),
            messages=dict(self.messages),
            hidden=set(self.hidden),
            foreign_hidden=set(self.foreign_hidden),
            early={},
        )

    # --- Items ------------------------------------------------------------------------------------

    def take_message(self, message: Json, user_id: int) -> None:
        seq = message["seq"]
        self.last_seq = max(self.last_seq, seq)
        if message["sender_id"] == user_id:
            self.mine = max(self.mine, seq)
        held = self.messages.get(seq)
        if seq not in self.hidden and (held is None or message["version"] > held["version"]):
            self.messages[seq] = message

    def take_participant(self, item: Json) -> None:
        held = self.participants.get(item["user_id"])
        if held is None:
            self.participants[item["user_id"]] = item
        elif item["version"] > held["version"]:
            newest = {name: max(item[name], held[name]) for name in _POSITIONS.values()}
            self.participants[item["user_id"]] = {**item, **newest}

    def take_position(self, user_id: int, **positions: int) -> None:
        """Positions never move back, so the greater one is the newer one."""
        held = self.participants.get(user_id)
        if held is not None:
            newest = {name: max(held[name], seq) for name, seq in positions.items()}
            self.participants[user_id] = {**held, **newest}

    def take_departure(self, user_id: int, version: int) -> None:
        held = self.participants.get(user_id)
        if held is not None and version > held["version"]:
            self.participants[user_id] = {**held, "left_at": "left", "version": version}

    def take_chat(self, chat: Json) -> None:
        if chat["version"] > self.chat["version"]:
            self.chat = chat

    def hide(self, seqs: Iterable[int]) -> None:
        for seq in seqs:
            if seq not in self.hidden:
                self.hidden.add(seq)
                self.last_seq = max(self.last_seq, seq)
                if self.messages.pop(seq, None) is None:
                    self.foreign_hidden.add(seq)

    # --- What it shows ----------------------------------------------------------------------------

    def view(self, user_id: int) -> Json:
        present = {who: one for who, one in self.participants.items() if one["left_at"] is None}
        me = present.get(user_id)
        read = max(self.mine, me["read_seq"] if me else 0)
        peers = [who for who in present if who != user_id] if self.chat["chat_type"] == "direct" else []
        counted = {"version": self.cursor, "last_seq": self.last_seq, "participant_count": len(present)}
        return {
            "chat": {**self.chat, **counted},
            "participants": present,
            "messages": dict(self.messages),
            "hidden": sorted(self.hidden),
            "last_message": self.messages[max(self.messages)] if self.messages else None,
            # Who has hidden own messages on another device cannot know that they were own ones.
            "unread_count": None
            if any(seq > read for seq in self.foreign_hidden)
            else max(0, self.last_seq - read),
            "my": {name: me[name] for name in ("role", "read_seq", "delivered_seq")} if me else None,
            "peer": peers[0] if peers else None,
        }


async def read_chat(user: TestUser, chat_id: int) -> HeldChat | None:
    """The chat, its participants and its whole history over REST; None when it is not the user's."""
    answers: list[Json] = []
    for path in (f"/chats/{chat_id}", f"/chats/{chat_id}/participants"):
        response = await user.http.get(path)
        if response.status_code == 404:
            return None
        assert response.status_code == 200, response.text
        answers.append(response.json())
    chat, participants = answers
    messages: dict[int, Json] = {}
    before: Json = {}
    while True:
        response = await user.http.get(f"/messages/chat/{chat_id}", params={"limit": 100, **before})
        if response.status_code == 404:
            return None
        assert response.status_code == 200, response.text
        page = response.json()
        messages |= {message["seq"]: message for message in page["items"]}
        if not page["has_more"]:
            break
        before = {"before": page["next_before"]}
    own = [seq for seq, message in messages.items() if message["sender_id"] == user.id]
    hidden = set(range(1, chat["last_seq"] + 1)) - messages.keys()
    return HeldChat(
        chat=chat,
        cursor=chat["version"],
        participants={one["user_id"]: one for one in participants["items"]},
        messages=messages,
        hidden=hidden,
        last_seq=max([chat["last_seq"], *messages]),
        mine=max(own, default=0),
        foreign_hidden=set(hidden),
    )


async def read_list(user: TestUser) -> dict[int, Json]:
    """The whole list of chats, page by page."""
    items: dict[int, Json] = {}
    cursor: str | None = ""
    while cursor is not None:
        page = await user.get("/chats", cursor=cursor, limit=100)
        items |= {item["id"]: item for item in page["items"]}
        cursor = page["next_cursor"]
    return items


async def fresh(user: TestUser, *, also: Collection[int] = ()) -> View:
    """What the user sees who knows nothing yet. `also` names direct chats that are hidden from the list."""
    items = await read_list(user)
    views: View = {}
    for chat_id in sorted({*items, *also}):
        held = await read_chat(user, chat_id)
        if held is None:
            continue
        view = held.view(user.id)
        item = items.get(chat_id)
        if item is None:
            assert held.chat["chat_type"] == "direct", f"chat {chat_id} is missing in the list"
        else:
            view["unread_count"] = item["unread_count"]
            view["last_message"] = item["last_message"]
            view["my"] = {name: item["my"][name] for name in ("role", "read_seq", "delivered_seq")}
            view["peer"] = item["peer"] and item["peer"]["id"]
            listed = {name: item[name] for name in held.chat}
            assert listed == held.chat, "the list and the chat differ"
        views[chat_id] = view
    return views


def difference(held: object, read: object, path: str = "") -> list[str]:
    """One line for each place where what is held and what a fresh read shows differ."""
    if isinstance(held, dict) and isinstance(read, dict):
        lines = []
        for key in sorted({*held, *read}, key=str):
            here = f"{path}/{key}"
            if key not in read:
                lines.append(f"{here}: held, but not in a fresh read: {held[key]!r:.200}")
            elif key not in held:
                lines.append(f"{here}: not held, but a fresh read shows {read[key]!r:.200}")
            elif key != "unread_count" or (held[key] is not None and read[key] is not None):
                lines += difference(held[key], read[key], here)
        return lines
    return [] if held == read else [f"{path}: held {held!r:.200}, a fresh read shows {read!r:.200}"]


class Replica:
    """One device. Begin with `start`, come back with `resume` after `stop` or `cut`."""

    def __init__(
        self, user: TestUser, *, only: int | None = None, chats: dict[int, HeldChat] | None = None
    ) -> None:
        self.user = user
        self.only = only
        self.chats: dict[int, HeldChat] = chats or {}
        self.epoch: str | None = None
        self.client = self._make_client()
        self.on_change: Callable[[], None] = lambda: None
        """Called after every frame that has been applied."""
        self.resumes = 0
        self._kept: list[Frame] | None = None
        """Frames that arrive while the list is read."""
        self._reading: dict[int, list[Frame]] = {}
        """Frames of chats that arrive while the chat is read."""
        self._resuming: set[int] = set()
        self._reads: set[asyncio.Task[None]] = set()
        self._calls: set[asyncio.Task[None]] = set()
        self._failures: list[BaseException] = []

    @property
    def is_settled(self) -> bool:
        return self._kept is None and not self._reading and not self._resuming

    def view(self) -> View:
        return {chat_id: held.view(self.user.id) for chat_id, held in sorted(self.chats.items())}

    def copy_chats(self) -> dict[int, HeldChat]:
        return {chat_id: held.copy() for chat_id, held in self.chats.items()}

    async def start(self) -> None:
        """Connect first, then read."""
        self._kept = []
        await self.client.open()
        await self._read_all()

    async def resume(self) -> None:
        """Connect again and ask for what has been missed, with everything that is held."""
        self.client = self._make_client()
        connected = await self.client.open()
        if self.epoch not in (None, connected["epoch"]):
            self._kept = []
            await self._read_all()
            return
        self.epoch = connected["epoch"]
        cursors = {chat_id: held.cursor for chat_id, held in self.chats.items()}
        self._resuming |= cursors.keys()
        self._begin(self._calls, self._call_resume(cursors, complete=self.only is None))

    async def stop(self) -> None:
        """Close in order."""
        try:
            await self.client.close()
        finally:
            await self._end_calls()

    async def cut(self) -> None:
        """The network is gone, in the middle of whatever was going on."""
        if self.client.socket is not None:
            self.client.socket.transport.abort()
        await self.stop()

    async def settle(self) -> None:
        """Return once all that the server had sent before has been applied, and nothing is being read."""
        while True:
            await self.client.settle()
            tasks = [*self._reads, *self._calls]
            if self._failures:
                raise self._failures[0]
            if not tasks:
                return
            await asyncio.wait(tasks)

    # --- Reading ----------------------------------------------------------------------------------

    async def _read_all(self) -> None:
        """Read everything; frames wait meanwhile."""
        self.epoch = self.client.frames[0]["epoch"]
        items = {} if self.only is not None else await read_list(self.user)
        self.chats = {}
        for chat_id in [self.only] if self.only is not None else items:
            held = await read_chat(self.user, chat_id)
            if held is not None:
                if chat_id in items:
                    item = items[chat_id]
                    held.mine = max(held.mine, item["last_seq"] - item["unread_count"])
                self.chats[chat_id] = held
        kept, self._kept = self._kept or [], None
        for frame in kept:
            self._take(frame)
        self.on_change()

    def _read_afresh(self, chat_id: int) -> None:
        """Forget the chat and read it; its frames wait meanwhile."""
        self._reading[chat_id] = []
        mine = self.chats[chat_id].mine if chat_id in self.chats else 0
        self.chats.pop(chat_id, None)
        self._begin(self._reads, self._read_one(chat_id, mine))

    async def _read_one(self, chat_id: int, mine: int) -> None:
        while True:
            client = self.client
            has_connected = bool(client.frames)
            held = await read_chat(self.user, chat_id)
            if has_connected and client is self.client:
                break  # otherwise it was begun before this connection, which is not "connect first"
        if held is not None:
            held.mine = max(held.mine, mine)
            self.chats[chat_id] = held
        for frame in self._reading.pop(chat_id):
            self._take(frame)
        self.on_change()

    # --- Frames -----------------------------------------------------------------------------------

    def _hear(self, frame: Frame) -> None:
        if self._kept is not None:
            self._kept.append(frame)
        else:
            self._take(frame)
            self.on_change()

    def _take(self, frame: Frame) -> None:
        chat_id = frame.get("chat_id")
        if frame["type"] == "ack" and "message" in frame:
            chat_id = frame["message"]["chat_id"]
        if chat_id is None or frame["type"] in _EPHEMERAL:
            return
        if chat_id in self._reading:
            self._reading[chat_id].append(frame)
        elif chat_id in self.chats:
            self._apply(self.chats[chat_id], chat_id, frame)
        elif not self._is_end(frame) and ("version" in frame or frame["type"] == "changes"):
            self._read_afresh(chat_id)

    def _is_end(self, frame: Frame) -> bool:
        is_own_departure = frame["type"] == "user_left" and frame["user_id"] == self.user.id
        return frame["type"] == "chat_gone" or is_own_departure

    def _apply(self, held: HeldChat, chat_id: int, frame: Frame) -> None:
        kind = frame["type"]
        if kind == "ack":
            if "message" in frame:
                held.take_message(frame["message"], self.user.id)
        elif kind == "message_hidden":
            held.hide([frame["seq"]])
        elif kind in _POSITIONS:
            held.take_position(frame["user_id"], **{_POSITIONS[kind]: frame["seq"]})
        elif kind == "chat_gone":
            del self.chats[chat_id]
        elif kind == "resync_required" or frame.get("epoch", self.epoch) != self.epoch:
            self._read_afresh(chat_id)
        elif kind == "changes":
            if frame["from"] > held.cursor:
                held.early[frame["to"]] = frame
            else:
                self._apply_changes(held, frame)
            self._apply_early(held, chat_id)
        elif frame["version"] > held.cursor:
            self._apply_push(held, chat_id, frame)

    def _apply_push(self, held: HeldChat, chat_id: int, frame: Frame) -> None:
        if self._is_end(frame):
            del self.chats[chat_id]
        elif frame["type"] == "chat_created":
            self._read_afresh(chat_id)
        else:
            held.early[frame["version"]] = frame
            self._apply_early(held, chat_id)

    def _apply_early(self, held: HeldChat, chat_id: int) -> None:
        """Apply the pushes that follow the cursor; when some lie further ahead, ask for what is between."""
        held.early = {version: frame for version, frame in held.early.items() if version > held.cursor}
        while "version" in (frame := held.early.get(held.cursor + 1, {})):
            self._apply_next(held, frame)
            held.cursor += 1
            del held.early[held.cursor]
        if held.early and chat_id not in self._resuming:
            self._resuming.add(chat_id)
            self.resumes += 1
            self._begin(self._calls, self._call_resume({chat_id: held.cursor}))

    def _apply_next(self, held: HeldChat, frame: Frame) -> None:
        match frame["type"]:
            case "new_message" | "message_edited" | "message_deleted":
                held.take_message(frame["message"], self.user.id)
            case "chat_updated":
                held.take_chat(frame["chat"])
            case "user_joined" | "participant_updated":
                for one in frame["participants"]:
                    held.take_participant(one)
            case "user_left":
                held.take_departure(frame["user_id"], frame["version"])
            case kind:
                raise AssertionError(f"{kind} has a version and is unknown")

    def _apply_changes(self, held: HeldChat, page: Frame) -> None:
        is_news = page["to"] > held.cursor
        for message in page["messages"]:
            held.take_message(message, self.user.id)
        for one in page["participants"]:
            if is_news or one["user_id"] in held.participants:
                held.take_participant(one)
        if page["chat"] is not None:
            held.take_chat(page["chat"])
        held.hide(page["hidden"])
        for position in page["positions"]:
            seqs = {name: position[name] for name in _POSITIONS.values()}
            held.take_position(position["user_id"], **seqs)
        held.cursor = max(held.cursor, page["to"])

    # --- Calls ------------------------------------------------------------------------------------

    async def _call_resume(self, cursors: dict[int, int], *, complete: bool = False) -> None:
        try:
            fields: Json = {"cursors": {str(chat_id): cursor for chat_id, cursor in cursors.items()}}
            if complete:
                fields["complete"] = True
            answer = await self.client.call("resume", epoch=self.epoch, **fields)
            assert answer["type"] == "ack", answer
        except ConnectionClosed:
            return
        finally:
            self._resuming -= cursors.keys()
        for chat_id in cursors:
            if chat_id in self.chats:
                self._apply_early(self.chats[chat_id], chat_id)
        self.on_change()

    def _begin(self, tasks: set[asyncio.Task[None]], work: Coroutine[Any, Any, None]) -> None:
        def end(task: asyncio.Task[None]) -> None:
            tasks.discard(task)
            if not task.cancelled() and (error := task.exception()) is not None:
                self._failures.append(error)

        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(end)

    async def _end_calls(self) -> None:
        for task in list(self._calls):
            task.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)
        for held in self.chats.values():
            held.early = {}

    def _make_client(self) -> ChatClient:
        client = self.user.socket("" if self.only is None else f"/{self.only}")
        client.listeners.append(self._hear)
        return client


async def check_same(replica: Replica, read: View | None = None) -> None:
    """The replica comes to hold what a fresh read shows (`read`, where that has been read already)."""
    deadline = time.monotonic() + HEALS_WITHIN_S
    while True:
        await replica.settle()
        shown = await fresh(replica.user, also=replica.chats) if read is None else copy.copy(read)
        if replica.only is not None:
            shown = {chat_id: view for chat_id, view in shown.items() if chat_id == replica.only}
        lines = difference(replica.view(), shown)
        if not lines:
            return
        if time.monotonic() > deadline:
            raise AssertionError("\n".join(lines[:10]))
        await asyncio.sleep(0.1)
