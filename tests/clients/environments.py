"""Python environments for tests that need what the suite's own does not have, kept between runs.

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
from pathlib import Path

MAKING_S = 240
_UNREACHABLE = re.compile(r"error sending request|network was disabled|error decoding response body|timed out")


class Unreachable(Exception):
    """The packages could not be fetched: there is no network."""


def python_with(*requirements: str) -> Path:
    """The interpreter of an environment that meets `requirements`. Raises `Unreachable` where there is no network."""
    digest = hashlib.sha256("\0".join([sys.version, sys.platform, *requirements]).encode()).hexdigest()[:16]
    directory = _cache() / digest
    directory.parent.mkdir(parents=True, exist_ok=True)
    python, complete = directory / "bin" / "python", directory / "complete"
    with directory.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            shutil.rmtree(directory, ignore_errors=True)
            _uv("venv", "--python", sys.executable, str(directory))
            _uv("pip", "install", "--python", str(python), *requirements)
            complete.touch()
    return python


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "mooring-tests"


def _uv(*arguments: str) -> None:
    command = [Path(sys.executable).with_name("uv"), "--no-progress", "--color", "never", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=MAKING_S, check=False)
    if done.returncode != 0:
        kind = Unreachable if _UNREACHABLE.search(done.stderr) else RuntimeError
        raise kind(" ".join(done.stderr.split()))
