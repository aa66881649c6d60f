"""What a replica wrote: read in parts, with a line of Mooring's own where that explains something.

The files themselves are `mooring.processes.log_files`'.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from mooring.processes.log_files import append_lines

TAIL_BYTES = 4096
DATA_LOG = "data-log"
"""What Mooring writes itself of the jobs of an asynchronous endpoint, beside each replica's log."""


def data_log_of(log: Path) -> Path:
    """The data-log of the replica with this log. A replica's id has no dot."""
    return log.with_suffix(f".{DATA_LOG}.log")


def replica_of(log: Path) -> str:
    """Whose log it is, also of a data-log."""
    return log.stem.partition(".")[0]


def stream_of(log: Path) -> str:
    """A log's name within its variant, as AWS would have it: `<replica id>` or `<replica id>/data-log`."""
    return log.stem.replace(".", "/", 1)


def append_note(path: Path, text: str) -> None:
    """Add a line of Mooring's own to a replica's log."""
    append_lines(path, f"[mooring] {text}\n".encode("utf-8", "replace"))


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


def last_lines(path: Path) -> list[str]:
    """The lines at the end of a log, from its last few kilobytes; none of one that cannot be read."""
    try:
        begin = max(0, path.lstat().st_size - TAIL_BYTES)
        text, _ = read_after(path, begin, TAIL_BYTES)
    except OSError:
        return []
    lines = text.splitlines()
    return [line for line in (lines[1:] if begin else lines) if line.strip()]  # the first may be the rest of one


def _kept_from(descriptor: int, offset: int) -> int:
    """The first offset from `offset` on that still has data; `offset` itself where holes are not known."""
    try:
        return os.lseek(descriptor, offset, os.SEEK_DATA) if hasattr(os, "SEEK_DATA") else offset
    except OSError:
        return offset  # ENXIO: nothing behind it
