"""People who are removed from a group and let in again, so that who may hear what depends on the time."""

from __future__ import annotations

import asyncio
import itertools
import random
from collections.abc import Callable, Sequence

import httpx2

from chat_service.load.people import Group, Person
from tests.records import Json, Stay

EVERY_S = 0.5
AWAY_S = 0.3
"""At most."""
AGAIN_S = 0.2


class Guests:
    """One of each group, never its owner. `stays` gets every stay, with the version that ended it."""

    def __init__(self, groups: Sequence[Group], stays: list[Stay]) -> None:
        self._groups = list(groups)
        self._stays = stays
        self._guests = {group.id: random.choice(group.people[1:]) for group in groups}
        self._is_over = False

    def are(self, person: Person, chat_id: int) -> bool:
        """Whether this person comes and goes in this chat."""
        return self._guests.get(chat_id) == person

    def end(self) -> None:
        """Soon nobody goes any more; `come_and_go` ends when the one who is out is in again."""
        self._is_over = True

    async def come_and_go(self, http: httpx2.AsyncClient) -> None:
        for group in itertools.cycle(self._groups):
            await self._turn(http, group)
            if self._is_over:
                return
            await asyncio.sleep(EVERY_S)

    async def _turn(self, http: httpx2.AsyncClient, group: Group) -> None:
        owner, guest = group.people[0], self._guests[group.id]
        stay = [one for one in self._stays if (one.chat_id, one.user_id) == (group.id, guest.id)][-1]
        call = _as(http, owner, f"/chats/{group.id}")
        await _insist(lambda: call("DELETE", f"/participants/{guest.id}"))
        stay.until = await _find_departure(call, stay)
        await asyncio.sleep(random.uniform(0, AWAY_S))
        listed = await _insist(lambda: call("POST", "/participants", {"user_ids": [guest.id]}))
        (version,) = [one["version"] for one in listed["items"] if one["user_id"] == guest.id]
        self._stays.append(Stay(group.id, guest.id, version))


Call = Callable[..., "asyncio.Future[httpx2.Response]"]


def _as(http: httpx2.AsyncClient, person: Person, base: str) -> Call:
    headers = {"Authorization": f"Bearer {person.token}"}

    def call(method: str, path: str, body: Json | None = None) -> asyncio.Future[httpx2.Response]:
        return asyncio.ensure_future(http.request(method, base + path, json=body, headers=headers))

    return call


async def _insist(ask: Callable[[], asyncio.Future[httpx2.Response]]) -> Json:
    """Until somebody answers; once it is done, to do it again is 404 or changes nothing."""
    while True:
        try:
            answer = await ask()
        except httpx2.TransportError:
            await asyncio.sleep(AGAIN_S)
            continue
        if answer.status_code < 500:
            assert answer.status_code in (200, 204, 404), answer.text
            return dict(answer.json()) if answer.content else {}
        await asyncio.sleep(AGAIN_S)


async def _find_departure(call: Call, stay: Stay) -> int:
    """The version at which the stay ended, from the owner's change feed."""
    since = stay.since
    while True:
        path = f"/changes?since={since}&limit=100"
        page = await _insist(lambda path=path: call("GET", path))  # type: ignore[misc]
        for one in page["participants"]:
            if one["user_id"] == stay.user_id and one["left_at"] is not None:
                return int(one["version"])
        assert page["has_more"], f"{stay} has no end"
        since = page["to"]
