"""Whole calls from one of our processes to another: what control asks a replica, and what a gateway asks control.

`fetch` makes a connection for one call; `Peer` keeps connections between calls. Both tell apart the two failures that a
caller must not confuse: `NotConnected`, where nothing was sent and trying again is safe, and `Interrupted`, where the
other side may have acted.
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


class Lost(Interrupted):
    """A kept connection ended before the first byte of an answer: the other side has acted, or has not even seen it."""


class _Connection(asyncio.Protocol):
    """A connection and the one call that is on it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.reusable = False
        """Whether the last answer has left it open and clean."""
        self._answer: asyncio.Future[Answer] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def call(self, payload: bytes, *, body_limit: int, no_body: bool) -> asyncio.Future[Answer]:
        """Send a request; its answer, or `Interrupted`."""
        assert self.transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._body_limit, self._no_body, self._kept = body_limit, no_body, self.reusable
        self._parser = httptools.HttpResponseParser(self)
        self._status, self._headers, self._body, self._fed = 0, list[tuple[bytes, bytes]](), bytearray(), 0
        self.reusable = False
        self.transport.write(payload)
        return self._answer

    def data_received(self, data: bytes) -> None:
        if self._answer is None or self._answer.done():
            self.reusable = False  # it speaks without having been asked
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(f"its answer is not HTTP: {error}")
        self._fed += len(data)
        if self._fed > HEAD_LIMIT_BYTES + FRAMING_FACTOR * len(self._body):
            self._fail(f"its answer has more than {HEAD_LIMIT_BYTES} bytes that are no body")

    def connection_lost(self, exc: Exception | None) -> None:
        self.reusable = False
        if self._answer is None or self._answer.done():
            return
        if self._status and exc is None and self._ends_with_connection():
            self._complete()
        unseen = self._kept and not self._fed
        self._fail("it closed the connection before its answer was complete", Lost if unseen else Interrupted)

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
            self.reusable = bool(self._parser.should_keep_alive()) and not self._ends_with_connection()
            self._complete()

    def _ends_with_connection(self) -> bool:
        return not any(name in (b"content-length", b"transfer-encoding") for name, _ in self._headers)

    def _complete(self) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(Answer(self._status, self._headers, bytes(self._body)))

    def _fail(self, reason: str, error: type[Interrupted] = Interrupted) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(error(reason))


class Peer:
    """One other process at a Unix socket's path, or at `host:port`; calls run side by side, each on its connection."""

    MOST_IDLE = 32

    def __init__(self, address: str) -> None:
        self._address = address
        self._idle: list[_Connection] = []

    async def fetch(
        self,
        method: str,
        path: str,
        headers: Headers,
        body: bytes,
        timeout: float,  # noqa: ASYNC109 - as `fetch`
    ) -> Answer:
        """As `fetch`, on a kept connection where one is free; `Lost` then stands for not knowing anything."""
        connection = self._free()
        try:
            answer = await _called(self._address, connection, _request(method, path, headers, body, "keep-alive"),
                                   timeout, BODY_LIMIT_BYTES, method == "HEAD")  # fmt: skip
        except BaseException:
            _close(connection)
            raise
        if connection.reusable and len(self._idle) < self.MOST_IDLE:
            self._idle.append(connection)
        else:
            _close(connection)
        return answer

    def close(self) -> None:
        """End the connections that nobody uses."""
        while self._idle:
            _close(self._idle.pop())

    def _free(self) -> _Connection:
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable and connection.transport is not None and not connection.transport.is_closing():
                return connection
            _close(connection)
        return _Connection()


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
    connection = _Connection()
    try:
        payload = _request(method, path, headers, body, "close")
        return await _called(address, connection, payload, timeout, body_limit, method == "HEAD")
    finally:
        _close(connection)


async def _called(
    address: str,
    connection: _Connection,
    payload: bytes,
    timeout: float,  # noqa: ASYNC109 - as `fetch`
    body_limit: int,
    no_body: bool,
) -> Answer:
    answer: asyncio.Future[Answer] | None = None
    try:
        async with asyncio.timeout(timeout):
            if connection.transport is None:
                await connect(connection, address)
            answer = connection.call(payload, body_limit=body_limit, no_body=no_body)
            return await answer
    except TimeoutError:
        error = NotConnected if answer is None else Interrupted
        raise error(f"no answer within {timeout:g} s") from None


def _request(method: str, path: str, headers: Headers, body: bytes, connection: str) -> bytes:
    head = [f"{method} {path} HTTP/1.1\r\n".encode("latin-1")]
    if not any(name.lower() == b"host" for name, _ in headers):
        head.append(b"Host: localhost\r\n")
    head += [b"%b: %b\r\n" % header for header in headers]
    head.append(b"Content-Length: %d\r\nConnection: %b\r\n\r\n" % (len(body), connection.encode()))
    return b"".join(head) + body


def _close(connection: _Connection) -> None:
    if connection.transport is not None:
        connection.transport.close()


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
