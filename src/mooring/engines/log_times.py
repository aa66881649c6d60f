"""When each part of a log was written, for logs whose writer is a model and puts no times in them.

Beside `x.log` stands `x.times`: pairs of an offset in the log and a time in milliseconds, appended by control alone as
it sees the log grow. A pair says: what ends at or before this offset, and behind the pair before it, was written by
then. The first pair is the beginning of the log and when it was first seen. Both numbers only grow, so a time once
told for an offset is told again for ever, by a later control too.

The file is bounded: when it is full its older half goes, and with it what the log has from that time.
"""

from __future__ import annotations

import os
import stat
import struct
from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path
from typing import overload

from mooring.processes.files import write_atomically

SUFFIX = ".times"
MOST_MARKS = 1 << 20
"""At one a second this is twelve days of a model that never pauses, in 16 MB."""
_PAIR = struct.Struct("<QQ")
_BLOCK = 256

Mark = tuple[int, int]
"""An offset, and a time in milliseconds."""


class Marks(Sequence[Mark]):
    """The pairs of one log, read a block at a time. Raises OSError where there is no such file."""

    def __init__(self, log: Path) -> None:
        self._descriptor = _opened(log.with_suffix(SUFFIX), os.O_RDONLY)
        self._count = os.fstat(self._descriptor).st_size // _PAIR.size
        self._block, self._pairs = -1, list[Mark]()

    def close(self) -> None:
        """No pair can be read any more."""
        os.close(self._descriptor)

    def __len__(self) -> int:
        return self._count

    @overload
    def __getitem__(self, index: int) -> Mark: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Mark]: ...
    def __getitem__(self, index: int | slice) -> Mark | Sequence[Mark]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(self._count))]
        place = index + self._count if index < 0 else index
        if not 0 <= place < self._count:
            raise IndexError(index)
        block, within = divmod(place, _BLOCK)
        if block != self._block:
            data = os.pread(self._descriptor, _BLOCK * _PAIR.size, block * _BLOCK * _PAIR.size)
            self._pairs = list(_PAIR.iter_unpack(data[: len(data) // _PAIR.size * _PAIR.size]))
            self._block = block
        return self._pairs[within]

    def place_of(self, end: int) -> int:
        """The place of the pair that tells the time of what ends at the offset `end`."""
        return bisect_left(self, end, key=lambda pair: pair[0])

    def offset_before(self, at: int) -> int:
        """The offset up to which everything was written before the time `at`."""
        place = bisect_left(self, at, key=lambda pair: pair[1])
        return self[place - 1][0] if place else 0


def last_mark(log: Path) -> Mark | None:
    """The newest pair of a log, or None where nothing was marked yet."""
    try:
        marks = Marks(log)
    except OSError:
        return None
    try:
        return marks[-1] if len(marks) else None
    finally:
        marks.close()


def add_marks(log: Path, added: Sequence[Mark], *, anew: bool = False) -> None:
    """Append pairs; with `anew` they are all there is from now on. Raises OSError, and then a part may be there."""
    path = log.with_suffix(SUFFIX)
    data = b"".join(_PAIR.pack(*pair) for pair in added)
    if anew:
        write_atomically(path, data)
        return
    descriptor = _opened(path, os.O_RDWR | os.O_CREAT)
    try:
        count = os.fstat(descriptor).st_size // _PAIR.size
        if count >= MOST_MARKS:
            half = count // 2
            write_atomically(path, os.pread(descriptor, (count - half) * _PAIR.size, half * _PAIR.size) + data)
        else:  # at the place that a pair cut short on a full disk may hold
            os.pwrite(descriptor, data, count * _PAIR.size)
    finally:
        os.close(descriptor)


def _opened(path: Path, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"{path} is not a file")
    return descriptor
