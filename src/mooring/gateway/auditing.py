"""Invocations in the audit log, where they are wanted: `Front` then makes these connections instead of its plain ones.

Lines of one turn of the loop are written together. A gateway that records no invocations loads nothing of this.
"""

from __future__ import annotations

import asyncio
import re
import time
from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from mooring.gateway.front import OPERATIONS, Front, FrontConnection, endpoint_and_api
from mooring.gateway.guarding import Guard, GuardedConnection
from mooring.hosting.naming import Scope
from mooring.http1.messages import Request, Response
from mooring.processes.audit_log import AuditLog, AuditRecord
from mooring.wire.sigv4 import claimed_credential

CLIENT_GONE = "ClientGone"
BROKEN_OFF = "BrokenOff"
_STATUS = slice(9, 12)
_REQUEST_ID = re.compile(rb"\r\nx-amzn-RequestId: ([!-~]{1,64})\r\n")
_ERROR = re.compile(rb"\r\nx-amzn-ErrorType: ([!-~]{1,128})\r\n")


class TurnLog:
    """Collects the lines of a turn of the loop."""

    def __init__(self, log: AuditLog) -> None:
        self._log = log
        self._lines: list[bytes] = []

    def add(self, line: bytes) -> None:
        """Write this with what else comes in this turn."""
        if not self._lines:
            asyncio.get_running_loop().call_soon(self._write)
        self._lines.append(line)

    def _write(self) -> None:
        lines, self._lines = self._lines, []
        self._log.write(b"".join(lines), len(lines))


@dataclass(slots=True)
class _Recording:
    """What is known so far of the request that a connection has."""

    turn_log: TurnLog
    asked: Request | None = None
    began: float = 0.0
    status: int | None = None
    error: str = ""
    request_id: str = ""


class _Audited(FrontConnection):
    """What records each invocation of a client when it ends. It has no slots, so that it can stand before any other."""

    __slots__ = ()
    _recording: _Recording

    def request_received(self, request: Request) -> None:
        self._begin(request)
        super().request_received(request)

    def send(self, head: bytes, body: bytes) -> None:
        self._note(head)
        super().send(head, body)

    def begin(self, head: bytes, length: int | None) -> None:
        self._note(head)
        super().begin(head, length)

    def break_off(self) -> None:
        self._recording.error = BROKEN_OFF
        self._record()
        super().break_off()

    def client_lost(self) -> None:
        self._recording.error = CLIENT_GONE
        self._record()
        super().client_lost()

    def _answered(self) -> None:
        self._record()
        super()._answered()

    def _give_up(self, response: Response) -> None:
        if self._request is not None and self._current is None:  # refused before it was whole
            self._begin(self._request)
            self._note(b"\r\n".join([b"HTTP/1.1 %d" % response.status, *map(b": ".join, response.headers), b"", b""]))
            self._record()
        super()._give_up(response)

    def _begin(self, request: Request | None) -> None:
        recording = self._recording
        recording.asked, recording.began = request, time.monotonic()
        recording.status, recording.error, recording.request_id = None, "", ""

    def _note(self, head: bytes) -> None:
        self._recording.status = int(head[_STATUS])
        if (found := _REQUEST_ID.search(head)) is not None:
            self._recording.request_id = found[1].decode("ascii")
        if (failed := _ERROR.search(head)) is not None:
            self._recording.error = failed[1].decode("ascii")

    def _record(self) -> None:
        request, self._recording.asked = self._recording.asked, None
        named = endpoint_and_api(request.target) if request is not None and request.method == b"POST" else None
        if request is None or named is None or (operation := OPERATIONS.get(named[1])) is None:
            return  # what is control's to answer is control's to record
        front = self._front
        credential = claimed_credential(request.header(b"authorization"), request.query)
        region = front.region.decode() if credential is None or credential.region is None else credential.region
        name = unquote_to_bytes(named[0]).decode("utf-8", "replace")
        record = AuditRecord(
            service="sagemaker",
            operation=operation,
            request_id=self._recording.request_id,
            status=self._recording.status,
            took_s=time.monotonic() - self._recording.began,
            resource=Scope(front.account, region).arn("endpoint", name),
            region=region,
            key_id=credential.access_key_id if credential is not None else "",
            source=self.source(request),
            error=self._recording.error,
        )
        self._recording.turn_log.add(record.line(time.time()))


class AuditedConnection(_Audited):
    """One client, each of whose invocations is recorded."""

    __slots__ = ("_recording",)

    def __init__(self, front: Front, turn_log: TurnLog) -> None:
        super().__init__(front)
        self._recording = _Recording(turn_log)


class AuditedGuardedConnection(_Audited, GuardedConnection):
    """One client of a gateway that needs keys, each of whose invocations is recorded, also those that are refused."""

    __slots__ = ("_recording",)

    def __init__(self, front: Front, guard: Guard, turn_log: TurnLog) -> None:
        GuardedConnection.__init__(self, front, guard)
        self._recording = _Recording(turn_log)
