"""`/metrics` counts what happens, and docs/metrics.md names everything that it shows."""

from __future__ import annotations

from pathlib import Path

import httpx2
from prometheus_client.parser import text_string_to_metric_families

from tests.builders import a_direct_chat, a_user, sockets
from tests.node import Node

PAGE = Path(__file__).parents[2] / "docs" / "metrics.md"


def read_metrics(server: Node) -> dict[tuple[str, str], float]:
    """The value of every sample, by its name and its one label that tells samples apart (or "")."""
    answer = httpx2.get(f"{server.url}/metrics")
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples: dict[tuple[str, str], float] = {}
    for family in text_string_to_metric_families(answer.text):
        for sample in family.samples:
            label = sample.labels.get("code") or sample.labels.get("call") or ""
            if "le" not in sample.labels:
                samples[sample.name, label] = sample.value
    return samples


async def test_what_happens_is_counted(server: Node) -> None:
    ann, ben = await a_user(server), await a_user(server)
    chat_id = await a_direct_chat(ann, ben)
    before = read_metrics(server)

    async with sockets(ann, ben) as (ann_socket, ben_socket):
        await ann_socket.say(chat_id, "one", client_message_id="first")
        await ann_socket.say(chat_id, "one", client_message_id="first")
        await ben_socket.expect("new_message")
        await ben_socket.call("resume", cursors={str(chat_id): 1})
        await ben_socket.call("resume", cursors={str(chat_id): 99})
        assert (await ben_socket.call("mark_as_read", seq=1))["code"] == "invalid_request"
        await ann.get("/chats/999999999", status=404)
        open_now = read_metrics(server)

    def grew(name: str, label: str = "") -> float:
        return open_now[name, label] - before.get((name, label), 0)

    assert open_now["chat_connections", ""] == 2
    assert grew("chat_messages_total") == 1
    assert grew("chat_duplicates_answered_total") == 1
    assert grew("chat_commit_batch_messages_count") == 2
    assert grew("chat_deliveries_total") == 2
    assert grew("chat_push_bytes_total") > 200
    assert grew("chat_commit_to_socket_seconds_count") == 1
    assert grew("chat_resumes_total") == 1
    assert grew("chat_resume_changes_sum") == 1
    assert grew("chat_resyncs_total") == 1
    assert grew("chat_refusals_total", "invalid_request") == 1
    assert grew("chat_refusals_total", "not_found") == 1
    assert grew("chat_store_seconds_count", "insert") == 2
    assert grew("chat_store_seconds_count", "transact") >= 2


def test_the_page_names_every_metric(server: Node) -> None:
    page = PAGE.read_text()
    answer = httpx2.get(f"{server.url}/metrics").text
    families = list(text_string_to_metric_families(answer))
    assert len(families) >= 15
    for family in families:
        name = f"{family.name}_total" if family.type == "counter" else family.name
        assert f"`{name}" in page, name
