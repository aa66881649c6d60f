"""Capture of asynchronous calls: the record of a call is in capture's spool before its answer counts as kept.

So a job that has been answered has its record, whoever dies afterwards. Who dies in between leaves a record of an
answer that nobody got, and the job is called again: as with a caller in real time that tries again.

Of an input that is not at hand whole, the beginning goes to a file while the model reads it, and only as much as a
record may have. One record of large bodies is made at a time. Capture never fails a job: what cannot be had is counted.
"""

from __future__ import annotations

import asyncio
import logging
import time

from mooring.async_inference.fetching import Input
from mooring.async_inference.spooling import Spool, SpoolFile
from mooring.data_capture.observing import Capture, Recorder, is_sampled
from mooring.data_capture.records import CONTENT_TYPE, CUSTOM_ATTRIBUTES, INFERENCE_ID
from mooring.data_capture.streams import Stream
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Answered
from mooring.hosting.capturing import CaptureRoute
from mooring.hosting.routes import Route
from mooring.upstream.observing import Answer, Asked, Failed

log = logging.getLogger("mooring.control")

OPERATION = "InvokeEndpointAsync"
UNREADABLE = "a large input or answer could not be put aside or read again for its record"


class Shelf:
    """What all captured calls share."""

    def __init__(self, capture: Capture, spool: Spool, limit: int) -> None:
        self.capture = capture
        self.spool = spool
        self.limit = limit
        """Of one body in a record."""
        self.large = asyncio.Semaphore(1)


class Capturing:
    """Of one endpoint's calls."""

    def __init__(self, shelf: Shelf) -> None:
        self._shelf = shelf
        self._by_replica: dict[str, tuple[Recorder, CaptureRoute]] = {}

    def follow(self, route: Route) -> None:
        """Capture as this route wants; calls that run are captured as the last one wanted."""
        scope, found = route.scope, {}
        for variant in route.variants:
            if (wanted := variant.capture) is not None:
                where = (variant.name, wanted.bucket, wanted.prefix, wanted.key_id)
                stream = Stream(scope.account, scope.region, route.endpoint, *where)
                recorder = self._shelf.capture.recorder(stream, wanted)
                found.update({replica.id: (recorder, wanted) for replica in variant.replicas})
        self._by_replica = found

    def begin(self, job: Job, replica_id: str, given: Input) -> CapturedCall | None:
        """Before a call is made; None for one that is not captured."""
        found = self._by_replica.get(replica_id)
        if found is None or not is_sampled(_asked(job, given.content_type, b""), found[1].percentage):
            return None
        return CapturedCall(*found, self._shelf, job, given)


class CapturedCall:
    """Hears one of `answered` and `failed`, or neither when the job is called again; `close` it."""

    def __init__(self, recorder: Recorder, wanted: CaptureRoute, shelf: Shelf, job: Job, given: Input) -> None:
        self._recorder = recorder
        self._wanted = wanted
        self._shelf = shelf
        self._job = job
        self._content_type = given.content_type
        self._body = given.body or b""
        self._file: SpoolFile | None = None
        self._spoiled = False
        if given.body is None and wanted.input:
            self._file = shelf.spool.begin(f"{job.id}.input")
            given.heard = self._hear

    async def answered(self, answered: Answered, small: bytes | None) -> None:
        """The model's answer is whole; returns when the kernel has the record. `small`: one that is in no file."""
        if not 200 <= answered.status < 300:
            await self.failed()
        elif small is not None and self._file is None:
            await self._record(answered, small)
        else:
            async with self._shelf.large:
                await self._record(answered, small)

    async def failed(self) -> None:
        """The job ends without an answer of the model's."""
        if self._recorder.takes_failed:
            async with self._shelf.large:
                await self._record(None, None)

    def close(self) -> None:
        """Let go of the input."""
        self._body = b""
        if self._file is not None:
            self._file.discard()
            self._file = None

    async def _hear(self, piece: bytes) -> None:
        if self._file is None or self._spoiled or self._file.length >= self._shelf.limit:
            return
        try:
            # One byte more than is kept shows that there was more.
            await self._file.write(piece[: self._shelf.limit + 1 - self._file.length])
        except OSError:
            self._spoiled = True

    async def _record(self, answered: Answered | None, small: bytes | None) -> None:
        try:
            asked = _asked(self._job, self._content_type, await self._input())
            body = b"" if answered is None or not self._wanted.output else await self._answer(answered, small)
        except (OSError, MemoryError) as error:
            log.warning("the record of job %s cannot be made: %r", self._job.id, error)
            self._recorder.missed(UNREADABLE)
            return
        observation = self._recorder.began(asked)
        if observation is None:
            return
        if answered is None:
            observation.failed(Failed(0, "", [], None))
            return
        headers = [] if answered.content_type is None else [(CONTENT_TYPE, _header(answered.content_type))]
        taken = asyncio.Event()
        observation.answered(Answer(answered.status, headers, body, answered.length), taken.set)
        await taken.wait()

    async def _input(self) -> bytes:
        if self._spoiled:
            raise OSError(UNREADABLE)
        return self._body if self._file is None else await self._file.content()

    async def _answer(self, answered: Answered, small: bytes | None) -> bytes:
        return small if small is not None else await self._shelf.spool.read(answered.spool, self._shelf.limit + 1)


def _asked(job: Job, content_type: str | None, body: bytes) -> Asked:
    given = {CONTENT_TYPE: content_type, INFERENCE_ID: job.inference_id, CUSTOM_ATTRIBUTES: job.custom_attributes}
    headers = {name: _header(value) for name, value in given.items() if value is not None}
    now = time.perf_counter()
    return Asked(OPERATION, headers, b"", body, now, now, job.id.encode())


def _header(value: str) -> bytes:
    return value.encode("latin-1", "replace")
