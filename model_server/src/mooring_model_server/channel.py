"""Between the process that speaks HTTP and one worker: an invocation over, an answer back, strictly in turn.

An answer in parts is in turn too: after each the worker waits to hear whether the next is wanted, so that it makes no
more than the client takes, and none for a client that has left.

A frame is two lengths, a head in JSON and a body as it is. The first frame of a worker says that its model is loaded.
Whatever goes wrong on the way (a dead worker, a script that wrote or closed what is not its own) reads as the end.
"""

from __future__ import annotations

import json
import os
import socket
import struct
from typing import Any, Mapping, Tuple

from mooring_model_server.contract import Answer, Invocation

LENGTHS = struct.Struct(">IQ")
LONGEST_HEAD = 16 * 1024 * 1024
READ_SIZE = 64 * 1024

Frame = Tuple[Any, bytes]

PART, ENDED, BROKEN = "part", "ended", "broken"
"""The heads of what follows an answer that has parts; how it ended is said too when its client has left."""


def frame(head: Any, body: bytes | bytearray) -> bytes:
    """A head and a body as bytes."""
    data = json.dumps(head).encode("ascii")
    return b"".join((LENGTHS.pack(len(data), len(body)), data, body))


class Frames:
    """Puts frames together from what arrives."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Frame | None:
        """The frame that these bytes complete; raises ValueError for what is not one frame after another, in turn."""
        self._buffer += data
        if len(self._buffer) < LENGTHS.size:
            return None
        head_length, body_length = LENGTHS.unpack_from(self._buffer)
        if head_length > LONGEST_HEAD:
            raise ValueError("the head of a frame is too long")
        body_at = LENGTHS.size + head_length
        if len(self._buffer) < body_at + body_length:
            return None
        if len(self._buffer) > body_at + body_length:
            raise ValueError("more than a frame came at once")
        whole, self._buffer = self._buffer, bytearray()
        return json.loads(whole[LENGTHS.size : body_at]), bytes(memoryview(whole)[body_at:])


class Channel:
    """The worker's end, which it reads and writes only when it has nothing else to do."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._frames = Frames()
        end.setblocking(True)

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def replace_by(self, descriptor: int) -> None:
        """In a forked child: hold the number, let the channel go."""
        os.dup2(descriptor, self._socket.fileno(), inheritable=False)

    def loaded(self, parameters: Mapping[str, object]) -> bool:
        """Tell that the model is loaded; False when nobody listens."""
        return self._send(parameters, b"")

    def next(self) -> Invocation | None:
        """The next invocation, None at the end."""
        found = self._receive()
        return None if found is None else Invocation(found[1], found[0])

    def answer(self, answer: Answer) -> bool:
        """Send the answer, or how it begins; False when nobody listens."""
        head = [answer.status, answer.content_type, list(answer.headers), answer.parts is not None]
        return self._send(head, answer.body)

    def wanted(self) -> bool | None:
        """Whether the client takes another part; None when nobody listens."""
        found = self._receive()
        return None if found is None else bool(found[0])

    def follow(self, word: str, part: bytes = b"") -> bool:
        """Send the next part, or say how the answer ended; False when nobody listens."""
        return self._send(word, part)

    def _receive(self) -> Frame | None:
        try:
            while True:
                data = self._socket.recv(READ_SIZE)
                if not data:
                    return None
                found = self._frames.feed(data)
                if found is not None:
                    return found
        except (OSError, ValueError, MemoryError):
            return None

    def _send(self, head: Any, body: bytes) -> bool:
        try:
            self._socket.sendall(frame(head, body))
        except OSError:
            return False
        return True
