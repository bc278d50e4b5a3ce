"""SQLite files that no other account of the machine can read."""

from __future__ import annotations

import contextlib
import fcntl
import os
from pathlib import Path


class FileInUse(Exception):
    """Another process serves from the same file."""


def lock_for_serving(path: Path) -> int:
    """Claim a SQLite file for one serving process, by an advisory lock beside it; it ends with the process.

    The command line may open the file all the same. Raises `FileInUse`.
    """
    create_private(path)
    descriptor = os.open(path.with_name(f"{path.name}.lock"), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        os.close(descriptor)
        raise FileInUse(str(path)) from error
    return descriptor


def create_private(path: Path) -> None:
    """Make the file, its folder too, where it is missing, readable and writable by its owner alone.

    An existing file keeps its mode, and is not even opened: closing it would end the locks of this process
    on it (POSIX), SQLite's own among them, and another process would then take itself for the last user and
    remove the `-wal` that this one writes to (https://sqlite.org/howtocorrupt.html, section 2.2). SQLite
    gives `-wal` and `-shm` files the mode of their database.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
