"""Participants: adding, removing, roles, and who is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chat_service.domain import pushes, rules
from chat_service.domain.clock import Clock
from chat_service.domain.errors import Conflict, NotFound, Unavailable
from chat_service.domain.events import ChatChanged, JoinDoubted
from chat_service.domain.models import Caller, Chat, Participant, Role
from chat_service.services.access import access_chat, access_locked_chat
from chat_service.services.chats import end_membership, get_active_users, has_ended_at, make_participant
from chat_service.services.epoch import Epoch
from chat_service.services.ports.bus import Bus
from chat_service.services.ports.metadata import MetadataStore, Unit

JOIN_TOGETHER = 250
"""Of many who are added by one request, those who join by the same version: a version is one push and never
split over two pages of the feed, and must stay far below what a slow reader may have unsent."""


class ParticipantService:
    def __init__(
        self, metadata: MetadataStore, bus: Bus, epoch: Epoch, clock: Clock, *, max_participants: int
    ) -> None:
        self._metadata = metadata
        self._bus = bus
        self._epoch = epoch
        self._clock = clock
        self._max_participants = max_participants

    async def list_participants(self, caller: Caller, chat_id: int) -> list[Participant]:
        async def read(unit: Unit) -> list[Participant]:
            await access_chat(unit, chat_id, caller.id)
            return await unit.participants.list_participants(chat_id)

        return await self._metadata.read(read)

    async def add_participants(
        self, caller: Caller, chat_id: int, user_ids: Sequence[int]
    ) -> list[Participant]:
        """Add people to a group and return everybody in it; who is in already stays as they are.

        Publishes a `user_joined` for every `JOIN_TOGETHER` of them; with nobody new nothing changes.
        """
        wanted = list(dict.fromkeys(user_ids))

        async def add(unit: Unit) -> tuple[list[tuple[Chat, list[Participant]]], list[Participant]]:
            chat, me = await access_locked_chat(unit, chat_id, caller.id)
            rules.check_group(chat)
            rules.check_manager(me)
            present = {one.user_id for one in await unit.participants.list_participants(chat_id)}
            if len(present.union(wanted)) > self._max_participants:  # before a long list is looked up
                raise Conflict(f"A group has at most {self._max_participants} participants.")
            new = await get_active_users(unit, [user_id for user_id in wanted if user_id not in present])
            now = self._clock()
            steps: list[tuple[Chat, list[Participant]]] = []
            for start in range(0, len(new), JOIN_TOGETHER):
                some = new[start : start + JOIN_TOGETHER]
                count = chat.participant_count + len(some)
                chat = replace(chat, version=chat.version + 1, participant_count=count)
                joined = [make_participant(chat, user, now, role=Role.MEMBER) for user in some]
                await unit.participants.put_participants(joined)
                steps.append((chat, joined))
            if steps:
                await unit.chats.update_chat(chat)
            return steps, await unit.participants.list_participants(chat_id)

        try:
            steps, everybody = await self._metadata.transact(add)
        except Unavailable:
            self._bus.publish([JoinDoubted(chat_id, tuple(wanted))])
            raise
        if steps:
            self._bus.publish([self._tell_joined(chat, joined) for chat, joined in steps])
        else:
            self._bus.publish([JoinDoubted(chat_id, tuple(wanted))])
        return everybody

    def _tell_joined(self, chat: Chat, joined: list[Participant]) -> ChatChanged:
        ids = tuple(one.user_id for one in joined)
        created = pushes.chat_created(chat, self._epoch.value)
        return ChatChanged(chat.id, chat.version, pushes.user_joined(chat, joined), ids, (), created)

    async def remove_participant(self, caller: Caller, chat_id: int, user_id: int) -> None:
        """End somebody's membership (one's own: leave). Who has left already is no error.

        Publishes `user_left`, which is the last that the removed one hears of the chat.
        """
        left_version: int | None = None

        async def remove(unit: Unit) -> Chat | None:
            nonlocal left_version
            locked = await unit.chats.lock_chats([chat_id])
            target = await unit.participants.find_participant(chat_id, user_id)
            if target is not None and has_ended_at(target, left_version):
                return replace(locked[chat_id], version=target.version)
            chat, me = await access_chat(unit, chat_id, caller.id)
            rules.check_group(chat)
            if target is None:
                raise NotFound
            if user_id == caller.id:
                rules.check_may_leave(me, chat)
            elif target.is_present:
                rules.check_may_remove(me, target)
            else:
                rules.check_manager(me)
                return None
            left_version = chat.version + 1
            return await end_membership(unit, chat, target, self._clock())

        chat = await self._metadata.transact(remove)
        if chat is not None:
            push = pushes.user_left(chat.id, chat.version, user_id)
            self._bus.publish([ChatChanged(chat.id, chat.version, push, left=(user_id,))])

    async def set_role(self, caller: Caller, chat_id: int, user_id: int, role: Role) -> Participant:
        """Set a role; making somebody the owner makes the present owner an admin, as one change.

        Publishes `participant_updated`; the role that somebody has already changes nothing.
        """
        mine: int | None = None

        async def change(unit: Unit) -> tuple[Chat, list[Participant], Participant]:
            nonlocal mine
            chat, me = await access_locked_chat(unit, chat_id, caller.id)
            rules.check_group(chat)
            target = await unit.participants.find_participant(chat_id, user_id)
            if target is None or not target.is_present:
                raise NotFound
            if target.version == mine:  # done by a first run whose answer was lost
                changed = [one for one in (target, me) if one.version == mine]
                return replace(chat, version=mine), changed, target
            rules.check_may_set_role(me, target, role)
            if target.role is role:
                return chat, [], target
            mine = chat.version + 1
            chat = replace(chat, version=mine)
            target = replace(target, role=role, version=chat.version)
            changed = [target]
            if role is Role.OWNER:
                changed.append(replace(me, role=Role.ADMIN, version=chat.version))
            await unit.participants.put_participants(changed)
            await unit.chats.update_chat(chat)
            return chat, changed, target

        chat, changed, target = await self._metadata.transact(change)
        if changed:
            push = pushes.participant_updated(chat, changed)
            self._bus.publish([ChatChanged(chat.id, chat.version, push)])
        return target
