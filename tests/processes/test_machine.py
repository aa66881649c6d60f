"""What this machine has."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.hosting.instance_types import is_accelerated
from mooring.processes import machine


@pytest.mark.parametrize(("device", "found"), [("nvidia0", 1), ("dxg", 1), ("nvidiactl", 0), ("dri", 0), (None, 0)])
def test_devices(tmp_path: Path, device: str | None, found: int) -> None:
    if device is not None:
        (tmp_path / device).touch()
    assert machine.accelerators(tmp_path) == found


@pytest.mark.parametrize(
    ("kind", "found"),
    [
        ("ml.g5.xlarge", True),
        ("ml.p4d.24xlarge", True),
        ("ml.g6e.xlarge", True),
        ("ml.m5.large", False),
        ("ml.inf2.xlarge", False),
        ("", False),
    ],
)
def test_instance_types(kind: str, found: bool) -> None:
    assert is_accelerated(kind) is found


def test_processors_and_memory() -> None:
    assert machine.processors() >= 1
    assert machine.memory_gib() > 0.1
