"""The disk of a store is full. MongoDB's primary cannot write its journal any more and ends. MariaDB refuses
changes where its tables or its binary log cannot grow, and ends where its own logs cannot."""

from __future__ import annotations

import asyncio
import resource
import time

import pymongo
import pymongo.errors

from tests.faults.course import Course, off
from tests.faults.stage import Stage
from tests.replica_set import Member
from tests.servers import MariaDb, mysql_connection

ENDS_WITHIN_S = 60.0
COMMITS_WITHIN_S = 120
WAITS_S = 2.0
"""Somebody who waits for so long meets the full disk."""


async def fill_the_disk_of_mongodb(course: Course) -> None:
    stage = course.stage
    victim = stage.mongodb.members[0]
    await off(_make_primary, stage, victim)
    at_s = course.now_s()
    await off(_leave_no_room, stage, victim)
    await off(_wait_for_end, stage, victim)
    await off(stage.mongodb.get_primary)
    course.struck(at_s)
    await off(stage.disk_of_mongodb.empty)
    await off(victim.kill)
    await off(victim.start)
    how = (
        "Its file system, of memory, was filled"
        if stage.disk_of_mongodb.is_small
        else "Its files were not let grow"
    )
    course.note(f"{how}; the primary ended, and another one was elected.")


async def fill_the_disk_of_mariadb(course: Course) -> None:
    """Full for as long as a frozen store is frozen, counted from the first who waits for it."""
    disk, load = course.stage.disk_of_mariadb, course.load
    if not disk.is_small:
        course.note("Not played: this system gave no file system of its own to fill.")
        return
    at_s = course.now_s()
    await off(disk.fill)
    try:
        await load.somebody_waits(WAITS_S)
        await asyncio.sleep(course.form.frozen_s)
    finally:
        await off(disk.empty)
    has_ended = await off(_bring_back, course.stage.mariadb)
    course.struck(at_s)
    course.note(
        "Its file system, of memory, was filled, and emptied again; the server "
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


def _leave_no_room(stage: Stage, victim: Member) -> None:
    if stage.disk_of_mongodb.is_small:
        stage.disk_of_mongodb.fill()
        return
    # Where nothing may be mounted: the system lets the files of the process grow no more.
    assert victim._process is not None
    _, hard = resource.prlimit(victim._process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(victim._process.pid, resource.RLIMIT_FSIZE, (1, hard))


def _wait_for_end(stage: Stage, victim: Member) -> None:
    """It goes by itself, because it can write no journal."""
    assert victim._process is not None
    victim._process.wait(ENDS_WITHIN_S)
