"""How a process ended, written down by whoever reaped it.

Only a parent learns an exit status, and the parent of a replica changes (zygote, control, supervisor), so it leaves
the status in `exit.json` beside the replica's identity, where the next control finds it.
"""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path

from mooring.processes.files import read_small, write_atomically

FILE_NAME = "exit.json"


@dataclass(frozen=True, slots=True)
class ExitRecord:
    """The end of one process."""

    pid: int
    returncode: int
    """The exit code; negative for the signal that ended it."""
    reaped_by: str
    at: float
    """Seconds since the epoch."""


def write_exit(directory: Path, *, pid: int, status: int, reaped_by: str) -> None:
    """Write `exit.json`; `status` is the wait status as `os.waitpid` returns it."""
    record = ExitRecord(pid, os.waitstatus_to_exitcode(status), reaped_by, time.time())
    write_atomically(directory / FILE_NAME, json.dumps(asdict(record)).encode())


def read_exit(directory: Path) -> ExitRecord | None:
    """What `exit.json` says; None when there is none or it cannot be read."""
    try:
        document = json.loads(read_small(directory / FILE_NAME))
        return ExitRecord(
            int(document["pid"]),
            int(document["returncode"]),
            str(document.get("reaped_by", "")),
            float(document.get("at", 0.0)),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
