"""Judges what clients did and saw against what is stored at the end. It does no I/O.

Give `check` a `History`; it returns one `Violation` for each broken promise of docs/protocol.md, section 5.
The invariants are the functions marked `@invariant`, here and in `tests/aftermath.py`: their names are the
violations' names, and each yields one sentence for each place where it is broken. Two things must hold of the
clients: every send carries a `client_message_id`, and nobody hides a message.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from tests import aftermath  # noqa: F401 - its invariants are among those that are checked
from tests.past import INVARIANTS, Key, Past, Sighting, group, invariant, key_of
from tests.records import Connection, Edit, History, Json, Send, Stay

__all__ = ["INVARIANTS", "Violation", "check"]

_REPLIES = frozenset({"ack", "error", "chat_gone", "resync_required"})
"""They may name a chat that their reader is not in, or is in no more."""


@dataclass(frozen=True)
class Violation:
    invariant: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.invariant}: {self.sentence}"


def check(history: History) -> list[Violation]:
    """Every broken promise; an empty list is a clean history."""
    past = Past(history)
    return [Violation(one.__name__, sentence) for one in INVARIANTS for sentence in one(past)]


# --- The invariants ---------------------------------------------------------------------------------------


@invariant
def acknowledged_is_stored_once(past: Past) -> Iterator[str]:
    for send in past.history.sends:
        for ack in send.acks:
            rows = past.rows.get(ack["id"], [])
            if len(rows) != 1:
                yield f"{send.key} was acknowledged as {ack['id']}, which is stored {len(rows)} times."
            elif rows[0]["seq"] != ack["seq"]:
                yield f"{send.key} was acknowledged with seq {ack['seq']} and has seq {rows[0]['seq']}."
            elif key_of(rows[0]) != (send.chat_id, send.user_id, send.key):
                yield f"{send.key} was acknowledged as {ack['id']}, which is stored as {key_of(rows[0])}."


@invariant
def one_key_is_one_message(past: Past) -> Iterator[str]:
    ids: dict[Key, set[str]] = defaultdict(set)
    for sighting in past.sightings:
        ids[key_of(sighting.message)].add(sighting.message["id"])
    for send in past.history.sends:
        ids[send.chat_id, send.user_id, send.key].update(ack["id"] for ack in send.acks)
    for key, found in ids.items():
        if len(found) > 1:
            yield f"The key {key} has several messages: {', '.join(sorted(found))}."


@invariant
def seqs_have_no_gap(past: Past) -> Iterator[str]:
    for chat in past.history.stored:
        seqs = [row["seq"] for row in chat.messages]
        missing = sorted(set(range(1, chat.last_seq + 1)).difference(seqs))
        beyond = sorted(set(seqs).difference(range(1, chat.last_seq + 1)))
        doubled = sorted({seq for seq in seqs if seqs.count(seq) > 1}) if len(set(seqs)) < len(seqs) else []
        if missing or beyond or doubled:
            yield (
                f"Chat {chat.chat_id} has last_seq {chat.last_seq}: missing {missing[:10]}, "
                f"beyond it {beyond[:10]}, twice {doubled[:10]}."
            )


@invariant
def versions_are_consistent(past: Past) -> Iterator[str]:
    for chat in past.history.stored:
        versions = [row["version"] for row in chat.messages]
        counted = group((version, True) for version in versions)
        others = set(chat.other_versions)
        for version in sorted(counted):
            if len(counted[version]) > 1 or version in others:
                yield f"The version {version} of chat {chat.chat_id} belongs to several changes."
        highest = max([*versions, *others], default=0)
        if highest != chat.version:
            yield f"Chat {chat.chat_id} has version {chat.version}; its highest item has {highest}."


@invariant
def everybody_sees_the_same(past: Past) -> Iterator[str]:
    """One order for all: a seq is one message, a version is one change, and a state has one content."""
    seqs: dict[tuple[int, int], Sighting] = {}
    versions: dict[tuple[int, int], Sighting] = {}
    for one in past.sightings:
        message = one.message
        first = seqs.setdefault((message["chat_id"], message["seq"]), one)
        if first.message["id"] != message["id"]:
            yield f"Seq {message['seq']} is {first.place} in {first.where} and {one.place} in {one.where}."
        first = versions.setdefault((message["chat_id"], message["version"]), one)
        if first.message != message:
            yield f"{one.where} shows {one.place} differently from {first.where}, {first.place}."
    kinds: dict[tuple[int, int], str] = {}
    for connection in past.history.connections:
        for frame in connection.frames:
            if "version" in frame and frame["type"] not in {"chat_created", "resync_required", "changes"}:
                kind = kinds.setdefault((frame["chat_id"], frame["version"]), frame["type"])
                if kind != frame["type"]:
                    other = f"{frame['type']} to {connection.name}"
                    yield f"Version {frame['version']} is {kind} to some, {other}."


@invariant
def heard_is_stored(past: Past) -> Iterator[str]:
    """What was pushed before its commit would be missing, or older, in the final read after a crash."""
    for one in past.heard:
        rows = past.rows.get(one.message["id"], [])
        if not rows:
            yield f"{one.where} brought {one.place}, which is not stored."
        elif rows[0]["version"] < one.message["version"]:
            yield f"{one.where} brought {one.place}; what is stored has only version {rows[0]['version']}."
    newest = {chat.chat_id: chat.version for chat in past.history.stored}
    for connection in past.history.connections:
        for frame in connection.frames:
            version = frame.get("version", frame.get("to", 0)) if "chat_id" in frame else 0
            if version > newest.get(frame.get("chat_id", 0), version):
                yield f"The {frame['type']} to {connection.name} has version {version}, above the chat's."


@invariant
def pushes_come_in_order(past: Past) -> Iterator[str]:
    """By version on every connection, each once."""
    for connection in past.history.connections:
        for frame, before in _durable(connection):
            if frame["version"] <= before.pushed:
                yield (
                    f"{connection.name} heard {frame['type']} with version {frame['version']} of chat "
                    f"{frame['chat_id']} after version {before.pushed}."
                )


@invariant
def pushes_have_no_hole(past: Past) -> Iterator[str]:
    """A connection that has heard a version hears the next one, or `changes` that hold it; but whoever leaves
    may miss what came right before, because a page from the store shows only who is in now."""
    for connection in past.history.connections:
        for frame, before in _durable(connection):
            if _is_own_end(frame, connection):
                continue
            if before.known and frame["version"] > before.known + 1:
                yield (
                    f"{connection.name} heard version {frame['version']} of chat {frame['chat_id']} right "
                    f"after version {before.known}."
                )


@dataclass
class _Heard:
    """The newest versions of a chat on a connection, since the socket was opened or its user came back."""

    pushed: int = 0
    """Brought by a push, or by `changes` that nobody had asked for."""
    known: int = 0
    """That, or where a `chat_created` began. One that answers a `resume` has been read from the store, which
    may be ahead of the pushes: what it knows still comes once."""


def _durable(connection: Connection) -> Iterator[tuple[Json, _Heard]]:
    """Each push of a durable change, and what this connection had heard of its chat before it."""
    heard: defaultdict[int, _Heard] = defaultdict(_Heard)
    for frame in connection.frames:
        kind, chat_id = frame["type"], frame.get("chat_id")
        if kind == "changes" and frame.get("ref") is None:
            before = heard[chat_id]
            heard[chat_id] = _Heard(max(before.pushed, frame["to"]), max(before.known, frame["to"]))
        elif kind == "chat_gone":
            heard.pop(chat_id, None)
        elif kind == "chat_created":
            heard[chat_id].known = max(heard[chat_id].known, frame["version"])
        elif "version" in frame and kind != "resync_required":
            before, version = heard[chat_id], frame["version"]
            yield frame, before
            has_left = _is_own_end(frame, connection)
            new = _Heard() if has_left else _Heard(max(before.pushed, version), max(before.known, version))
            heard[chat_id] = new


def _is_own_end(frame: Json, connection: Connection) -> bool:
    return frame["type"] == "user_left" and frame["user_id"] == connection.user_id


@invariant
def strangers_hear_nothing(past: Past) -> Iterator[str]:
    for connection in past.history.connections:
        gone: set[int] = set()
        for frame in connection.frames:
            kind, chat_id = frame["type"], frame.get("chat_id")
            if chat_id is None or kind in _REPLIES:
                continue
            if not _may_hear(past.stays[chat_id, connection.user_id], frame):
                yield f"{connection.name} is not in chat {chat_id} and heard {_describe(frame)}."
            if kind == "chat_created" or (kind == "changes" and frame.get("ref") is not None):
                gone.discard(chat_id)
            elif chat_id in gone:
                yield f"{connection.name} heard {_describe(frame)} of chat {chat_id} after leaving it."
            elif _is_own_end(frame, connection):
                gone.add(chat_id)


def _may_hear(stays: list[Stay], frame: Json) -> bool:
    if frame["type"] == "changes":  # it shows old versions also to those who were not in at the time
        return any(stay.until is None or frame["to"] < stay.until for stay in stays)
    version = frame.get("version")
    if version is None:
        return bool(stays)
    return any(
        stay.since <= version and (stay.until is None or version < stay.until or _is_end(frame, stay))
        for stay in stays
    )


def _is_end(frame: Json, stay: Stay) -> bool:
    is_own = frame["type"] == "user_left" and frame["user_id"] == stay.user_id
    return is_own and frame["version"] == stay.until


def _describe(frame: Json) -> str:
    return f"{frame['type']} with version {frame.get('version', frame.get('to'))}"


@invariant
def held_equals_stored(past: Past) -> Iterator[str]:
    """Pushes and resumes together are the final read."""
    chats = {chat.chat_id: chat for chat in past.history.stored}
    for one in past.history.held:
        chat = chats.get(one.chat_id)
        if chat is None or not any(stay.until is None for stay in past.stays[one.chat_id, one.user_id]):
            yield f"{one.device} still holds chat {one.chat_id}."
            continue
        if one.cursor != chat.version:
            yield f"{one.device} stands at version {one.cursor} of chat {chat.chat_id}, at {chat.version}."
        stored = {row["seq"]: row for row in chat.messages}
        wrong = [seq for seq in sorted({*stored, *one.messages}) if stored.get(seq) != one.messages.get(seq)]
        if wrong:
            yield f"{one.device} holds other messages of chat {chat.chat_id} than are stored: {wrong[:10]}."


@invariant
def acknowledged_edits_survive(past: Past) -> Iterator[str]:
    for message_id, edits in past.edits.items():
        for row in past.rows.get(message_id, [])[:1]:
            yield from _judge_edits(row, edits, past)


def _judge_edits(row: Json, edits: list[Edit], past: Past) -> Iterator[str]:
    acks = [(ack, edit) for edit in edits for ack in edit.acks]
    if not acks:
        return
    newest, last = max(acks, key=lambda pair: pair[0]["version"])
    if row["version"] < newest["version"] or row["revision"] < newest["revision"]:
        yield f"The edit of {row['id']} with version {newest['version']} is lost; it has {row['version']}."
    if row["is_deleted"]:
        return
    later = {edit.content for edit in edits if edit.is_unknown}
    if row["content"] != last.content and row["content"] not in later:
        yield f"{row['id']} has a text other than the newest edit acknowledged: {row['content']!r:.80}."
    texts = {one["revision"]: one["content"] for one in past.list_texts(row)}
    for ack, edit in acks:
        if texts.get(ack["revision"]) != edit.content:
            yield f"Revision {ack['revision']} of {row['id']} is not the edit that was acknowledged."


@invariant
def acknowledged_deletions_survive(past: Past) -> Iterator[str]:
    for one in past.history.deletions:
        for row in past.rows.get(one.message_id, []) if one.acks else []:
            if not row["is_deleted"] or row["content"] or row["id"] in past.revisions:
                yield f"The deletion of {row['id']} was acknowledged, and its text is back."
    tombstones = {one.message["id"]: one for one in past.heard if one.message["is_deleted"]}
    for one in past.sightings:
        grave = tombstones.get(one.message["id"])
        is_later = grave is not None and one.message["version"] > grave.message["version"]
        if is_later and not one.message["is_deleted"]:
            yield f"{one.where} shows {one.place} alive, after its deletion."


@invariant
def refused_is_not_stored(past: Past) -> Iterator[str]:
    sent = {
        (one.chat_id, one.content)
        for one in (*past.history.sends, *past.history.edits)
        if one.may_have_happened
    }
    refused = {
        (one.chat_id, one.content): one
        for one in (*past.history.sends, *past.history.edits)
        if one.refusal is not None and not one.may_have_happened
    }
    for chat in past.history.stored:
        for row in chat.messages:
            for text in {row["content"], *(one["content"] for one in past.list_texts(row))}:
                one = refused.get((chat.chat_id, text))
                if one is not None and (chat.chat_id, text) not in sent:
                    yield f"{row['id']} has the text {text!r:.80}, which was refused: {one.refusal}."
    for deletion in past.history.deletions:
        others = any(one.may_have_happened for one in past.deletions[deletion.message_id])
        for row in past.rows.get(deletion.message_id, []):
            if deletion.refusal is not None and not others and row["is_deleted"]:
                yield f"The deletion of {row['id']} was refused ({deletion.refusal}) and carried out."


@invariant
def content_is_as_sent(past: Past) -> Iterator[str]:
    for one in past.sightings:
        message = one.message
        if not _is_as_sent(past, message, message["revision"], message["content"]):
            yield f"{one.where} shows {one.place} with a text never sent: {message['content']!r:.80}."
    for chat in past.history.stored:
        for row in chat.messages:
            for text in chat.revisions.get(row["id"], []):
                if not _is_as_sent(past, row | {"is_deleted": False}, text["revision"], text["content"]):
                    yield f"Revision {text['revision']} of {row['id']} was never sent."


def _is_as_sent(past: Past, message: Json, revision: int, content: str) -> bool:
    if message["is_deleted"]:
        return content == ""
    asked: list[Send] | list[Edit] = past.sends.get(key_of(message), [])
    if revision > 1:
        asked = past.edits.get(message["id"], [])
    return not asked or any(one.content == content for one in asked)


@invariant
def nothing_is_stored_unasked(past: Past) -> Iterator[str]:
    for rows in past.rows.values():
        for row in rows:
            if not any(send.may_have_happened for send in past.sends.get(key_of(row), [])):
                yield f"{row['id']} (seq {row['seq']}) is stored, and nobody sent it."
            deletions = past.deletions.get(row["id"], [])
            if row["is_deleted"] and not any(one.may_have_happened for one in deletions):
                yield f"{row['id']} is deleted, and nobody asked for that."
            if row["revision"] > 1 and not any(
                one.may_have_happened for one in past.edits.get(row["id"], [])
            ):
                yield f"{row['id']} has revision {row['revision']}, and nobody edited it."


@invariant
def ack_comes_before_push(past: Past) -> Iterator[str]:
    """On the connection that sent."""
    for connection in past.history.connections:
        pushed: set[str] = set()
        for frame in connection.frames:
            if frame["type"] == "new_message":
                pushed.add(frame["message"]["id"])
            elif frame.get("duplicate") is False and frame["message"]["id"] in pushed:
                yield f"{connection.name} heard of {frame['message']['id']} before its ack."


@invariant
def sends_keep_their_order(past: Past) -> Iterator[str]:
    """Sends of one connection into one chat get seqs, and acks, in the order of their frames."""
    for connection in past.history.connections:
        acks = [frame for frame in connection.frames if frame["type"] == "ack" and "duplicate" in frame]
        answered = {frame["ref"]: (number, frame) for number, frame in enumerate(acks)}
        last: dict[int, tuple[int, int]] = {}
        for ref, chat_id in connection.sends:
            if ref not in answered or answered[ref][1]["duplicate"]:
                continue
            number, frame = answered[ref]
            place = (number, frame["message"]["seq"])
            before = last.get(chat_id, (-1, 0))
            if place[0] < before[0] or place[1] < before[1]:
                yield f"{connection.name}: the send {ref} was overtaken by a later one."
            last[chat_id] = place
