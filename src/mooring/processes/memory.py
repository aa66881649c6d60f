"""How much memory a process has, from `/proc`: what it maps at all, and its fair part of what it shares with others."""

from __future__ import annotations

import os

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def resident_bytes(pid: int) -> int:
    """Every page that is mapped, shared ones too: cheap, and no less than the proportional size; 0 when it is gone."""
    try:
        return int(_read(pid, "statm").split()[1]) * _PAGE_BYTES
    except (OSError, IndexError, ValueError):
        return 0


def proportional_bytes(pid: int) -> int:
    """Of each page its part by the number of processes that map it, and what was swapped out: takes milliseconds.

    A process that does not let itself be looked at counts with all that is mapped.
    """
    try:
        fields = (line.split() for line in _read(pid, "smaps_rollup").splitlines())
        return sum(int(field[1]) * 1024 for field in fields if field[0] in (b"Pss:", b"SwapPss:"))
    except (OSError, IndexError, ValueError):
        return resident_bytes(pid)


def _read(pid: int, name: str) -> bytes:
    with open(f"/proc/{pid}/{name}", "rb") as file:  # noqa: PTH123 - a Path for each look would cost more than the rest
        return file.read()
