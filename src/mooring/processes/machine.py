"""What this machine has: processors that this process may use, memory, and NVIDIA's accelerators."""

from __future__ import annotations

import os
from pathlib import Path

DEVICES = Path("/dev")


def processors() -> int:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gib() -> float:
    """Physical memory, or what the control group of this process leaves of it."""
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return physical
    return min(physical, int(limit) / 2**30) if limit.isdigit() else physical


def accelerators(devices: Path = DEVICES) -> int:
    """GPUs of NVIDIA's whose driver is loaded, as the kernel shows them; under WSL there is one name for all."""
    return len(list(devices.glob("nvidia[0-9]*"))) or int((devices / "dxg").exists())
