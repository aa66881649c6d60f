"""The answering half of a server's connection: the queue of messages, their answers in order, and the end.

`connection` reads, this writes; together they are one protocol object, because a call between two objects is what a
request costs most here. Everything a subclass may override stands here.
"""

from __future__ import annotations

import asyncio
import socket
import struct
from collections import deque
from typing import cast

from mooring.http1.listening import Listening, no_room, too_long, too_slow
from mooring.http1.messages import SOURCE, Headers, Request, Response, response_head

JOINED_WRITE_BYTES = 16_384
"""Below this one copy is cheaper than a write with several buffers."""
_RESET = struct.pack("ii", 1, 0)
LINGER_S = 5.0
"""How long a refused client's bytes are read and thrown away."""


class Answering(asyncio.Protocol):
    """One client's connection, without the reading; `ServerConnection` is the whole."""

    __slots__ = (
        "_current",
        "_delivering",
        "_lingering",
        "_queue",
        "_reading_paused",
        "_request",
        "_reserved",
        "_since",
        "_stalled",
        "_streamed",
        "_waiting",
        "listening",
        "transport",
    )

    def __init__(self, listening: Listening) -> None:
        self.listening = listening
        self.transport: asyncio.Transport | None = None
        self._request: Request | None = None  # being read
        self._queue: deque[Request | Response] = deque()
        self._current: Request | None = None  # delivered, not yet answered
        self._reserved: dict[Request, int] = {}
        self._delivering = False
        self._reading_paused = False
        self._lingering = False
        self._stalled = False  # the client does not take what we write
        self._waiting: Request | None = None  # for memory, before its body is read
        self._streamed: bool | None = None  # a streamed answer is under way; True when it is chunked
        self._since = listening.ticker.now

    # What a subclass overrides

    def request_received(self, request: Request) -> None:
        """Answer with `respond`, `send` or `begin`…`end`, now or later."""
        raise NotImplementedError

    def head_received(self, request: Request, length: int | None) -> Response | int:
        """The body is still to come, of `length` bytes when known: a refusal, or the body's limit."""
        return self.listening.limits.body_bytes

    def too_long(self, request: Request, limit: int) -> Response:
        """The answer to a body that is longer than `limit`."""
        return too_long(limit)

    def client_lost(self) -> None:
        """The client went away while its request was being worked on."""

    def writing_paused(self) -> None:
        """The client is slow: stop producing until `writing_resumed`."""

    def writing_resumed(self) -> None:
        """The client takes bytes again."""

    def reading_resumed(self) -> None:
        """The queue of pipelined messages is empty."""

    def no_room(self) -> Response:
        """The answer to a body that has waited too long for memory, or is larger than all of it."""
        return no_room()

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
        self._stop_waiting()
        for request in tuple(self._reserved):
            self._release(request)
        if self._current is not None:
            self._current = None
            self.client_lost()

    def pause_writing(self) -> None:
        self._stalled = True
        self._since = self.listening.ticker.now
        self.writing_paused()

    def resume_writing(self) -> None:
        self._stalled = False
        self.writing_resumed()

    # Memory

    def reserve(self, request: Request, size: int, read: int) -> bool:
        """Count `size` bytes until `request` is answered, refused or lost. False when its body must wait for them.

        `read` bytes of it are here.
        """
        self._reserved[request] = size
        if self.listening.budget.take(size, self, read):
            return True
        self._waiting = request
        self._since = self.listening.ticker.now
        if not self._reading_paused:
            self._pause_reading()
        return False

    def room_given(self) -> None:
        """The memory for the body that waited is reserved: read it."""
        request, self._waiting = self._waiting, None
        self._since = self.listening.ticker.now
        if request is not None:
            self._welcome(request)
        if self._reading_paused and not self._queue:
            self._resume_reading()

    def _welcome(self, request: Request) -> None:
        """The body of `request` may come."""

    def _stop_waiting(self) -> None:
        request, self._waiting = self._waiting, None
        if request is not None:
            del self._reserved[request]
            self.listening.budget.withdraw(self)

    def _release(self, request: Request | None) -> None:
        if request is not None and request in self._reserved:
            if request is self._waiting:
                self._stop_waiting()
            else:
                self.listening.budget.give_back(self._reserved.pop(request))

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

    def break_off(self, why: object = None) -> None:
        """The streamed answer cannot be completed: reset, so that nobody takes the part for the whole."""
        self._current = None
        if self.transport is not None:
            # A plain close would look like the end of an answer that ends with its connection.
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.transport.abort()

    def source(self, request: Request) -> str:
        """The address that a request came from. On a Unix socket only Mooring's own call, and say for whom."""
        if self.transport is None:
            return ""
        peer = self.transport.get_extra_info("peername")
        return str(peer[0]) if isinstance(peer, tuple) else (request.header(SOURCE) or b"").decode("latin-1")

    @property
    def closing(self) -> bool:
        """Whether it was closed from this side, though the client may not have heard it yet."""
        return self.transport is None or self.transport.is_closing()

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
        if self._waiting is not None:
            if quiet > self.listening.limits.room_wait_s:
                self.refuse(self.no_room())
        elif self._lingering and self._current is None:
            if quiet > LINGER_S:
                transport.abort()
        elif self._stalled:
            if quiet > self.listening.limits.idle_s:
                transport.abort()
        elif self._current is None and quiet > self._patience_s():
            if self._request is not None and self._request.method:
                self.refuse(too_slow())
            else:
                transport.close()

    def _patience_s(self) -> float:
        """How long this connection may go on as it does, since its message began or the last one ended."""
        return self.listening.limits.idle_s

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
        if self._reserved:
            self._release(request)
        if not request.keep_alive or self.listening.draining:
            self._queue.clear()
            if self.transport is not None:
                self.transport.close()
            return
        if self._delivering:
            return
        if self._queue:
            self._deliver()
        if self._reading_paused and not self._queue and self._current is None and self._waiting is None:
            self._resume_reading()

    def _pause_reading(self) -> None:
        self._reading_paused = True
        if self.transport is not None:
            self.transport.pause_reading()

    def _resume_reading(self) -> None:
        self._reading_paused = False
        if self.transport is not None:
            self.transport.resume_reading()
            self.reading_resumed()

    def _give_up(self, response: Response) -> None:
        self._release(self._request)
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
