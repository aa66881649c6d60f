"""What AWS's instance types are, as far as a rule or a message needs it. A type that is not in the table is unknown."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True, slots=True)
class Resources:
    """Processors, memory and accelerators: of one instance, or of several together."""

    vcpus: float
    memory_gib: float
    accelerators: int


def has_local_storage(instance_type: str) -> bool:
    """Whether its storage is NVMe disks of its own, which take neither a key of the caller's nor a size."""
    found = _table().get(instance_type)
    return found is not None and bool(found["nitro"]) and found["local_storage_gb"] > 0


def is_accelerated(instance_type: str) -> bool:
    """Whether it has NVIDIA's GPUs."""
    accelerator = (_table().get(instance_type) or {}).get("accelerator")
    return accelerator is not None and str(accelerator["kind"]).startswith("nvidia-")


def resources_of(instance_type: str) -> Resources:
    """What one instance has; nothing of an unknown type."""
    found = _table().get(instance_type)
    if found is None:
        return Resources(0, 0, 0)
    accelerator = found["accelerator"]
    return Resources(found["vcpus"], found["memory_gib"], 0 if accelerator is None else accelerator["count"])


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = files("mooring.hosting").joinpath("data/instance_types.json").read_text("utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found
