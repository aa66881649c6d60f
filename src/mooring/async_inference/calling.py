"""One call of a model for a job: the container contract, with a body that is streamed and an answer that is spooled.

The head is rebuilt from the list of the contract, as for calls in real time. Which failure is the model's, which its
instance's and which S3's is told apart here, because the first is the job's end and the others are not.
"""

from __future__ import annotations

import asyncio
import time

from mooring.async_inference import failures
from mooring.async_inference.failures import Problem
from mooring.async_inference.fetching import Input
from mooring.async_inference.spooling import Spool, SpoolFile
from mooring.hosting.async_inference import Job
from mooring.hosting.async_jobs import Answered
from mooring.http1.client import Interrupted, Lost, NotConnected
from mooring.http1.streaming import Malformed, StreamConnection, StreamPool

JOINED_BYTES = 64 * 1024
CONNECT_S = 2.0
STALE_WITHIN_S = 1.0
"""A kept connection that is lost later than this after it was taken was not stale: the replica died on the call."""
NO_CONTENT = 204
LONGEST_HEADER = 1024
"""Of what a container says of its answer, the most that is kept (AWS's bound on CustomAttributes)."""


class Unsent(Exception):
    """The replica does not take the call, which it has not seen."""


class InstanceFailed(Exception):
    """The connection ended without an answer: the model's doing, or its instance is gone.

    `stale`: it was a kept one that ended as it was taken, so that the call has perhaps not been seen.
    """

    def __init__(self, reason: str, *, stale: bool = False) -> None:
        self.reason = reason
        self.stale = stale
        super().__init__(reason)


def head_of(job: Job, content_type: str | None, length: int) -> bytes:
    """The request head that the container gets."""
    fields = (
        ("Content-Type", content_type),
        ("Accept", job.accept),
        ("X-Amzn-SageMaker-Custom-Attributes", job.custom_attributes),
        ("X-Amzn-SageMaker-Inference-Id", job.inference_id),
        ("traceparent", job.trace),
    )
    lines = "".join(f"{name}: {_line(value)}\r\n" for name, value in fields if value is not None)
    return (
        "POST /invocations HTTP/1.1\r\nHost: localhost:8080\r\nX-Amzn-SageMaker-Forwarded-Api: InvokeEndpointAsync\r\n"
        f"{lines}Content-Length: {length}\r\n\r\n"
    ).encode("latin-1", "replace")


async def call_model(pool: StreamPool, job: Job, given: Input, spool: Spool, limit: int) -> tuple[Answered, SpoolFile]:
    """The model's whole answer, and what came of its body, which is still to be kept.

    Raises `Problem` for an answer that is the job's end without being one, `Unsent` and `InstanceFailed`, `Away` when
    S3 ends in the middle of the input, and OSError when the answer cannot be kept.
    """
    connection = await _connected(pool)
    file = spool.begin(job.id)
    began = time.monotonic()
    try:
        async with asyncio.timeout(job.timeout_s):
            await _send(connection, job, given)
            status = await connection.answered()
            await _receive(connection, file, limit)
    except BaseException as error:
        connection.close()
        file.discard()
        failure = _told(error, job, time.monotonic() - began)
        if failure is error:
            raise
        raise failure from None
    answered = Answered(
        status=status,
        content_type=_text(connection.header(b"content-type")),
        custom_attributes=_text(connection.header(b"x-amzn-sagemaker-custom-attributes")),
        spool="",
        length=file.length,
        took_s=time.monotonic() - began,
        unsized=status != NO_CONTENT and connection.header(b"content-length") is None,
    )
    pool.give_back(connection)
    return answered, file


async def _connected(pool: StreamPool) -> StreamConnection:
    try:
        async with asyncio.timeout(CONNECT_S):
            return await pool.take()
    except (NotConnected, TimeoutError):
        raise Unsent from None


def _told(error: BaseException, job: Job, took_s: float) -> BaseException:
    """What a failure of the call means for its job."""
    match error:
        case TimeoutError():
            return Problem(failures.timed_out(job.timeout_s))
        case Malformed():
            return Problem(failures.MALFORMED)
        case Lost() if took_s <= STALE_WITHIN_S:
            return InstanceFailed(failures.BROKEN, stale=True)
        case Interrupted():
            return InstanceFailed(failures.BROKEN)
    return error


async def _send(connection: StreamConnection, job: Job, given: Input) -> None:
    head = head_of(job, given.content_type, given.length)
    if given.body is not None and given.length <= JOINED_BYTES:
        connection.begin(head + given.body)
        return
    connection.begin(head)
    async for piece in given.pieces():
        if not await connection.send(piece):
            return  # it has answered already: it wants no more


async def _receive(connection: StreamConnection, file: SpoolFile, limit: int) -> None:
    while piece := await connection.read():
        await file.write(piece)
        if file.length > limit:
            raise Problem(failures.answer_too_long(limit))


def _text(value: bytes | None) -> str | None:
    return None if value is None else value[:LONGEST_HEADER].decode("latin-1")


def _line(value: str) -> str:
    """A header's value that cannot end its line; every other byte is as it came."""
    return "".join(" " if each < " " or each == "\x7f" else each for each in value)
