"""What a socket of the load generator makes of what it hears, whole reads that it knows included."""

from __future__ import annotations

import orjson
import pytest

from chat_service.load.client import Client
from chat_service.load.ledger import Tally
from chat_service.load.options import LoadOptions
from chat_service.load.people import Group, Person
from chat_service.load.run import Run

PEOPLE = (Person(1, "one"), Person(2, "two"), Person(3, "three"))
CHAT = 7


@pytest.fixture
async def run() -> Run:
    return Run(LoadOptions("http://chat.example"), PEOPLE, [Group(CHAT, 1, PEOPLE)], print)


def join(run: Run) -> list[Client]:
    """Everybody listens to the chat, which is at version 1."""
    run.ledger.add_chat(CHAT, 1)
    clients = [Client(run, person, "/ws/7", [CHAT]) for person in PEOPLE]
    for client in clients:
        client.heard([b'{"type":"connected"}'], None)
    return clients


def a_push(version: int, seq: int) -> bytes:
    message = {"seq": seq, "client_message_id": f"other-{version}"}
    return orjson.dumps({"type": "new_message", "chat_id": CHAT, "version": version, "message": message})


def hear(client: Client, text: bytes) -> None:
    """As the socket tells of a read that is this frame alone."""
    if not client.knows(text):
        client.heard([text], text)


async def test_a_read_that_everybody_hears_is_split_once(run: Run) -> None:
    clients = join(run)
    assert not clients[0].knows(a_push(2, 1))
    hear(clients[0], a_push(2, 1))
    assert all(client.knows(a_push(2, 1)) for client in clients[1:])
    assert run.deliveries == 3
    assert run.ledger.count() == Tally(0, 0, 0)


async def test_a_read_that_is_wrong_is_held_against_the_server_at_every_socket(run: Run) -> None:
    first, *others = join(run)
    hear(first, a_push(2, 1))
    for client in others:
        hear(client, a_push(2, 99))
    assert run.ledger.count() == Tally(0, 0, 2)


async def test_changes_fill_what_they_say_and_no_more(run: Run) -> None:
    first, *others = join(run)
    for client in (first, *others):
        hear(client, a_push(2, 1))
    for client in others:
        for version in range(3, 9):
            hear(client, a_push(version, version - 1))
    hear(first, orjson.dumps({"type": "changes", "chat_id": CHAT, "from": 5, "to": 8}))
    assert run.holes_filled == 1
    assert run.ledger.count() == Tally(3, 0, 0)
