"""From what a page says to install to a Python that has it: the tests' own, or one that is made for it and kept."""

from __future__ import annotations

import ctypes
import importlib.metadata
import sys
from pathlib import Path

import pytest

from tests.clients.environments import Unreachable, python_with

SYSTEM_LIBRARIES = {"lightgbm": "libgomp.so.1" if sys.platform == "linux" else "libomp.dylib"}
"""What a package wants of the machine and does not bring along."""


def python_for(*requirements: str) -> Path:
    """An interpreter that has these; skips the test where this machine cannot have them."""
    if all(_installed(each) for each in requirements):
        return Path(sys.executable)
    for name in requirements:
        _require_library_of(name)
    try:
        return python_with(*requirements)
    except Unreachable as error:
        pytest.skip(f"{' '.join(requirements)}: {error}")


def _installed(requirement: str) -> bool:
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
