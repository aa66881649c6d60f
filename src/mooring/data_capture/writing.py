"""Writing records into segments: one open segment a stream in each gateway.

Small records are written by the loop's thread itself; long ones by one other thread, which encodes them in pieces so
that the loop gets its turn between two. A stream's lock keeps the two apart, and the loop never waits for it: what it
cannot write at once it hands to that thread.

A segment is closed when its time is over or when it is large, and after a write that failed in the middle. What could
not be written is counted and told; the invocation goes on.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from weakref import WeakValueDictionary

from mooring.data_capture.sealing import SegmentSeal
from mooring.data_capture.spool import Room
from mooring.data_capture.streams import Stream, new_segment_name
from mooring.journal.segments import Segment
from mooring.settings import CaptureSettings

log = logging.getLogger("mooring.gateway")

Line = bytes | list[bytes]


class Counts:
    """What one gateway captured of one variant since it started."""

    __slots__ = ("not_taken", "problem", "taken")

    def __init__(self) -> None:
        self.taken = 0
        self.not_taken = 0
        self.problem: str | None = None
        """Why a record could not be written; until one can be."""

    def missed(self, problem: str) -> None:
        """A record that should have been taken was not."""
        self.not_taken += 1
        self.problem = problem


class StreamWriter:
    """The end of a stream in this process."""

    def __init__(
        self,
        stream: Stream,
        directory: Path,
        settings: CaptureSettings,
        room: Room,
        opened: set[StreamWriter],
        data_key: bytes | None,
    ) -> None:
        self.stream = stream
        self.counts = Counts()
        self.blocked = False
        """A write failed, and none has been seen to succeed since."""
        self._directory = directory
        self._settings = settings
        self._room = room
        self._opened = opened
        self._lock = threading.Lock()
        self._segment: Segment | None = None
        self._data_key = data_key
        self._seal: SegmentSeal | None = None  # of the open segment
        self._ends = 0.0

    @property
    def is_full(self) -> bool:
        """Whether a record cannot be taken now."""
        return self.blocked or self._room.problem is not None

    def try_write(self, line: bytes) -> bool:
        """Write, unless the other thread is writing: then False. Never raises."""
        if not self._lock.acquire(blocking=False):
            return False
        try:
            self._write(line)
        finally:
            self._lock.release()
        return True

    def write(self, line: Line) -> None:
        """Write, waiting for the other thread. Never raises."""
        with self._lock:
            self._write(line)

    def sweep(self) -> None:
        """Close the segment when its time is over."""
        if self._segment is not None and time.monotonic() >= self._ends and self._lock.acquire(blocking=False):
            try:
                self._close()
            finally:
                self._lock.release()

    def close(self) -> None:
        """Nothing more comes."""
        with self._lock:
            self._close()

    def _write(self, line: Line) -> None:
        try:
            segment = self._segment
            if segment is None or time.monotonic() >= self._ends or segment.size >= self._settings.segment_limit_bytes:
                self._close()
                segment = self._open()
            if self._seal is not None:
                line = self._seal.sealed(line if isinstance(line, bytes) else b"".join(line))
            if isinstance(line, bytes):
                segment.append(line)
                self._room.left -= len(line)
            else:
                before = segment.size
                segment.append_pieces(line)
                self._room.left -= segment.size - before
        except OSError as error:
            self._failed(error)
        else:
            self.counts.taken += 1
            self.counts.problem = None
            if self._room.left <= 0:
                self._room.close()

    def _open(self) -> Segment:
        name = new_segment_name(time.time())
        self.stream.describe(self._directory)
        try:
            segment = Segment.create(self._directory, name)
        except FileNotFoundError:  # control has just put the directory away, which had been unused for long
            self.stream.describe(self._directory)
            segment = Segment.create(self._directory, name)
        self._segment = segment
        self._seal = SegmentSeal(self._data_key, name) if self._data_key is not None else None
        self._opened.add(self)
        self._ends = time.monotonic() + self._settings.flush_interval_s
        return segment

    def _close(self) -> None:
        segment, self._segment = self._segment, None
        if segment is not None:
            self._opened.discard(self)
            segment.close()

    def _failed(self, error: OSError) -> None:
        if self._segment is not None and self._segment.spoiled:
            self._close()
        problem = f"{self._directory} cannot be written: {error.strerror or error}"
        if self.counts.problem is None:
            log.error("capture of %s: %s", self.stream.uri, problem)
        self.blocked = True
        self.counts.missed(problem)


class Writers:
    """All streams of this process. Called from the loop's thread.

    A writer lives while somebody holds it or it has an open segment, and until then a stream has no other.
    """

    def __init__(self, spool: Path, settings: CaptureSettings) -> None:
        self.room = Room(spool, settings)
        self._spool = spool
        self._settings = settings
        self._writers: WeakValueDictionary[str, StreamWriter] = WeakValueDictionary()
        self._open: set[StreamWriter] = set()
        self._counts: dict[tuple[str, str], Counts] = {}

    def __len__(self) -> int:
        return len(self._writers)

    def of(self, stream: Stream, data_key: bytes | None = None) -> StreamWriter:
        """The writer of a stream; with a key it seals what it writes."""
        id_ = stream.id()
        found = self._writers.get(id_)
        if found is None:
            if not self._writers:
                self.room.look()
            found = StreamWriter(stream, self._spool / id_, self._settings, self.room, self._open, data_key)
            self._writers[id_] = found
        found.counts = self.counts_of(stream.route_key, stream.variant)
        return found

    def counts_of(self, route_key: str, variant: str) -> Counts:
        """What is counted of a variant, whichever streams it has."""
        return self._counts.setdefault((route_key, variant), Counts())

    def counted(self) -> Iterable[tuple[tuple[str, str], Counts]]:
        """Everything that is counted, by the route's key and the variant."""
        return self._counts.items()

    def sweep(self) -> None:
        """Close what is due."""
        for writer in list(self._open):
            writer.sweep()

    def look(self) -> None:
        """Measure the room that there is, and try whether what failed can be written again. For another thread."""
        self.room.look()
        alive = (reference() for reference in self._writers.valuerefs())
        failed = [writer for writer in alive if writer is not None and writer.blocked]
        if failed and self.room.takes_files():
            for writer in failed:
                writer.blocked = False
                writer.counts.problem = None

    def forget(self, route_key: str) -> None:
        """The endpoint is gone."""
        for key in [key for key in self._counts if key[0] == route_key]:
            del self._counts[key]

    def close(self) -> None:
        """Close every segment."""
        for writer in list(self._open):
            writer.close()
