"""Small files: replaced so that a reader sees the old content or the new, and read without trusting who wrote them."""

from __future__ import annotations

import contextlib
import itertools
import os
import stat
from pathlib import Path

_numbers = itertools.count()

LARGEST_SMALL_FILE_BYTES = 64 * 1024


def read_small(path: Path, limit: int = LARGEST_SMALL_FILE_BYTES) -> bytes:
    """The content of a regular file of at most `limit` bytes. Raises OSError for anything else, and never blocks.

    A replica runs as the same user and may have put a pipe, a link or gigabytes where a record is expected.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > limit:
            raise OSError(f"{path} is not a small file")
        return os.read(descriptor, limit)
    finally:
        os.close(descriptor)


def write_atomically(path: Path, data: bytes, *, durable: bool = False, exclusive: bool = False) -> None:
    """Write `data` to `path` (mode 0600) by way of a temporary file beside it.

    It survives the death of any process; with `durable` also a power loss, once this has returned. `exclusive` raises
    FileExistsError where there is something at `path`.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.{next(_numbers)}.tmp")
    try:
        _write(temporary, data, durable)
        if exclusive:
            os.link(temporary, path)
            temporary.unlink()
        else:
            temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    if durable:
        sync_directory(path.parent)


def _write(path: Path, data: bytes, durable: bool) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        view = memoryview(data)
        while view:
            view = view[os.write(descriptor, view) :]
        if durable:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_directory(path: Path) -> None:
    """Make what was made, renamed or removed in a directory survive a power loss."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
