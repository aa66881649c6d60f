"""The group commit of a gateway: accepted jobs survive a loss of power before their callers hear of it.

One thread appends what has come and syncs it, all of it at once, while the next lines gather; so a sync costs a busy
gateway's callers a share of it. What could not be written or synced is taken back, and its callers are told so.

The thread has the segment that is being written, the loop's thread those that were put aside: a segment stays locked
until it is released, and is given to control, or removed, by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mooring.journal.segments import Segment
from mooring.processes.files import sync_directory

log = logging.getLogger("mooring.gateway")

MOST_AT_ONCE = 512
MOST_PENDING_BYTES = 32 * 1024 * 1024
"""What may wait for the disk; above it callers are told to come again."""
SEGMENT_BYTES = 64 * 1024 * 1024
CLOSE_TIMEOUT_S = 10.0

Settled = Callable[["str | None"], None]
"""Called once, in the loop's thread: with None when the line is kept, else with why it is not."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Lines that are on disk now."""

    segment: str
    upto: int
    """How many lines the segment has with these."""
    lines: Sequence[bytes]


@dataclass(slots=True)
class _Pending:
    line: bytes
    settled: Settled


class Committer:
    """Made in the loop's thread; begins with the first line."""

    def __init__(self, directory: Path, kept: Callable[[Kept], None], put_aside: Callable[[Segment], None]) -> None:
        """`kept` and `put_aside` are called in the loop's thread, and in the order in which things happened."""
        self._directory = directory
        self._kept = kept
        self._put_aside = put_aside
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._changed = threading.Condition()
        self._pending: deque[_Pending] = deque()
        self._pending_bytes = 0
        self._released: deque[tuple[Segment, bool]] = deque()
        self._rotate = False
        self._closed = False
        self._taken: Mapping[str, int] = {}
        # The thread's own.
        self._segment: Segment | None = None
        self._lines = 0

    def submit(self, line: bytes, settled: Settled) -> None:
        """Keep a line. Raises `BlockingIOError` when too much waits already."""
        if self._pending_bytes + len(line) > MOST_PENDING_BYTES:
            raise BlockingIOError("too many asynchronous invocations wait for the disk")
        if self._thread is None:
            self._loop = asyncio.get_running_loop()
            self._thread = threading.Thread(target=self._work, name="accepted jobs", daemon=True)
            self._thread.start()
        with self._changed:
            self._pending.append(_Pending(line, settled))
            self._pending_bytes += len(line)
            self._changed.notify()

    def rotate(self) -> None:
        """Put the segment aside that is being written, if there is one."""
        with self._changed:
            self._rotate = True
            self._changed.notify()

    def release(self, segment: Segment, *, remove: bool) -> None:
        """Let go of a segment that was put aside; `remove` when control has all of it."""
        with self._changed:
            self._released.append((segment, remove))
            self._changed.notify()

    def close(self, taken: Mapping[str, int]) -> None:
        """Write what is pending and let go of everything. Blocks.

        A segment that control has, up to the number of lines that it is `taken` with, is removed.
        """
        with self._changed:
            self._taken = taken
            self._closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(CLOSE_TIMEOUT_S)

    # The thread

    def _work(self) -> None:
        while True:
            with self._changed:
                while not (self._pending or self._released or self._rotate or self._closed):
                    self._changed.wait()
                batch = [self._pending.popleft() for _ in range(min(len(self._pending), MOST_AT_ONCE))]
                released = list(self._released)
                self._released.clear()
                rotate, self._rotate = self._rotate, False
                ended = self._closed and not self._pending
            if rotate:
                self._end_segment()
            if batch:
                self._write(batch)
            for segment, remove in released:
                _let_go(segment, remove=remove)
            if ended:
                if self._segment is not None:
                    _let_go(self._segment, remove=self._taken.get(self._segment.name) == self._lines)
                return

    def _write(self, batch: list[_Pending]) -> None:
        lines = [each.line for each in batch]
        kept, problem = None, None
        try:
            segment = self._open()
            segment.append_pieces(lines)
            segment.sync()
            self._lines += len(lines)
            kept = Kept(segment.name, self._lines, lines)
        except Exception as error:  # noqa: BLE001 - whatever it is, callers wait for an answer
            problem = (error.strerror if isinstance(error, OSError) else None) or repr(error)
            log.error("accepted jobs cannot be kept in %s: %s", self._directory, problem)
        self._tell(self._settle, batch, kept, problem)
        if self._segment is not None and (self._segment.spoiled or self._segment.size >= SEGMENT_BYTES):
            self._end_segment()

    def _open(self) -> Segment:
        if self._segment is None:
            segment = Segment.create(self._directory, f"{int(time.time() * 1000):013d}-{uuid.uuid4()}")
            try:
                sync_directory(self._directory)
            except OSError:
                _let_go(segment, remove=True)
                raise
            self._segment, self._lines = segment, 0
        return self._segment

    def _end_segment(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            self._tell(self._put_aside, segment)

    def _tell(self, callback: Callable[..., None], *values: object) -> None:
        assert self._loop is not None
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(callback, *values)

    def _settle(self, batch: list[_Pending], kept: Kept | None, problem: str | None) -> None:
        self._pending_bytes -= sum(len(each.line) for each in batch)
        for each in batch:
            each.settled(problem)
        if kept is not None:
            self._kept(kept)


def _let_go(segment: Segment, *, remove: bool) -> None:
    if remove:
        with contextlib.suppress(OSError):
            segment.path.unlink()
    segment.close()
