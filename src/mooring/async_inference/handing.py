"""What a gateway accepted, on its way to control: told at once, and else taken by control from disk.

A segment is removed by its gateway when control has said that every line of it is in the queue. Where that cannot be
(control was away, was behind, or has died with what it was told), the segment is let go of, and control takes all of
it; what it knows already it ignores. So nothing is lost and nothing is done twice, whoever dies when.

Nothing is held in memory but numbers: what control has not acknowledged lies on disk.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.async_inference.committing import Committer, Kept, Settled
from mooring.async_inference.lines import line_of
from mooring.hosting.async_inference import Job
from mooring.journal.segments import Segment

SWEEP_S = 1.0
LONGEST_SEGMENT_S = 60.0
PATIENCE_S = 5.0
"""How long a segment that was told whole waits for control's word before it is let go of."""
MOST_OUTSTANDING_BYTES = 8 * 1024 * 1024
"""Told and not acknowledged; above it control finds the rest on disk."""
MESSAGE_BYTES = 1024 * 1024

Tell = Callable[[dict[str, Any]], bool]
"""Sends a message to control; False when it is away."""


@dataclass(slots=True)
class _Told:
    """Of one segment."""

    since: float
    lines: int = 0
    acknowledged: int = 0
    has_gaps: bool = False
    """Control has not been told of every line, or has not taken one: it must read the segment."""
    segment: Segment | None = None
    """Once it was put aside, since `since`."""

    @property
    def is_taken(self) -> bool:
        return not self.has_gaps and self.acknowledged == self.lines


class AcceptedJobs:
    """Of one gateway. All of it is called in the loop's thread."""

    def __init__(self, directory: Path, tell: Tell, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._tell = tell
        self._monotonic = monotonic
        self._committer = Committer(directory, self._kept, self._put_aside)
        self._segments: dict[str, _Told] = {}
        self._outstanding: deque[tuple[str, int, int]] = deque()  # segment, upto, bytes
        self._outstanding_bytes = 0
        self._sweeping: asyncio.TimerHandle | None = None
        self._control_is_here = False

    def keep(self, job: Job, settled: Settled) -> None:
        """Have a job survive; `settled` is called once it does, or does not. Raises `BlockingIOError`."""
        if self._sweeping is None:
            self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        self._committer.submit(line_of(job), settled)

    def greet(self) -> None:
        """Control has only just come: what the last one was told and did not acknowledge, this one has to read."""
        self._control_is_here = True
        for segment, _, _ in self._outstanding:
            if (told := self._segments.get(segment)) is not None:
                told.has_gaps = True
        self._outstanding.clear()
        self._outstanding_bytes = 0
        self._look()

    def taken(self, message: dict[str, Any]) -> None:
        """Control has the lines of a segment up to a number; or has not, and is to read them."""
        word = message["jobs_taken"]
        segment, upto = str(word["segment"]), int(word["upto"])
        if self._outstanding and self._outstanding[0][:2] == (segment, upto):  # control answers in order
            self._outstanding_bytes -= self._outstanding.popleft()[2]
        told = self._segments.get(segment)
        if told is not None:
            if word.get("left"):
                told.has_gaps = True
            else:
                told.acknowledged = max(told.acknowledged, upto)
            if told.segment is not None:
                self._release_if_done(segment, told)

    def close(self) -> None:
        """Keep what is pending, and let go of every segment. Blocks."""
        if self._sweeping is not None:
            self._sweeping.cancel()
        taken: dict[str, int] = {}
        for name, told in self._segments.items():
            if told.segment is not None:
                self._committer.release(told.segment, remove=told.is_taken)
            elif told.is_taken:
                taken[name] = told.lines
        self._committer.close(taken)

    def _kept(self, kept: Kept) -> None:
        told = self._segments.get(kept.segment)
        if told is None:
            told = self._segments[kept.segment] = _Told(self._monotonic())
        told.lines = kept.upto
        first = kept.upto - len(kept.lines)
        lines: list[str] = []
        size = 0
        for number, line in enumerate(kept.lines, first + 1):
            lines.append(line.decode())
            size += len(line)
            if size >= MESSAGE_BYTES or number == kept.upto:
                self._tell_of(told, kept.segment, number, lines, size)
                lines, size = [], 0

    def _tell_of(self, told: _Told, segment: str, upto: int, lines: list[str], size: int) -> None:
        if self._outstanding_bytes + size > MOST_OUTSTANDING_BYTES:
            told.has_gaps = True
        elif self._tell({"jobs": {"segment": segment, "upto": upto, "lines": lines}}):
            self._outstanding.append((segment, upto, size))
            self._outstanding_bytes += size
        else:
            told.has_gaps = True
            self._control_is_here = False

    def _put_aside(self, segment: Segment) -> None:
        told = self._segments.setdefault(segment.name, _Told(0.0))
        told.segment = segment
        told.since = self._monotonic()
        self._release_if_done(segment.name, told)

    def _release_if_done(self, name: str, told: _Told) -> None:
        assert told.segment is not None
        if told.is_taken or told.has_gaps or self._monotonic() - told.since >= PATIENCE_S:
            self._committer.release(told.segment, remove=told.is_taken)
            del self._segments[name]

    def _sweep(self) -> None:
        self._sweeping = asyncio.get_running_loop().call_later(SWEEP_S, self._sweep)
        self._look()

    def _look(self) -> None:
        """Put aside what control has to read, or what is old; it must not have to read the same again and again."""
        now = self._monotonic()
        for name, told in list(self._segments.items()):
            if told.segment is not None:
                self._release_if_done(name, told)
            elif self._is_wanted(told) or now - told.since >= LONGEST_SEGMENT_S:
                self._committer.rotate()

    def _is_wanted(self, told: _Told) -> bool:
        """Whether control has to read it, and has the time to."""
        return told.has_gaps and self._control_is_here and not self._outstanding
