"""Appending: a file that only its maker writes, locked for as long as it does.

The lock is what tells the living from the dead: the kernel lets go of it when the maker closes the file or dies,
however it dies. It is an flock, so no process may be forked that keeps the descriptor.

The file has its final name from the start, with `OPEN` behind it while it may grow. It gets there in two steps, since
between being made and being locked it would look abandoned: made and locked as `NEW`, then renamed. Whoever finds a
`NEW` one that nobody holds may remove it, as nothing was ever written to it.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from collections.abc import Sequence
from pathlib import Path

NEW, OPEN, SEALED = ".new", ".open", ".sealed"
_sync = getattr(os, "fdatasync", os.fsync)
_MOST_TRIES = 20
"""Of making one, while others look for abandoned ones."""
_MOST_PIECES = 512
"""Of one writev; the kernel takes 1,024."""


class Segment:
    """One file being written. Made by `Segment.create`; not for two threads at a time."""

    __slots__ = ("_descriptor", "_synced", "name", "path", "size", "spoiled")

    def __init__(self, path: Path, name: str, descriptor: int) -> None:
        self.path = path
        self.name = name
        self.size = 0
        self.spoiled = False
        """A write failed and its beginning could not be taken back: what would follow it would be lost with it."""
        self._descriptor = descriptor
        self._synced = 0

    @classmethod
    def create(cls, directory: Path, name: str) -> Segment:
        """Make `name` in `directory`, which exists; the name is given once only. Raises OSError."""
        for _ in range(_MOST_TRIES):
            with contextlib.suppress(BlockingIOError, FileNotFoundError):
                return cls._create(directory, name)
        return cls._create(directory, name)

    @classmethod
    def _create(cls, directory: Path, name: str) -> Segment:
        """Raises FileNotFoundError or BlockingIOError when somebody took it for abandoned before it was locked."""
        made = directory / (name + NEW)
        descriptor = os.open(
            made, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600
        )
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = directory / (name + OPEN)
            made.rename(path)
        except BaseException:
            os.close(descriptor)
            with contextlib.suppress(OSError):
                made.unlink()
            raise
        return cls(path, name, descriptor)

    def append(self, line: bytes) -> None:
        """Write one whole line. Raises OSError, and then nothing of it is kept."""
        try:
            written = os.write(self._descriptor, line)
        except OSError:
            self._take_back()
            raise
        if written == len(line):
            self.size += written
        else:
            self._rest([memoryview(line)[written:]], written)

    def append_pieces(self, pieces: Sequence[bytes]) -> None:
        """The same for a line that is long, and in pieces."""
        self._rest([memoryview(piece) for piece in pieces if piece], 0)

    def sync(self) -> None:
        """Have all lines survive a loss of power. Raises OSError, and then those since the last time are not kept."""
        try:
            _sync(self._descriptor)
        except OSError:
            # What the kernel could not write it may have dropped, and would say nothing of the next time.
            self.size = self._synced
            self._take_back()
            self.spoiled = True
            raise
        self._synced = self.size

    def close(self) -> None:
        """Let it be sealed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _rest(self, left: list[memoryview], written: int) -> None:
        try:
            while left:
                step = os.writev(self._descriptor, left[:_MOST_PIECES])
                if not step:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                written += step
                while left and step >= len(left[0]):
                    step -= len(left.pop(0))
                if step:
                    left[0] = left[0][step:]
        except OSError:
            self._take_back()
            raise
        self.size += written

    def _take_back(self) -> None:
        try:
            os.ftruncate(self._descriptor, self.size)
        except OSError:
            self.spoiled = True
