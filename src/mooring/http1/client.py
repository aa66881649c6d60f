"""One call, one connection: what control asks a replica, and what a gateway asks control.

Built for calls that are rare. It tells apart the two failures that a caller must not confuse: `NotConnected`, where
nothing was sent and trying again is safe, and `Interrupted`, where the other side may have acted.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple, cast

import httptools

from mooring.errors import Unavailable
from mooring.http1.messages import Headers

BODY_LIMIT_BYTES = 64 * 1024 * 1024
HEAD_LIMIT_BYTES = 1024 * 1024
"""What an answer may have besides its body: head, interim answers, trailers."""
FRAMING_FACTOR = 16
"""Chunk sizes may make a body this many times larger on the wire."""


class NotConnected(Unavailable):
    """The other side does not accept connections; nothing was sent."""


class Interrupted(Unavailable):
    """The other side did not answer in full; it may have acted."""


class Answer(NamedTuple):
    """A whole response; header names are lower-cased."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


class _Exchange(asyncio.Protocol):
    def __init__(self, payload: bytes, answer: asyncio.Future[Answer], body_limit: int, no_body: bool) -> None:
        self._payload = payload
        self._answer = answer
        self._body_limit = body_limit
        self._no_body = no_body
        self._parser = httptools.HttpResponseParser(self)
        self._status = 0
        self._headers: list[tuple[bytes, bytes]] = []
        self._body = bytearray()
        self._fed = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        cast(asyncio.Transport, transport).write(self._payload)

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"its answer is not HTTP: {error}")
        self._fed += len(data)
        if self._fed > HEAD_LIMIT_BYTES + FRAMING_FACTOR * len(self._body):
            self._fail(f"its answer has more than {HEAD_LIMIT_BYTES} bytes that are no body")

    def connection_lost(self, exc: Exception | None) -> None:
        if self._status and exc is None and self._ends_with_connection():
            self._complete()
        self._fail("it closed the connection before its answer was complete")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status: int = self._parser.get_status_code()
        if status < 200:
            self._headers = []
            return
        self._status = status
        if self._no_body:
            self._complete()

    def on_body(self, data: bytes) -> None:
        self._body += data
        if len(self._body) > self._body_limit:
            self._fail(f"its answer is longer than {self._body_limit} bytes")

    def on_message_complete(self) -> None:
        if self._status:
            self._complete()

    def _ends_with_connection(self) -> bool:
        return not any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    def _complete(self) -> None:
        if not self._answer.done():
            self._answer.set_result(Answer(self._status, self._headers, bytes(self._body)))

    def _fail(self, reason: str) -> None:
        if not self._answer.done():
            self._answer.set_exception(Interrupted(reason))


async def fetch(
    address: str,
    method: str,
    path: str,
    headers: Headers = (),
    body: bytes = b"",
    timeout: float = 30.0,  # noqa: ASYNC109 - it is this function that enforces it
    *,
    body_limit: int = BODY_LIMIT_BYTES,
) -> Answer:
    """Call `address` (the path of a Unix socket, or `host:port`) once and read the whole answer.

    Raises `NotConnected` when the connection is refused, `Interrupted` for everything after that, the timeout included.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[Answer] = loop.create_future()
    head = [f"{method} {path} HTTP/1.1\r\n".encode("latin-1")]
    if not any(name.lower() == b"host" for name, _ in headers):
        head.append(b"Host: localhost\r\n")
    head += [b"%b: %b\r\n" % header for header in headers]
    head.append(b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body))
    exchange = _Exchange(b"".join(head) + body, answer, body_limit, method == "HEAD")
    connected = False
    transport: asyncio.BaseTransport | None = None
    try:
        async with asyncio.timeout(timeout):
            transport = await connect(exchange, address)
            connected = True
            return await answer
    except TimeoutError:
        error = Interrupted if connected else NotConnected
        raise error(f"no answer within {timeout:g} s") from None
    finally:
        if transport is not None:
            transport.close()
        if answer.done() and not answer.cancelled():
            answer.exception()  # read, so that nobody reports it as lost


async def connect(protocol: asyncio.Protocol, address: str) -> asyncio.BaseTransport:
    """Connect `protocol` to a Unix socket's path (it has a slash) or to `host:port`; raises `NotConnected`."""
    loop = asyncio.get_running_loop()
    try:
        if "/" in address:
            transport, _ = await loop.create_unix_connection(lambda: protocol, address)
            return transport
        host, _, port = address.rpartition(":")
        transport, _ = await loop.create_connection(lambda: protocol, host.strip("[]"), int(port))
    except (OSError, ValueError) as error:
        raise NotConnected(f"cannot connect to {address}: {error}") from None
    return transport
