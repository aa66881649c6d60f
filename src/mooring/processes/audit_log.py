"""The audit log: one JSON line a call, in one file that every process of a server appends to.

What a caller sent is in a line only as text of a bounded length, escaped, so that no value can look like another line.
A line is written with one write(2), whole or, on a full disk, not at all as far as readers need to care: the next line
begins anew. Writing never fails a call. What could not be written is counted beside, in a file whose few bytes were
allocated before, and told by `mooring status`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import json
import logging
import os
import re
import stat
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.paths import Paths
from mooring.processes.files import read_small
from mooring.processes.log_files import open_log
from mooring.settings import AuditSettings

log = logging.getLogger("mooring.audit")

LONGEST = 256
LONGEST_RESOURCE = 1200
"""Of a resource's name: a key of S3 has 1,024 bytes."""
_READS = re.compile(r"(Describe|List|Get|Head|Filter|Lookup|Select|Test)[A-Z]|GET ")
_encoded = json.JSONEncoder(separators=(",", ":")).encode
_COUNT = "{:>20} {:>20.3f}\n"


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One call. Empty texts are left out."""

    service: str
    operation: str
    request_id: str
    status: int | None
    """None where no answer was sent."""
    took_s: float
    resource: str = ""
    region: str = ""
    key_id: str = ""
    """As the caller claims it."""
    source: str = ""
    """The address from which a gateway saw the call come."""
    error: str = ""

    def line(self, at: float) -> bytes:
        """The line of a call that was answered at this time, with its end."""
        whole = int(at)
        document: dict[str, Any] = {
            "time": f"{_second(whole)}.{int((at - whole) * 1000):03d}Z",
            "request_id": self.request_id[:LONGEST],
            "key_id": self.key_id[:LONGEST],
            "source": self.source[:LONGEST],
            "service": self.service[:LONGEST],
            "region": self.region[:LONGEST],
            "operation": self.operation[:LONGEST],
            "resource": self.resource[:LONGEST_RESOURCE],
            "status": self.status,
            "error": self.error[:LONGEST],
            "duration_ms": round(self.took_s * 1000, 1),
        }
        kept = {name: value for name, value in document.items() if value != ""}
        return _encoded(kept).replace("\x7f", "\\u007f").encode("ascii") + b"\n"


@functools.lru_cache(maxsize=2)
def _second(at: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at))


class AuditLog:
    """One process's hand on the file. Any thread may write."""

    def __init__(self, paths: Paths, settings: AuditSettings, writer: str) -> None:
        self._settings = settings
        self._path = paths.audit_log
        self._count_path = paths.audit_lost(writer)
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._identity: tuple[int, int] | None = None
        self._torn = False
        self._lost = _counted(self._count_path)[0]
        self._told = False
        if settings.level != "off":
            self._keep_count(0.0 if not self._lost else _counted(self._count_path)[1])

    def wants(self, operation: str) -> bool:
        """Whether a call of this operation, which is no invocation, is to be recorded."""
        level = self._settings.level
        return level in ("calls", "all") or (level == "changes" and not is_read(operation))

    def add(self, record: AuditRecord) -> None:
        """Record a call that has just been answered."""
        self.write(record.line(time.time()), 1)

    def write(self, lines: bytes, count: int) -> None:
        """Append so many whole lines at once; never raises."""
        with self._lock:
            try:
                descriptor = self._opened()
                data = b"\n" + lines if self._torn else lines
                written = os.write(descriptor, data)
                self._torn = written < len(data)
                if self._torn:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            except OSError as error:
                self._lose(count, error)

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if self._descriptor is not None:
                os.close(self._descriptor)
                self._descriptor = None

    def _opened(self) -> int:
        """The file as it is now: another process may have put a new one in its place."""
        found = self._found()
        if self._descriptor is not None:
            full = found is not None and found.st_size >= self._settings.limit_bytes
            if self._is_ours(found) and not (full and self._rotated(self._descriptor)):
                return self._descriptor
            os.close(self._descriptor)
            self._descriptor = None
        self._descriptor = open_log(self._path)
        opened = os.fstat(self._descriptor)
        self._identity = opened.st_dev, opened.st_ino
        self._torn = False
        return self._descriptor

    def _found(self) -> os.stat_result | None:
        """What stands where the file should. Raises OSError for what is no file, which opening might wait for."""
        try:
            found = self._path.lstat()
        except FileNotFoundError:
            return None
        if not stat.S_ISREG(found.st_mode):
            raise OSError(errno.EINVAL, "it is no file")
        return found

    def _is_ours(self, found: os.stat_result | None) -> bool:
        return found is not None and (found.st_dev, found.st_ino) == self._identity

    def _rotated(self, descriptor: int) -> bool:
        """Put the file among the older ones, if no other process is doing so."""
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
        if not self._is_ours(self._found()):
            return True  # another did it just now
        keep = self._settings.keep
        older = [self._path.with_name(f"{self._path.name}.{number}") for number in range(1, keep + 1)]
        for source, target in zip(reversed([self._path, *older[:-1]]), reversed(older), strict=True):
            with contextlib.suppress(FileNotFoundError):
                source.replace(target)
        if not older:
            self._path.unlink(missing_ok=True)
        return True

    def _lose(self, count: int, error: OSError) -> None:
        self._lost += count
        if not self._told:
            self._told = True
            log.error("the audit log %s cannot be written: %s", self._path, error.strerror or error)
        self._keep_count(time.time())

    def _keep_count(self, at: float) -> None:
        with contextlib.suppress(OSError):
            descriptor = os.open(self._count_path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
            try:
                os.pwrite(descriptor, _COUNT.format(self._lost, at).encode(), 0)
            finally:
                os.close(descriptor)


def is_read(operation: str) -> bool:
    """Whether an operation changes nothing, by its name."""
    return _READS.match(operation) is not None


def lost(paths: Paths) -> tuple[int, float]:
    """How many lines all processes could not write, and when the last of them was lost."""
    found = list(_all_counts(paths))
    return sum(count for count, _ in found), max((at for _, at in found), default=0.0)


def _all_counts(paths: Paths) -> Iterator[tuple[int, float]]:
    for path in paths.run.glob(paths.audit_lost("*").name):
        yield _counted(path)


def _counted(path: Path) -> tuple[int, float]:
    try:
        count, at = read_small(path).split()
        return int(count), float(at)
    except (OSError, ValueError):
        return 0, 0.0
