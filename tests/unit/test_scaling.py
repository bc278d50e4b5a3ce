"""docs/scaling.md shows what its program computes today; the simulations behave at their edges."""

from __future__ import annotations

import dataclasses
from itertools import pairwise

import pytest

from bench import audience, stampede
from bench.scaling import PAGE, ROOT, plan, read_costs, renew

OPERATIONS = ROOT / "docs" / "operations.md"


def test_the_page_is_what_the_program_makes_of_the_published_figures() -> None:
    """After `./scripts/bench --publish` run `python -m bench.scaling`, and read the prose around it again."""
    page = PAGE.read_text()
    assert renew(page) == page


def test_a_plan_leaves_room_on_every_node_and_never_one_node_alone() -> None:
    costs = read_costs()
    steps = [plan(sockets, costs) for sockets in (10, 20_000, 200_000)]
    assert all(step.node_cores <= 0.6 and step.sockets / step.nodes <= 10_000 for step in steps)
    assert steps[0].nodes == 2
    assert all(one.nodes < other.nodes for one, other in pairwise(steps))


def test_one_node_hears_everything_once_and_many_nodes_no_more_often_than_there_are_listeners() -> None:
    alone, many = audience.simulate(1), audience.simulate(10_000)
    assert alone.nodes == 1
    assert alone.sockets == many.sockets
    assert 0.9 * many.sockets < many.nodes <= many.sockets


def test_a_stampede_takes_as_long_as_its_work_when_there_is_too_much_of_it() -> None:
    found = stampede.simulate(clients=1_000, nodes=2, return_cpu_s=0.04, spare=0.5, first_pause_s=1)
    work_s = 1_000 / 2 * 0.04 / 0.5
    assert work_s <= found.all_back_s < 1.5 * work_s
    assert found.refusals > 0
    assert found.longest_wait_s <= stampede.PATIENCE_S


def test_a_stampede_takes_as_long_as_its_pauses_when_there_is_room() -> None:
    found = stampede.simulate(clients=1_000, nodes=10, return_cpu_s=0.001, spare=1, first_pause_s=30)
    assert 29 < found.all_back_s < 30.1
    assert 14 < found.half_back_s < 16
    assert found.refusals == 0


def test_every_socket_pays_for_what_is_asked_of_its_chats() -> None:
    costs = read_costs()
    sessions = 2 * costs.session_mariadb_s
    assert costs.asking_mariadb_s == pytest.approx(sessions + 10 * costs.chat_mariadb_s / 2)
    quiet = dataclasses.replace(costs, chat_node_s=0.0, chat_mariadb_s=0.0)
    assert plan(100_000, costs).nodes >= plan(100_000, quiet).nodes
    assert plan(100_000, costs).mariadb_cores > 1.2 * plan(100_000, quiet).mariadb_cores


def test_what_a_message_takes_is_told_alike_to_whoever_sizes_a_deployment() -> None:
    costs = read_costs()
    sizing = OPERATIONS.read_text()
    assert f"{costs.row_bytes:.0f} bytes a message |" in sizing
    assert f"{costs.text_bytes:.0f} bytes a message," in sizing
    assert f"{costs.socket_kb:.0f} kB for each socket" in sizing
