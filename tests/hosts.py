"""The machines of a deployment on one machine: network namespaces with addresses of their own, and a bridge.

Job: let a test run each server as if on its own host, and pull the plug of one. Linux gives namespaces to
root alone; where there are none, every host is this machine, on loopback, and cannot be unplugged.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import secrets
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tests import programs

_NAMESPACES = Path("/run/netns")
_CLONE_NEWNET = 0x40000000


@dataclass(frozen=True)
class Host:
    """Where a process runs; the default is this machine."""

    address: str = "127.0.0.1"
    namespace: str = ""
    link: str = ""
    """Our end of its only cable."""

    def command(self, arguments: list[str]) -> list[str]:
        """What starts these arguments there."""
        if not self.namespace:
            return arguments
        return [programs.find_tool("ip"), "netns", "exec", self.namespace, *arguments]

    def enter(self) -> None:
        """Let the calling thread, and those that it starts, run there."""
        if self.namespace:
            descriptor = os.open(_NAMESPACES / self.namespace, os.O_RDONLY)
            libc = ctypes.CDLL(None, use_errno=True)
            if libc.setns(descriptor, _CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), f"cannot enter {self.namespace}")
            os.close(descriptor)

    def unplug(self) -> None:
        """Nothing comes in or goes out, and nobody is told."""
        _ip("link", "set", self.link, "down")

    def plug_in(self) -> None:
        _ip("link", "set", self.link, "up")


THIS_MACHINE = Host()


class Hosts:
    """`with Hosts() as hosts:`, then `hosts.add()` for each machine. This one reaches them, and they reach it
    at `hosts.here`."""

    def __init__(self) -> None:
        token = secrets.token_hex(3)
        self._bridge = f"chat{token}"
        self._network = f"10.{random.randrange(64, 192)}.{random.randrange(256)}"
        self._hosts: list[Host] = []
        self.here = THIS_MACHINE.address

    @property
    def are_separate(self) -> bool:
        """Whether this system gave us namespaces."""
        return self.here != THIS_MACHINE.address

    def __enter__(self) -> Self:
        if os.geteuid() == 0:
            with contextlib.suppress(subprocess.CalledProcessError):
                _ip("link", "add", self._bridge, "type", "bridge")
                self._make(f"{self._network}.1")
        return self

    def _make(self, address: str) -> None:
        """Where only a part can be made, nothing is."""
        try:
            _ip("address", "add", f"{address}/24", "dev", self._bridge)
            _ip("link", "set", self._bridge, "up")
            self.here = address
            self.add()
        except subprocess.CalledProcessError:
            self.here = THIS_MACHINE.address
            self._remove_all()
            raise

    def add(self) -> Host:
        """Another machine; without namespaces this one."""
        if not self.are_separate:
            return THIS_MACHINE
        number = len(self._hosts) + 2
        name, address = f"{self._bridge}-{number}", f"{self._network}.{number}"
        host = Host(address, name, f"{self._bridge}v{number}")
        _ip("netns", "add", name)
        self._hosts.append(host)
        _ip("link", "add", host.link, "type", "veth", "peer", "name", "eth0", "netns", name)
        _ip("link", "set", host.link, "master", self._bridge, "up")
        for command in (
            ("link", "set", "lo", "up"),
            ("address", "add", f"{address}/24", "dev", "eth0"),
            ("link", "set", "eth0", "up"),
        ):
            _ip("-netns", name, *command)
        return host

    def __exit__(self, *_: object) -> None:
        if self.are_separate:
            self._remove_all()

    def _remove_all(self) -> None:
        for host in self._hosts:
            _ip("netns", "delete", host.namespace, check=False)
        _ip("link", "delete", self._bridge, check=False)


def _ip(*command: str, check: bool = True) -> None:
    subprocess.run([programs.find_tool("ip"), *command], capture_output=True, check=check)
