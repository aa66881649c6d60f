"""The accelerators of this machine, as the kernel shows them."""

from __future__ import annotations

from pathlib import Path

DEVICES = Path("/dev")


def has_gpu(devices: Path = DEVICES) -> bool:
    """Whether there is a GPU of NVIDIA's, with its driver loaded (under WSL it goes by another name)."""
    return any(devices.glob("nvidia[0-9]*")) or (devices / "dxg").exists()
