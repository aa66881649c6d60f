"""One stage per test, in a directory with a short name: socket paths are short."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gateway.running import Stage, staged


@pytest.fixture
def stage() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="mg-") as name, staged(Path(name)) as made:
        yield made
