"""Control's side of the neighbours process: started at the first call that needs it, and again when it has died.

The process holds nothing that a kill could lose but messages in flight, so it is never asked to stop: closing its
lifeline ends it. A call during which it died is made again of its successor: of a call that was kept the successor has
the answer, by the id that the SDKs give it, and of any other it knows nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import logging
import os
import sys
from asyncio.subprocess import Process
from typing import BinaryIO

from mooring.clock import Clock
from mooring.errors import NotInstalled, Unavailable
from mooring.http1.client import Answer, Interrupted, NotConnected, fetch
from mooring.http1.messages import PER_CONNECTION, Request
from mooring.paths import Paths
from mooring.settings import RESOLVED, Settings
from mooring.wire.errors import WireResponse

log = logging.getLogger("mooring.control")

START_WAIT_S = 25.0
"""How long a call waits for the process to come up; the start goes on without it."""
START_LIMIT_S = 600.0
"""Longer than any journal takes."""
CALL_LIMIT_S = 30.0
"""Twenty seconds is the longest that a call for messages waits. With the start it is less than a gateway waits."""
END_WAIT_S = 5.0
HANGING_S = 15.0
"""A call that took this long may be what the process died of."""
DEATH_WAIT_S = 1.0
"""How long a process that broke a connection off may take to be found dead."""
READY = b"1"
PAUSE_AFTER_FAILURE_S = 1.0
_EXTRA = "moto"
_PASSED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "TMPDIR", "TEMP", "TMP")
_OFFLINE = {
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
}
_REQUEST_ID = b"x-mooring-request-id"


class Neighbours:
    """The one process, or none."""

    def __init__(self, settings: Settings, paths: Paths, clock: Clock) -> None:
        self._settings = settings
        self._socket = paths.neighbours_socket
        self._clock = clock
        self._process: Process | None = None
        self._lifeline: int | None = None
        self._start: asyncio.Task[None] | None = None
        self._failure: str | None = None
        self._failed_at = -PAUSE_AFTER_FAILURE_S

    async def ask(self, request: Request, request_id: str) -> WireResponse:
        """The process's answer. Raises `NotInstalled` or `Unavailable`."""
        if self._process is None and importlib.util.find_spec(_EXTRA) is None:
            raise NotInstalled
        headers = [header for header in request.headers if header[0] not in PER_CONNECTION | {_REQUEST_ID}]
        headers.append((_REQUEST_ID, request_id.encode("ascii")))
        await self._up()
        process, began = self._process, self._clock.monotonic()
        try:
            answer = await self._fetch(request, headers)
        except (NotConnected, Interrupted) as error:
            hanging = self._clock.monotonic() - began > HANGING_S
            if process is None or hanging or not await self._may_repeat(process, error, request):
                raise Unavailable(f"IAM, SNS, SQS, Logs and CloudWatch did not answer: {error}") from None
            if process is self._process:  # else another call has seen to it
                await self._end()
            await self._up()
            answer = await self._fetch(request, headers)
        kept = tuple(header for header in answer.headers if header[0] not in PER_CONNECTION)
        return WireResponse(answer.status, kept, answer.body)

    async def _may_repeat(self, process: Process, error: NotConnected | Interrupted, request: Request) -> bool:
        """Whether a call can be made again, of the successor: it was not sent, or is known there if it was kept."""
        if isinstance(error, NotConnected):
            return True
        if request.header(b"amz-sdk-invocation-id") is None:
            return False
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(DEATH_WAIT_S):
                await process.wait()
        return process.returncode is not None

    def listing(self) -> list[tuple[str, int]]:
        """(name, pid) of the process, while it lives."""
        process = self._process
        return [] if process is None or process.returncode is not None else [("neighbours", process.pid)]

    async def close(self) -> None:
        """End the process."""
        if self._start is not None:
            self._start.cancel()
            await asyncio.wait({self._start})
        await self._end()
        self._socket.unlink(missing_ok=True)

    async def _fetch(self, request: Request, headers: list[tuple[bytes, bytes]]) -> Answer:
        method, target = request.method.decode("ascii"), request.target.decode("latin-1")
        return await fetch(str(self._socket), method, target, headers, request.body, CALL_LIMIT_S)

    async def _up(self) -> None:
        """Return when the process serves, as far as is known here."""
        start = self._start
        if start is None or (start.done() and (start.exception() is not None or not self.listing())):
            if self._failure is not None and self._clock.monotonic() - self._failed_at < PAUSE_AFTER_FAILURE_S:
                raise Unavailable(self._failure)
            start = self._start = asyncio.create_task(self._begin(), name="start of the neighbours")
            start.add_done_callback(lambda task: task.cancelled() or task.exception())
        try:
            async with asyncio.timeout(START_WAIT_S):
                await asyncio.shield(start)
        except TimeoutError:
            raise Unavailable("IAM, SNS, SQS, Logs and CloudWatch are still being started: try again.") from None

    async def _begin(self) -> None:
        await self._end()
        self._failure = None
        try:
            async with asyncio.timeout(START_LIMIT_S):
                said = await self._spawn()
        except OSError as error:
            said = str(error).encode()
        if said != READY:
            await self._end()
            told = said.decode("utf-8", "replace") or "the log of the server says more"
            self._failed_at = self._clock.monotonic()
            self._failure = f"IAM, SNS, SQS, Logs and CloudWatch cannot be started: {told}"
            raise Unavailable(self._failure)
        log.info("IAM, SNS, SQS, Logs and CloudWatch are served")

    async def _spawn(self) -> bytes:
        """Start the process, and return what it says: that it is ready, or else why it will not be."""
        environment = {name: os.environ[name] for name in _PASSED if name in os.environ}
        resolved = {RESOLVED: self._settings.without_secrets().to_json()}
        theirs, self._lifeline = os.pipe()
        ready, saying = os.pipe()
        with os.fdopen(ready, "rb", 0) as read_end:
            try:
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "mooring.neighbours"),
                    *("--lifeline-fd", str(theirs), "--ready-fd", str(saying)),
                    pass_fds=(theirs, saying),
                    stdin=asyncio.subprocess.DEVNULL,
                    env={**environment, **_OFFLINE, **resolved},
                    start_new_session=True,
                )
            finally:
                os.close(theirs)
                os.close(saying)
            return await _read_all(read_end)

    async def _end(self) -> None:
        if self._lifeline is not None:
            os.close(self._lifeline)
            self._lifeline = None
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(END_WAIT_S):
                await process.wait()
        if process.returncode is None:
            process.kill()
            await process.wait()


async def _read_all(file: BinaryIO) -> bytes:
    """What is written to a pipe until its other end closes."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, file)
    try:
        return await reader.read()
    finally:
        transport.close()
