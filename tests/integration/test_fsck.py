"""`chat-service fsck` names every damage, repairs what is safe, and finds nothing beside a busy service."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, insert, text, update

from chat_service.adapters.sql.tables import (
    chats,
    deployment,
    discarded_bodies,
    hides,
    messages,
    participants,
    revisions,
    users,
)
from chat_service.domain.clock import system_clock
from chat_service.domain.ids import new_id
from chat_service.domain.models import Caller, ChatType, Message
from chat_service.migrations import HEAD
from chat_service.services.fsck import Fsck, Options, Summary
from chat_service.services.fsck_chats import Finding, Kind
from chat_service.services.receipts import PositionKind
from chat_service.services.sweeper import ForeignStore, Pace
from tests.servers import free_port
from tests.stores import Stores
from tests.traffic import traffic

QUICK = Pace(pause_s=0.0, second_look_s=0.0)


async def check(
    stores: Stores, progress: Callable[[Summary], None] = lambda _: None, **options: Any
) -> tuple[list[Finding], Summary]:
    findings: list[Finding] = []
    fsck = Fsck(
        stores.services.metadata,
        stores.services.content,
        system_clock,
        Options(**options),
        findings.append,
        progress,
        pace=QUICK,
    )
    return findings, await fsck.run()


def kinds(findings: list[Finding]) -> list[str]:
    return sorted(finding.kind for finding in findings)


@dataclass
class World:
    """A group of three with six messages: 2 is edited twice, 4 is deleted, 5 is hidden by Ben; and a direct
    chat of Ann and Ben with two."""

    stores: Stores
    ann: Caller
    ben: Caller
    cat: Caller
    group: int
    direct: int
    said: list[Message]

    def message(self, seq: int) -> Any:
        return (messages.c.chat_id == self.group) & (messages.c.seq == seq)

    def id(self, seq: int) -> UUID:
        return self.said[seq - 1].row.id

    async def set_message(self, seq: int, /, **values: Any) -> None:
        assert await self.stores.execute(update(messages).where(self.message(seq)).values(values)) == 1

    async def set_chat(self, **values: Any) -> None:
        assert await self.stores.execute(update(chats).where(chats.c.id == self.group).values(values)) == 1

    async def set_member(self, who: Caller, chat_id: int | None = None, **values: Any) -> None:
        mine = (participants.c.chat_id == (chat_id or self.group)) & (participants.c.user_id == who.id)
        assert await self.stores.execute(update(participants).where(mine).values(values)) == 1

    async def remove_message(self, seq: int) -> None:
        assert await self.stores.execute(delete(messages).where(self.message(seq))) == 1

    async def add_revision(self, message_id: UUID, revision: int) -> None:
        values = {"message_id": message_id, "revision": revision, "body_id": new_id()}
        values |= {"body_sha256": bytes(32), "edited_at": datetime.now(UTC)}
        await self.stores.execute(insert(revisions).values(values))


@pytest.fixture
async def world(stores: Stores) -> World:
    ann, ben, cat = [await stores.a_user() for _ in range(3)]
    group = await stores.a_chat(ann, ben, cat)
    direct = await stores.a_chat(ann, ben, kind=ChatType.DIRECT)
    said = [await stores.say(ann, group, f"Message {number}") for number in range(1, 7)]
    for number in (1, 2):
        await stores.say(ben, direct, f"Just us {number}")
    service = stores.services.messages
    for content in ("Message two", "Message 2, at last"):
        await service.edit_message(ann, said[1].row.id, content)
    await service.delete_message(ann, said[3].row.id)
    await service.hide_message(ben, said[4].row.id)
    receipts = asyncio.create_task(stores.services.receipts.move_position(ben, group, PositionKind.READ, 5))
    await receipts
    return World(stores, ann, ben, cat, group, direct, said)


async def test_nothing_is_found_where_nothing_is_wrong(world: World) -> None:
    findings, summary = await check(world.stores)
    assert findings == []
    assert (summary.chats, summary.messages, summary.revisions) == (2, 8, 3)
    assert (summary.hides, summary.discarded, summary.bodies) == (1, 1, 9)
    assert (summary.scanned, summary.orphans, summary.is_done) == (0, 0, True)


Damage = Callable[[World], Awaitable[Any]]


async def _another_owner(world: World) -> None:
    await world.set_member(world.ben, role="owner")


async def _third_in_direct(world: World) -> None:
    values = {"chat_id": world.direct, "user_id": world.cat.id, "role": "member", "version": 1}
    values |= {"joined_at": datetime.now(UTC), "read_seq": 0, "delivered_seq": 0, "is_archived": False}
    await world.stores.execute(insert(participants).values(values))


async def _gap_and_low_counter(world: World) -> None:
    await world.remove_message(5)
    await world.set_chat(last_seq=4)


async def _discard_a_living_one(world: World) -> None:
    values = {"body_id": world.id(1), "chat_id": world.group, "due_at": datetime.now(UTC) + timedelta(1)}
    await world.stores.execute(insert(discarded_bodies).values(values))


async def _hide_nothing(world: World) -> None:
    values = {"user_id": world.ben.id, "chat_id": world.group, "seq": 77, "chat_version": 1}
    await world.stores.execute(insert(hides).values(values))


async def _body_of_revision(world: World, change: str) -> None:
    """Of the first text of the edited message, whose id is the message's."""
    if change == "drop":
        await world.stores.drop_body(world.id(2))
    else:
        await world.stores.put_body(world.group, world.id(2), "Something else")


DAMAGES: dict[str, tuple[Damage, list[Kind], list[Kind]]] = {
    # what is done, what is found, what is left after a repair
    "a row in the middle is gone": (lambda w: w.remove_message(3), [Kind.SEQ_GAP], [Kind.SEQ_GAP]),
    "the last row is gone": (lambda w: w.remove_message(6), [Kind.SEQ_GAP], [Kind.SEQ_GAP]),
    "the row of the newest change is gone": (
        lambda w: w.remove_message(4),
        [Kind.SEQ_GAP, Kind.VERSION],
        [Kind.SEQ_GAP, Kind.VERSION],
    ),
    "a hidden row is gone": (
        lambda w: w.remove_message(5),
        [Kind.HIDE, Kind.SEQ_GAP],
        [Kind.HIDE, Kind.SEQ_GAP],
    ),
    "a row is gone and last_seq is low": (
        _gap_and_low_counter,
        [Kind.HIDE, Kind.LAST_SEQ, Kind.SEQ_GAP],
        [Kind.HIDE, Kind.SEQ_GAP],
    ),
    "a seq is 0": (
        lambda w: w.set_message(6, seq=0),
        [Kind.SEQ_GAP, Kind.SEQ_INVALID],
        [Kind.SEQ_GAP, Kind.SEQ_INVALID],
    ),
    "last_seq is low": (lambda w: w.set_chat(last_seq=4), [Kind.LAST_SEQ], []),
    "last_seq is high": (lambda w: w.set_chat(last_seq=8), [Kind.SEQ_GAP], [Kind.SEQ_GAP]),
    "version is low": (lambda w: w.set_chat(version=3), [Kind.VERSION], []),
    "version is high": (lambda w: w.set_chat(version=99), [Kind.VERSION], [Kind.VERSION]),
    "a membership is newer than the chat": (lambda w: w.set_member(w.ben, version=50), [Kind.VERSION], []),
    "the settings are newer than the chat": (lambda w: w.set_chat(settings_version=50), [Kind.VERSION], []),
    "a version is used twice": (
        lambda w: w.set_message(3, version=2),
        [Kind.VERSION_REPEATED],
        [Kind.VERSION_REPEATED],
    ),
    "participant_count is off": (lambda w: w.set_chat(participant_count=7), [Kind.PARTICIPANT_COUNT], []),
    "there are two owners": (_another_owner, [Kind.OWNER], [Kind.OWNER]),
    "there is no owner": (lambda w: w.set_member(w.ann, role="member"), [Kind.OWNER], [Kind.OWNER]),
    "a direct chat has three people": (
        _third_in_direct,
        [Kind.DIRECT_PAIR, Kind.PARTICIPANT_COUNT],
        [Kind.DIRECT_PAIR],
    ),
    "somebody has left a direct chat": (
        lambda w: w.set_member(w.ben, w.direct, left_at=datetime.now(UTC)),
        [Kind.DIRECT_PAIR, Kind.PARTICIPANT_COUNT],
        [Kind.DIRECT_PAIR],
    ),
    "a read position is too far": (lambda w: w.set_member(w.cat, read_seq=7), [Kind.POSITION], []),
    "a delivered position is too far": (lambda w: w.set_member(w.cat, delivered_seq=70), [Kind.POSITION], []),
    "a chat is hidden for ever": (
        lambda w: w.set_member(w.ben, w.direct, hidden_until_seq=3),
        [Kind.POSITION],
        [],
    ),
    "time runs backwards": (
        lambda w: w.set_message(3, created_at=datetime.now(UTC) - timedelta(hours=1)),
        [Kind.TIME_BACKWARDS],
        [Kind.TIME_BACKWARDS],
    ),
    "a body is gone": (
        lambda w: w.stores.drop_body(w.id(3)),
        [Kind.BODY_MISSING],
        [Kind.BODY_MISSING],
    ),
    "a body is another text": (
        lambda w: w.stores.put_body(w.group, w.id(3), "Something else"),
        [Kind.BODY_DIFFERS],
        [Kind.BODY_DIFFERS],
    ),
    "a row has another SHA-256": (
        lambda w: w.set_message(3, body_sha256=bytes(32)),
        [Kind.BODY_DIFFERS],
        [Kind.BODY_DIFFERS],
    ),
    "a body lies under another chat": (
        lambda w: w.stores.put_body(w.direct, w.id(3), "Message 3"),
        [Kind.BODY_FOREIGN],
        [Kind.BODY_FOREIGN],
    ),
    "the body of an earlier text is gone": (
        lambda w: _body_of_revision(w, "drop"),
        [Kind.BODY_MISSING],
        [Kind.BODY_MISSING],
    ),
    "the body of an earlier text is another": (
        lambda w: _body_of_revision(w, "change"),
        [Kind.BODY_DIFFERS],
        [Kind.BODY_DIFFERS],
    ),
    "a tombstone has a text": (
        lambda w: w.set_message(3, is_deleted=True),
        [Kind.TOMBSTONE],
        [Kind.TOMBSTONE],
    ),
    "a message names no text": (
        lambda w: w.set_message(3, body_id=None),
        [Kind.BODY_UNNAMED],
        [Kind.BODY_UNNAMED],
    ),
    "a message names the text of another": (
        lambda w: w.set_message(3, body_id=w.id(1)),
        [Kind.BODY_DIFFERS, Kind.REVISIONS],
        [Kind.BODY_DIFFERS, Kind.REVISIONS],
    ),
    "revisions are gone": (
        lambda w: w.stores.execute(delete(revisions)),
        [Kind.REVISIONS],
        [Kind.REVISIONS],
    ),
    "an unedited message has a revision": (
        lambda w: w.add_revision(w.id(1), 1),
        [Kind.REVISIONS],
        [Kind.REVISIONS],
    ),
    "a deleted message has a revision": (
        lambda w: w.add_revision(w.id(4), 1),
        [Kind.REVISIONS],
        [Kind.REVISIONS],
    ),
    "a revision has no message": (
        lambda w: w.add_revision(new_id(), 1),
        [Kind.REVISIONS],
        [Kind.REVISIONS],
    ),
    "a body that is needed is discarded": (_discard_a_living_one, [Kind.DISCARDED], []),
    "a hide names nothing": (_hide_nothing, [Kind.HIDE], [Kind.HIDE]),
    "a chat is gone": (
        lambda w: w.stores.execute(delete(chats).where(chats.c.id == w.direct)),
        [Kind.CHAT_MISSING],
        [Kind.CHAT_MISSING],
    ),
    "an account is gone": (
        lambda w: w.stores.execute(delete(users).where(users.c.id == w.cat.id)),
        [Kind.USER_MISSING],
        [Kind.USER_MISSING],
    ),
}


@pytest.mark.parametrize(("damage", "found", "left"), DAMAGES.values(), ids=DAMAGES.keys())
async def test_damage_is_named_and_repaired_where_that_is_safe(
    world: World, damage: Damage, found: list[Kind], left: list[Kind]
) -> None:
    await damage(world)
    findings, _ = await check(world.stores)
    assert kinds(findings) == found, findings
    assert not any(finding.repaired for finding in findings)
    bodies = await world.stores.list_bodies()
    again, _ = await check(world.stores, repair=True)
    assert kinds(again) == found
    assert kinds([finding for finding in again if not finding.repaired]) == left
    assert await world.stores.list_bodies() == bodies
    assert kinds((await check(world.stores))[0]) == left
    for finding in findings:
        assert finding.detail.endswith(".")
        assert finding.chat_id in (world.group, world.direct) or finding.kind is Kind.REVISIONS


async def test_a_finding_says_where_it_is(world: World) -> None:
    await world.stores.put_body(world.direct, world.id(3), "Message 3")
    ((finding,), _) = await check(world.stores)
    body = f"The body {world.id(3)} lies under the chat {world.direct}."
    assert str(finding) == f"chat {world.group}, seq 3, body_foreign: {body}"


async def test_repaired_counters_are_gone_on_with(world: World) -> None:
    await world.set_chat(last_seq=4, version=3, participant_count=1)
    await check(world.stores, repair=True)
    message = await world.stores.say(world.ben, world.group, "And on")
    assert message.row.seq == 7
    assert (await check(world.stores))[0] == []


async def test_orphans_are_counted_and_only_the_old_are_removed(world: World) -> None:
    ages = [timedelta(hours=hours) for hours in (48, 25, 23, 3, 1)]
    orphans = [await world.stores.an_orphan(world.group, age) for age in ages]
    findings, summary = await check(world.stores)
    assert (findings, summary.orphans, summary.removed) == ([], 2, 0)
    assert (await check(world.stores, min_age=timedelta(0)))[1].orphans == 4
    before = await world.stores.list_bodies()
    assert (await check(world.stores, repair=True))[1].removed == 2
    assert before - await world.stores.list_bodies() == set(orphans[:2])
    assert (await check(world.stores, repair=True, min_age=timedelta(0)))[1].removed == 2
    assert before - await world.stores.list_bodies() == set(orphans[:4])
    assert (await check(world.stores))[1].orphans == 0


# --- Beside a service at work -----------------------------------------------------------------------------


async def test_a_busy_service_gives_no_findings(stores: Stores) -> None:
    async with traffic(stores) as people:
        for _ in range(3):
            before = people.count()
            findings, summary = await check(stores)
            assert findings == []
            assert summary.is_done
            await asyncio.sleep(0.5)
            assert people.count() > before
    findings, summary = await check(stores)
    assert findings == []
    assert summary.messages > 20
    assert summary.revisions > 0


async def test_damage_is_found_beside_a_busy_service_too(world: World) -> None:
    await world.stores.drop_body(world.id(3))
    await world.set_message(2, version=2)
    async with traffic(world.stores):
        assert kinds((await check(world.stores))[0]) == [Kind.BODY_MISSING, Kind.VERSION_REPEATED]


# --- Interrupted, and gone on with ------------------------------------------------------------------------


async def test_an_interrupted_check_is_gone_on_with(stores: Stores) -> None:
    owner = await stores.a_user()
    ids = await stores.add_bulk(owner, 12, 300)
    await stores.execute(update(chats).where(chats.c.id.in_([ids[0], ids[-1]])).values(version=1))
    first: list[Finding] = []
    task: asyncio.Task[Any]

    def stop(summary: Summary) -> None:
        if summary.chats >= 3:
            task.cancel()

    fsck = Fsck(stores.metadata, stores.services.content, system_clock, Options(), first.append, stop)
    task = asyncio.create_task(fsck.run())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [finding.chat_id for finding in first] == [ids[0]]
    next_chat_id = fsck.summary.next_chat_id
    assert ids[2] < next_chat_id < ids[-1]
    second, summary = await check(stores, from_chat=next_chat_id)
    assert [finding.chat_id for finding in second] == [ids[-1]]
    assert fsck.summary.chats + summary.chats == 12


# --- The command ------------------------------------------------------------------------------------------


def run(stores: Stores, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chat_service", "fsck", *arguments],
        env={**os.environ, **stores.environment, **environment},
        capture_output=True,
        check=False,
        text=True,
        timeout=60,
    )


async def command(stores: Stores, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return await asyncio.to_thread(run, stores, *arguments, **environment)


async def test_the_command_says_that_all_is_well(world: World) -> None:
    done = await command(world.stores)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Checked 2 chats, 8 messages, 9 bodies, 3 revisions, 1 hides and 1 disc")
    assert done.stdout.endswith("Findings: 0.\n")
    assert done.stderr == ""


async def test_the_command_names_repairs_and_agrees(world: World) -> None:
    await world.set_chat(participant_count=9)
    await world.stores.drop_body(world.id(3))
    done = await command(world.stores, "--json", "--progress")
    assert done.returncode == 1
    *found, last = [json.loads(line) for line in done.stdout.splitlines()]
    assert {one["kind"] for one in found} == {"participant_count", "body_missing"}
    assert (last["summary"]["findings"], last["summary"]["is_done"]) == (2, True)
    assert "messages/s" in done.stderr
    done = await command(world.stores, "--repair")
    assert done.returncode == 1
    assert f"chat {world.group}, participant_count: " in done.stdout
    assert "Repaired." in done.stdout
    assert "Findings: 2, 1 repaired.\n" in done.stdout
    assert "Findings: 1.\n" in (await command(world.stores)).stdout


async def test_ctrl_c_says_where_to_go_on(stores: Stores) -> None:
    owner = await stores.a_user()
    ids = await stores.add_bulk(owner, 40, 1_000)

    def interrupt() -> tuple[int, str]:
        with subprocess.Popen(
            [sys.executable, "-m", "chat_service", "fsck", "--progress"],
            env={**os.environ, **stores.environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            assert process.stderr is not None
            process.stderr.readline()
            process.send_signal(signal.SIGINT)
            return process.wait(30), process.stderr.read()

    code, said = await asyncio.to_thread(interrupt)
    assert code == 130, said
    sentence, _, number = said.strip().rpartition(" ")
    assert sentence == "chat-service: Interrupted. Go on with: chat-service fsck --from-chat"
    rest = [chat_id for chat_id in ids if chat_id >= int(number)]
    assert rest
    done = await command(stores, "--from-chat", number)
    assert done.returncode == 0, done.stderr
    assert f"Checked {len(rest)} chats" in done.stdout


async def test_the_content_store_of_another_deployment_is_refused(world: World) -> None:
    own = await world.stores.services.content.find_owner()
    await world.stores.execute(
        update(deployment).where(deployment.c.name == "deployment_id").values(value="0" * 32)
    )
    try:
        with pytest.raises(ForeignStore, match=f"belongs to the deployment {own}"):
            await check(world.stores)
        done = await command(world.stores, "--repair")
        assert (done.returncode, done.stdout) == (2, "")
        assert "belongs to the deployment" in done.stderr
        assert done.stderr.count("\n") == 1
        served = await asyncio.to_thread(_serve, world.stores)
        assert served.returncode == 1
        assert "belongs to the deployment" in served.stderr
    finally:
        await world.stores.execute(
            update(deployment).where(deployment.c.name == "deployment_id").values(value=own)
        )


def _serve(stores: Stores) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "chat_service", "serve", "--port", str(free_port())],
        env={**os.environ, **stores.environment},
        capture_output=True,
        check=False,
        text=True,
        timeout=30,
    )


async def test_an_old_schema_is_refused_and_left_as_it_is(stores: Stores) -> None:
    await stores.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    try:
        done = await command(stores, CHAT_AUTO_MIGRATE="true")
        assert done.returncode == 2
        assert "Run `chat-service migrate`" in done.stderr
    finally:
        changed = await stores.execute(
            text(f"UPDATE alembic_version SET version_num = '{HEAD}' WHERE version_num = '0000'")
        )
    assert changed == 1


async def test_dead_and_missing_stores_are_named(stores: Stores) -> None:
    for environment, sentence in (
        ({"CHAT_DATABASE_URL": f"mysql+asyncmy://root:pw@127.0.0.1:{free_port()}/chat"}, "CHAT_DATABASE_URL"),
        ({"CHAT_CONTENT_URL": f"mongodb://127.0.0.1:{free_port()}/chat"}, "CHAT_CONTENT_URL"),
        ({"CHAT_DATABASE_URL": "sqlite+aiosqlite:////nowhere/metadata.db"}, "does not exist"),
    ):
        done = await command(stores, **environment)
        assert (done.returncode, done.stdout) == (2, ""), done.stderr
        assert sentence in done.stderr
        assert "pw" not in done.stderr
        assert "Traceback" not in done.stderr


async def test_wishes_that_are_not_safe_are_refused(stores: Stores) -> None:
    done = await command(stores, "--repair", "--min-age", "1")
    assert done.returncode == 2
    assert "--min-age" in done.stderr
