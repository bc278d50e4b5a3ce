"""The list of the faults, in the order of docs/faults.md."""

from __future__ import annotations

from collections.abc import Sequence

from tests.faults import clients, disks, processes, wires
from tests.faults.course import Fault
from tests.faults.device import SILENT_S
from tests.faults.verdict import Target

NODE, ELECTION, NONE = Target(5), Target(15), Target(1)
RESTART = Target(5, beyond_gone=True)
FROZEN = Target(SILENT_S * 1.5 + NODE.seconds)
"""A node that is frozen is not dead, and nobody is told: clients leave it when their patience ends, and are
then served as soon as after a death."""

FAULTS: Sequence[Fault] = (
    Fault("nothing", processes.nothing, is_control=True, is_long=True),
    Fault("SIGKILL of a node", processes.kill_nodes, NODE),
    Fault("SIGKILL of MariaDB", processes.kill(lambda stage: stage.mariadb), RESTART),
    Fault("SIGKILL of the MongoDB primary", processes.kill_primary, ELECTION),
    Fault("SIGKILL of Redis", processes.kill(lambda stage: stage.redis, stays_away=True), NONE),
    Fault("SIGSTOP of a node", processes.freeze(lambda stage: stage.nodes[0]), FROZEN),
    Fault("SIGSTOP of MariaDB", processes.freeze(lambda stage: stage.mariadb), RESTART),
    Fault(
        "SIGSTOP of the MongoDB primary",
        processes.freeze(lambda stage: stage.mongodb.get_primary()),
        ELECTION,
    ),
    Fault("SIGSTOP of Redis", processes.freeze(lambda stage: stage.redis), NONE),
    Fault("the host of a node unplugged", wires.unplug(lambda stage: stage.nodes[0]), NODE),
    Fault("the host of MariaDB unplugged", wires.unplug(lambda stage: stage.mariadb), RESTART),
    Fault(
        "the host of the MongoDB primary unplugged",
        wires.unplug(lambda stage: stage.mongodb.get_primary()),
        ELECTION,
        is_long=True,
    ),
    Fault("the host of Redis unplugged", wires.unplug(lambda stage: stage.redis), NONE, is_long=True),
    Fault("connections of clients cut", wires.cut(lambda stage: stage.to_balancer), by_wire=True),
    Fault(
        "connections of clients delayed",
        wires.delay(lambda stage: stage.to_balancer),
        by_wire=True,
        is_long=True,
    ),
    Fault(
        "connections of clients half-open",
        wires.open_half(lambda stage: stage.to_balancer),
        by_wire=True,
        is_long=True,
    ),
    Fault("connections to MariaDB cut", wires.cut(lambda stage: stage.to_mariadb)),
    Fault("connections to MariaDB half-open", wires.open_half(lambda stage: stage.to_mariadb), is_long=True),
    Fault("connections to MariaDB silent", wires.silence(lambda stage: stage.to_mariadb)),
    Fault("connections to Redis cut", wires.cut(lambda stage: stage.to_redis), NONE),
    Fault(
        "connections to Redis half-open", wires.open_half(lambda stage: stage.to_redis), NONE, is_long=True
    ),
    Fault("a client that hangs up in the middle of requests", clients.cancel_requests),
    Fault("the disk of the MongoDB primary full", disks.fill_the_disk_of_mongodb, ELECTION, is_long=True),
    Fault("the disk of MariaDB full", disks.fill_the_disk_of_mariadb, RESTART),
    Fault("a clock an hour ahead on one node", processes.set_a_clock_ahead, is_long=True),
    Fault("slow readers", clients.stop_reading),
    Fault("all clients dropped at once", clients.drop_everybody),
    Fault("rolling restart of all nodes", processes.restart_all_nodes, has_many=True, is_long=True),
)
