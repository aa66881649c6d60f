"""A job's input: the bytes that came with the call, or an object of S3 that goes to the model as it is read.

Small objects are read at once, so that a model that has just become free waits for nothing. What they take of memory
is bounded for all jobs together (`Budget`); a larger one is opened when the model takes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

from mooring.async_inference import failures
from mooring.async_inference.failures import Away, Problem
from mooring.hosting.async_inference import Job
from mooring.hosting.s3_uris import bucket_and_key
from mooring.objects.async_client import AsyncS3, Download, is_away
from mooring.objects.client import SourceError

SMALL_BYTES = 256 * 1024
SMALL_S = 60.0
"""For a small object: a place at a replica may wait for it, which no other bound ends."""
BUDGET_BYTES = 64 * 1024 * 1024


class Budget:
    """What inputs may take of memory while they wait for a model."""

    def __init__(self, most: int = BUDGET_BYTES) -> None:
        self._left = most

    def reserve(self, size: int) -> bool:
        """Whether there was room."""
        if size > self._left:
            return False
        self._left -= size
        return True

    def give_back(self, size: int) -> None:
        """The bytes are not held any more."""
        self._left += size


@dataclass(slots=True)
class Input:
    """What the model gets. `close` it, whatever became of it."""

    content_type: str | None
    length: int
    body: bytes | None
    """None for one that is streamed."""
    download: Download | None = None
    reserved: int = 0
    budget: Budget | None = None
    heard: Callable[[bytes], Awaitable[None]] | None = None
    """Gets what a stream gives, piece by piece, before the model does."""

    async def pieces(self) -> AsyncIterator[bytes]:
        """The bytes. Raises `Away` when S3 ends in the middle."""
        if self.body is not None:
            yield self.body
            return
        assert self.download is not None
        try:
            while piece := await self.download.read():
                if self.heard is not None:
                    await self.heard(piece)
                yield piece
        except SourceError as error:
            raise Away(str(error)) from None

    @property
    def is_at_hand(self) -> bool:
        """Whether it can be sent now; False once a stream was closed."""
        return self.body is not None or self.download is not None

    def rest(self) -> None:
        """It is not sent yet: keep no connection for it."""
        if self.download is not None:
            self.download.close()
            self.download = None

    def close(self) -> None:
        """Let go of memory and connection."""
        if self.download is not None:
            self.download.close()
            self.download = None
        if self.budget is not None:
            self.budget.give_back(self.reserved)
            self.budget = None


class Fetching:
    """Reads inputs of at most `limit` bytes."""

    def __init__(self, s3: AsyncS3, limit: int, budget: Budget) -> None:
        self._s3 = s3
        self._limit = limit
        self._budget = budget

    async def fetch(self, job: Job, inline: bytes | None) -> Input:
        """Open the input. Raises `Problem`, or `Away` when S3 cannot be reached."""
        if inline is not None:
            return Input(job.content_type, len(inline), inline)
        location = job.input_location or ""
        address = bucket_and_key(location)
        if address is None or not all(address):
            raise Problem(failures.no_input(location, "it is no object of S3"))
        try:
            download = await self._s3.get(*address)
        except SourceError as error:
            if is_away(error):
                raise Away(str(error)) from None
            raise Problem(failures.no_input(location, _reason(error))) from None
        try:
            return await self._opened(job, location, download)
        except BaseException:
            download.close()
            raise

    async def _opened(self, job: Job, location: str, download: Download) -> Input:
        length = download.length
        if length > self._limit:
            raise Problem(failures.input_too_long(location, length, self._limit))
        content_type = job.content_type or download.content_type or None
        if length > SMALL_BYTES or not self._budget.reserve(length):
            return Input(content_type, length, None, download)
        try:
            async with asyncio.timeout(SMALL_S):
                body = await _all_of(download)
        except TimeoutError:
            self._budget.give_back(length)
            raise Away(f"{location} comes too slowly") from None
        except BaseException:
            self._budget.give_back(length)
            raise
        download.close()
        return Input(content_type, length, body, None, length, self._budget)


async def _all_of(download: Download) -> bytes:
    pieces = []
    try:
        while piece := await download.read():
            pieces.append(piece)
    except SourceError as error:
        raise Away(str(error)) from None
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _reason(error: SourceError) -> str:
    """What S3 said, without the address, which is told before."""
    return str(error).partition(": ")[2] or str(error)
