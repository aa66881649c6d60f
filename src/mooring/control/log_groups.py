"""What the replicas of an endpoint wrote, as a log group: a stream a replica, events with times, read in bounded parts.

The times are control's (`mooring.engines.log_times`): every `LOOK_S` it looks at the logs of living replicas and of
those that went since, and at all logs of a group before it reads from them. What a look finds new was written by the
file's own time of change, and after everything that any look before it told of. So whoever follows a group by time
misses nothing: what appears later is later than all that was seen.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import stat
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from mooring.clock import Clock
from mooring.engines.log_events import Line, LogLines
from mooring.engines.log_times import Marks, add_marks, last_mark
from mooring.engines.logs import stream_of
from mooring.errors import NotFound
from mooring.hosting.filter_patterns import EVERYTHING, FilterPattern

LOOK_S = 1.0
MOST_EVENTS = 10_000
LARGEST_PAGE_BYTES = 1024 * 1024
"""Of messages in one answer, each with `EVENT_BYTES` more, as AWS counts."""
EVENT_BYTES = 26
LARGEST_SCAN_BYTES = 8 * 1024 * 1024
"""That one call reads through; the next goes on from there."""
ALWAYS = 1 << 62


class Event(NamedTuple):
    """A line in its stream."""

    stream: str
    line: Line


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which events of a stream: from `start` to `end`, both included, in milliseconds."""

    start: int = 0
    end: int = ALWAYS
    limit: int = MOST_EVENTS
    pattern: FilterPattern = EVERYTHING


@dataclass(frozen=True, slots=True)
class StreamSummary:
    """One stream, as a list of streams tells it. Times are in milliseconds."""

    name: str
    created: int
    last: int | None
    """None for a stream in which nothing was written yet."""


@dataclass(frozen=True, slots=True)
class Page:
    """Events of a stream, oldest first, and the offsets around them."""

    events: list[Event]
    before: int
    after: int


@dataclass(frozen=True, slots=True)
class MergedPage:
    """Events of many streams by time, where each stream is to be read on, and whether there is more for now."""

    events: list[Event]
    positions: dict[str, int]
    more: bool


class LogGroup:
    """The logs below one directory, `<variant>/<replica id>.log` and data-logs. Any thread may use it."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._lock = threading.Lock()
        self._marked: dict[Path, int] = {}
        """Up to which offset each log has times; -1 where it has none."""
        self._latest: int | None = None
        """The latest time told of any log here."""

    def look(self, logs: Iterable[Path] | None = None) -> None:
        """Note the time of what was written since the last look, in these logs or in all."""
        with self._lock:
            found = self._all() if logs is None or self._latest is None else list(logs)
            if self._latest is None:
                self._latest = max((mark[1] for path in found if (mark := last_mark(path))), default=0)
            latest = self._latest
            for path in found:
                with contextlib.suppress(OSError):  # a full disk: the lines are told of once there is room
                    latest = max(latest, self._mark(path, self._latest))
            self._latest = latest

    def _mark(self, path: Path, latest: int) -> int:
        """The time that was noted for what is new in a log; 0 for nothing new."""
        known = self._marked.get(path)
        if known is None:
            known = mark[0] if (mark := last_mark(path)) else -1
        found = path.lstat()
        if found.st_size == known or not stat.S_ISREG(found.st_mode):
            self._marked[path] = known
            return 0
        at = max(latest + 1, min(int(found.st_mtime * 1000), int(self._clock.wall() * 1000)))
        anew = found.st_size < known  # cut to nothing, and begun again
        beginning = [(0, at)] if anew or known < 0 else []
        add_marks(path, [*beginning, *([(found.st_size, at)] if found.st_size else [])], anew=anew)
        self._marked[path] = found.st_size
        return at

    def _all(self) -> list[Path]:
        return sorted(self._directory.glob("*/*.log"))

    def streams(self) -> list[StreamSummary]:
        """Every stream, by name."""
        self.look()
        found = []
        for path in self._all():
            with contextlib.suppress(OSError), contextlib.closing(Marks(path)) as marks:
                if len(marks):
                    last = marks[-1]
                    found.append(StreamSummary(self._name(path), marks[0][1], last[1] if last[0] else None))
        return sorted(found, key=lambda stream: stream.name)

    def first_of(self, stream: str) -> int | None:
        """The time of the oldest event that a stream still has."""
        with contextlib.suppress(OSError), LogLines(self._path(stream)) as log:
            return next((line.at for line in log.forwards(0) if line.text), None)
        return None

    def stored_bytes(self) -> int:
        """What all streams take on the disk."""
        total = 0
        for path in self._all():
            with contextlib.suppress(OSError):
                total += path.lstat().st_blocks * 512
        return total

    def page(self, stream: str, wanted: Wanted, offset: int | None, *, backwards: bool) -> Page:
        """Events behind or before an offset of a stream; None is its beginning or end. Raises `NotFound`."""
        self.look()
        try:
            log = LogLines(self._path(stream))
        except OSError:
            raise NotFound("The specified log stream does not exist.") from None
        with log:
            from_here = offset if offset is not None else _edge(log, wanted, backwards=backwards)
            lines = (Event(stream, line) for line in _lines(log, wanted, from_here, backwards=backwards))
            events, passed, _ = _taken(lines, wanted)
        if not backwards:
            return Page(events, from_here, passed[stream].end if passed else from_here)
        return Page(events[::-1], passed[stream].start if passed else from_here, from_here)

    def merged(
        self, chosen: Callable[[str], bool], wanted: Wanted, positions: Mapping[str, int], *, backwards: bool
    ) -> MergedPage:
        """Events of all chosen streams by time, each read on from its position."""
        self.look()
        with contextlib.ExitStack() as opened:
            sources = []
            for path in self._all():
                if not chosen(name := self._name(path)):
                    continue
                with contextlib.suppress(OSError):
                    log = opened.enter_context(LogLines(path))
                    offset = positions[name] if name in positions else _edge(log, wanted, backwards=backwards)
                    sources.append(_events(name, _lines(log, wanted, offset, backwards=backwards)))
            merged = heapq.merge(*sources, key=lambda event: (event.line.at, event.stream), reverse=backwards)
            events, passed, more = _taken(merged, wanted)
        reached = {name: line.start if backwards else line.end for name, line in passed.items()}
        return MergedPage(events, {**positions, **reached}, more)

    def _name(self, path: Path) -> str:
        return f"{path.parent.name}/{stream_of(path)}"

    def _path(self, stream: str) -> Path:
        """Where a stream's log is. Raises FileNotFoundError for a name that cannot be one's."""
        variant, _, name = stream.partition("/")
        path = self._directory / variant / f"{name.replace('/', '.', 1)}.log"
        if not variant or not name or variant.startswith(".") or "\0" in stream or self._name(path) != stream:
            raise FileNotFoundError(stream)
        return path


def _edge(log: LogLines, wanted: Wanted, *, backwards: bool) -> int:
    """The offset at which what is wanted begins or, read backwards, ends."""
    if backwards:
        return log.end if wanted.end >= ALWAYS else log.offset_before(wanted.end + 1)
    return log.offset_before(wanted.start)


def _lines(log: LogLines, wanted: Wanted, offset: int, *, backwards: bool) -> Iterator[Line]:
    """Lines from an offset on, up to the first that is out of the wanted time."""
    for line in log.backwards(offset) if backwards else log.forwards(offset):
        if line.at < wanted.start if backwards else line.at > wanted.end:
            return
        yield line


def _events(name: str, lines: Iterator[Line]) -> Iterator[Event]:
    return (Event(name, line) for line in lines)


def _taken(lines: Iterator[Event], wanted: Wanted) -> tuple[list[Event], dict[str, Line], bool]:
    """Events of one answer, the last line passed of each stream, and whether there may be more."""
    taken: list[Event] = []
    passed: dict[str, Line] = {}
    size = scanned = 0
    for event in lines:
        line = event.line
        fits = bool(line.text) and wanted.start <= line.at <= wanted.end and wanted.pattern.matches(line.text)
        if fits:
            size += line.end - line.start + EVENT_BYTES
            if size > LARGEST_PAGE_BYTES and taken:
                return taken, passed, True
            taken.append(event)
        passed[event.stream] = line
        scanned += line.cost
        if len(taken) >= wanted.limit or scanned >= LARGEST_SCAN_BYTES:
            return taken, passed, True
    return taken, passed, False


class LogGroups:
    """The groups of all endpoints, by uid, and the task that keeps their times."""

    def __init__(self, logs: Path, clock: Clock) -> None:
        self._logs = logs
        self._clock = clock
        self._groups: dict[str, LogGroup] = {}

    def of(self, uid: str) -> LogGroup:
        """The group of one endpoint."""
        group = self._groups.get(uid)
        if group is None:
            group = self._groups[uid] = LogGroup(self._logs / uid, self._clock)
        return group

    def forget(self, uid: str) -> None:
        """An endpoint has gone."""
        self._groups.pop(uid, None)

    async def keep(self, written: Callable[[], Mapping[str, list[Path]]]) -> None:
        """Look at the logs of `written()`, by uid, again and again."""
        while True:
            await asyncio.sleep(LOOK_S)
            await asyncio.to_thread(self._look, {self.of(uid): logs for uid, logs in written().items()})

    @staticmethod
    def _look(logs: Mapping[LogGroup, list[Path]]) -> None:
        for group, paths in logs.items():
            group.look(paths)
