"""Slots of serverless variants as locks of the kernel: one byte of one file each, for all gateways together.

A lock belongs to the descriptor of the process that took it, so the kernel frees what a killed gateway held, and no
process counts for another. An endpoint's bytes are found by its uid, of which 48 bits are random, so there is one file
for all endpoints and nothing to clean up; it never has any content.
"""

from __future__ import annotations

import fcntl
import os
import struct
import sys
from pathlib import Path

SLOT_BITS = 8
"""AWS's MaxConcurrency is 200 at the most."""
_UID_DIGITS = 12

if sys.platform == "linux":
    _SET = fcntl.F_OFD_SETLK
    _LAYOUT = struct.Struct("hhqqi4x")
else:  # macOS: a lock is the process's own, which is the same, as a process opens the file once
    _SET = fcntl.F_SETLK
    _LAYOUT = struct.Struct("qqihh")


class SlotLocks:
    """Those that one process holds. Taking one twice does nothing: who has it is for the caller to know."""

    __slots__ = ("_fd", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def take(self, first: int, slot: int) -> bool:
        """Whether `slot`, counted from the byte `first`, is this process's now; else it is another's."""
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.fcntl(self._fd, _SET, _lock(fcntl.F_WRLCK, first + slot))
        except (BlockingIOError, PermissionError):
            return False
        return True

    def free(self, first: int, slot: int) -> None:
        """Let it be another's."""
        fcntl.fcntl(self._fd, _SET, _lock(fcntl.F_UNLCK, first + slot))

    def close(self) -> None:
        """Free all of them."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


def first_byte(uid: str) -> int:
    """Where the slots of an endpoint begin; `uid` is the hexadecimal form of a random UUID."""
    return int(uid[:_UID_DIGITS], 16) << SLOT_BITS


def _lock(kind: int, at: int) -> bytes:
    """A `struct flock` for one byte."""
    if sys.platform == "linux":
        return _LAYOUT.pack(kind, os.SEEK_SET, at, 1, 0)
    return _LAYOUT.pack(at, 1, 0, kind, os.SEEK_SET)
