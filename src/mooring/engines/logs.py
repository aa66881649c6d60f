"""Replica logs: append-only files that stay bounded without their writer's help.

The replica writes with O_APPEND and never reopens. On Linux the oldest part of a long file is given back to the
disk by punching a hole: offsets stay true for whoever follows the file, and nothing that is being written can be
lost. Elsewhere the file is cut to nothing.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import stat
import sys
from pathlib import Path

_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, linux/falloc.h
_BLOCK = 4096


def open_log(path: Path) -> int:
    """A descriptor to append to `path`, private to this user."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)


def bound_log(path: Path, limit_bytes: int) -> None:
    """Give back all but the newest half of `limit_bytes` when the file takes more than that on the disk."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_blocks * 512 <= limit_bytes:
        return
    if sys.platform != "linux":
        os.truncate(path, 0)
        return
    length = (found.st_size - limit_bytes // 2) // _BLOCK * _BLOCK
    libc = ctypes.CDLL(ctypes.util.find_library("c"), use_errno=True)
    descriptor = os.open(path, os.O_WRONLY)
    try:
        arguments = (descriptor, _KEEP_SIZE_PUNCH_HOLE, ctypes.c_int64(0), ctypes.c_int64(length))
        if libc.fallocate(*arguments) != 0:
            os.truncate(path, 0)
    finally:
        os.close(descriptor)


def append_note(path: Path, text: str) -> None:
    """Add a line of Mooring's own to a replica's log."""
    descriptor = open_log(path)
    try:
        os.write(descriptor, f"[mooring] {text}\n".encode("utf-8", "replace"))
    finally:
        os.close(descriptor)


def read_after(path: Path, offset: int, limit_bytes: int) -> tuple[str, int]:
    """Whole lines from `offset` on, at most `limit_bytes`, and the offset behind them.

    What was given back to the disk is passed over; a last line without its end is left for later, unless it alone is
    longer than the limit.
    """
    # A replica may have put a pipe where its log was: opening that must not block.
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return "", offset
        begin = _kept_from(descriptor, offset if offset <= found.st_size else 0)
        data = os.pread(descriptor, limit_bytes, begin)
    finally:
        os.close(descriptor)
    whole = data.rfind(b"\n") + 1 or (len(data) if len(data) == limit_bytes else 0)
    return data[:whole].lstrip(b"\0").decode("utf-8", "replace"), begin + whole


def _kept_from(descriptor: int, offset: int) -> int:
    """The first offset from `offset` on that still has data; `offset` itself where holes are not known."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA) if hasattr(os, "SEEK_DATA") else offset
    except OSError:
        return offset  # ENXIO: nothing behind it
