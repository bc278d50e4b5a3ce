"""The disk of a store is full. MongoDB's primary cannot write its journal any more and ends. MariaDB refuses
changes where its tables or its binary log cannot grow, and ends where its own logs cannot."""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Callable

import pymongo
import pymongo.errors

from tests.faults.course import Course, off
from tests.faults.stage import Disk, Stage
from tests.replica_set import Member
from tests.servers import MariaDb, Server, mysql_connection

ENDS_WITHIN_S = 60.0
COMMITS_WITHIN_S = 120
WAITS_S = 2.0
"""Somebody who waits for so long meets the full disk."""


async def fill_the_disk_of_mongodb(course: Course) -> None:
    stage = course.stage
    victim = stage.mongodb.members[0]
    await off(_make_primary, stage, victim)
    at_s = course.now_s()
    make_room = await off(_leave_no_room, stage.disk_of_mongodb, victim)
    await off(_wait_for_end, victim)
    waited_s = max(device.waits_s(course.now_s()) for device in course.load.devices)
    await off(stage.mongodb.get_primary)
    course.struck(at_s)
    await off(make_room)
    await off(victim.kill)
    await off(victim.start)
    course.note(
        f"{_how(stage.disk_of_mongodb)}; the primary ended when somebody had waited for {waited_s:.1f} s, "
        "and another one was elected."
    )


async def fill_the_disk_of_mariadb(course: Course) -> None:
    """Full for as long as a frozen store is frozen, counted from the first who waits for it."""
    disk, server, load = course.stage.disk_of_mariadb, course.stage.mariadb, course.load
    at_s = course.now_s()
    make_room = await off(_leave_no_room, disk, server)
    try:
        await load.somebody_waits(WAITS_S)
        await asyncio.sleep(course.form.frozen_s)
    finally:
        await off(make_room)
    has_ended = await off(_bring_back, server)
    course.struck(at_s)
    course.note(
        f"{_how(disk)}, and then there was room again; the server "
        f"{'ended, and was started anew' if has_ended else 'lived on'}."
    )


def _bring_back(server: MariaDb) -> bool:
    """Return when the server has taken a change; whether it had ended by itself and was started again."""
    if server.has_ended:
        server.kill()
        server.start()
        return True
    with mysql_connection(server.url, timeout_s=COMMITS_WITHIN_S) as cursor:
        cursor.execute("CREATE OR REPLACE DATABASE room")
    return False


def _make_primary(stage: Stage, wanted: Member) -> None:
    while (primary := stage.mongodb.get_primary()) is not wanted:
        for one in stage.mongodb.members:
            if one not in (primary, wanted):
                _tell(one, {"replSetFreeze": 20})
        _tell(primary, {"replSetStepDown": 20, "secondaryCatchUpPeriodSecs": 10})
    for one in stage.mongodb.members:
        _tell(one, {"replSetFreeze": 0})


def _tell(member: Member, command: dict[str, int]) -> None:
    address = f"mongodb://{member.address}/?directConnection=true"
    client: pymongo.MongoClient[dict[str, object]]
    with pymongo.MongoClient(address, serverSelectionTimeoutMS=2_000) as client:
        try:
            client.admin.command(command)
        except pymongo.errors.OperationFailure:
            # It has become primary in between, or nobody has caught up: the caller looks again.
            time.sleep(0.2)


def _how(disk: Disk) -> str:
    return "Its file system, of memory, was filled" if disk.is_small else "Its files were not let grow"


def _leave_no_room(disk: Disk, server: Server) -> Callable[[], None]:
    """Fill the disk of a store; returns what makes room again. Where nothing may be mounted, the system lets
    the files of the process grow no more."""
    if disk.is_small:
        disk.fill()
        return disk.empty
    _let_files_grow(server, "1")

    def make_room() -> None:
        if not server.has_ended:
            _let_files_grow(server, "unlimited")

    return make_room


def _let_files_grow(server: Server, to: str) -> None:
    """As the user that the server runs as: to limit somebody else takes a right that root may lack."""
    assert server._process is not None
    as_user = []
    if server.account and os.geteuid() == 0:
        as_user = ["setpriv", f"--reuid={server.account}", f"--regid={server.account}", "--clear-groups"]
    limit = ["prlimit", f"--pid={server._process.pid}", f"--fsize={to}:"]
    subprocess.run([*as_user, *limit], check=True)


def _wait_for_end(victim: Member) -> None:
    """It goes by itself, because it can write no journal."""
    assert victim._process is not None
    victim._process.wait(ENDS_WITHIN_S)
