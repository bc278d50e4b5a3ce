"""The tour of the README, as it is written there: two real clients, a real server, cuts and restarts."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.servers import free_port

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
ADDRESS = "http://127.0.0.1:8000"
TIMEOUT_S = 30
# What the commands need of curl, for machines without it.
CURL = """#!/usr/bin/env python3
import sys, urllib.request
_, _, url, _, header, _, data = sys.argv
request = urllib.request.Request(url, data.encode(), dict([header.split(": ")]))
print(urllib.request.urlopen(request, timeout=10).read().decode())
"""


def commands(text: str) -> str:
    """The one shell block of the README that holds `text`."""
    (block,) = [found for found in re.findall(r"```sh\n(.*?)```", README, re.DOTALL) if text in found]
    return block


class Program:
    """A process whose lines on stdout are collected."""

    def __init__(self, command: list[str], *, folder: Path, **environment: str) -> None:
        outside = {name: value for name, value in os.environ.items() if not name.startswith("CHAT_")}
        with (folder / "stderr").open("a") as stderr:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=outside | {"PYTHONPATH": str(ROOT)} | environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
                bufsize=1,
            )
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def type(self, line: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n")

    def wait_for(self, is_met: Callable[[list[str]], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: is_met(self.lines), TIMEOUT_S), self.lines

    def wait_for_texts(self, *texts: str) -> None:
        """Return once a line ends with each of the texts."""
        self.wait_for(lambda lines: all(any(line.endswith(text) for line in lines) for text in texts))

    def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """End the process and wait until it is gone, its last line included."""
        self._process.send_signal(number)
        self._process.wait(TIMEOUT_S)
        self._reader.join(TIMEOUT_S)
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()


class Tour:
    """The server and the people of the tour, each a process that can be ended and started again."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.address = f"http://127.0.0.1:{free_port()}"
        self._running: dict[str, Program] = {}

    def start_server(self) -> None:
        """What ./scripts/run does once everything is installed."""
        port = self.address.rpartition(":")[2]
        command = [sys.executable, "-m", "chat_service", "serve", "--port", port]
        server = self._start("server", command, CHAT_DATA_DIR=str(self._folder / "data"))
        server.wait_for(lambda lines: any(self.address in line for line in lines))

    def register(self) -> None:
        """Run the README's own commands against this server."""
        script = commands("/users/register").replace(ADDRESS, self.address)
        tools = self._folder / "tools"
        tools.mkdir()
        (tools / "curl").write_text(CURL)
        (tools / "curl").chmod(0o755)
        environment = os.environ | {"PATH": f"{os.environ['PATH']}:{tools}"}
        shell = ["bash", "-ec", script]
        done = subprocess.run(shell, env=environment, capture_output=True, check=True, text=True)
        assert '"username":"ann"' in done.stdout, done.stdout + done.stderr
        assert '"username":"ben"' in done.stdout, done.stdout + done.stderr

    def start_person(self, me: str, peer: str) -> Program:
        (line,) = commands(f"tour.py {me} {peer}").splitlines()
        python, script, *names = line.split()
        assert python == ".venv/bin/python"
        return self._start(me, [sys.executable, str(ROOT / script), *names], TOUR_URL=self.address)

    def end(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        self._running.pop(name).end(number)

    def end_all(self) -> None:
        for name in list(self._running):
            self.end(name)

    def _start(self, name: str, command: list[str], **environment: str) -> Program:
        self._running[name] = Program(command, folder=self._folder, **environment)
        return self._running[name]


@pytest.fixture(scope="module")
def tour(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tour]:
    with ExitStack() as stack:
        tour = Tour(tmp_path_factory.mktemp("tour"))
        stack.callback(tour.end_all)
        tour.start_server()
        tour.register()
        yield tour


def test_two_people_chat_through_cuts_and_restarts(tour: Tour) -> None:
    ann, ben = tour.start_person("ann", "ben"), tour.start_person("ben", "ann")
    ann.type("Hello, Ben!")
    ben.wait_for_texts("ann: Hello, Ben!")
    ben.type("Chào Ann 👋")
    ann.wait_for_texts("ben: Chào Ann 👋")

    tour.end("ben")
    for number in range(1, 4):
        ann.type(f"Are you there? {number}")
    ann.wait_for_texts("ann: Are you there? 3")
    ben = tour.start_person("ben", "ann")
    ben.wait_for_texts("ann: Are you there? 3")

    for number in (signal.SIGTERM, signal.SIGKILL):
        tour.end("server", number)
        ann.type(f"Typed by Ann during {number.name}")
        ben.type(f"Typed by Ben during {number.name}")
        tour.start_server()
        for person in (ann, ben):
            person.wait_for_texts(
                f"ann: Typed by Ann during {number.name}", f"ben: Typed by Ben during {number.name}"
            )

    ann.type("The end")
    ann.wait_for_texts("ann: The end")
    ben.wait_for_texts("ann: The end")
    assert ann.lines == ben.lines
    assert [int(line.split()[0]) for line in ann.lines] == list(range(1, 11))


def test_a_client_says_whom_it_does_not_find(tour: Tour) -> None:
    command = [sys.executable, str(ROOT / "examples" / "tour.py"), "ann", "nobody"]
    done = subprocess.run(
        command,
        env=os.environ | {"TOUR_URL": tour.address},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (1, "There is no user nobody.\n")
