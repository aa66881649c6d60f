"""A socket path for each test, in a directory with a short name."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="mu-") as name:
        yield Path(name) / "r.sock"
