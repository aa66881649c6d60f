"""The lines of one log as events: each with a place in the file and a time, forwards and backwards, in bounded memory.

A log is a hostile file: it may hold anything, have no line end for gigabytes, and lose its beginning while it is read.
What an event is depends on nothing but the bytes around it, never on where reading began: it ends behind a line end,
or, in what has none, at a multiple of `BLOCK` when the whole block before has no line end either. So an event has the
same offsets, time and text whenever it is read. Empty lines are no events, and neither is a last line that has no end
yet.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

from mooring.engines.log_times import Marks

BLOCK = 64 * 1024
LONGEST = 2 * BLOCK
"""No event has more bytes."""
EVERY_EVENT_COSTS = 64
"""In bytes: what the shortest line takes of a call's time."""


_LINE_END = ord("\n")
_ENDS = re.compile(rb"\n+")


class Line(NamedTuple):
    """One event of a log; one without a text is none (empty lines, or what is left of one), and only moves on."""

    start: int
    end: int
    at: int
    """Milliseconds since the epoch."""
    text: str

    @property
    def cost(self) -> int:
        """What reading it took of a call's budget, in bytes."""
        return self.end - self.start + EVERY_EVENT_COSTS


class LogLines:
    """The lines of one log that are marked and still kept. Raises OSError where there is no such log."""

    def __init__(self, path: Path) -> None:
        self._marks = Marks(path)
        try:
            # A replica may have put a pipe where its log was: opening that must not block.
            self._descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            self._marks.close()
            raise
        found = os.fstat(self._descriptor)
        known = len(self._marks) > 0 and stat.S_ISREG(found.st_mode)
        self.end = min(self._marks[-1][0], found.st_size) if known else 0
        """What is behind has no time yet."""
        self._begin = max(self._marks[0][0], _kept_from(self._descriptor)) if known else 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)
        self._marks.close()

    def offset_before(self, at: int) -> int:
        """The offset up to which everything was written before the time `at`."""
        return self._marks.offset_before(at)

    def forwards(self, offset: int) -> Iterator[Line]:
        """Lines that end behind `offset`, the oldest first."""
        position, before = self._anchor(offset), -1
        while position > before:
            before = position
            for line in self._window(position):
                position = line.end
                if line.end > offset:
                    yield line

    def backwards(self, offset: int) -> Iterator[Line]:
        """Lines that end at `offset` or before, the newest first."""
        offset = min(offset, self.end)
        while offset > self._begin:
            first = self._anchor(max(self._begin, offset - LONGEST))
            lines, position, before = list[Line](), first, -1
            while before < position < offset:
                before = position
                for line in self._window(position):
                    position = line.end
                    if line.end <= offset:
                        lines.append(line)
            yield from reversed(lines)
            offset = first

    def _window(self, position: int) -> Iterator[Line]:
        """Lines from the boundary `position` on, as many as are whole in one read; none at the end."""
        if position >= self.end:
            return
        data = os.pread(self._descriptor, min(LONGEST, self.end - position), position)
        marks, place, count = self._marks, self._marks.place_of(position + 1), len(self._marks)
        start, rest = 0, position == self._begin > 0
        while (end := self._end_of(data, start, position)) is not None:
            while place < count and marks[place][0] < position + end:
                place += 1
            if place == count:
                return
            text = (
                ""
                if rest or data[start] == _LINE_END
                else data[start:end].decode("utf-8", "replace").removesuffix("\n")
            )
            yield Line(position + start, position + end, marks[place][1], text)
            start, rest = end, False

    @staticmethod
    def _end_of(data: bytes, start: int, position: int) -> int | None:
        """Where the line that starts at `start` ends in `data`, which begins at the offset `position`."""
        if empty := _ENDS.match(data, start):
            return empty.end()
        cut = -(-(position + start) // BLOCK) * BLOCK + BLOCK - position
        end = data.find(b"\n", start, cut) + 1
        if end:
            return end
        return cut if cut <= len(data) else None

    def _anchor(self, offset: int) -> int:
        """A boundary at `offset` or before it, near it."""
        offset = min(offset, self.end)
        first = max(self._begin, offset - LONGEST - BLOCK)
        if offset <= first:
            return self._begin
        found = os.pread(self._descriptor, offset - first, first).rfind(b"\n")
        if found >= 0:
            return first + found + 1
        return self._begin if first == self._begin else -(-first // BLOCK) * BLOCK + BLOCK


def _kept_from(descriptor: int) -> int:
    """Where the first data is that was not given back to the disk."""
    try:
        return os.lseek(descriptor, 0, os.SEEK_DATA) if hasattr(os, "SEEK_DATA") else 0
    except OSError:
        return 0  # ENXIO: it is empty
