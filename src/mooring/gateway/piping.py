"""S3's connections over TLS: the bytes pass through this process, since a session cannot be given away.

The objects front gets one end of a socket pair and sees a client's plain connection. Between the other end and the
client, bytes go in small turns: neither side is read while the other does not take what was read, so a large object
is never in memory, and invocations wait for one turn at the most.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Self, cast

TURN_BYTES = 64 * 1024
"""What may wait for one side before the other is not read any more."""
LINGER_S = 2.0
"""How long a client may still send after the objects front has said its last, and read its answer in peace."""
QUIET_S = 1.0
"""A pipe that moved nothing for so long is between two requests, as far as can be told from here."""


class Pipe:
    """One client and one connection of the objects front, from when both are there until either ends."""

    def __init__(self, pipes: set[Pipe]) -> None:
        self._pipes = pipes
        self._loop = asyncio.get_running_loop()
        self.client = _Side(self)
        self.front = _Side(self)
        self.client.other, self.front.other = self.front, self.client
        self._moved_at = self._loop.time()

    @classmethod
    async def lay(cls, pipes: set[Pipe], client: asyncio.Transport, ours: socket.socket) -> Self:
        """Join a client, whose reading is paused, with our end of a socket pair."""
        pipe = cls(pipes)
        pipes.add(pipe)
        # The client's end first: an answer may be there as soon as the other is.
        pipe.client.connection_made(client)
        client.set_protocol(pipe.client)
        await pipe._loop.create_unix_connection(lambda: pipe.front, sock=ours)
        if client.is_closing():
            pipe.ended()
        else:
            client.resume_reading()
        return pipe

    @property
    def quiet(self) -> bool:
        """Whether nothing has moved for a while."""
        return self._loop.time() - self._moved_at > QUIET_S

    def moved(self) -> None:
        """Bytes have passed."""
        self._moved_at = self._loop.time()

    def end_soon(self) -> None:
        """The answer was the last; what the client still sends is taken until it has read that."""
        self._loop.call_later(LINGER_S, self.ended)

    def ended(self) -> None:
        """One side is gone, and so shall be the other once it has what is on its way."""
        self._pipes.discard(self)
        for side in (self.client, self.front):
            if side.transport is not None:
                side.transport.close()


class _Side(asyncio.Protocol):
    """One end of a pipe."""

    other: _Side

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=TURN_BYTES)

    def data_received(self, data: bytes) -> None:
        self._pipe.moved()
        if self.other.transport is not None:
            self.other.transport.write(data)

    def eof_received(self) -> bool:
        # The objects front says no more; whether it still reads cannot be told. Over TLS a client's end is the end.
        self._pipe.end_soon()
        return True

    def pause_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        if self.other.transport is not None:
            self.other.transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._pipe.ended()
