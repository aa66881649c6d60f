"""One kept connection to a replica, with at most one call on it.

It is trusted with the next call only when the last one ended without doubt: the response was framed, it was the only
one, the replica took the whole request and did not ask to close. Bytes that arrive while nobody asked (a second
response, a late one) abort the connection, because the next call would take them for its own.
"""

from __future__ import annotations

import asyncio
import logging
import math
from typing import TYPE_CHECKING, cast

import httptools

from mooring.upstream.call import Call, Failure

if TYPE_CHECKING:
    from mooring.upstream.replica import Replica

log = logging.getLogger("mooring.upstream")

STREAM_ABOVE_BYTES = 65_536
"""A reply up to here is delivered whole; a larger one as it comes."""
NON_BODY_LIMIT_BYTES = 65_536
"""What a reply may have besides its body: head, interim responses, trailers, chunk extensions."""
FRAMING_FACTOR = 16
"""Chunk sizes may make a body this many times larger on the wire: a token a chunk is no attack."""
JOINED_WRITE_BYTES = 16_384
STALE_WITHIN_S = 1.0
"""A kept connection that is lost later than this after it was taken was not stale: the replica died on the request."""


class _SecondResponse(Exception):
    """More than one response to one request: stops the parser, and with it the connection."""


class _UnknownCoding(Exception):
    """A body that is coded in another way than in chunks, too: what comes is not what was meant."""


class _Discarding(list[tuple[bytes, bytes]]):
    """Where trailers go."""

    def append(self, _: tuple[bytes, bytes]) -> None:
        pass


_NOWHERE = _Discarding()


class ReplicaConnection(asyncio.Protocol):
    """Created by `Replica`; tells it when it is free again or gone."""

    __slots__ = (
        "_call",
        "_complete",
        "_deadline",
        "_ends",
        "_fed",
        "_handed_on",
        "_headers",
        "_keep_alive",
        "_kept",
        "_parser",
        "_paused",
        "_pieces",
        "_replica",
        "_reused",
        "_size",
        "_status",
        "_streaming",
        "transport",
    )

    def __init__(self, replica: Replica) -> None:
        self.transport: asyncio.Transport | None = None
        self._replica = replica
        self._parser = httptools.HttpResponseParser(self)
        self._call: Call | None = None
        self._reused = False
        self._deadline = 0.0  # of the call; of the idle connection between calls
        self._ends = math.inf  # the last moment of a reply that streams
        self._headers: list[tuple[bytes, bytes]] = []  # being read
        self._kept: list[tuple[bytes, bytes]] | None = None  # the reply's, once only trailers can follow
        self._pieces: list[bytes] = []
        self._status = 0
        self._size = 0  # of the body that was not handed on
        self._handed_on = 0  # of the body that was
        self._fed = 0
        self._complete = False
        self._keep_alive = False
        self._streaming = False
        self._paused = False

    def start(self, call: Call) -> None:
        """Send a call. The connection must be idle and open."""
        transport, replica = self.transport, self._replica
        assert transport is not None
        self._call = call
        call.connection = self
        self._deadline = replica.ticker.now + replica.ticker.interval + call.timeout_s
        if len(call.body) < JOINED_WRITE_BYTES:
            transport.write(call.head + call.body)
        else:
            transport.writelines((call.head, call.body))

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._replica.lost(self)
        call = self._call
        if call is None:
            return
        if exc is None and self._status and self._ends_with_connection():
            self._keep_alive = False
            self._finish(call)
        elif self._was_stale(call):
            # The replica may have seen the request all the same: hence the setting.
            call.retried = True
            self._detach(call)
            self._replica.begin_fresh(call)
        else:
            self._fail(call, Failure.BROKEN)

    def data_received(self, data: bytes) -> None:
        call = self._call
        if call is None:
            log.warning("replica %s sent bytes that nobody asked for: connection closed", self._replica.id)
            self.abort()
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            self._keep_alive = False
            if not self._complete:
                self._fail(call, Failure.MALFORMED)
                return
        if self._complete:
            self._finish(call)
        elif self._fed > NON_BODY_LIMIT_BYTES + (FRAMING_FACTOR + 1) * (self._handed_on + self._size):
            self._fail(call, Failure.MALFORMED)
        elif self._streaming or self._size > (0 if call.as_it_comes and self._status < 300 else STREAM_ABOVE_BYTES):
            self._stream(call)

    # httptools callbacks

    def on_message_begin(self) -> None:
        if self._complete:
            raise _SecondResponse

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status = self._parser.get_status_code()
        if status >= 200:
            self._status = status
        else:  # an interim response: the real one follows
            self._headers = []

    def on_chunk_header(self) -> None:
        if self._kept is None:
            codings = [value for name, value in self._headers if name == b"transfer-encoding"]
            if len(codings) != 1 or codings[0].strip().lower() != b"chunked":
                raise _UnknownCoding
            self._kept = self._headers
            self._headers = _NOWHERE

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)

    def on_message_complete(self) -> None:
        if self._status:
            self._complete = True
            self._keep_alive = self._parser.should_keep_alive()

    # Inside

    def _finish(self, call: Call) -> None:
        status, headers, pieces = self._status, self._headers, self._pieces
        if self._kept is not None:
            headers, self._kept = self._kept, None
        body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        streaming = self._streaming
        transport = self.transport
        reusable = self._keep_alive and not self._paused and transport is not None
        if reusable and len(call.body) >= JOINED_WRITE_BYTES and transport is not None:
            # Answered before it had taken the whole request: the rest would be read as the next one's head.
            reusable = not transport.get_write_buffer_size()
        self._call = call.connection = None
        if reusable:
            self._headers = []
            self._pieces = []
            self._status = self._size = self._fed = 0
            self._complete = False
            if streaming:
                self._streaming = False
                self._handed_on = 0
                self._ends = math.inf
            self._reused = True
            self._replica.free(self, call)
        else:
            self.abort()
            self._replica.release(call)
        if streaming:
            if body:
                call.reply_data(body)
            call.reply_ended()
        else:
            call.replied(status, headers, body)

    def _stream(self, call: Call) -> None:
        if not self._streaming:
            self._streaming = True
            self._ends = self._deadline + max(0.0, self._replica.stream_within_s - call.timeout_s)
            headers = self._headers if self._kept is None else self._kept
            call.reply_began(self._status, headers, None if call.as_it_comes else _content_length(headers))
        self._extend(call)
        pieces, self._pieces = self._pieces, []
        self._handed_on += self._size
        self._size = 0
        if pieces and self._call is call:  # the caller may have lost interest meanwhile
            call.reply_data(pieces[0] if len(pieces) == 1 else b"".join(pieces))

    def _fail(self, call: Call, failure: Failure) -> None:
        self._detach(call)
        self.abort()
        self._replica.release(call)
        call.failed(failure)

    def _extend(self, call: Call) -> None:
        self._deadline = min(self._ends, self._replica.ticker.now + self._replica.ticker.interval + call.timeout_s)

    def _was_stale(self, call: Call) -> bool:
        """Whether the replica closed this kept connection about when it was taken, without a byte of response."""
        if not self._reused or self._fed or call.retried or not self._replica.may_retry:
            return False
        began = self._deadline - self._replica.ticker.interval - call.timeout_s
        return self._replica.ticker.now - began <= STALE_WITHIN_S

    def _detach(self, call: Call) -> None:
        self._call = None
        call.connection = None

    def _ends_with_connection(self) -> bool:
        headers = self._headers if self._kept is None else self._kept
        return not any(name in (b"content-length", b"transfer-encoding") for name, _ in headers)

    # For the call and the pool

    def give_up(self) -> None:
        """The caller has lost interest: this connection can serve nobody else."""
        if self._call is not None:
            self._detach(self._call)
        self.abort()

    def abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()

    def pause(self) -> None:
        if not self._paused and self.transport is not None:
            self._paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        if self._paused and self.transport is not None:
            self._paused = False
            if self._call is not None:
                self._extend(self._call)
            self.transport.resume_reading()

    def rest(self, until: float) -> None:
        """Idle until the time `until`, if nobody takes it before."""
        self._deadline = until

    def sweep(self, now: float) -> None:
        """Give up a call that takes too long, or an idle connection before the replica does."""
        if now < (self._ends if self._paused else self._deadline):
            return
        if self._call is not None:
            self._fail(self._call, Failure.TIMED_OUT)
        elif self.transport is not None:
            self.transport.close()


def _content_length(headers: list[tuple[bytes, bytes]]) -> int | None:
    for name, value in headers:
        if name == b"content-length":
            return int(value)
    return None
