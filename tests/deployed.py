"""HAProxy with config/haproxy/haproxy.cfg, in front of nodes on this machine."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx2

from tests.programs import find_tool
from tests.servers import free_port

CONFIGURATION = Path(__file__).parents[1] / "config" / "haproxy" / "haproxy.cfg"
START_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Balancer:
    """A `builders.Server`, so that people can be made through it; `status_url` is HAProxy's own address."""

    port: int
    status_port: int
    log_file: Path
    certificate: Path | None = None
    """With one, clients speak TLS."""

    @property
    def url(self) -> str:
        return f"http{'s' if self.certificate else ''}://127.0.0.1:{self.port}"

    @property
    def ws_url(self) -> str:
        return f"{self.url.replace('http', 'ws')}/api/v1/ws"

    @property
    def status_url(self) -> str:
        return f"http://127.0.0.1:{self.status_port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()


@contextlib.contextmanager
def balancing(
    folder: Path, first_port: int, second_port: int, certificate: Path | None = None, front_proxy: str = ""
) -> Iterator[Balancer]:
    """HAProxy in front of two nodes of this machine, until the block ends; at least one must be ready."""
    balancer = Balancer(free_port(), free_port(), folder / "haproxy.log", certificate)
    environment = {
        "CHAT_BIND": f"127.0.0.1:{balancer.port}",
        "CHAT_STATUS_BIND": f"127.0.0.1:{balancer.status_port}",
        "CHAT_FRONT_PROXY": front_proxy,
        "CHAT_NODE_1": f"127.0.0.1:{first_port}",
        "CHAT_NODE_2": f"127.0.0.1:{second_port}",
    }
    if certificate is not None:
        environment["CHAT_TLS_CERTIFICATE"] = str(certificate)
    with balancer.log_file.open("ab") as log:
        process = subprocess.Popen(
            ["setpriv", "--pdeathsig=TERM", find_tool("haproxy"), "-db", "-f", str(CONFIGURATION)],
            env=os.environ | environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_until_ready(balancer, process)
        yield balancer
    finally:
        process.terminate()
        process.wait()


def _wait_until_ready(balancer: Balancer, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        with contextlib.suppress(httpx2.TransportError):
            if httpx2.get(f"{balancer.status_url}/readyz").status_code == 200:
                return
        assert process.poll() is None, balancer.log
        assert time.monotonic() < deadline, balancer.log
        time.sleep(0.02)
