"""The neighbours process: makes again what the journal keeps, and then answers control on its Unix socket.

It needs no orderly end. What was answered is on disk, so it goes at once when control's end of the lifeline closes, by
whatever cause.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import faulthandler
import logging
import os
import re
import sys
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

from mooring.errors import MooringError, Unavailable
from mooring.http1.application import serve
from mooring.http1.messages import Request, Response
from mooring.neighbours.calls import Call, read
from mooring.neighbours.deliveries import Deliveries, stay_on_this_machine
from mooring.neighbours.emulation import Answer, Emulation, Unimplemented
from mooring.neighbours.journal import Journal
from mooring.neighbours.performing import Performer
from mooring.paths import Paths
from mooring.processes import lifeline
from mooring.settings import Settings, data_directory, load
from mooring.wire import json_values, rpc_v2_cbor
from mooring.wire.browsers import is_loopback
from mooring.wire.dialects import CBOR, Spoken, failure, spoken
from mooring.wire.encodings import LARGEST_BODY_BYTES, unpacked
from mooring.wire.errors import WireError, WireResponse, internal_failure
from mooring.wire.service_models import service_model

log = logging.getLogger("mooring.neighbours")

NICENESS = 10
"""Invocations go first."""
RECEIVERS = 256
"""Calls that wait for messages at the same time; further ones wait for their turn."""
WAITING = "ReceiveMessage"
CALL_LIMIT_S = 20.0
"""A call that runs for longer hangs in one of moto's regular expressions, and only the end of the process ends it."""
_INVOCATION = re.compile(rb"[0-9A-Za-z-]{1,128}")


def main(arguments: list[str] | None = None) -> int:
    """Run until control closes the lifeline; an exit code when it cannot go on."""
    parser = argparse.ArgumentParser(prog="python -m mooring.neighbours")
    parser.add_argument("--lifeline-fd", type=int, required=True)
    parser.add_argument("--ready-fd", type=int, required=True)
    options = parser.parse_args(arguments)
    settings = load()
    logging.basicConfig(
        level=settings.server.log_level.upper(),
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
        stream=sys.stderr,
    )
    os.nice(NICENESS)
    be_killed_first()
    stay_on_this_machine()
    try:
        asyncio.run(run(settings, options.lifeline_fd, options.ready_fd))
    except (MooringError, ImportError) as error:
        log.error("%s", error)
        os.write(options.ready_fd, str(error).encode()[:4096])  # for whoever called, and waits
    # Not by way of the interpreter's end, which would wait for every receiver.
    os._exit(1)


def be_killed_first() -> None:
    """Let the kernel, when memory ends, take this process before any other: it loses the least by it."""
    with contextlib.suppress(OSError):  # where there is no /proc
        Path("/proc/self/oom_score_adj").write_text("1000")


async def run(settings: Settings, lifeline_fd: int, ready_fd: int) -> None:
    """Serve until the journal cannot be written. Raises `DataDirectoryError`, or ImportError without moto."""
    lifeline.exit_on_death(lifeline_fd)
    paths = Paths(data_directory(settings))
    deliveries = Deliveries(allowed=is_loopback(settings.server.host))
    loop = asyncio.get_running_loop()
    calls, receivers = ThreadPoolExecutor(1, "calls"), ThreadPoolExecutor(RECEIVERS, "receivers")
    journal = await loop.run_in_executor(calls, Journal.open, paths.neighbours_journal)
    began = time.monotonic()
    emulation = await loop.run_in_executor(
        calls, Emulation, settings.account.role, deliveries.deliver, urlsplit(settings.url).scheme
    )
    performer = Performer(emulation, journal)
    count = await loop.run_in_executor(calls, performer.replay)
    log.info("%d calls made again in %.2f s", count, time.monotonic() - began)
    neighbours = Neighbours(settings, performer, calls, receivers)
    server = await serve(paths.neighbours_socket, neighbours.handle, body_limit=LARGEST_BODY_BYTES)
    os.write(ready_fd, b"1")
    os.close(ready_fd)
    await neighbours.broken.wait()
    await server.close()


class Neighbours:
    """Answers requests, each in the protocol it came in."""

    def __init__(
        self, settings: Settings, performer: Performer, calls: ThreadPoolExecutor, receivers: ThreadPoolExecutor
    ) -> None:
        self._account = settings.account
        self._host = f"localhost:{settings.server.port}"
        self._performer = performer
        self._calls = calls
        self._receivers = receivers
        self.broken = asyncio.Event()

    async def handle(self, request: Request) -> Response:
        """The answer to any request; it never raises."""
        request_id = _request_id(request)
        said = spoken(request.path, request.query, request.headers, request.body)
        pool, make = (self._receivers, self._made) if said.operation == WAITING else (self._calls, self._made_in_time)
        try:
            answer = await asyncio.get_running_loop().run_in_executor(pool, make, request, said, request_id)
        except Exception as error:  # noqa: BLE001 - the edge: whatever happened, the client gets AWS's form of it
            answer = failure(said, _wire_error(error, said), request_id)
        if self._performer.broken:
            self.broken.set()
        return Response(answer.status, answer.headers, answer.body)

    def _made(self, request: Request, said: Spoken, request_id: str) -> WireResponse:
        call = read(
            request, said, unpacked(request.body, request.header(b"content-encoding")), self._account, self._host
        )
        invocation = request.header(b"amz-sdk-invocation-id") or b""
        known = invocation.decode("ascii") if _INVOCATION.fullmatch(invocation) else ""
        answer = self._performer.perform(call, known)
        if said.protocol == CBOR:
            return _in_cbor(call, answer, request_id)
        return WireResponse(answer.status, answer.headers, answer.body)

    def _made_in_time(self, request: Request, said: Spoken, request_id: str) -> WireResponse:
        """On the one thread of calls: what hangs ends the process, and does not hold up the next ones for ever."""
        faulthandler.dump_traceback_later(CALL_LIMIT_S, exit=True)
        try:
            return self._made(request, said, request_id)
        finally:
            faulthandler.cancel_dump_traceback_later()


def _in_cbor(call: Call, answer: Answer, request_id: str) -> WireResponse:
    """The answer that moto gave in JSON, in CBOR."""
    document = json_values.loaded(answer.body)
    if answer.status >= 400:
        code = str(document.get("__type", "InternalFailure")).rpartition("#")[2]
        error = WireError(code, str(document.get("message", "")), status=answer.status)
        said = rpc_v2_cbor.failure(error, request_id)
        aliases = tuple(header for header in answer.headers if header[0] == b"x-amzn-query-error")
        return WireResponse(said.status, (*said.headers, *aliases), said.body)
    operation = service_model("cloudwatch").operation(call.operation)
    return rpc_v2_cbor.success(operation.output, document, request_id)


def _wire_error(error: Exception, said: Spoken) -> WireError:
    if isinstance(error, WireError):
        return error
    if isinstance(error, Unavailable):
        return WireError("ServiceUnavailable", str(error), status=503)
    if isinstance(error, Unimplemented):
        return WireError(said.unknown, str(error), status=400)
    log.error("%s failed", said.operation, exc_info=error)
    return internal_failure()


def _request_id(request: Request) -> str:
    given = request.header(b"x-mooring-request-id")
    return given.decode("ascii") if given is not None and _INVOCATION.fullmatch(given) else str(uuid.uuid4())
