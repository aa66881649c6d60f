"""What AWS's instance types are, as far as a rule or a message needs it. A type that is not in the table is unknown."""

from __future__ import annotations

import json
from functools import cache
from importlib.resources import files
from typing import Any


def has_local_storage(instance_type: str) -> bool:
    """Whether its storage is NVMe disks of its own, which take neither a key of the caller's nor a size."""
    found = _table().get(instance_type)
    return found is not None and bool(found["nitro"]) and found["local_storage_gb"] > 0


def accelerators(instance_type: str) -> int:
    """How many accelerators an instance has."""
    accelerator = (_table().get(instance_type) or {}).get("accelerator")
    return 0 if accelerator is None else int(accelerator["count"])


@cache
def _table() -> dict[str, dict[str, Any]]:
    text = files("mooring.hosting").joinpath("data/instance_types.json").read_text("utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)
    return found
