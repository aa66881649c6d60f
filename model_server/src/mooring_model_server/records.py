"""How a replica's end is told: `failure.json` (why it could not load) and `exit.json` (how it ended).

Both are written beside and renamed, so a reader sees all or nothing. Writing them must never be the reason that
something else fails: a missing directory is reported by returning False.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Mapping

FAILURE = "failure.json"
EXIT = "exit.json"
LONGEST_REASON = 2000


def write_failure(run_dir: str, where: str, reason: str) -> bool:
    """Say where a start failed and why, before exit code 3."""
    return _write(Path(run_dir) / FAILURE, {"where": where, "reason": reason[:LONGEST_REASON]})


def write_exit(run_dir: str, pid: int, status: int, reaped_by: str) -> bool:
    """Say how a process ended; `status` is what waitpid gave."""
    record = {"pid": pid, "returncode": returncode(status), "reaped_by": reaped_by, "at": time.time()}
    return _write(Path(run_dir) / EXIT, record)


def returncode(status: int) -> int:
    """A wait status as an exit code, or the negative number of the signal."""
    return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def start_time(pid: int) -> str | None:
    """When a process started, in the kernel's words; with the pid it names one process of this boot."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None if Path("/proc/self/stat").exists() else _start_time_by_ps(pid)
    # The second field is the command in parentheses and may hold spaces; start time is field 22.
    return stat.rpartition(b")")[2].split()[19].decode("ascii")


def _start_time_by_ps(pid: int) -> str | None:
    command = ["ps", "-o", "lstart=", "-p", str(pid)]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=5, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return answer.stdout.strip() or None


def _write(path: Path, record: Mapping[str, Any]) -> bool:
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(json.dumps(record), encoding="utf-8")
        beside.replace(path)
    except OSError:
        return False
    return True
