"""What process groups use: one pass over `/proc`, whatever their number."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096
_GROUP, _TIMES, _RESIDENT = 2, slice(11, 15), 21
"""Places behind the name in `/proc/PID/stat` (proc(5)): pgrp; utime, stime, cutime, cstime; rss."""


@dataclass(slots=True)
class Usage:
    """Of all processes of a group."""

    cpu_s: float = 0.0
    """Since they began, and of those of their children that have ended."""
    resident_bytes: int = 0
    """Pages that several processes share are counted in each."""
    pids: list[int] | None = None


def usage_of_groups(wanted: set[int], proc: Path = PROC) -> dict[int, Usage]:
    """By the group's id; those that have no process are left out. Without a `/proc` there are none."""
    found: dict[int, Usage] = {}
    try:
        names = os.listdir(proc)  # noqa: PTH208 - a Path for each process would cost more than the rest
    except OSError:
        return found
    for name in names:
        if not name.isdigit():
            continue
        try:
            with open(f"{proc}/{name}/stat", "rb") as file:  # noqa: PTH123 - as above
                fields = file.read().rpartition(b")")[2].split()
            group = int(fields[_GROUP])
            if group in wanted:
                usage = found.setdefault(group, Usage(pids=[]))
                usage.cpu_s += sum(map(int, fields[_TIMES])) / _TICKS_A_SECOND
                usage.resident_bytes += max(int(fields[_RESIDENT]), 0) * _PAGE_BYTES
                if usage.pids is not None:
                    usage.pids.append(int(name))
        except (OSError, ValueError, IndexError):  # it ended meanwhile
            continue
    return found
