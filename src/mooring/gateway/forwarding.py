"""API calls: handed to control as they are, with a wait while control is being restarted.

A call whose connection was refused has not been sent, so it may wait and be sent later. A call that was sent is never
sent again, as control may have acted on it; but for one whose kept connection ended without a byte of an answer, if its
client gave it an id: control, and the next control, knows by that whether it has acted.
"""

from __future__ import annotations

import asyncio
import logging
import re

from mooring.gateway import faults
from mooring.gateway.request_ids import new_request_id
from mooring.http1.client import Answer, Interrupted, Lost, NotConnected, Peer
from mooring.http1.connection import ServerConnection
from mooring.http1.messages import PER_CONNECTION, SOURCE, Request

log = logging.getLogger("mooring.gateway")

API_BODY_LIMIT_BYTES = 8 * 1024 * 1024
ANSWER_WITHIN_S = 60.0
RETRY_AFTER_S = 0.02
RETRY_AFTER_MAX_S = 0.04

_FORWARDED = frozenset(
    (
        b"accept",
        b"amz-sdk-invocation-id",
        b"amz-sdk-request",
        b"authorization",
        b"content-encoding",
        b"content-type",
        b"host",
        b"smithy-protocol",
        b"user-agent",
        b"x-amz-content-sha256",
        b"x-amz-date",
        b"x-amz-security-token",
        b"x-amz-target",
    )
)
_INVOCATION_ID = b"amz-sdk-invocation-id"
_SIGNED = re.compile(rb"SignedHeaders=([^,\s&]{1,4096})")
_SEPARATOR = re.compile(rb";|%3b")
_HOP = frozenset((b"connection", b"content-length", b"expect", b"keep-alive", b"te", b"transfer-encoding", b"upgrade"))
"""What the connection to control has of its own, or cannot have."""
_REQUEST_ID = b"x-mooring-request-id"
_OURS = frozenset((_REQUEST_ID, SOURCE))
_OWN_PREFIX = b"x-mooring-"


class Forwarder:
    """Calls control for the clients of one gateway, a task per call."""

    def __init__(self, control_socket: str, wait_s: float) -> None:
        self._control = Peer(control_socket)
        self._wait_s = wait_s
        self._tasks: set[asyncio.Task[None]] = set()

    def forward(self, request: Request, client: ServerConnection) -> None:
        """Answer `client` with what control says. The call runs on when the client leaves."""
        source = client.source(request)  # while the client is certainly there
        task = asyncio.create_task(self._forward(request, client, source), name="forward to control")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, request: Request, client: ServerConnection, source: str) -> None:
        try:
            answer = await self._call(request, source)
        except (NotConnected, Interrupted) as error:
            log.warning("control did not answer %s %s: %s", request.method, request.path, error)
            away = faults.control_away(_is_form(request))
            client.respond(away.status, away.headers, away.body)
            return
        headers = [header for header in answer.headers if header[0] not in PER_CONNECTION]
        client.respond(answer.status, headers, answer.body)

    async def _call(self, request: Request, source: str) -> Answer:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._wait_s
        delay = RETRY_AFTER_S
        headers = [*control_headers(request), (SOURCE, source.encode("ascii", "replace"))]
        method, target = request.method.decode("ascii"), request.target.decode("latin-1")
        while True:
            try:
                return await self._control.fetch(method, target, headers, request.body, ANSWER_WITHIN_S)
            except (NotConnected, Lost) as error:
                known = isinstance(error, NotConnected) or request.header(_INVOCATION_ID) is not None
                if not known or loop.time() + delay > deadline:
                    raise
                await asyncio.sleep(delay)
                delay = min(delay * 2, RETRY_AFTER_MAX_S)


def control_headers(request: Request) -> list[tuple[bytes, bytes]]:
    """The headers that control gets: those it reads, those that are signed, and the id that it answers with."""
    signed = _SIGNED.search(request.header(b"authorization") or request.query)
    wanted = _FORWARDED if signed is None else _FORWARDED | (set(_SEPARATOR.split(signed[1].lower())) - _HOP)
    headers = [
        (name, value)
        for name, value in request.headers
        if name not in _OURS and (name in wanted or name.startswith(_OWN_PREFIX))
    ]
    return [*headers, (_REQUEST_ID, new_request_id())]


def _is_form(request: Request) -> bool:
    return (request.header(b"content-type") or b"").startswith(b"application/x-www-form-urlencoded")
