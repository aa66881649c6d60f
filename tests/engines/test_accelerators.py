"""Whether this machine has a GPU is told from its devices."""

from __future__ import annotations

from pathlib import Path

import pytest

from mooring.engines.accelerators import has_gpu
from mooring.hosting.instance_types import is_accelerated


@pytest.mark.parametrize(
    ("device", "found"), [("nvidia0", True), ("dxg", True), ("nvidiactl", False), ("dri", False), (None, False)]
)
def test_devices(tmp_path: Path, device: str | None, found: bool) -> None:
    if device is not None:
        (tmp_path / device).touch()
    assert has_gpu(tmp_path) is found


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
