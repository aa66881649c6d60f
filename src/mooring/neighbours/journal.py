"""The journal: one file, a line a call, written to disk before the call is answered.

A line is a checksum and JSON. Only one line is ever being written, so that a crash can tear the last one and no other:
a torn end is cut off when the journal is opened, and was never acknowledged. Damage anywhere else is acknowledged state
that is lost, and no start goes over it in silence.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import stat
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from mooring.errors import DataDirectoryError
from mooring.processes.files import sync_directory

log = logging.getLogger("mooring.neighbours")

_sync = getattr(os, "fdatasync", os.fsync)  # macOS has no fdatasync
LONGEST_LINE_BYTES = 128 * 1024 * 1024
"""A body has 8 MiB, and JSON may write a byte of it as six."""
PREDECESSOR_WAIT_S = 10.0
PREDECESSOR_POLL_S = 0.01


class Journal:
    """The calls of one data directory, held by one process at a time. Made by `Journal.open`."""

    def __init__(self, path: Path, descriptor: int) -> None:
        self._path = path
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path) -> Journal:
        """Open or make the file, and wait for a predecessor that is about to end. Raises `DataDirectoryError`."""
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise DataDirectoryError(f"cannot open {path}: {error.strerror}") from None
        try:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise DataDirectoryError(f"{path} is not a file")
            _lock(path, descriptor)
            sync_directory(path.parent)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(path, descriptor)

    def records(self) -> Iterator[dict[str, Any]]:
        """Every record from the first; the torn end, if there is one, is cut. Raises `DataDirectoryError`."""
        whole = 0
        with self._path.open("rb") as file:
            for line in _lines(file):
                record = _read(line)
                if record is None:
                    break
                whole += len(line)
                yield record
            else:
                return
            if any(_read(line) is not None for line in _lines(file)):
                raise DataDirectoryError(
                    f"{self._path} is damaged at byte {whole}, and what follows cannot be trusted: put the file back "
                    f"from a copy, or move it away to begin without the resources of IAM, SNS, SQS, Logs and CloudWatch"
                )
        log.warning("the end of %s was not written whole, and is cut off at byte %d", self._path, whole)
        os.ftruncate(self._descriptor, whole)
        _sync(self._descriptor)

    def append(self, record: dict[str, Any]) -> None:
        """Write a record, and return when it is on disk. Raises OSError, and then it is not there."""
        body = json.dumps(record, separators=(",", ":")).encode("ascii")
        line = b"%08x %b\n" % (zlib.crc32(body), body)
        before = os.fstat(self._descriptor).st_size
        try:
            view = memoryview(line)
            while view:
                view = view[os.write(self._descriptor, view) :]
            _sync(self._descriptor)
        except OSError:
            with contextlib.suppress(OSError):
                os.ftruncate(self._descriptor, before)
            raise

    def close(self) -> None:
        """Let another process have it."""
        os.close(self._descriptor)


def _lock(path: Path, descriptor: int) -> None:
    # The one before us may still be going: it notices the death of its control, and ours did not wait for that.
    deadline = time.monotonic() + PREDECESSOR_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise DataDirectoryError(f"{path} is in use by another process") from None
            time.sleep(PREDECESSOR_POLL_S)
        else:
            return


def _lines(file: BinaryIO) -> Iterator[bytes]:
    while line := file.readline(LONGEST_LINE_BYTES):
        yield line


def _read(line: bytes) -> dict[str, Any] | None:
    checksum, _, body = line.partition(b" ")
    if not body.endswith(b"\n") or checksum != b"%08x" % zlib.crc32(body[:-1]):
        return None
    record: dict[str, Any] = json.loads(body)
    return record
