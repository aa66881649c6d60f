"""One HTTP/1.1 connection: requests come out one at a time and in order, each is answered before the next.

A connection holds at most one request that is being answered; what a client pipelines behind it waits unread beyond one
chunk. Head and body are bounded before they are kept. All methods run in the thread that leads.
"""

from __future__ import annotations

import functools
import socket
import time
from collections import deque
from http import HTTPStatus
from typing import Any, Callable, Protocol

from mooring_model_server.contract import TEXT, Answer
from mooring_model_server.loop import Loop
from mooring_model_server.output import Output
from mooring_model_server.streams import Stream

try:
    from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser
except ImportError:
    from mooring_model_server.parsing import NeverUpgrade as HttpParserUpgrade  # type: ignore[assignment]
    from mooring_model_server.parsing import ParseError as HttpParserError  # type: ignore[assignment]
    from mooring_model_server.parsing import RequestParser as HttpRequestParser  # type: ignore[assignment]

HEAD_LIMIT = 64 * 1024
LINGER_S = 1.0
"""How long a refused client may go on sending, so that it reads why instead of seeing a reset."""

REASONS = {status.value: status.phrase for status in HTTPStatus}
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"
OURS = frozenset({"content-type", "content-length", "connection", "transfer-encoding", "keep-alive", "upgrade"})


class Request:
    """A request as it is read; header names in lower case."""

    __slots__ = ("body", "headers", "keep_alive", "method", "url", "version")

    def __init__(self) -> None:
        self.method = ""
        self.url = b""
        self.headers: dict[str, str] = {}
        self.body = bytearray()
        self.keep_alive = True
        self.version = "1.1"


class Application(Protocol):
    """What a connection asks of its server."""

    body_limit: int
    draining: bool
    loop: Loop

    def closed(self, connection: Connection) -> None:
        """The connection is gone; an answer for it would go nowhere."""

    def handle(self, connection: Connection, request: Request) -> None:
        """Answer with `connection.respond`, now or later."""


class Connection:
    """The server's side of one connection."""

    def __init__(self, application: Application, client: socket.socket, output: Output) -> None:
        self._application = application
        self._parser: Any = HttpRequestParser(self)
        self._stream = Stream(application.loop, client, self, output)
        self._waiting: deque[Request] = deque()
        self._request = Request()
        self._in_head = True
        self._other_bytes = 0
        self._begun = False
        self._discarding = False
        self._advancing = False
        self._then: Callable[[], None] | None = None
        self.answering: Request | None = None
        self.waiting_since = time.monotonic()
        """When it last became idle or began to read a message; a trickle of bytes does not count."""

    @property
    def open(self) -> bool:
        """Whether an answer can still be sent."""
        return not self._stream.closing

    @property
    def descriptor(self) -> int:
        """The socket's number, -1 when it is closed."""
        return self._stream.descriptor

    @property
    def idle(self) -> bool:
        """Whether no message is being read or answered."""
        return self.answering is None and not self._begun and not self._waiting

    @property
    def unread(self) -> bool:
        """Whether no request has come whole, and nothing is being answered or sent."""
        return self.answering is None and not self._waiting and not self._discarding and not self._stream.congested

    def data_received(self, data: bytes) -> None:
        if self._discarding:
            return
        self._other_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except HttpParserUpgrade:  # what was asked is answered, the other protocol is not spoken
            self._discarding = True
            if self.answering is not None:
                self.answering.keep_alive = False
            else:
                self.close()
            return
        except HttpParserError:
            if not self._discarding:  # a callback's refusal arrives here too
                self._refuse(400, "Bad Request: this is not HTTP/1.1")
            return
        if self._begun and self._other_bytes > HEAD_LIMIT and not self._discarding:
            self._refuse(431, "Request Header Fields Too Large")

    def connection_lost(self) -> None:  # also when the client only says no more: it has given up
        self._application.closed(self)
        self._sent()

    def writing_resumed(self) -> None:
        self._sent()
        self._read_on()

    def close(self) -> None:
        """Close after what was written is sent."""
        self._stream.close()

    def abort(self) -> None:
        """Close without sending what is left."""
        self._stream.abort()

    def _read_on(self) -> None:
        if self._stream.paused and not self._waiting:
            self._stream.resume_reading()

    # The parser calls these.

    def on_message_begin(self) -> None:
        self._request = Request()
        self._in_head = self._begun = True
        self.waiting_since = time.monotonic()

    def on_url(self, url: bytes) -> None:
        self._request.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_head:  # a trailer: nobody reads it
            return
        headers, key, text = self._request.headers, _lower_case(name), value.decode("latin-1")
        headers[key] = headers[key] + ", " + text if key in headers else text

    def on_headers_complete(self) -> None:
        request = self._request
        self._in_head, self._other_bytes = False, 0
        request.method = self._parser.get_method().decode("latin-1")
        request.keep_alive = self._parser.should_keep_alive()
        request.version = self._parser.get_http_version()
        length = request.headers.get("content-length", "0")
        if length.isdigit() and int(length) > self._application.body_limit:
            self._refuse(413, f"Request Entity Too Large: the limit is {self._application.body_limit} bytes")
        elif request.headers.get("expect", "").lower() == "100-continue":
            self._stream.write(CONTINUE)

    def on_body(self, part: bytes) -> None:
        self._other_bytes = 0
        if self._discarding:
            return
        if len(self._request.body) + len(part) > self._application.body_limit:
            self._refuse(413, f"Request Entity Too Large: the limit is {self._application.body_limit} bytes")
            return
        self._request.body += part

    def on_message_complete(self) -> None:
        self._begun, self._in_head, self._other_bytes = False, True, 0
        if self._discarding:
            self.close()
            return
        self._waiting.append(self._request)
        if self.answering is None and not self._advancing:
            self._advance()
        else:
            self._stream.pause_reading()

    def respond(self, answer: Answer) -> None:
        """Send the answer of the request that is being answered."""
        request, self.answering = self.answering, None
        self.waiting_since = time.monotonic()
        if request is None or not self.open:
            return
        keep = request.keep_alive and not self._application.draining
        self._stream.write(render(answer, keep, head_only=request.method == "HEAD"))
        self._go_on(keep)

    def begin(self, answer: Answer) -> None:
        """Send how an answer in parts begins; `part` and `end` follow."""
        request = self.answering
        if request is not None and self.open:
            self._stream.write(render_beginning(answer, request.keep_alive, request.version))
            self.part(answer.body)

    def part(self, data: bytes) -> None:
        """Send a part of the answer that began."""
        request = self.answering
        if request is not None and data and self.open:
            self._stream.write(data if request.version == "1.0" else b"%x\r\n%b\r\n" % (len(data), data))

    def end(self) -> None:
        """The answer that began is whole."""
        request, self.answering = self.answering, None
        self.waiting_since = time.monotonic()
        if request is None or not self.open:
            return
        if request.version != "1.0":
            self._stream.write(LAST_CHUNK)
        self._go_on(request.version != "1.0" and request.keep_alive and not self._application.draining)

    @property
    def congested(self) -> bool:
        """Whether the client has not taken what was written."""
        return self.open and self._stream.congested

    def when_sent(self, then: Callable[[], None]) -> None:
        """Call `then` once the client has taken what was written, or has gone."""
        if self.congested:
            self._then = then
        else:
            then()

    def _sent(self) -> None:
        then, self._then = self._then, None
        if then is not None:
            then()

    def _go_on(self, keep: bool) -> None:
        if not keep:
            self.close()
        elif self._waiting and not self._advancing:
            self._advance()

    def _advance(self) -> None:
        self._advancing = True  # an answer given at once comes back here: a loop, lest pipelining exhaust the stack
        while self._waiting and self.answering is None and self.open:
            self.answering = self._waiting.popleft()
            self._application.handle(self, self.answering)
        self._advancing = False
        self._read_on()

    def _refuse(self, status: int, text: str) -> None:
        self._discarding = True
        self._waiting.clear()
        if not self.open:
            return
        if self.answering is None:  # else its answer is on the way and must not be mixed with ours
            self._stream.write(render(Answer(status, TEXT, (text + "\n").encode()), keep=False))
        else:
            self.answering.keep_alive = False
            return
        self._application.loop.later(LINGER_S, self.close)


def render(answer: Answer, keep: bool, head_only: bool = False) -> bytes:
    """An answer as bytes; no header that user code set can end the head early."""
    head = _head(answer)
    bodiless = answer.status in (204, 304) or answer.status < 200
    if not bodiless:
        head += b"Content-Length: %d\r\n" % len(answer.body)
    head += b"\r\n" if keep else b"Connection: close\r\n\r\n"
    return head if bodiless or head_only else head + answer.body


def render_beginning(answer: Answer, keep: bool, version: str) -> bytes:
    """The head of an answer whose body comes in parts; where chunks are not known, its end is the connection's."""
    head = _head(answer)
    if version == "1.0":
        return head + b"Connection: close\r\n\r\n"
    return head + b"Transfer-Encoding: chunked\r\n" + (b"\r\n" if keep else b"Connection: close\r\n\r\n")


def _head(answer: Answer) -> bytes:
    head = _beginning(answer.status, answer.content_type)
    for name, value in answer.headers:
        if name.lower() not in OURS:
            line = _one_line(name).replace(":", "") + ": " + _one_line(value) + "\r\n"
            head += line.encode("latin-1", "replace")
    return head


@functools.lru_cache(maxsize=64)  # clients send the same few names
def _lower_case(name: bytes) -> str:
    return name.decode("latin-1").lower()


@functools.lru_cache(maxsize=128)  # a model answers with few types
def _beginning(status: int, content_type: str | None) -> bytes:
    lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Unknown')}"]
    if content_type:
        lines.append("Content-Type: " + _one_line(content_type))
    return ("\r\n".join(lines) + "\r\n").encode("latin-1", "replace")


def _one_line(text: str) -> str:
    return " ".join(text.replace("\0", " ").split("\n")).replace("\r", " ")
