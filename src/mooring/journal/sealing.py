"""Taking over: segments whose writer is done with them are cut to whole lines and sealed by a rename.

A sealed segment never changes again, so what is done with it can be done twice. Cutting is repeated after a crash, and
comes to the same: the file ends behind its last whole line.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path

from mooring.journal.segments import NEW, OPEN, SEALED

_BLOCK_BYTES = 64 * 1024


def seal(directory: Path) -> int:
    """Seal every segment of the directory that nobody writes any more; returns how many. Raises OSError.

    One without a whole line is removed instead.
    """
    sealed = 0
    for path in _with(directory, NEW):
        with _abandoned(path) as descriptor:
            if descriptor is not None:
                path.unlink(missing_ok=True)
    for path in _with(directory, OPEN):
        with _abandoned(path) as descriptor:
            if descriptor is not None:
                sealed += _seal(path, descriptor)
    return sealed


def sealed(directory: Path) -> list[Path]:
    """The sealed segments, in the order of their names."""
    return sorted(_with(directory, SEALED))


def name_of(path: Path) -> str:
    """The name that a segment was made with."""
    return path.name.removesuffix(SEALED).removesuffix(OPEN)


def _with(directory: Path, suffix: str) -> list[Path]:
    try:
        return [Path(each.path) for each in os.scandir(directory) if each.name.endswith(suffix)]
    except FileNotFoundError:
        return []


@contextlib.contextmanager
def _abandoned(path: Path) -> Iterator[int | None]:
    """The file, if its writer is done or dead and it is still where it was; the lock is held meanwhile."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:  # gone, or something that no writer made
        yield None
        return
    try:
        yield descriptor if _taken(path, descriptor) else None
    finally:
        os.close(descriptor)


def _taken(path: Path, descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        here = path.lstat()
    except (BlockingIOError, FileNotFoundError):
        return False
    held = os.fstat(descriptor)
    return (here.st_dev, here.st_ino) == (held.st_dev, held.st_ino)


def _seal(path: Path, descriptor: int) -> bool:
    size = os.fstat(descriptor).st_size
    whole = _end_of_last_line(descriptor, size)
    if not whole:
        path.unlink()
        return False
    if whole < size:
        os.ftruncate(descriptor, whole)
    path.rename(path.with_name(name_of(path) + SEALED))
    return True


def _end_of_last_line(descriptor: int, size: int) -> int:
    """Where the last whole line ends. Looks from the end, as almost always nothing is torn."""
    end = size
    while end:
        begin = max(0, end - _BLOCK_BYTES)
        newline = os.pread(descriptor, end - begin, begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        end = begin
    return 0
