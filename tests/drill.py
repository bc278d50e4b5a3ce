"""`./scripts/drill`: a backup under load, its restore into empty stores, and what clients make of it.

Two nodes serve from a private MariaDB, MongoDB and Redis while people write. Both stores are dumped, then the
deployment dies, and two other nodes serve from what was restored. It must be sound, hold everything that was
acknowledged before the backup began, and after `chat-service epoch --new` every client must read afresh.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from tests import dumps
from tests.builders import TestUser, a_group, close_clients, some_users
from tests.cluster import on
from tests.crash_server import Lives
from tests.node import SECRET
from tests.replica import Replica, check_same
from tests.servers import MariaDb, MongoDb, Redis, free_port, mysql_connection, with_database

ROOT = Path(__file__).parents[1]
PEOPLE, GROUPS = 6, 4
CLOSED_WITHIN_S = 5.0


@dataclass(frozen=True)
class Deployment:
    """Two nodes on stores of their own."""

    metadata_url: str
    content_url: str
    folder: Path
    nodes: list[Lives]

    def run_command(self, *arguments: str) -> str:
        """`chat-service …` beside the nodes; it must succeed."""
        environment = {
            "CHAT_DATABASE_URL": self.metadata_url,
            "CHAT_CONTENT_URL": self.content_url,
            "CHAT_DATA_DIR": str(self.folder),
            "CHAT_SECRET_KEY": SECRET,
            "PYTHONPATH": str(ROOT),
            "PATH": os.environ["PATH"],
        }
        command = [sys.executable, "-m", "chat_service", *arguments]
        done = subprocess.run(
            command, env=environment, cwd=self.folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"{' '.join(arguments)}: {done.stdout}{done.stderr}"
        return done.stdout.strip()


@contextlib.contextmanager
def stores() -> Iterator[tuple[str, str]]:
    """An empty MariaDB and an empty MongoDB; the addresses of databases that are not there yet."""
    with MariaDb() as metadata, MongoDb() as content:
        yield with_database(metadata.url, "chat"), with_database(content.url, "chat")


@contextlib.contextmanager
def serving(metadata_url: str, content_url: str, redis_url: str) -> Iterator[Deployment]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chat-drill-")))
        nodes = []
        for number in range(2):
            (folder / f"node{number}").mkdir()
            node = Lives(
                folder / f"node{number}",
                data_dir=folder / f"node{number}",
                port=free_port(),
                database_url=metadata_url,
                content_url=content_url,
                redis_url=redis_url,
                auto_migrate=True,
            )
            stack.callback(node.close)
            node.start()
            nodes.append(node)
        yield Deployment(metadata_url, content_url, folder, nodes)


@dataclass
class Writers:
    """Everybody writes into every group, on both nodes, and notes what was acknowledged."""

    people: list[TestUser]
    groups: list[int]
    acknowledged: dict[str, tuple[int, int, str]] = field(default_factory=dict)
    """By message id: chat, seq and text."""

    @contextlib.asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(self._write(user)) for user in self.people]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _write(self, user: TestUser) -> None:
        for number in itertools.count():
            group = self.groups[number % len(self.groups)]
            with contextlib.suppress(httpx2.TransportError):
                message = await user.say(group, f"{user.username} {number}")
                self.acknowledged[message["id"]] = (group, message["seq"], message["content"])
            await asyncio.sleep(0.01)


class Clock:
    """Says after each step how long it took."""

    def __init__(self) -> None:
        self._at_s = time.monotonic()

    def say(self, what: str) -> None:
        now_s = time.monotonic()
        print(f"{now_s - self._at_s:6.1f} s  {what}", flush=True)
        self._at_s = now_s


async def drill(seconds: float) -> None:
    """People write for so long before the backup, and on while it is made. Raises where a promise breaks."""
    clock = Clock()
    with contextlib.ExitStack() as stack:
        files = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chat-backup-")))
        old, new = stack.enter_context(stores()), stack.enter_context(stores())
        redis = stack.enter_context(Redis())
        with mysql_connection(with_database(old[0], "")) as cursor:
            cursor.execute("CREATE DATABASE chat")
        clock.say("two pairs of empty stores and a Redis are there")
        with serving(*old, redis.url) as deployment:
            devices, writers, promised = await _back_up(deployment, files, seconds, clock)
        clock.say("the deployment is gone")
        dumps.restore_metadata(new[0], files / "metadata.sql")
        count = dumps.restore_bodies(new[1], files / "bodies")
        clock.say(f"restored into empty stores, {count} documents of them bodies and their mark")
        with serving(*new, redis.url) as deployment:
            deployment.run_command("fsck")
            clock.say("`chat-service fsck` finds nothing")
            await _check_promised(deployment, writers, promised)
            clock.say(f"all {len(promised)} messages that were acknowledged before the backup are there")
            await _begin_anew(deployment, devices)
            clock.say(
                f"`chat-service epoch --new` sent {len(devices)} clients away, and they have read afresh"
            )
            await close_clients()


async def _back_up(
    deployment: Deployment, files: Path, seconds: float, clock: Clock
) -> tuple[list[Replica], Writers, set[str]]:
    first, second = deployment.nodes
    people = await some_users(first, PEOPLE)
    groups = [await a_group(*people) for _ in range(GROUPS)]
    devices = [Replica(on(user, node)) for user, node in zip(people, itertools.cycle((first, second)))]
    for device in devices:
        await device.start()
    writers = Writers([device.user for device in devices], groups)
    async with writers.at_work():
        await asyncio.sleep(seconds)
        promised = set(writers.acknowledged)
        clock.say(f"{len(promised)} messages are acknowledged")
        await asyncio.to_thread(dumps.dump_metadata, deployment.metadata_url, files / "metadata.sql")
        count = await asyncio.to_thread(dumps.dump_bodies, deployment.content_url, files / "bodies")
        more = len(writers.acknowledged) - len(promised)
        clock.say(f"backed up, {count} documents beside the metadata, while {more} more were acknowledged")
        assert more > 0, "nobody wrote during the backup"
    for device in devices:
        await device.stop()
    return devices, writers, promised


async def _check_promised(deployment: Deployment, writers: Writers, promised: set[str]) -> None:
    reader = on(writers.people[0], deployment.nodes[0])
    found: dict[str, tuple[int, int, str]] = {}
    for group in writers.groups:
        after: int | None = 0
        while after is not None:
            page = await reader.get(f"/messages/chat/{group}", after=after, limit=100)
            found |= {one["id"]: (group, one["seq"], one["content"]) for one in page["items"]}
            after = page["next_after"]
    wrong = [key for key in promised if found.get(key) != writers.acknowledged[key]]
    assert not wrong, f"{len(wrong)} of {len(promised)} are lost or changed"


async def _begin_anew(deployment: Deployment, devices: list[Replica]) -> None:
    """They come with what they hold of the old deployment, which is ahead of what was restored."""
    for device, node in zip(devices, itertools.cycle(deployment.nodes)):
        device.user = on(device.user, node)
        await device.resume()
    before = {device.client.frames[0]["epoch"] for device in devices}
    epoch = await asyncio.to_thread(deployment.run_command, "epoch", "--new")
    assert epoch not in before
    async with asyncio.timeout(CLOSED_WITHIN_S):
        ends = [await device.client.closed() for device in devices]
    assert set(ends) == {(1012, "epoch_changed")}, ends
    for device in devices:
        await device.stop()
        await device.resume()
        assert device.epoch == epoch
        await check_same(device)
        await device.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="./scripts/drill", description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long people write before the backup")
    asyncio.run(drill(parser.parse_args().seconds))


if __name__ == "__main__":
    main()
