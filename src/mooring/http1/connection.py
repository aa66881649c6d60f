"""The server side of one HTTP/1.1 connection: an `asyncio.Protocol` around httptools, without a coroutine.

Guarantees to a subclass:

* `request_received` is called once per message, in order, and never before the previous one was answered; messages
  that a client pipelines wait in a queue, and reading pauses while there is one, so at most one read's worth waits.
* A message that reaches `request_received` is framed without doubt: lengths agree, `Transfer-Encoding` is absent or
  exactly `chunked`, the version is 1.0 or 1.1, head and body are within bounds. Trailers are dropped.
* `head_received` is called when a body is still to come, before `100 Continue` is sent: the place to refuse early.
* An answer given after the client went away is dropped silently; `client_lost` tells of the loss.

A refused message ends the connection: the answer is written, and what the client still sends is read and thrown away
for a moment, because closing on unread bytes resets the connection and may take the answer with it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import Any, cast

import httptools

from mooring.http1.listening import Listening, plain_text, too_long
from mooring.http1.messages import Headers, Request, Response, response_head

JOINED_WRITE_BYTES = 16_384
"""Below this one copy is cheaper than a write with several buffers."""
_RESET = struct.pack("ii", 1, 0)
LINGER_S = 5.0
"""How long a refused client's bytes are read and thrown away."""
FRAMING_FACTOR = 8
"""Chunk sizes, extensions and trailers may make a body this many times larger on the wire."""


class _Refused(Exception):
    """Raised inside the parser's callbacks; carries the answer."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status)
        self.response = response


class ServerConnection(asyncio.Protocol):
    """One client's connection; subclass and override `request_received`."""

    __slots__ = (
        "_admitted",
        "_body_limit",
        "_current",
        "_delivering",
        "_fed",
        "_headers",
        "_lingering",
        "_parser",
        "_pieces",
        "_queue",
        "_reading_paused",
        "_request",
        "_since",
        "_size",
        "_stalled",
        "_streamed",
        "listening",
        "transport",
    )

    def __init__(self, listening: Listening) -> None:
        self.listening = listening
        self.transport: asyncio.Transport | None = None
        self._parser = httptools.HttpRequestParser(self)
        self._request: Request | None = None  # being read
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._size = 0
        self._fed = 0  # bytes since the message began
        self._body_limit = listening.limits.body_bytes
        self._admitted: Request | None = None  # whose body was let in before it was here
        self._queue: deque[Request | Response] = deque()
        self._current: Request | None = None  # delivered, not yet answered
        self._delivering = False
        self._reading_paused = False
        self._lingering = False
        self._stalled = False  # the client does not take what we write
        self._streamed: bool | None = None  # a streamed answer is under way; True when it is chunked
        self._since = listening.ticker.now

    # What a subclass overrides

    def request_received(self, request: Request) -> None:
        """Answer with `respond`, `send` or `begin`…`end`, now or later."""
        raise NotImplementedError

    def head_received(self, request: Request, length: int | None) -> Response | int:
        """The body is still to come, of `length` bytes when known: a refusal, or the body's limit."""
        return self.listening.limits.body_bytes

    def client_lost(self) -> None:
        """The client went away while its request was being worked on."""

    def writing_paused(self) -> None:
        """The client is slow: stop producing until `writing_resumed`."""

    def writing_resumed(self) -> None:
        """The client takes bytes again."""

    def reading_resumed(self) -> None:
        """The queue of pipelined messages is empty."""

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's are no subclass
        self.listening.connections.add(self)
        self.listening.ticker.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self.listening.connections.discard(self)
        self.listening.ticker.discard(self)
        self._queue.clear()
        if self._current is not None:
            self._current = None
            self.client_lost()

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._queue.pop()  # it counts as complete already, without its body
            self._give_up(plain_text(501, "Upgrade and CONNECT are not supported."))
        except httptools.HttpParserError as error:
            self._give_up(_refusal(error))
        if self._request is None:
            self._fed = 0
        else:
            if self._queue:
                self._fed = 0  # most of what came was of the messages before this one
            self._unfinished(len(data))
        if self._queue:
            if self._current is None:
                self._deliver()
            if self._queue and not self._reading_paused:
                self._pause_reading()

    def pause_writing(self) -> None:
        self._stalled = True
        self._since = self.listening.ticker.now
        self.writing_paused()

    def resume_writing(self) -> None:
        self._stalled = False
        self.writing_resumed()

    # httptools callbacks

    def on_message_begin(self) -> None:
        self._request = request = Request()
        self._headers = request.headers

    def on_url(self, url: bytes) -> None:
        assert self._request is not None
        self._request.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        request, parser, limits = self._request, self._parser, self.listening.limits
        assert request is not None
        request.method = parser.get_method()
        request.keep_alive = parser.should_keep_alive()
        if (version := parser.get_http_version()) != "1.1":
            self._check_version(request, version)
        if self._fed > limits.header_bytes or len(request.headers) > limits.header_count:
            self._check_head(request)

    def on_chunk_header(self) -> None:
        # Called for chunked bodies only: the one place where a coding that the parser lets pass can be in doubt.
        request = self._request
        assert request is not None
        if self._headers is request.headers:
            if (request.header(b"transfer-encoding") or b"").strip().lower() != b"chunked":
                raise _Refused(plain_text(501, "The only transfer coding that is understood is chunked."))
            self._headers = []  # trailers must not pass for headers

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._body_limit:
            raise _Refused(too_long(self._body_limit))

    def on_message_complete(self) -> None:
        request = self._request
        assert request is not None
        if self._pieces:
            pieces = self._pieces
            request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            self._pieces = []
            self._size = 0
        if self._admitted is not None:
            self._admitted = None
            self._body_limit = self.listening.limits.body_bytes
        self._request = None
        self._queue.append(request)

    # Answering

    @property
    def busy(self) -> bool:
        """Whether a request is waiting for its answer."""
        return self._current is not None

    def respond(self, status: int, headers: Headers = (), body: bytes = b"") -> None:
        """Answer the current request whole."""
        request = self._current
        if request is None:
            return
        head = b"%b%bContent-Length: %d\r\n" % (
            response_head(status, headers),
            self.listening.ticker.date_header,
            len(body),
        )
        self.send(head, b"" if request.method == b"HEAD" else body)

    def send(self, head: bytes, body: bytes) -> None:
        """Answer the current request with a head that lacks only `Connection` and the empty line."""
        request, transport = self._current, self.transport
        if request is None or transport is None:
            return
        end = b"\r\n" if request.keep_alive and not self.listening.draining else b"Connection: close\r\n\r\n"
        if len(body) < JOINED_WRITE_BYTES:
            transport.write(head + end + body)
        else:
            transport.writelines((head + end, body))
        self._answered()

    def begin(self, head: bytes, length: int | None) -> None:
        """Start a streamed answer; `length` is None when the body's end is not known yet."""
        request, transport = self._current, self.transport
        if request is None or transport is None:
            return
        self._streamed = length is None and not request.is_1_0
        if length is not None:
            head += b"Content-Length: %d\r\n" % length
        elif self._streamed:
            head += b"Transfer-Encoding: chunked\r\n"
        end = b"\r\n" if request.keep_alive and not self.listening.draining else b"Connection: close\r\n\r\n"
        transport.write(head + end)

    def write(self, data: bytes) -> None:
        """A piece of a streamed answer."""
        if self.transport is not None and data:
            self._since = self.listening.ticker.now
            self.transport.writelines((b"%x\r\n" % len(data), data, b"\r\n") if self._streamed else (data,))

    def end(self) -> None:
        """The streamed answer is whole."""
        if self.transport is not None and self._current is not None:
            if self._streamed:
                self.transport.write(b"0\r\n\r\n")
            self._streamed = None
            self._answered()

    def break_off(self) -> None:
        """The streamed answer cannot be completed: reset, so that nobody takes the part for the whole."""
        self._current = None
        if self.transport is not None:
            # A plain close would look like the end of an answer that ends with its connection.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def close_if_idle(self) -> None:
        """Close unless a request is being read or worked on."""
        if self._current is None and self._request is None and not self._queue and self.transport is not None:
            self.transport.close()

    def hang_up(self) -> None:
        """Close at once, after what is already written."""
        if self.transport is not None:
            self.transport.close()

    def sweep(self, now: float) -> None:
        """Close what has been idle, half-sent or not taking its answer for too long."""
        transport = self.transport
        if transport is None:
            return
        quiet = now - self._since
        if self._lingering and self._current is None:
            if quiet > LINGER_S:
                transport.abort()
        elif (self._stalled or self._current is None) and quiet > self.listening.limits.idle_s:
            transport.abort() if self._stalled else transport.close()

    # Inside

    def _deliver(self) -> None:
        self._delivering = True
        while self._queue and self._current is None:
            item = self._queue.popleft()
            if item.__class__ is Request:
                self._current = item
                self.request_received(item)
            else:
                assert isinstance(item, Response)
                self._refuse(item)
        self._delivering = False

    def _answered(self) -> None:
        request = self._current
        self._current = None
        self._since = self.listening.ticker.now
        assert request is not None
        if not request.keep_alive or self.listening.draining:
            self._queue.clear()
            if self.transport is not None:
                self.transport.close()
            return
        if self._delivering:
            return
        if self._queue:
            self._deliver()
        if self._reading_paused and not self._queue and self._current is None:
            self._reading_paused = False
            if self.transport is not None:
                self.transport.resume_reading()
                self.reading_resumed()

    def _pause_reading(self) -> None:
        self._reading_paused = True
        if self.transport is not None:
            self.transport.pause_reading()

    def _unfinished(self, received: int) -> None:
        """A message is still being read at the end of what has arrived."""
        request, limits = self._request, self.listening.limits
        assert request is not None
        if self._fed <= received:
            self._since = self.listening.ticker.now
        if not request.method:  # the head is not complete
            if self._fed > limits.header_bytes:
                self._give_up(plain_text(431, f"The head of a request may have {limits.header_bytes} bytes."))
            return
        if self._admitted is not request:
            self._admitted = request
            self._admit(request)
        if self._fed > FRAMING_FACTOR * self._body_limit + limits.header_bytes:
            self._give_up(too_long(self._body_limit))

    def _admit(self, request: Request) -> None:
        """The head is complete and the body is not: let it come, or refuse."""
        length = request.header(b"content-length")
        announced = int(length) if length is not None and length.isdigit() else None
        verdict = self.head_received(request, announced)
        if not isinstance(verdict, Response) and max(announced or 0, self._size) > verdict:
            verdict = too_long(verdict)
        if isinstance(verdict, Response):
            self._give_up(verdict)
            return
        self._body_limit = verdict
        expected = request.header(b"expect")
        if expected is not None and not self._size and self.transport is not None:
            if expected.strip().lower() != b"100-continue":
                self._give_up(plain_text(417, "The only expectation that is understood is 100-continue."))
            elif self._current is None and not self._queue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _give_up(self, response: Response) -> None:
        self._request = None
        self._lingering = True
        self._queue.append(response)

    def refuse(self, response: Response) -> None:
        """Answer what is being read without reading the rest of it; the connection ends with that."""
        self._give_up(response)
        if self._current is None:
            self._deliver()

    def _refuse(self, response: Response) -> None:
        """Write a refusal in its turn, say that nothing more follows, and throw away what still comes."""
        transport = self.transport
        self._lingering = True
        self._since = self.listening.ticker.now
        self._queue.clear()
        if transport is None:
            return
        head = response_head(response.status, response.headers) + self.listening.ticker.date_header
        transport.write(
            b"%bContent-Length: %d\r\nConnection: close\r\n\r\n%b" % (head, len(response.body), response.body)
        )
        if transport.can_write_eof():
            transport.write_eof()
        if self._reading_paused:
            self._reading_paused = False
            transport.resume_reading()

    def _check_version(self, request: Request, version: str) -> None:
        if version != "1.0":
            raise _Refused(plain_text(505, "HTTP/1.1 is spoken here."))
        if request.header(b"transfer-encoding") is not None:
            raise _Refused(plain_text(400, "HTTP/1.0 has no transfer codings."))
        request.keep_alive = False
        request.is_1_0 = True

    def _check_head(self, request: Request) -> None:
        limits = self.listening.limits
        size = len(request.target) + sum(len(name) + len(value) + 4 for name, value in request.headers)
        if size > limits.header_bytes or len(request.headers) > limits.header_count:
            text = f"The head of a request may have {limits.header_bytes} bytes in {limits.header_count} headers."
            raise _Refused(plain_text(431, text))


def _refusal(error: Any) -> Response:
    """The answer to what the parser, or a callback of ours inside it, did not take."""
    cause = error.__context__ or error.__cause__
    if isinstance(error, httptools.HttpParserCallbackError) and isinstance(cause, _Refused):
        return cause.response
    return plain_text(400, "This is not a valid HTTP/1.1 request.")
