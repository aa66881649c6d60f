"""Invocations in the audit log, where they are wanted: `Front` then makes these connections instead of its plain ones.

Lines of one turn of the loop are written together. A gateway that records no invocations loads nothing of this.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from typing import Self

from mooring.gateway.front import Front, FrontConnection
from mooring.gateway.guarding import Guard, GuardedConnection
from mooring.gateway.targets import endpoint_and_api, operation_of
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


class Audited(FrontConnection):
    """What records the invocations of a client; `AuditedConnection` and `AuditedGuardedConnection` are the whole."""

    _asked: Request | None
    _began: float
    _error: str
    _request_id: str
    _source: str
    _status: int | None
    _turn_log: TurnLog

    def audit(self, turn_log: TurnLog) -> Self:
        """Record from now on; called once, when the connection is made."""
        self._turn_log = turn_log
        self._begin(None)
        return self

    def request_received(self, request: Request) -> None:
        self._begin(request)
        super().request_received(request)

    def send(self, head: bytes, body: bytes) -> None:
        self._note(head)
        super().send(head, body)

    def begin(self, head: bytes, length: int | None) -> None:
        self._note(head)
        super().begin(head, length)

    def break_off(self, why: object = None) -> None:
        self._error = BROKEN_OFF
        self._record()
        super().break_off(why)

    def end_with(self, error: str) -> None:
        self._error = error
        super().end_with(error)

    def client_lost(self) -> None:
        self._error = CLIENT_GONE
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
        self._asked = request
        self._source = "" if request is None else self.source(request)
        self._began = time.monotonic()
        self._status = None
        self._error = self._request_id = ""

    def _note(self, head: bytes) -> None:
        self._status = int(head[_STATUS])
        if (found := _REQUEST_ID.search(head)) is not None:
            self._request_id = found[1].decode("ascii")
        if (failed := _ERROR.search(head)) is not None:
            self._error = failed[1].decode("ascii")

    def _record(self) -> None:
        request, self._asked = self._asked, None
        named = endpoint_and_api(request.target) if request is not None and request.method == b"POST" else None
        if request is None or named is None or (operation := operation_of(named[1])) is None:
            return  # what is control's to answer is control's to record
        front = self._front
        credential = claimed_credential(request.header(b"authorization"), request.query)
        region = front.region.decode() if credential is None or credential.region is None else credential.region
        name = named[0].decode("utf-8", "replace")
        record = AuditRecord(
            service="sagemaker",
            operation=operation,
            request_id=self._request_id,
            status=self._status,
            took_s=time.monotonic() - self._began,
            resource=Scope(front.account, region).arn("endpoint", name),
            region=region,
            key_id=credential.access_key_id if credential is not None else "",
            source=self._source,
            error=self._error,
        )
        self._turn_log.add(record.line(time.time()))


class AuditedConnection(Audited):
    """One client of a gateway that needs no keys."""


class AuditedGuardedConnection(Audited, GuardedConnection):
    """One client of a gateway that does; what is refused for want of one is recorded too."""


def audited(front: Front, guard: Guard | None, log: AuditLog) -> Callable[[], FrontConnection]:
    """What makes the connections of a gateway that records invocations."""
    turn_log = TurnLog(log)
    if guard is None:
        return lambda: AuditedConnection(front).audit(turn_log)
    return lambda: AuditedGuardedConnection(front, guard).audit(turn_log)
