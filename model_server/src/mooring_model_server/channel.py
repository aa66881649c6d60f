"""Between the process that speaks HTTP and one worker: an invocation over, an answer back, strictly in turn.

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

Frame = Tuple[Any, bytes]


class Channel:
    """One end; one thread at a time uses it, only `cut` may be called from another."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        end.setblocking(True)

    def fileno(self) -> int:
        """The descriptor."""
        return self._socket.fileno()

    def close(self) -> None:
        """Say that nothing more will come."""
        self._socket.close()

    def cut(self) -> None:
        """End it for both sides, even where a forked child still holds the other end."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:  # it is over already
            return

    def replace_by(self, descriptor: int) -> None:
        """In a forked child: hold the number, let the channel go."""
        os.dup2(descriptor, self._socket.fileno(), inheritable=False)

    # The worker's side.

    def loaded(self, parameters: Mapping[str, object]) -> bool:
        """Tell that the model is loaded; False when nobody listens."""
        return self._send(parameters, b"")

    def next(self) -> Invocation | None:
        """The next invocation, None at the end."""
        frame = self._receive()
        return None if frame is None else Invocation(frame[1], frame[0])

    def answer(self, answer: Answer) -> bool:
        """Send the answer; False when nobody listens."""
        head = {"status": answer.status, "type": answer.content_type, "headers": list(answer.headers)}
        return self._send(head, answer.body)

    # The side of HTTP.

    def wait_loaded(self) -> Any:
        """The worker's execution parameters once its model is loaded, None when it ended before."""
        frame = self._receive()
        return None if frame is None else frame[0]

    def over(self) -> bool:
        """Whether the worker is gone: nothing that is sent now would be read."""
        try:
            self._socket.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except BlockingIOError:
            return False
        except OSError:
            return True
        return True  # the end; or bytes that nobody asked for, after which no answer could be trusted

    def ask(self, invocation: Invocation) -> Answer | None:
        """The worker's answer, None when it ended instead."""
        frame = self._receive() if self._send(invocation.headers, invocation.body) else None
        if frame is None:
            return None
        head, body = frame
        return Answer(head["status"], head["type"], body, [(name, value) for name, value in head["headers"]])

    # Frames.

    def _send(self, head: Mapping[str, Any], body: bytes) -> bool:
        data = json.dumps(head).encode("ascii")
        try:
            self._socket.sendall(LENGTHS.pack(len(data), len(body)) + data)
            self._socket.sendall(body)
        except OSError:
            return False
        return True

    def _receive(self) -> Frame | None:
        try:
            head_length, body_length = LENGTHS.unpack(self._read(LENGTHS.size))
            if head_length > LONGEST_HEAD:
                return None
            return json.loads(self._read(head_length)), self._read(body_length)
        except (OSError, ValueError, MemoryError):
            return None

    def _read(self, length: int) -> bytes:
        data = bytearray(length)
        view = memoryview(data)
        while view:
            count = self._socket.recv_into(view)
            if not count:
                raise ConnectionError("the other end is gone")
            view = view[count:]
        return bytes(data)
