"""Calls whose bodies are too large for memory: sent piece by piece, and read piece by piece.

A connection has one call at a time and is kept for the next one only when the last ended without doubt. Neither side
can make the other hold more than a few pieces: writing waits for the peer, and reading stops while nobody takes what
has come. Deadlines are the caller's (`asyncio.timeout`): a call that is given up closes its connection.
"""

from __future__ import annotations

import asyncio
import ssl
from collections import deque
from collections.abc import Callable
from typing import cast

import httptools

from mooring.http1.client import Interrupted, Lost, NotConnected

UNREAD_BYTES = 256 * 1024
"""Held of a body that nobody reads; then the peer waits."""
HEAD_LIMIT_BYTES = 64 * 1024
FRAMING_FACTOR = 16
"""Chunk sizes may make a body this many times larger on the wire."""
Header = tuple[bytes, bytes]


class StreamConnection(asyncio.Protocol):
    """One connection, and the call that is on it."""

    def __init__(self) -> None:
        self.transport: asyncio.Transport | None = None
        self.status = 0
        """Of the answer; 0 until its head is here."""
        self.headers: list[Header] = []
        """Of the answer; names are lower-cased."""
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._fed = 0
        self._body = 0
        self._whole = False
        self._clean = False
        self._used = False
        self._no_body = False
        self._is_cut = False  # its body was not sent whole, so the peer would take the next call for the rest
        self._is_wanted = False
        self._paused_reading = False
        self._failure: Interrupted | None = None
        self._waiting: asyncio.Future[None] | None = None
        self._writable: asyncio.Future[None] | None = None

    # The caller's side.

    def begin(self, head: bytes, *, no_body: bool = False) -> None:
        """Send the head of a call, and perhaps all of a small body with it."""
        assert self.transport is not None
        self._parser = httptools.HttpResponseParser(self)
        self._used = self._clean  # since it was made
        self.status, self.headers, self._whole, self._clean = 0, [], False, False
        self._pieces.clear()
        self._unread = self._fed = self._body = 0
        self._no_body, self._failure = no_body, None
        self._is_cut = self._is_wanted = False
        self.transport.write(head)

    async def send(self, data: bytes) -> bool:
        """Send a piece of the body. False when the peer has answered already, and wants no more of it."""
        if self._failure is not None and not self.status:
            raise self._failure
        if self.status or self.transport is None:
            self._is_cut = True
            return False
        self.transport.write(data)
        if self._writable is not None:
            await self._writable
        return True

    async def wanted(self, within_s: float) -> bool:
        """Whether the peer wants the body, of a head that expects `100-continue`; a silent one is taken to."""
        try:
            async with asyncio.timeout(within_s):
                while not (self._is_wanted or self.status or self._failure is not None):
                    await self._more()
        except TimeoutError:
            pass
        if self.status:
            self._is_cut = True
        return not self.status

    async def answered(self) -> int:
        """The status, once the head of the answer is here. Raises `Interrupted`."""
        while not self.status:
            if self._failure is not None:
                raise self._failure
            await self._more()
        return self.status

    async def read(self) -> bytes:
        """The next piece of the answer's body, empty at its true end. Raises `Interrupted` where it has none."""
        while not self._pieces:
            if self._whole:
                return b""
            if self._failure is not None:
                raise self._failure
            await self._more()
        piece = self._pieces.popleft()
        self._unread -= len(piece)
        if self._paused_reading and not self._pieces and self.transport is not None:
            self._paused_reading = False
            self.transport.resume_reading()
        return piece

    async def read_all(self, limit: int) -> bytes:
        """The rest of the body, which must not be longer than `limit`. Raises `Interrupted`."""
        pieces, size = [], 0
        while piece := await self.read():
            pieces.append(piece)
            size += len(piece)
            if size > limit:
                raise Interrupted(f"its answer is longer than {limit} bytes")
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def header(self, name: bytes) -> bytes | None:
        """The first value of the answer's header with this lower-case name."""
        return next((value for found, value in self.headers if found == name), None)

    @property
    def is_whole(self) -> bool:
        """Whether all of the answer has come."""
        return self._whole

    @property
    def reusable(self) -> bool:
        """Whether the last call has left it open and clean."""
        return (
            self._clean
            and not self._is_cut
            and not self._pieces
            and self.transport is not None
            and not self.transport.is_closing()
        )

    def close(self) -> None:
        """Give up whatever is on it."""
        if self.transport is not None:
            self.transport.abort()

    async def _more(self) -> None:
        self._waiting = asyncio.get_running_loop().create_future()
        try:
            await self._waiting
        finally:
            self._waiting = None

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._clean = False

    def data_received(self, data: bytes) -> None:
        if self._whole:
            self._clean = False  # it speaks without having been asked
            self.close()
            return
        self._fed += len(data)
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(Malformed(f"its answer is not HTTP: {error}"))
        if self._fed > HEAD_LIMIT_BYTES + (FRAMING_FACTOR + 1) * self._body:
            self._fail(Malformed("its answer has too much that is no body"))
        if self._unread > UNREAD_BYTES and not self._paused_reading and self.transport is not None:
            self._paused_reading = True
            self.transport.pause_reading()
        self._wake()

    def pause_writing(self) -> None:
        if self._writable is None:
            self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        writable, self._writable = self._writable, None
        if writable is not None and not writable.done():
            writable.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._clean = False
        if not self._whole:
            if self.status and exc is None and not self._is_framed():
                self._whole = True
            else:
                unseen = self._used and not self._fed
                self._fail((Lost if unseen else Interrupted)("it closed the connection before its answer was complete"))
        self.resume_writing()
        self._wake()

    # The parser calls these.

    def on_message_begin(self) -> None:
        if self._whole:
            raise ValueError("it answered what was not asked")  # fails the parsing, and with it the connection

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self.status:  # else it is a trailer
            self.headers.append((name.lower(), value))

    def on_headers_complete(self) -> None:
        status: int = self._parser.get_status_code()
        if status < 200:
            self.headers = []
            self._is_wanted = True
            return
        self.status = status
        if self._no_body:
            self._complete()
        self.resume_writing()

    def on_body(self, data: bytes) -> None:
        self._pieces.append(data)
        self._unread += len(data)
        self._body += len(data)

    def on_message_complete(self) -> None:
        if self.status:
            self._complete()

    def _complete(self) -> None:
        self._whole = True
        # A peer that has answered before it took all would read the rest as the next call's head.
        unsent = self.transport.get_write_buffer_size() if self.transport is not None else 0
        self._clean = bool(self._parser.should_keep_alive()) and self._is_framed() and not unsent

    def _is_framed(self) -> bool:
        framed = any(name in (b"content-length", b"transfer-encoding") for name, _ in self.headers)
        return framed or self._no_body or self.status in (204, 304)

    def _fail(self, failure: Interrupted) -> None:
        if self._failure is None and not self._whole:
            self._failure = failure
        self.close()

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)


class Malformed(Interrupted):
    """What came is not HTTP, or too much of it is no body."""


class StreamPool:
    """Connections to one peer: the path of a Unix socket (it has a slash), or `host:port`."""

    def __init__(self, address: str, *, most_idle: int = 32, tls: Callable[[], ssl.SSLContext] | None = None) -> None:
        self.address = address
        self._most_idle = most_idle
        self._make_tls = tls
        self._tls: ssl.SSLContext | None = None
        self._idle: list[StreamConnection] = []
        self._closed = False

    async def take(self, *, fresh: bool = False) -> StreamConnection:
        """A connection without a call. Raises `NotConnected`; the caller gives the connection back or closes it."""
        while self._idle and not fresh:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.close()
        return await self._connect()

    def give_back(self, connection: StreamConnection) -> None:
        """The call on it is over: keep it, if it is fit for another one."""
        if connection.reusable and len(self._idle) < self._most_idle and not self._closed:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close what nobody uses, now and when it comes back."""
        self._closed = True
        while self._idle:
            self._idle.pop().close()

    async def _connect(self) -> StreamConnection:
        loop = asyncio.get_running_loop()
        try:
            if "/" in self.address:
                _, connection = await loop.create_unix_connection(StreamConnection, self.address)
                return connection
            host, _, port = self.address.rpartition(":")
            host = host.strip("[]")
            if self._make_tls is not None and self._tls is None:
                self._tls = await asyncio.to_thread(self._make_tls)
            named = host if self._tls is not None else None
            _, connection = await loop.create_connection(
                StreamConnection, host, int(port), ssl=self._tls, server_hostname=named
            )
        except (OSError, ValueError) as error:
            raise NotConnected(f"cannot connect to {self.address}: {error}") from None
        return connection
