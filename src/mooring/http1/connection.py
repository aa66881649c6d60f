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

import math
from typing import cast

import httptools

from mooring.http1.answering import Answering
from mooring.http1.framing import FRAMING_FACTOR, Refused, check_coding, check_head, check_version, refusal
from mooring.http1.gathering import LARGE_BYTES, MOST_PIECES, Gathered
from mooring.http1.listening import Listening, plain_text
from mooring.http1.messages import Request, Response


class ServerConnection(Answering):
    """One client's connection; subclass and override `request_received`."""

    __slots__ = ("_admitted", "_body_limit", "_fed", "_gathered", "_headers", "_is_1_1", "_parser", "_pieces", "_size")

    def __init__(self, listening: Listening) -> None:
        super().__init__(listening)
        self._parser = httptools.HttpRequestParser(self)
        self._headers: list[tuple[bytes, bytes]] = []
        self._pieces: list[bytes] = []
        self._gathered: Gathered | None = None  # what came before the pieces, if they are many
        self._size = 0
        self._fed = 0  # bytes since the message began
        self._is_1_1 = False  # the next message is known to be of HTTP/1.1, which is slow to ask the parser for
        self._body_limit = listening.limits.body_bytes
        self._admitted: Request | None = None  # whose body was let in before it was here

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # The parser and this object hold each other, so what is here of a body would wait for the collector.
        self._pieces = []
        self._gathered = None

    def data_received(self, data: bytes) -> None:
        if self._lingering:
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._release(cast(Request, self._queue.pop()))  # it counts as complete, without its body
            self._give_up(plain_text(501, "Upgrade and CONNECT are not supported."))
        except httptools.HttpParserError as error:
            self._give_up(refusal(error))
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
        if self._is_1_1:
            self._is_1_1 = False
        elif (version := parser.get_http_version()) != "1.1":
            check_version(request, version)
        if self._fed > limits.header_bytes or len(request.headers) > limits.header_count:
            check_head(request, limits)

    def on_chunk_header(self) -> None:
        # Called for chunked bodies only: the one place where a coding that the parser lets pass can be in doubt.
        request = self._request
        assert request is not None
        if self._headers is request.headers:
            check_coding(request)
            self._headers = []  # trailers must not pass for headers

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._size += len(data)
        if self._size > self._body_limit:
            assert self._request is not None
            raise Refused(self.too_long(self._request, self._body_limit))

    def on_message_complete(self) -> None:
        request = self._request
        assert request is not None
        if self._size:
            pieces = self._pieces
            if self._gathered is not None:
                request.body = self._gather(self._gathered)
            else:
                request.body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
                self._pieces = []
            self._size = 0
        if self._admitted is not None:
            self._admitted = None
            self._body_limit = self.listening.limits.body_bytes
        self._request = None
        self._queue.append(request)

    # Inside

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
        if self._gathered is not None:
            self._gathered.take(self._pieces)
        elif len(self._pieces) > MOST_PIECES:
            self._gathered = Gathered(_announced(request))
        if self._fed > FRAMING_FACTOR * self._body_limit + limits.header_bytes:
            self._give_up(self.too_long(request, self._body_limit))

    def _admit(self, request: Request) -> None:
        """The head is complete and the body is not: let it come, or refuse."""
        announced = _announced(request)
        verdict = self.head_received(request, announced)
        if not isinstance(verdict, Response) and max(announced or 0, self._size) > verdict:
            verdict = self.too_long(request, verdict)
        if isinstance(verdict, Response):
            self._give_up(verdict)
            return
        self._body_limit = verdict
        expected = verdict if announced is None else announced
        if expected > self.listening.limits.uncounted_bytes:
            budget = self.listening.budget
            if expected > budget.limit or budget.is_crowded(expected, self._size):
                self._give_up(self.no_room())
                return
            if not self.reserve(request, expected, self._size):
                return
        self._welcome(request)

    def _welcome(self, request: Request) -> None:
        announced = _announced(request)
        if announced is not None and announced > LARGE_BYTES:
            self._gathered = Gathered(announced)
            self._gathered.take(self._pieces)
        expected = request.header(b"expect")
        if expected is not None and not self._size and self.transport is not None:
            if expected.strip().lower() != b"100-continue":
                self.refuse(plain_text(417, "The only expectation that is understood is 100-continue."))
            elif self._current is None and not self._queue:
                self.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _gather(self, gathered: Gathered) -> bytes:
        self._gathered = None
        gathered.take(self._pieces)
        return gathered.whole()

    def _patience_s(self) -> float:
        limits = self.listening.limits
        if self._is_amid_head():
            return min(limits.head_s, limits.idle_s)
        if self._request is not None:
            return limits.body_grace_s + self._fed / limits.body_rate if limits.body_rate else math.inf
        return limits.idle_s

    def _is_amid_head(self) -> bool:
        """Whether a head has begun and is not complete."""
        return self._request is not None and not self._request.method

    def _give_up(self, response: Response) -> None:
        super()._give_up(response)
        self._pieces = []
        self._gathered = None
        self._size = 0


def _announced(request: Request) -> int | None:
    length = request.header(b"content-length")
    return int(length) if length is not None and length.isdigit() else None
