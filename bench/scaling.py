"""The arithmetic and the simulations of docs/scaling.md: `python -m bench.scaling` writes its tables anew.

What things cost is what `./scripts/bench` has published in docs/bench/results.json; what is assumed is below.
All of it is deterministic, and a test compares the page with what this program makes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from bench import audience, stampede

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "scaling.md"
RESULTS = ROOT / "docs" / "bench" / "results.json"

SESSIONS_ASKED_S, CHATS_ASKED_S = 2.0, 0.5
"""How often a second a node asks for each session of a socket, and for each chat that one of them hears."""
CHATS_EACH = 10
"""Of every socket; no two sockets of a node share one, which is as bad as it gets."""
STEPS = (1_000, 10_000, 100_000, 1_000_000)
MESSAGES_PER_SOCKET_S = 1 / 60
"""In the busiest hour each connected person writes once a minute, which is a lively community."""
PEAK_TO_MEAN = 4
BUSY, BUSY_WITHOUT_ONE = 0.6, 0.9
"""The share of its one core that a node is planned to use, and that it may use when another has died."""
MOST_SOCKETS = 10_000
CONNECTIONS_PER_NODE = 32
FIRST_PAUSES_S = (1, 10, 30)
"""Up to which clients wait before their first try."""


@dataclass(frozen=True)
class Costs:
    """CPU seconds of one message at 200 messages a second, where little is shared between them, with ten
    deliveries; of one heard from another node at most; kilobytes of a socket, bytes of a message."""

    server_s: float
    mariadb_s: float
    mongodb_s: float
    heard_s: float
    socket_kb: float
    row_bytes: float
    text_bytes: float
    handshake_s: float
    resume_s: float
    """Of the node, for ten chats in which nothing has happened."""
    session_node_s: float
    session_mariadb_s: float
    chat_node_s: float
    chat_mariadb_s: float
    """For each of those that a node asks about."""
    publish_s: float
    hear_s: float
    """Of Redis, for a message and for each node that hears it."""

    @property
    def asking_node_s(self) -> float:
        """A second, for one socket."""
        sessions, chats = SESSIONS_ASKED_S * self.session_node_s, CHATS_ASKED_S * self.chat_node_s
        return sessions + CHATS_EACH * chats

    @property
    def asking_mariadb_s(self) -> float:
        sessions, chats = SESSIONS_ASKED_S * self.session_mariadb_s, CHATS_ASKED_S * self.chat_mariadb_s
        return sessions + CHATS_EACH * chats


_RETURNS = ("handshake", "handshake_and_resume")


def read_costs() -> Costs:
    found = json.loads(RESULTS.read_text())["workloads"]
    message = found["latency"]["cpu_s_per_1000_messages"]
    grouped = found["sends"]["many_chats"]["grouped"]["cpu_s_per_1000_messages"]["server"]
    sizes, count = found["stores"], found["stores"]["messages"]
    come = {name: found["returns"][name]["cpu_s_per_1000_sockets"]["server"] / 1000 for name in _RETURNS}
    asked = {name: found["background"][f"{name}_check_cpu_us"] for name in ("session", "chat")}
    said = {int(nodes): us / 1e6 for nodes, us in found["background"]["redis_cpu_us_by_subscribers"].items()}
    fewest, most = min(said), max(said)
    hear_s = (said[most] - said[fewest]) / (most - fewest)
    return Costs(
        message["server"] / 1000,
        message["mariadbd"] / 1000,
        message["mongod"] / 1000,
        # What was committed in company and delivered to ten did all that hearing a message does, and more.
        grouped / 1000,
        found["idle"]["kb_per_connection"],
        (sizes["rows"]["data_mb"] + sizes["rows"]["index_mb"]) * 1e6 / count,
        (sizes["texts"]["data_mb"] + sizes["texts"]["index_mb"]) * 1e6 / count,
        come["handshake"],
        come["handshake_and_resume"] - come["handshake"],
        *(asked[name][process] / 1e6 for name in ("session", "chat") for process in ("node", "mariadbd")),
        said[fewest] - fewest * hear_s,
        hear_s,
    )


@dataclass(frozen=True)
class Step:
    """A deployment for so many sockets, in its busiest hour."""

    sockets: int
    nodes: int
    costs: Costs
    heard: audience.Audience

    @property
    def messages_s(self) -> float:
        return self.sockets * MESSAGES_PER_SOCKET_S

    @property
    def deliveries_s(self) -> float:
        return self.messages_s * self.heard.sockets

    @property
    def crossings_s(self) -> float:
        """Messages that the bus hands to nodes, the one where a message was written left out."""
        return self.messages_s * max(0.0, self.heard.nodes - 1)

    @property
    def node_cores(self) -> float:
        writes = self.messages_s * self.costs.server_s
        hears = self.crossings_s * self.costs.heard_s
        asks = self.sockets * self.costs.asking_node_s
        return (writes + hears + asks) / self.nodes

    @property
    def socket_mb(self) -> float:
        """Of one node."""
        return self.sockets / self.nodes * self.costs.socket_kb / 1000

    @property
    def mariadb_cores(self) -> float:
        return self.messages_s * self.costs.mariadb_s + self.sockets * self.costs.asking_mariadb_s

    @property
    def mongodb_cores(self) -> float:
        return self.messages_s * self.costs.mongodb_s

    @property
    def redis_cores(self) -> float:
        return self.messages_s * self.costs.publish_s + self.crossings_s * self.costs.hear_s

    @property
    def gigabytes_a_year(self) -> tuple[float, float]:
        messages = self.messages_s / PEAK_TO_MEAN * 365 * 86_400
        return messages * self.costs.row_bytes / 1e9, messages * self.costs.text_bytes / 1e9


def plan(sockets: int, costs: Costs) -> Step:
    """The fewest nodes, and two at least, that stay below these shares and `MOST_SOCKETS`."""
    nodes = max(2, math.ceil(sockets / MOST_SOCKETS))
    while True:
        step = Step(sockets, nodes, costs, audience.simulate(nodes))
        without_one = step.node_cores * nodes / (nodes - 1)
        if step.node_cores <= BUSY and without_one <= BUSY_WITHOUT_ONE:
            return step
        nodes = max(nodes + 1, math.ceil(nodes * step.node_cores / BUSY * 0.98))


# --- The page -----------------------------------------------------------------------------------------


def _table(head: str, rows: list[str]) -> list[str]:
    return [head, "|---" * (head.count("|") - 1) + "|", *rows]


def write_costs(costs: Costs) -> list[str]:
    stores = f"{costs.mariadb_s * 1e3:.2f} and {costs.mongodb_s * 1e3:.2f} ms"
    sessions = f"{costs.session_node_s * 1e6:.1f} and {costs.session_mariadb_s * 1e6:.1f} µs, twice a second"
    chats = f"{costs.chat_node_s * 1e6:.1f} and {costs.chat_mariadb_s * 1e6:.1f} µs, every two seconds"
    redis = f"{costs.publish_s * 1e6:.0f} and {costs.hear_s * 1e6:.1f} µs"
    stored = f"{costs.row_bytes:.0f} and {costs.text_bytes:.0f} bytes"
    rows = [
        f"| a socket | {costs.socket_kb:g} kB of the node | `idle` |",
        f"| a message, written alone: node | {costs.server_s * 1e3:.2f} ms | `latency` |",
        f"| the same: MariaDB, MongoDB | {stores} | `latency` |",
        f"| a message heard from another node | at most {costs.heard_s * 1e3:.2f} ms | `sends` |",
        f"| a message, stored: rows, text | {stored} | `stores` |",
        f"| a handshake | {costs.handshake_s * 1e3:.1f} ms | `returns` |",
        f"| a resume of ten silent chats | {costs.resume_s * 1e3:.1f} ms | `returns` |",
        f"| asking whether a session has ended: node, MariaDB | {sessions} | `background` |",
        f"| asking whether a chat has moved on unheard: node, MariaDB | {chats} | `background` |",
        f"| a message over Redis, and each node that hears it | {redis} | `background` |",
    ]
    return _table("| what costs | how much | measured by |", rows)


def write_steps(steps: list[Step]) -> list[str]:
    rows: dict[str, Callable[[Step], str]] = {
        "nodes": lambda step: f"{step.nodes:,}",
        "sockets of a node": lambda step: f"{step.sockets / step.nodes:,.0f}",
        "a node: MB for sockets": lambda step: (
            f"{step.sockets / step.nodes * step.costs.socket_kb / 1e3:,.0f}"
        ),
        "a node: cores": lambda step: f"{step.node_cores:.2f}",
        "messages/s": lambda step: f"{step.messages_s:,.0f}",
        "deliveries/s": lambda step: f"{step.deliveries_s:,.0f}",
        "nodes that hear a message": lambda step: f"{step.heard.nodes:.2f}",
        "messages from node to node/s": lambda step: f"{step.crossings_s:,.0f}",
        "MariaDB: cores": lambda step: f"{step.mariadb_cores:.2f}",
        "MariaDB: connections": lambda step: f"{step.nodes * CONNECTIONS_PER_NODE:,}",
        "MariaDB: GB a year": lambda step: f"{step.gigabytes_a_year[0]:,.0f}",
        "MongoDB: cores of the primary": lambda step: f"{step.mongodb_cores:.2f}",
        "MongoDB: GB a year": lambda step: f"{step.gigabytes_a_year[1]:,.0f}",
        "Redis: cores": lambda step: f"{step.redis_cores:.2f}",
    }
    head = f"| sockets | {' | '.join(f'{step.sockets:,}' for step in steps)} |"
    return _table(head, [f"| {title} | {' | '.join(map(find, steps))} |" for title, find in rows.items()])


def write_audience() -> list[str]:
    rows = []
    for nodes in (1, 2, 10, 100, 500):
        found = audience.simulate(nodes)
        rows.append(f"| {nodes} | {found.sockets:.2f} | {found.sockets_p99} | {found.nodes:.2f} |")
    return _table(
        "| nodes | people who hear it | one message in a hundred reaches | nodes that hear it |", rows
    )


def write_stampede(steps: list[Step]) -> list[str]:
    costs = steps[0].costs
    returns = {"handshake": costs.handshake_s, "and resume": costs.handshake_s + costs.resume_s}
    head = "| nodes, sockets of each | a return is | pause up to | half | 99 % | all | refused |"
    rows = []
    for step, (name, cost_s), pause_s in product(steps, returns.items(), FIRST_PAUSES_S):
        clients = step.sockets // step.nodes
        found = stampede.simulate(
            clients=clients,
            nodes=step.nodes - 1,
            return_cpu_s=cost_s,
            spare=1 - step.node_cores,
            first_pause_s=pause_s,
        )
        times = (found.half_back_s, found.nearly_all_back_s, found.all_back_s)
        cells = " | ".join(f"{seconds:.1f} s" for seconds in times)
        rows.append(f"| {step.nodes} of {clients:,} | {name} | {pause_s} s | {cells} | {found.refusals:,} |")
    return _table(head, rows)


def write_blocks() -> dict[str, list[str]]:
    costs = read_costs()
    steps = [plan(sockets, costs) for sockets in STEPS]
    return {
        "costs": write_costs(costs),
        "steps": write_steps(steps),
        "audience": write_audience(),
        "stampede": write_stampede([step for step in steps if step.sockets != 10_000]),
    }


def renew(page: str) -> str:
    """The page with its tables made anew."""
    for name, lines in write_blocks().items():
        begin, end = f"<!-- {name}: made by python -m bench.scaling -->\n", f"<!-- /{name} -->"
        before, rest = page.split(begin)
        page = "\n".join((before + begin, *lines, "", end + rest.split(end)[1]))
    return page


if __name__ == "__main__":
    PAGE.write_text(renew(PAGE.read_text()))
