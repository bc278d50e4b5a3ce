"""HAProxy, as people put it in front of the nodes: it asks `/readyz`, and leaves out who is not ready.

A node that turns unready gets no new connection and keeps its sockets, because it closes them itself, with
a word to each. To end the sessions of a node that is marked down (`on-marked-down shutdown-sessions`) would
send its clients away all at once, before they are told when to come back. A machine that vanishes is given up
after ten seconds (`tcp-ut`); on a process that is frozen clients give up by themselves.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from tests import programs
from tests.hosts import THIS_MACHINE, Host
from tests.servers import Server

CHECK_EVERY_MS = 1_000
CHECK_AGAIN_MS = 500
"""After a first failure. A node is turned off, at the latest, after both."""
_CONFIGURATION = """\
global
    maxconn 4000
    stats socket {root}/admin mode 600 level admin
    log stdout format raw local0 info

defaults
    mode http
    log global
    # As config/haproxy/haproxy.cfg has it.
    log-format "%ci %b/%s %HM %HP %ST %TR/%Tw/%Tc/%Tr/%Ta %tsc %bc/%sc"
    timeout connect 1s
    timeout client 75s
    timeout server 75s
    timeout tunnel 1h
    timeout http-request 10s
    retries 2
    option redispatch 1

frontend chat
    bind {address}:{port}
    default_backend nodes

backend nodes
    balance leastconn
    option httpchk GET /readyz
    timeout check 1s
    default-server inter {check}ms fastinter {again}ms downinter {again}ms fall 2 rise 1 tcp-ut 10s
{nodes}
"""


class HaProxy(Server):
    """`HaProxy(addresses)` balances over the nodes that listen there, each as `host:port`."""

    name = "haproxy"
    override = ""

    def __init__(self, nodes: Sequence[str], host: Host = THIS_MACHINE) -> None:
        super().__init__(host=host)
        lines = (f"    server node{number} {address} check" for number, address in enumerate(nodes, 1))
        self._file = self.root / "haproxy.cfg"
        self._file.write_text(
            _CONFIGURATION.format(
                root=self.root,
                address=host.address,
                port=self.port,
                check=CHECK_EVERY_MS,
                again=CHECK_AGAIN_MS,
                nodes="\n".join(lines),
            )
        )

    @classmethod
    def find(cls) -> str:
        """`haproxy`, from Debian's package."""
        return programs.find_tool("haproxy")

    @property
    def url(self) -> str:
        return f"http://{self.host.address}:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"ws://{self.host.address}:{self.port}/api/v1/ws"

    def list_serving(self) -> set[int]:
        """The numbers, from 1, of the nodes that get new connections now."""
        lines = self._ask("show servers state nodes").splitlines()[2:]
        fields = [line.split() for line in lines if line.strip()]
        return {int(one[3].removeprefix("node")) for one in fields if one[5] == "2"}  # 2: running

    def count_connections(self) -> int:
        """Connections that the frontend has taken since the start."""
        header, row = self._ask("show stat 1 1 -1").strip().splitlines()[:2]
        names, values = header.removeprefix("# ").split(","), row.split(",")
        return int(values[names.index("stot")])

    def _flags(self, address: str, data: str) -> list[str]:
        return ["-db", "-f", str(self._file)]

    def _check_ready(self) -> None:
        self._ask("show info")
        socket.create_connection((self.host.address, self.port), 1).close()

    def _ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as admin:
            admin.settimeout(5)
            admin.connect(f"{self.root}/admin")
            admin.sendall(f"{command}\n".encode())
            return b"".join(iter(lambda: admin.recv(65_536), b"")).decode()
