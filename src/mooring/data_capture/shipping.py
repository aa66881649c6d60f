"""The work side: segments of the spool become objects in S3, each once, whoever dies in between.

A sealed segment is put under the key that its name says, and unlinked when S3 has it. A control that dies before that
is followed by one that puts the same bytes under the same key. What S3 does not take stays and is tried again, with
longer and longer waits, a stream independent of the others. The spool alone says what is to be done, so records of
endpoints that are gone are shipped too.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from mooring.data_capture.sealing import SegmentSeal
from mooring.data_capture.streams import DESCRIPTION, Stream
from mooring.errors import MooringError
from mooring.journal.sealing import name_of, seal, sealed
from mooring.objects.client import S3Source
from mooring.settings import CaptureSettings

log = logging.getLogger("mooring.control")

LOOK_S = 0.5
RETRY_S = 0.5
SHIPPED_AT_ONCE = 4
FORGOTTEN_AFTER_S = 3600.0
"""The directory of a stream without segments, that nobody touched for this long, goes."""
CONTENT_TYPE = "application/jsonlines"


@dataclass(slots=True)
class Waiting:
    """What of one stream is not in S3 yet."""

    stream: Stream
    segments: int = 0
    bytes: int = 0
    problem: str | None = None
    """Why S3 does not take it."""
    since: float = 0.0
    """When that began, by the monotonic clock."""
    retry_s: float = RETRY_S
    not_before: float = 0.0
    shipping: asyncio.Task[None] | None = None


OpenKey = Callable[[Stream], Awaitable[bytes]]
"""The data key that a stream's records are sealed with. Raises `MooringError` when it cannot be had."""


class Shipper:
    """Empties the spool. `run` is the one task that begins the others."""

    def __init__(self, spool: Path, s3: S3Source, settings: CaptureSettings, open_key: OpenKey) -> None:
        self._spool = spool
        self._s3 = s3
        self._settings = settings
        self._open_key = open_key
        self._streams: dict[Path, Waiting] = {}
        self._unreadable: set[Path] = set()
        self._threads = ThreadPoolExecutor(SHIPPED_AT_ONCE, "capture")

    def waiting(self) -> list[Waiting]:
        """Of every stream that has segments."""
        return [each for each in self._streams.values() if each.segments]

    async def run(self) -> None:
        """Ship until cancelled."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    found = await loop.run_in_executor(self._threads, self._look)
                except OSError as error:
                    log.warning("the spool of captured records cannot be looked at: %s", error)
                else:
                    self._begin(found)
                await asyncio.sleep(LOOK_S)
        finally:
            for each in self._streams.values():
                if each.shipping is not None:
                    each.shipping.cancel()
            self._threads.shutdown(wait=False, cancel_futures=True)

    def _begin(self, found: dict[Path, tuple[Stream, list[Path], int]]) -> None:
        now = time.monotonic()
        for directory in self._streams.keys() - found.keys():
            del self._streams[directory]
        for directory, (stream, segments, size) in found.items():
            waiting = self._streams.setdefault(directory, Waiting(stream))
            waiting.segments, waiting.bytes = len(segments), size
            if not segments:
                waiting.problem = None
            elif (waiting.shipping is None or waiting.shipping.done()) and now >= waiting.not_before:
                name = f"ship {stream.uri}"
                waiting.shipping = asyncio.create_task(self._ship(waiting, segments), name=name)

    # In threads

    def _look(self) -> dict[Path, tuple[Stream, list[Path], int]]:
        """Seal what can be sealed, and list what is to be shipped."""
        return {directory: found for directory in self._directories() if (found := self._look_at(directory))}

    def _directories(self) -> Iterator[Path]:
        for directory in sorted(self._spool.iterdir()):
            if directory.is_dir() and not directory.is_symlink():
                yield directory

    def _look_at(self, directory: Path) -> tuple[Stream, list[Path], int] | None:
        try:
            stream = Stream.read(directory)
            seal(directory)
            segments = sealed(directory)
            if not segments and self._removed(directory):
                return None
            return stream, segments, sum(path.stat().st_size for path in segments)
        except (OSError, ValueError, TypeError) as error:
            if directory not in self._unreadable:
                self._unreadable.add(directory)
                log.error("captured records below %s cannot be shipped: %s", directory, error)
            return None

    def _removed(self, directory: Path) -> bool:
        """Remove a stream that is not used. A gateway may be beginning a segment just now: so it is moved first, which
        no segment can be lost by, and removed once it is seen to be empty where nobody looks for it.
        """
        unused = time.time() - directory.stat().st_mtime > FORGOTTEN_AFTER_S
        if directory.suffix == ".gone":
            if {path.name for path in directory.iterdir()} <= {DESCRIPTION}:
                (directory / DESCRIPTION).unlink(missing_ok=True)
                directory.rmdir()
                return True
        elif unused and {path.name for path in directory.iterdir()} <= {DESCRIPTION}:
            directory.rename(directory.with_name(f"{directory.name}-{uuid.uuid4().hex}.gone"))
            return True
        return False

    def _put(self, stream: Stream, path: Path, data_key: bytes | None) -> None:
        headers = {"Content-Type": CONTENT_TYPE}
        if stream.key_id:
            headers["x-amz-server-side-encryption"] = "aws:kms"
            headers["x-amz-server-side-encryption-aws-kms-key-id"] = stream.key_id
        with path.open("rb") as sealed, contextlib.ExitStack() as stack:
            body: BinaryIO = sealed
            if data_key is not None:
                seal_of = SegmentSeal(data_key, name_of(path))
                body = stack.enter_context(io.BytesIO(b"".join(map(seal_of.opened, sealed))))
            length = body.seek(0, io.SEEK_END)
            body.seek(0)
            self._s3.put(stream.bucket, stream.key_of(name_of(path)), body, length, headers)
        path.unlink(missing_ok=True)

    # The loop's side of shipping

    async def _ship(self, waiting: Waiting, segments: list[Path]) -> None:
        loop = asyncio.get_running_loop()
        stream, data_key = waiting.stream, None
        for path in segments:
            try:
                if stream.sealed_data_key and data_key is None:
                    data_key = await self._open_key(stream)
                await loop.run_in_executor(self._threads, self._put, stream, path, data_key)
            except (MooringError, OSError, ValueError) as error:
                self._failed(waiting, str(error))
                return
            if waiting.problem is not None:
                log.info("captured records go to %s again", waiting.stream.uri)
            waiting.problem, waiting.retry_s = None, RETRY_S
            waiting.segments -= 1

    def _failed(self, waiting: Waiting, problem: str) -> None:
        now = time.monotonic()
        if waiting.problem is None:
            waiting.since = now
            log.warning("captured records cannot be put to %s, and wait: %s", waiting.stream.uri, problem)
        waiting.problem = problem
        waiting.not_before = now + waiting.retry_s
        waiting.retry_s = min(waiting.retry_s * 2, self._settings.retry_max_s)
