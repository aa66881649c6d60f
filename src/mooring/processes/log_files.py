"""Logs: append-only files that stay bounded without their writer's help.

The writer appends with O_APPEND and never reopens. On Linux the oldest part of a long file is given back to the disk by
punching a hole: offsets stay true for whoever follows the file, and nothing that is being written can be lost.
Elsewhere the file is cut to nothing.
"""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

_KEEP_SIZE_PUNCH_HOLE = 0x01 | 0x02  # FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE, linux/falloc.h
_BLOCK = 4096


def open_log(path: Path) -> int:
    """A descriptor to append to `path`, private to this user. Never blocks, whatever a replica has put there."""
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
    return os.open(path, flags, 0o600)


def append_lines(path: Path, lines: bytes) -> None:
    """Append whole lines to a log, whose last line may lack its end. Raises OSError, and then a part may be there."""
    descriptor = open_log(path)
    try:
        data = memoryview(lines if _ends_with_a_line(path) else b"\n" + lines)
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def _ends_with_a_line(path: Path) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        size = os.fstat(descriptor).st_size
        return size == 0 or os.pread(descriptor, 1, size - 1) == b"\n"
    finally:
        os.close(descriptor)


def bound_log(path: Path, limit_bytes: int) -> None:
    """Give back all but the newest half of `limit_bytes` when the file takes more than that on the disk."""
    found = path.lstat()
    if not stat.S_ISREG(found.st_mode) or found.st_blocks * 512 <= limit_bytes:
        return
    if sys.platform != "linux":
        os.truncate(path, 0)
        return
    import ctypes  # 1 MB, which most processes do not need

    length = (found.st_size - limit_bytes // 2) // _BLOCK * _BLOCK
    libc = ctypes.CDLL(None, use_errno=True)
    descriptor = os.open(path, os.O_WRONLY)
    try:
        arguments = (descriptor, _KEEP_SIZE_PUNCH_HOLE, ctypes.c_int64(0), ctypes.c_int64(length))
        if libc.fallocate(*arguments) != 0:
            os.truncate(path, 0)
    finally:
        os.close(descriptor)
