"""A connected socket in the loop: reads when something is there, sends when there is room what found none before.

A stream either reads or sends: one whose peer does not take its answers is not read from, so that it cannot fill the
memory. Whatever happens to the socket, the receiver hears of its end once.
"""

from __future__ import annotations

import contextlib
import socket
from typing import Protocol

from mooring_model_server.loop import READ, WRITE, Loop
from mooring_model_server.output import Output

READ_SIZE = 64 * 1024
NOT_NOW = (BlockingIOError, InterruptedError)


class Receiver(Protocol):
    """Who owns a stream."""

    def data_received(self, data: bytes) -> None:
        """Some bytes arrived."""

    def connection_lost(self) -> None:
        """The stream is closed, by whom ever; nothing more will come."""

    def writing_resumed(self) -> None:
        """All that was written is sent, after it was not for a while."""


class Stream:
    """One end of a connection; reads from the start."""

    def __init__(self, loop: Loop, end: socket.socket, receiver: Receiver, output: Output) -> None:
        end.setblocking(False)
        self._loop = loop
        self._socket = end
        self._receiver = receiver
        self._output = output
        self._unsent = bytearray()
        self.paused = False
        """Whether what arrives is left where it is."""
        self._watched = 0
        self._ended = False
        self.closing = False
        """Whether nothing more is read or can be written."""
        self.descriptor = end.fileno()
        """Its number, -1 once it is closed."""
        self._watch()

    @property
    def congested(self) -> bool:
        """Whether something written is not sent yet."""
        return bool(self._unsent)

    def write(self, data: bytes) -> None:
        """Send, at once as far as there is room."""
        if self.closing:
            return
        sent = 0 if self._unsent else self._send(data)
        if sent < len(data) and not self._ended:
            self._unsent += memoryview(data)[sent:]
            self._watch()

    def close(self) -> None:
        """Close when all that was written is sent."""
        self.closing = True
        if self._unsent:
            self._watch()
        else:
            self.abort()

    def abort(self) -> None:
        """Close now."""
        self.closing = True
        if self._ended:
            return
        self._ended = True
        self._watch()
        self.descriptor = -1
        with contextlib.suppress(OSError):  # a script may have closed it already
            self._socket.close()
        self._receiver.connection_lost()

    def pause_reading(self) -> None:
        """Leave what arrives where it is."""
        self.paused = True
        self._watch()

    def resume_reading(self) -> None:
        """Read on."""
        self.paused = False
        self._watch()

    def _watch(self) -> None:
        if self._ended:
            wanted = 0
        elif self._unsent:
            wanted = WRITE
        else:
            wanted = 0 if self.paused or self.closing else READ
        if wanted != self._watched:
            self._watched = wanted
            if wanted:
                self._loop.watch(self.descriptor, wanted, self._ready)
            else:
                self._loop.unwatch(self.descriptor)

    def _ready(self) -> None:
        try:
            if self._unsent:
                self._flush()
            elif self._watched:  # else an earlier event of this turn was the end of it
                self._read()
        except Exception as error:  # noqa: BLE001 (what one peer sends must not end the others)
            self._output.trace(error)
            self.abort()

    def _read(self) -> None:
        try:
            data = self._socket.recv(READ_SIZE)
        except NOT_NOW:
            return
        except OSError:
            data = b""
        if data:
            self._receiver.data_received(data)
        else:
            self.abort()

    def _flush(self) -> None:
        del self._unsent[: self._send(self._unsent)]
        if self._unsent or self._ended:
            return
        if self.closing:
            self.abort()
        else:
            self._watch()
            self._receiver.writing_resumed()

    def _send(self, data: bytes | bytearray) -> int:
        try:
            return self._socket.send(data)
        except NOT_NOW:
            return 0
        except OSError:
            self.abort()
            return 0
