"""One client's connection, served by one thread from its first request to its last.

A gateway hands a connection over when its first request is S3's, and knows nothing of the later ones. So here each
request of such a connection is asked where it comes from (`mooring.wire.browsers`), and each but the first whose it is,
by the gateway's own rule: what the gateway would hand back is never passed on to it. On Mooring's own socket, which
nobody else reaches, neither is asked, nor whose key it is.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import struct
import time
from dataclasses import dataclass

from mooring.objects import answers
from mooring.objects.answers import Answer
from mooring.objects.bodies import Body
from mooring.objects.errors import S3Error
from mooring.objects.piping import relay
from mooring.objects.requests import Head, parse_head
from mooring.objects.service import Service
from mooring.objects.streams import ClientGone, SocketStream
from mooring.wire import browsers
from mooring.wire.recognition import is_for_s3, read_head

_log = logging.getLogger("mooring.objects")

HEAD_S = 10.0
"""How long a head may take from its first byte."""
STALL_S = 30.0
"""How long a body, or a client that reads an answer, may stand still."""
SKIPPED = 256 * 1024
"""A body up to this size that nobody asked for is read away, so that the connection lives on."""
_LINGER_S = 2.0


@dataclass(frozen=True, slots=True)
class Limits:
    """Of a connection. Two say whose requests may come over the network, see `browsers.refusal`."""

    head_bytes: int
    idle_s: float
    loopback: bool = True
    allowed_hosts: frozenset[str] = frozenset()
    gateway_socket: str = ""
    """Where a gateway takes requests that are not S3's."""


class Connection:
    """Serves requests until the client leaves, errs, or `stop` was called."""

    def __init__(
        self,
        sock: socket.socket,
        held: bytes,
        service: Service,
        limits: Limits,
        *,
        handed_over: bool,
        source: str = "",
    ) -> None:
        sock.setblocking(True)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(STALL_S), 0))
        if sock.family != socket.AF_UNIX:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = sock
        self._stream = SocketStream(sock, held)
        self._service = service
        self._limits = limits
        self._handed_over = handed_over
        self._source = source
        self._judged = False
        self._stopping = False
        self._between = True
        self._evicted = False
        self.idle_since: float | None = time.monotonic()
        """Since when nothing has moved; None while a request is served here, which is not to be broken off."""

    def serve(self) -> None:
        """Serve until the end, then close."""
        try:
            while self._one_request():
                pass
        except (ClientGone, OSError) as error:
            _log.debug("a client left: %r", error)
        finally:
            self._sock.close()

    def stop(self) -> None:
        """Close when between two requests, else after the one that is being served."""
        self._stopping = True
        if self._between:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RD)

    def evict(self) -> None:
        """Close because another needs the place: at once, also in the middle of a relay that stands still."""
        self._evicted = True
        self.stop()
        if not self._between and self.idle_since is not None:
            with contextlib.suppress(OSError):
                self._sock.shutdown(socket.SHUT_RDWR)

    def _one_request(self) -> bool:
        request_id, head = answers.new_request_id(), None
        try:
            raw = self._stream.head(self._limits.head_bytes, idle_s=self._limits.idle_s, within_s=HEAD_S)
            if raw is None:
                return False
            self.idle_since = None  # in this order, since `evict` looks from another thread
            self._between = False
            if not self._is_ours(raw):
                self._pass_on(raw)
                return False
            head = parse_head(raw)
            self._check_origin(head)
            self._stream.begin_body()
            body = Body(self._stream, head.headers)
        except S3Error as error:
            refusal = answers.of_error(error, "/", request_id)
            if head is not None:
                self._record(head, refusal, request_id, time.monotonic())
            self._send(refusal, request_id, is_head=False, keep_alive=False)
            self._linger()
            return False
        self._stream.set_timeout(STALL_S)
        began, given = time.monotonic(), None
        try:
            given = self._service.answer(head, body, request_id, is_own=not self._handed_over)
            return self._finish(head, body, given, request_id)
        finally:
            self._record(head, given, request_id, began)

    def _record(self, head: Head, answer: Answer | None, request_id: str, began: float) -> None:
        """For the audit log; Mooring's own calls are not in it. No answer: the client left before it was made."""
        if self._handed_over:
            self._service.record(head, answer, request_id, self._source, time.monotonic() - began)

    def _finish(self, head: Head, body: Body, answer: Answer, request_id: str) -> bool:
        unread = body.unread
        readable = unread == 0 or (unread is not None and unread <= SKIPPED and not body.is_awaited)
        keep_alive = head.keep_alive and readable and not self._stopping and not self._stream.timed_out
        self._send(answer, request_id, is_head=head.method == "HEAD", keep_alive=keep_alive)
        if not keep_alive:
            if unread != 0:
                self._linger()
            return False
        if unread:
            try:
                body.skip()
            except S3Error:
                return False
        self._between = True
        self.idle_since = time.monotonic()
        return not self._stopping

    def _is_ours(self, raw: bytes) -> bool:
        """The first request of what a gateway hands over it has judged itself: passed back, it would come again."""
        judged, self._judged = self._judged, True
        if not judged or not self._handed_over:
            return True
        return is_for_s3(raw) or read_head(raw) is None  # what is nobody's is refused here

    def _check_origin(self, head: Head) -> None:
        if not self._handed_over:
            return
        headers = ((name.encode("latin-1"), value.encode("latin-1")) for name, value in head.headers.items())
        refused = browsers.refusal(headers, loopback=self._limits.loopback, allowed_hosts=self._limits.allowed_hosts)
        if refused is not None:
            _log.info("refused %r: %s", head.target, refused)
            raise S3Error("AccessDenied", refused)

    def _pass_on(self, raw: bytes) -> None:
        def moved() -> bool:
            self.idle_since = time.monotonic()
            return not self._evicted

        self.idle_since = time.monotonic()
        relay(self._sock, raw, self._stream.release(), moved, self._limits.gateway_socket, self._source)

    def _send(self, answer: Answer, request_id: str, *, is_head: bool, keep_alive: bool) -> None:
        answers.send(self._sock, answer, request_id=request_id, is_head=is_head, keep_alive=keep_alive)

    def _linger(self) -> None:
        """Let the client read the answer: closing with unread bytes would reset the connection under it."""
        self._sock.shutdown(socket.SHUT_WR)
        self._stream.set_timeout(_LINGER_S)
        view = memoryview(bytearray(64 * 1024))
        deadline = time.monotonic() + _LINGER_S
        with contextlib.suppress(S3Error, ClientGone):
            while time.monotonic() < deadline and self._stream.some(view):
                pass
