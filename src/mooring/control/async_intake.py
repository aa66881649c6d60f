"""Accepted jobs on their way into the queue: as gateways tell of them, and as they lie on disk.

A job is in the queue once, however often it comes. A gateway hears that jobs were taken when they are durable in the
queue; what it does not hear of it leaves on disk, and a segment that nobody holds is read here, all of it, and then
removed. How much is taken at a time is bounded: what is more waits in segments.
"""

from __future__ import annotations

import asyncio
import logging
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from mooring.async_inference.lines import job_of
from mooring.control.publishing import GatewayLink, RoutePublisher
from mooring.errors import MooringError
from mooring.hosting.async_inference import Job
from mooring.journal.sealing import seal, sealed
from mooring.journal.segments import SEALED
from mooring.store.queue import Queue

log = logging.getLogger("mooring.control")

LOOK_S = 1.0
LINES_AT_ONCE = 500
PIECE_BYTES = 1024 * 1024
LARGEST_SEGMENT_BYTES = 1024**3
"""More than any gateway writes: what is larger is none of theirs."""
UNREADABLE = ".unreadable"


@dataclass(frozen=True, slots=True)
class _Told:
    link: GatewayLink
    segment: str
    upto: int
    lines: list[str]

    def answer(self, *, left: bool) -> None:
        word: dict[str, Any] = {"segment": self.segment, "upto": self.upto}
        self.link.send({"jobs_taken": {**word, "left": True} if left else word})


class AsyncIntake:
    """Hears gateways from when it is made; takes jobs in between `start` and `close`."""

    def __init__(
        self, directory: Path, queue: Queue, publisher: RoutePublisher, arrived: Callable[[set[str]], None]
    ) -> None:
        """`arrived` is called with the uids of endpoints that got jobs."""
        self._directory = directory
        self._queue = queue
        self._arrived = arrived
        self._inbox: deque[_Told] = deque()
        self._something = asyncio.Event()
        self._abandoned = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []
        publisher.heeded["jobs"] = self._heard
        publisher.left.append(lambda _link: self._abandoned.set())

    def start(self) -> None:
        """Begin with what has been told until now, and what lies on disk."""
        self._tasks = [
            asyncio.create_task(self._keep_hearing(), name="accepted jobs"),
            asyncio.create_task(self._keep_reading(), name="accepted jobs on disk"),
        ]

    async def close(self) -> None:
        """What was not taken stays on disk."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    # From gateways.

    def _heard(self, link: GatewayLink, message: dict[str, Any]) -> None:
        word = message["jobs"]
        self._inbox.append(_Told(link, str(word["segment"]), int(word["upto"]), list(word["lines"])))
        self._something.set()

    async def _keep_hearing(self) -> None:
        while True:
            await self._something.wait()
            self._something.clear()
            while self._inbox:
                await self._take(self._next())

    def _next(self) -> list[_Told]:
        """Messages whose jobs are taken in together."""
        taken = [self._inbox.popleft()]
        count = len(taken[0].lines)
        while self._inbox and count + len(self._inbox[0].lines) <= LINES_AT_ONCE:
            taken.append(self._inbox.popleft())
            count += len(taken[-1].lines)
        return taken

    async def _take(self, messages: list[_Told]) -> None:
        try:
            jobs = [job_of(line) for message in messages for line in message.lines]
            await self._take_in(jobs)
        except (MooringError, ValueError, TypeError) as error:
            log.error("accepted jobs are left on disk: %s", error)
            left = True
        except Exception:
            log.exception("accepted jobs are left on disk")
            left = True
        else:
            left = False
        for message in messages:
            message.answer(left=left)

    async def _take_in(self, jobs: list[Job]) -> None:
        if jobs and await self._queue.take_in(jobs):
            self._arrived({job.uid for job in jobs})

    # From disk.

    async def _keep_reading(self) -> None:
        while True:
            try:
                await self.read_segments()
            except (OSError, MooringError) as error:
                log.warning("accepted jobs wait on disk: %s", error)
            except Exception:
                log.exception("accepted jobs wait on disk")
            self._abandoned.clear()
            try:
                async with asyncio.timeout(LOOK_S):
                    await self._abandoned.wait()
            except TimeoutError:
                continue

    async def read_segments(self) -> None:
        """Take in what no gateway holds any more. Raises OSError or `Unavailable`, and what is left then stays."""
        await asyncio.to_thread(seal, self._directory)
        for path in await asyncio.to_thread(sealed, self._directory):
            try:
                await self._read(path)
            except OSError as error:  # one that cannot be read must not stand before the others
                log.warning("accepted jobs wait on disk: %s", error)

    async def _read(self, path: Path) -> None:
        pieces = await asyncio.to_thread(_open, path)
        if pieces is None:
            _set_aside(path)
            return
        bad = 0
        with pieces:
            while lines := await asyncio.to_thread(pieces.readlines, PIECE_BYTES):
                for some in _split(lines, LINES_AT_ONCE):
                    jobs, unreadable = _parsed(some)
                    bad += unreadable
                    await self._take_in(jobs)
        if bad:
            log.error("%d lines of %s are no jobs", bad, path)
            _set_aside(path)
        else:
            await asyncio.to_thread(path.unlink)


def _open(path: Path) -> BinaryIO | None:
    """The segment; None for what no gateway wrote. Never blocks."""
    if path.is_symlink():
        return None
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_size > LARGEST_SEGMENT_BYTES:
        os.close(descriptor)
        return None
    return os.fdopen(descriptor, "rb")


def _set_aside(path: Path) -> None:
    """It is not read again; whoever looks finds it."""
    path.rename(path.with_name(path.name.removesuffix(SEALED) + UNREADABLE))


def _split(lines: list[bytes], most: int) -> Iterator[list[bytes]]:
    for begin in range(0, len(lines), most):
        yield lines[begin : begin + most]


def _parsed(lines: list[bytes]) -> tuple[list[Job], int]:
    jobs = []
    bad = 0
    for line in lines:
        try:
            jobs.append(job_of(line))
        except (ValueError, TypeError):
            bad += 1
    return jobs, bad
