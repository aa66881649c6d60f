"""From what a page says to install to a Python that has it: the tests' own, or one that is made for it and kept.

PyTorch is the exception: its wheel on the usual index brings gigabytes of CUDA. Where pip finds a wheel of it on
this machine, that one is used; elsewhere its tests are skipped, unless MOORING_TEST_LARGE_DOWNLOADS=1.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import functools
import importlib.metadata
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.environments import Unreachable, python_with

TORCH = "2.13.0"
LARGE_DOWNLOADS = os.environ.get("MOORING_TEST_LARGE_DOWNLOADS") == "1"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache").absolute() / "mooring-tests"
WHEELS = CACHE / "wheels"
SYSTEM_LIBRARIES = {"lightgbm": "libgomp.so.1" if sys.platform == "linux" else "libomp.dylib"}
"""What a package wants of the machine and does not bring along."""


def python_for(*requirements: str) -> Path:
    """An interpreter that has these; skips the test where this machine cannot have them."""
    if all(installed(each) for each in requirements):
        return Path(sys.executable)
    for name in requirements:
        _require_library_of(name)
    if "torch" in requirements:
        require_torch()
        if not LARGE_DOWNLOADS:
            pinned = (f"torch=={TORCH}" if each == "torch" else each for each in requirements)
            requirements = ("--find-links", str(WHEELS), *pinned)
    try:
        return python_with(*requirements)
    except Unreachable as error:
        pytest.skip(f"{' '.join(requirements)}: {error}")


def server_settings() -> dict[str, str]:
    """What a server needs in its environment to find the same PyTorch."""
    if LARGE_DOWNLOADS:
        return {}
    WHEELS.mkdir(parents=True, exist_ok=True)
    return {"UV_FIND_LINKS": str(WHEELS), "MOORING_IMAGES_TORCH_BACKEND": "none"}


@contextlib.contextmanager
def kept_environments(data: Path) -> Iterator[None]:
    """The environments that the server with this data directory makes, kept for the next run of the tests.

    Making one takes seconds of downloading and compiling. One run at a time has them; beside it another makes its own.
    """
    kept = CACHE / "environments-of-models"
    kept.mkdir(parents=True, exist_ok=True)
    with kept.with_suffix(".lock").open("w") as lock:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            data.mkdir()
            (data / "environments").symlink_to(kept, target_is_directory=True)
        yield


def require_torch() -> None:
    """Skips the test where PyTorch is neither here nor may be downloaded."""
    if not (LARGE_DOWNLOADS or installed("torch")) and (lacking := _torch_is_lacking()):
        pytest.skip(lacking)


@functools.cache
def _torch_is_lacking() -> str | None:
    """Brings the wheel to where uv looks for it; the reason when pip knows none on this machine."""
    python = f"cp{sys.version_info.major}{sys.version_info.minor}"
    if any(WHEELS.glob(f"torch-{TORCH}*-{python}-*.whl")):
        return None
    WHEELS.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=WHEELS) as directory:
        command = (sys.executable, "-m", "pip", "download", "--quiet", "--no-index", "--no-deps", "--dest", directory)
        done = subprocess.run([*command, f"torch=={TORCH}"], capture_output=True, timeout=120, check=False)
        if done.returncode != 0:
            return f"pip knows no wheel of torch {TORCH} on this machine; MOORING_TEST_LARGE_DOWNLOADS=1 fetches one"
        (wheel,) = Path(directory).iterdir()
        wheel.rename(WHEELS / wheel.name)
    return None


def installed(requirement: str) -> bool:
    """Whether the tests' own Python has it."""
    try:
        importlib.metadata.version(requirement)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _require_library_of(requirement: str) -> None:
    library = SYSTEM_LIBRARIES.get(requirement)
    if library is not None:
        try:
            ctypes.CDLL(library)
        except OSError:
            pytest.skip(f"{requirement} needs {library}, which this machine does not have")
