"""Models that other versions really made: environments for the tests, in a cache that outlives them.

Made once on a machine, since that takes a package index and some seconds: `$XDG_CACHE_HOME/mooring-tests`. Where no
index can be reached, the tests that need one are skipped and say so; any other failure is a failure.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mooring-tests"
UV = Path(sys.executable).with_name("uv")
UNREACHABLE = ("error sending request", "dns error", "Failed to fetch", "network was disabled", "timed out")
TIMEOUT_S = 200


def interpreter(*requirements: str) -> Path:
    """A Python of this version with these packages."""
    name = hashlib.sha256("\0".join((sys.version, *requirements)).encode()).hexdigest()[:16]
    place = CACHE / name
    if not (place / "bin" / "python").exists():
        aside = CACHE / f".{name}-{os.getpid()}"
        _uv("venv", "--clear", "--relocatable", "--python", sys.executable, str(aside))
        _uv("pip", "install", "--python", str(aside / "bin" / "python"), *requirements)
        try:
            aside.rename(place)
        except OSError:  # another run was faster
            assert (place / "bin" / "python").exists()
    return place / "bin" / "python"


def made_by(python: Path, program: str, directory: Path) -> tuple[dict[str, str | bytes], object]:
    """Run `program` in `directory`; returns the files that it wrote there and the JSON that it printed."""
    directory.mkdir(parents=True)
    done = subprocess.run(
        [python, "-W", "ignore", "-c", program],
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    files: dict[str, str | bytes] = {
        str(path.relative_to(directory)): path.read_bytes() for path in directory.rglob("*") if path.is_file()
    }
    return files, json.loads(done.stdout)


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [UV, "--no-progress", *arguments], capture_output=True, text=True, timeout=TIMEOUT_S, check=False
    )
    if done.returncode and any(word in done.stderr for word in UNREACHABLE):
        pytest.skip(f"no package index can be reached: {done.stderr.strip().splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
