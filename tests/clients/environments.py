"""Environments for tests that need what the suite's own does not have, kept between runs: of Python, and of Node.

A directory for each list of requirements, below `$XDG_CACHE_HOME/mooring-tests`. Who comes first makes it and holds a
lock meanwhile; one that was left half-made is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

MAKING_S = 240
_UNREACHABLE = re.compile(
    r"error sending request|network was disabled|error decoding response body|timed out"  # uv
    r"|E(NOTFOUND|AI_AGAIN|CONNREFUSED|CONNRESET|TIMEDOUT|NETUNREACH)|cache mode is 'only-if-cached'"  # npm
)


class Unreachable(Exception):
    """The packages could not be fetched: there is no network."""


def python_with(*requirements: str) -> Path:
    """The interpreter of an environment that meets `requirements`. Raises `Unreachable` where there is no network."""

    def make(directory: Path) -> None:
        uv = Path(sys.executable).with_name("uv"), "--no-progress", "--color", "never"
        _run(*uv, "venv", "--python", sys.executable, directory)
        _run(*uv, "pip", "install", "--python", directory / "bin" / "python", *requirements)

    return _kept((sys.version, sys.platform, *requirements), make) / "bin" / "python"


def node_modules_with(*packages: str) -> Path:
    """The `node_modules` with these packages of npm. Raises `Unreachable` where there is no network."""

    def make(directory: Path) -> None:
        directory.mkdir()
        quiet = "--no-audit", "--no-fund", "--no-update-notifier", "--engine-strict", "--ignore-scripts"
        _run("npm", "install", *quiet, "--prefix", directory, *packages)

    version = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True).stdout
    return _kept((version, sys.platform, *packages), make) / "node_modules"


def _kept(key: tuple[str, ...], make: Callable[[Path], None]) -> Path:
    """The directory of this key, made whole first where it is not there."""
    directory = _cache() / hashlib.sha256("\0".join(key).encode()).hexdigest()[:16]
    directory.parent.mkdir(parents=True, exist_ok=True)
    complete = directory / "complete"
    with directory.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(directory, ignore_errors=True)
            make(directory)
            complete.touch()
    return directory


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "mooring-tests"


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=MAKING_S, check=False)
    if done.returncode != 0:
        kind = Unreachable if _UNREACHABLE.search(done.stderr) else RuntimeError
        raise kind(" ".join(done.stderr.split()))
