"""Chats: creating them, the list of one user, their settings, and leaving."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import orjson

from chat_service.domain import pushes, rules
from chat_service.domain.clock import Clock
from chat_service.domain.errors import Conflict, InvalidCursor, InvalidRequest, NotFound, Unavailable
from chat_service.domain.events import ChatChanged, JoinDoubted
from chat_service.domain.ids import new_id
from chat_service.domain.models import (
    MAX_ID,
    AccountState,
    Caller,
    Chat,
    ChatType,
    ListedChat,
    MessageRow,
    Participant,
    Role,
    User,
)
from chat_service.services.access import access_chat, access_locked_chat
from chat_service.services.epoch import Epoch
from chat_service.services.history import MessageLoader
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.metadata import Duplicate, ListedRow, MetadataStore, Unit


@dataclass(frozen=True, slots=True)
class NewChat:
    """What a caller asks for; `participant_ids` in the order given, the caller left out."""

    chat_type: ChatType
    name: str | None
    participant_ids: tuple[int, ...]
    idempotency_key: str | None


@dataclass(frozen=True, slots=True)
class ChatPage:
    items: list[ListedChat]
    next_cursor: str | None
    total: int | None
    """Counted only for numbered pages."""


@dataclass(frozen=True, slots=True)
class _Described:
    """A page of the list without the texts of its newest messages; both maps are by chat id."""

    rows: Sequence[ListedRow]
    newest: dict[int, MessageRow]
    peers: dict[int, User]


class ChatService:
    def __init__(  # noqa: PLR0913 - its parts, put together once in app.py
        self,
        metadata: MetadataStore,
        bus: Bus,
        loader: MessageLoader,
        epoch: Epoch,
        clock: Clock,
        *,
        mac_key: bytes,
        max_participants: int,
    ) -> None:
        self._metadata = metadata
        self._bus = bus
        self._loader = loader
        self._epoch = epoch
        self._clock = clock
        self._mac_key = mac_key
        self._max_participants = max_participants

    async def create_chat(self, caller: Caller, wish: NewChat) -> tuple[Chat, bool]:
        """Create a chat, or find the one that the same request created; True when it is new.

        A direct chat is unique for its pair, under concurrency too. Publishes `chat_created`.
        """
        wish = self._check_new(caller, wish)
        made: list[Chat] = []  # by a first run of `create` whose COMMIT answer was lost
        # Their order means nothing: who keeps them in a set may send them in another one again.
        mac = rules.make_request_mac(
            self._mac_key, wish.chat_type, wish.name, *map(str, sorted(wish.participant_ids))
        )

        async def create(unit: Unit) -> tuple[Chat, list[Participant]]:
            existing = await self._find_existing(unit, caller, wish, mac)
            if existing is not None and existing.id not in [chat.id for chat in made]:
                return existing, []
            if existing is not None:
                return existing, await unit.participants.list_participants(existing.id)
            people = await get_active_users(unit, [caller.id, *wish.participant_ids])
            chat, joined = await self._add_chat(unit, caller, wish, mac, people)
            made.append(chat)
            return chat, joined

        everybody = (caller.id, *wish.participant_ids)
        try:
            chat, joined = await self._metadata.transact(create)
        except Duplicate:  # somebody else was faster; the next look finds theirs
            chat, joined = await self._metadata.transact(create)
        except Unavailable:
            self._bus.publish([JoinDoubted(chat.id, everybody) for chat in made])
            raise
        if joined:
            self._publish(
                chat,
                push=pushes.user_joined(chat, joined),
                joined=tuple(one.user_id for one in joined),
            )
        else:
            self._bus.publish([JoinDoubted(chat.id, everybody)])
        return chat, bool(joined)

    def _check_new(self, caller: Caller, wish: NewChat) -> NewChat:
        if wish.idempotency_key is None:
            wish = replace(wish, idempotency_key=f"~{new_id()}")  # outside of what a client may choose
        else:
            rules.check_client_message_id(wish.idempotency_key)
        if wish.chat_type is ChatType.DIRECT:
            if len(wish.participant_ids) != 1 or wish.participant_ids[0] == caller.id:
                raise InvalidRequest("A direct chat is made with exactly one other person.")
            return replace(wish, name=None)
        others = tuple(dict.fromkeys(user_id for user_id in wish.participant_ids if user_id != caller.id))
        if len(others) + 1 > self._max_participants:
            raise InvalidRequest(f"A group has at most {self._max_participants} participants.")
        name = None if wish.name is None else rules.check_chat_name(wish.name)
        return replace(wish, name=name, participant_ids=others)

    async def _find_existing(self, unit: Unit, caller: Caller, wish: NewChat, mac: bytes) -> Chat | None:
        if wish.idempotency_key is not None:
            created = await unit.chats.find_created_chat(caller.id, wish.idempotency_key)
            if created is not None:
                if created[1] != mac:
                    raise Conflict("This Idempotency-Key was first used to create another chat.")
                return (await access_chat(unit, created[0].id, caller.id))[0]
        if wish.chat_type is ChatType.DIRECT:
            return await unit.chats.find_direct_chat(
                rules.make_direct_key(caller.id, wish.participant_ids[0])
            )
        return None

    async def _add_chat(
        self, unit: Unit, caller: Caller, wish: NewChat, mac: bytes, people: Sequence[User]
    ) -> tuple[Chat, list[Participant]]:
        now = self._clock()
        is_direct = wish.chat_type is ChatType.DIRECT
        chat = await unit.chats.add_chat(
            Chat(
                id=0,
                chat_type=wish.chat_type,
                name=wish.name,
                created_by=caller.id,
                created_at=now,
                version=1,
                settings_version=1,
                last_seq=0,
                last_activity_at=now,
                participant_count=len(people),
            ),
            direct_key=rules.make_direct_key(caller.id, wish.participant_ids[0]) if is_direct else None,
            creation_key=wish.idempotency_key,
            creation_mac=mac,
        )
        owner_id = None if is_direct else caller.id
        joined = [
            make_participant(chat, user, now, role=Role.OWNER if user.id == owner_id else Role.MEMBER)
            for user in people
        ]
        await unit.participants.put_participants(joined)
        return chat, joined

    async def get_chat(self, caller: Caller, chat_id: int) -> Chat:
        return (await self._metadata.read(lambda unit: access_chat(unit, chat_id, caller.id)))[0]

    async def rename_chat(self, caller: Caller, chat_id: int, name: str) -> Chat:
        """Publishes `chat_updated`; the name that it already has changes nothing."""
        name = rules.check_chat_name(name)
        mine: int | None = None

        async def rename(unit: Unit) -> tuple[Chat, bool]:
            nonlocal mine
            chat, me = await access_locked_chat(unit, chat_id, caller.id)
            rules.check_group(chat)
            rules.check_manager(me)
            if chat.name == name:  # by a first run whose answer was lost, or before
                is_mine = chat.settings_version == mine
                return replace(chat, version=chat.settings_version) if is_mine else chat, is_mine
            mine = chat.version + 1
            chat = replace(chat, name=name, version=mine, settings_version=mine)
            await unit.chats.update_chat(chat)
            return chat, True

        chat, changed = await self._metadata.transact(rename)
        if changed:
            self._publish(chat, push=pushes.chat_updated(chat, self._epoch.value))
        return chat

    async def leave_chat(self, caller: Caller, chat_id: int) -> None:
        """Leave a group, or hide a direct chat from one's own list until its next message.

        Publishes `user_left`. The owner of a group with others in it gets `Conflict`.
        """
        left_version: int | None = None

        async def leave(unit: Unit) -> Chat | None:
            nonlocal left_version
            chat = (await unit.chats.lock_chats([chat_id])).get(chat_id)
            me = await unit.participants.find_participant(chat_id, caller.id)
            if chat is None or me is None:
                raise NotFound
            if has_ended_at(me, left_version):
                return replace(chat, version=me.version)
            if not me.is_present:
                raise NotFound
            if chat.chat_type is ChatType.DIRECT:
                await unit.participants.hide_chat(chat_id, caller.id, chat.last_seq)
                return None
            rules.check_may_leave(me, chat)
            left_version = chat.version + 1
            return await end_membership(unit, chat, me, self._clock())

        chat = await self._metadata.transact(leave)
        if chat is not None:
            push = pushes.user_left(chat.id, chat.version, caller.id)
            self._publish(chat, push=push, left=(caller.id,))

    async def list_chats(self, caller: Caller, *, page: int, limit: int) -> ChatPage:
        """A numbered page, newest activity first."""

        async def read(unit: Unit) -> tuple[_Described, int]:
            offset = (page - 1) * limit
            found = await unit.chats.list_chats(caller.id, limit=limit, offset=offset)
            is_last = len(found) < limit and (found or not offset)
            total = offset + len(found) if is_last else await unit.chats.count_chats(caller.id)
            return await _describe(unit, caller.id, found), total

        described, total = await self._metadata.read(read)
        return ChatPage(await self._load(described), None, total)

    async def list_chats_after(self, caller: Caller, *, cursor: str, limit: int) -> ChatPage:
        """A page behind a cursor (empty: the first). Whoever follows the cursors sees every chat that was
        there at the first page exactly once, whatever is written meanwhile."""
        as_of, after = _read_cursor(cursor) if cursor else (None, None)

        async def read(unit: Unit) -> tuple[_Described, str | None]:
            found = await unit.chats.list_chats(caller.id, limit=limit + 1, as_of=as_of, after=after)
            page = found[:limit]
            next_cursor = None
            if len(found) > limit:
                # The order is that of the newest activity which the first page saw. By the clock it would
                # not hold: a message takes its time before the COMMIT that shows it.
                last = page[-1]
                next_cursor = _write_cursor(as_of or page[0].activity_at, last.activity_at, last.chat.id)
            return await _describe(unit, caller.id, page), next_cursor

        described, next_cursor = await self._metadata.read(read)
        return ChatPage(await self._load(described), next_cursor, None)

    async def _load(self, described: _Described) -> list[ListedChat]:
        """With the texts, for which no connection to the metadata store is held."""
        messages = await self._loader.load(list(described.newest.values()))
        newest = dict(zip(described.newest, messages, strict=True))
        return [
            ListedChat(
                row.chat,
                row.me,
                row.unread_count,
                newest.get(row.chat.id),
                described.peers.get(row.chat.id),
            )
            for row in described.rows
        ]

    def _publish(
        self, chat: Chat, *, push: bytes, joined: tuple[int, ...] = (), left: tuple[int, ...] = ()
    ) -> None:
        created = pushes.chat_created(chat, self._epoch.value) if joined else None
        self._bus.publish([ChatChanged(chat.id, chat.version, push, joined, left, created)])


async def _describe(unit: Unit, user_id: int, rows: Sequence[ListedRow]) -> _Described:
    newest = await unit.messages.list_newest(user_id, {row.chat.id: row.chat.last_seq for row in rows})
    direct = [row.chat.id for row in rows if row.chat.chat_type is ChatType.DIRECT]
    peers = await unit.participants.list_direct_peers(user_id, direct) if direct else {}
    return _Described(rows, newest, peers)


def make_participant(chat: Chat, user: User, now: datetime, *, role: Role) -> Participant:
    """A membership that begins with the chat's present version, everything read."""
    return Participant(
        chat_id=chat.id,
        user_id=user.id,
        username=user.username,
        full_name=user.full_name,
        role=role,
        joined_at=now,
        left_at=None,
        version=chat.version,
        read_seq=chat.last_seq,
        delivered_seq=chat.last_seq,
    )


def has_ended_at(who: Participant, version: int | None) -> bool:
    """Whether it was a first run, whose COMMIT answer was lost, that ended the membership by that version."""
    return not who.is_present and who.version == version


async def end_membership(unit: Unit, chat: Chat, who: Participant, now: datetime) -> Chat:
    """End one membership under the chat's lock; returns the chat at its new version."""
    count = chat.participant_count - 1
    chat = replace(chat, version=chat.version + 1, participant_count=count)
    await unit.participants.put_participants([replace(who, left_at=now, version=chat.version)])
    await unit.chats.update_chat(chat)
    return chat


async def get_active_users(unit: Unit, user_ids: Sequence[int]) -> list[User]:
    """All of them in the order given; one that does not exist or is not active is `NotFound`."""
    users = await unit.accounts.list_users(user_ids)
    missing = [i for i in user_ids if i not in users or users[i].state is not AccountState.ACTIVE]
    if missing:
        raise NotFound(f"There is no user {missing[0]}.")
    return [users[user_id] for user_id in user_ids]


def _write_cursor(as_of: datetime, activity: datetime, chat_id: int) -> str:
    data = orjson.dumps([as_of.isoformat(), activity.isoformat(), chat_id])
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _read_cursor(cursor: str) -> tuple[datetime, tuple[datetime, int]]:
    try:
        data = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        as_of, activity, chat_id = orjson.loads(data)
        times = datetime.fromisoformat(as_of), datetime.fromisoformat(activity)
        if type(chat_id) is not int or not 1 <= chat_id <= MAX_ID:
            raise InvalidCursor
        if any(time.utcoffset() != timedelta(0) for time in times):
            raise InvalidCursor
    except (ValueError, TypeError, binascii.Error) as error:
        raise InvalidCursor from error
    return times[0], (times[1], chat_id)
