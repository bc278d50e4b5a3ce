"""What the machine can do at all, so that figures of different machines can be compared.

A delivery is at least one `send` of a socket, a durable message at least one synced write, and everything
else is Python.
"""

from __future__ import annotations

import multiprocessing
import os
import selectors
import socket
import tempfile
import time
from contextlib import ExitStack
from statistics import median
from typing import NamedTuple

PUSH_BYTES = 400
"""About a `new_message` with its frame."""
SOCKETS = 50
ROUNDS = 200
LOOPS = 2_000_000
WRITES = 100
WRITE_BYTES = 4096


class Yardstick(NamedTuple):
    socket_send_us: float
    """CPU time of one `send` of 400 bytes to a loopback socket that another process waits for."""
    synced_write_ms: float
    """Median wall time of appending 4 KiB to a file and `fdatasync`, where the stores keep their data."""
    python_loops_per_us: float
    """Rounds of an empty `for` loop."""


def measure() -> Yardstick:
    return Yardstick(
        round(_time_sends() * 1e6, 2), round(_time_writes() * 1e3, 3), round(_count_loops() / 1e6, 2)
    )


def _time_sends() -> float:
    text = b"x" * PUSH_BYTES
    with ExitStack() as opened:
        server = opened.enter_context(socket.create_server(("127.0.0.1", 0)))
        senders, readers = [], []
        for _ in range(SOCKETS):
            senders.append(opened.enter_context(socket.create_connection(server.getsockname())))
            senders[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            readers.append(opened.enter_context(server.accept()[0]))
        reading = multiprocessing.get_context("fork").Process(target=_read_all, args=(readers,), daemon=True)
        reading.start()
        began_s = time.process_time()
        for _ in range(ROUNDS):
            for sender in senders:
                sender.send(text)
        spent_s = time.process_time() - began_s
        reading.kill()
        reading.join()
    return spent_s / (ROUNDS * SOCKETS)


def _read_all(readers: list[socket.socket]) -> None:
    with selectors.DefaultSelector() as selector:
        for reader in readers:
            selector.register(reader, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                key.fileobj.recv(64 * 1024)  # type: ignore[union-attr]


def _time_writes() -> float:
    times_s = []
    with tempfile.TemporaryFile() as file:
        for _ in range(WRITES):
            began_s = time.perf_counter()
            file.write(b"x" * WRITE_BYTES)
            file.flush()
            os.fdatasync(file.fileno())
            times_s.append(time.perf_counter() - began_s)
    return median(times_s)


def _count_loops() -> float:
    """A second."""
    began_s = time.process_time()
    for _ in range(LOOPS):
        pass
    return LOOPS / (time.process_time() - began_s)
