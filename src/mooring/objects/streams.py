"""Reading a request's bytes from a blocking socket: raw, up to a length, or in chunks.

Every stream fills a caller's buffer, so that an upload's bytes are copied once, from the kernel into the buffer that is
hashed and written. `ChunkedStream` reads HTTP's chunked coding and also the `aws-chunked` coding of S3, which differs
in chunk extensions (signatures) and may lie inside HTTP's.

A client may stand still for a while and may be slow, but not both for ever: `Pace` bounds how long a body that hardly
moves holds its thread.
"""

from __future__ import annotations

import os
import re
import socket
import struct
import time

from mooring.objects.errors import S3Error

_LONGEST_LINE = 8192
_MOST_TRAILERS = 32
_PEEK = 4096
_WHOLE = 16 * 1024
"""From this size on the kernel is asked to fill the buffer, instead of waking us for each piece."""
_SENT_AT_ONCE = 512 * 1024
"""Bytes after which the pace of an answer is looked at."""
LEAST_BYTES_S = 1024
"""The slowest rate of a body, either way…"""
PACE_S = 60.0
"""…on the average of this much time spent waiting for the client."""
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})[ \t]*(;[^\x00-\x08\x0a-\x1f]*)?")


class ClientGone(Exception):
    """The client closed, or said nothing for too long, where more was due."""


class Pace:
    """How fast one body moves. Time that goes into hashing and writing is not the client's, and is not counted."""

    def __init__(self) -> None:
        self._moved = 0
        self._waited_s = 0.0

    def keeps_up(self, moved: int, waited_s: float) -> bool:
        """Count `moved` bytes that took `waited_s`; False when the client was too slow for `PACE_S`."""
        self._moved += moved
        self._waited_s += waited_s
        if self._waited_s < PACE_S:
            return True
        enough = self._moved >= LEAST_BYTES_S * self._waited_s
        self._moved, self._waited_s = 0, 0.0
        return enough


class Stream:
    """Bytes with a buffer in front: `fill` and `readline` may be mixed."""

    def __init__(self, held: bytes = b"") -> None:
        self._held = held

    def _some(self, view: memoryview, *, whole: bool) -> int:
        """Put at least one byte into `view` (all of it, if `whole` and possible); 0 is the end."""
        raise NotImplementedError

    def fill(self, view: memoryview) -> int:
        """Fill `view`; less than all of it only at the end."""
        taken = self._take(view)
        while taken < len(view):
            count = self._some(view[taken:], whole=True)
            if not count:
                break
            taken += count
        return taken

    def some(self, view: memoryview) -> int:
        """What there is, at least one byte; 0 at the end."""
        return self._take(view) or self._some(view, whole=False)

    def readline(self) -> bytes:
        """The next line without its CRLF."""
        while (end := self._held.find(b"\r\n")) < 0:
            if len(self._held) > _LONGEST_LINE or not self.more():
                raise S3Error("IncompleteBody")
        line, self._held = self._held[:end], self._held[end + 2 :]
        return line

    def more(self) -> bool:
        """Take some more into the buffer; False at the end."""
        view = memoryview(bytearray(_PEEK))
        count = self._some(view, whole=False)
        self._held += view[:count]
        return count > 0

    def _take(self, view: memoryview) -> int:
        if not self._held:
            return 0
        taken = min(len(view), len(self._held))
        view[:taken] = self._held[:taken]
        self._held = self._held[taken:]
        return taken


class SocketStream(Stream):
    """A blocking socket whose waits end by its own receive timeout."""

    def __init__(self, sock: socket.socket, held: bytes = b"") -> None:
        super().__init__(held)
        self.sock = sock
        self._timeout_s = -1.0
        self._pace: Pace | None = None
        self.timed_out = False

    def begin_body(self) -> None:
        """From here on a client that is too slow is told so; until the next head."""
        self._pace = Pace()

    def set_timeout(self, seconds: float) -> None:
        """How long one receive may wait."""
        if seconds != self._timeout_s:
            self._timeout_s = seconds
            whole = int(seconds)
            value = struct.pack("ll", whole, int((seconds - whole) * 1e6))
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, value)

    def head(self, limit: int, *, idle_s: float, within_s: float) -> bytes | None:
        """Everything up to and with the next empty line; None when the connection ended, or idled, before it began."""
        if not self._await_first(idle_s):
            return None
        self._pace = None
        self.set_timeout(within_s)
        deadline = time.monotonic() + within_s
        while (end := self._held.find(b"\r\n\r\n")) < 0:
            if len(self._held) > limit:
                raise S3Error("InvalidRequest", f"The head of a request may be {limit} bytes.")
            if time.monotonic() > deadline:
                raise S3Error("RequestTimeout")
            if not self.more():
                raise ClientGone
        if end > limit:
            raise S3Error("InvalidRequest", f"The head of a request may be {limit} bytes.")
        head, self._held = self._held[: end + 4], self._held[end + 4 :]
        return head

    def _await_first(self, idle_s: float) -> bool:
        self.set_timeout(idle_s)
        while self._held in (b"", b"\r", b"\r\n"):  # RFC 9112: an empty line before a request is skipped
            try:
                if not self.more():
                    return False
            except S3Error:
                return False
        self._held = self._held.removeprefix(b"\r\n")
        return True

    def holds(self) -> bool:
        """Whether bytes of the next request are here already."""
        return bool(self._held)

    def release(self) -> bytes:
        """Give away what was read ahead."""
        held, self._held = self._held, b""
        return held

    def _some(self, view: memoryview, *, whole: bool) -> int:
        flags = socket.MSG_WAITALL if whole and len(view) >= _WHOLE else 0
        begun = time.monotonic()
        try:
            count = self.sock.recv_into(view, len(view), flags)
        except BlockingIOError:
            self.timed_out = True
            raise S3Error("RequestTimeout") from None
        except OSError as error:
            raise ClientGone from error
        if self._pace is not None and not self._pace.keeps_up(count, time.monotonic() - begun):
            self.timed_out = True
            raise S3Error("RequestTimeout", f"A body must come at {LEAST_BYTES_S} bytes a second or more.")
        return count


class LengthStream(Stream):
    """The next `length` bytes of another stream."""

    def __init__(self, inner: Stream, length: int) -> None:
        super().__init__()
        self._inner = inner
        self.left = length

    def _some(self, view: memoryview, *, whole: bool) -> int:
        if not self.left:
            return 0
        view = view[: min(len(view), self.left)]
        count = self._inner.fill(view) if whole else self._inner.some(view)
        if not count:
            raise S3Error("IncompleteBody")
        self.left -= count
        return count


class ChunkedStream(Stream):
    """A chunked coding of another stream; its trailers are there once it has ended."""

    def __init__(self, inner: Stream) -> None:
        super().__init__()
        self._inner = inner
        self._left = 0
        self._begun = False
        self._ended = False
        self._extension = b""  # of the chunk that is being read
        self.trailers: dict[str, str] = {}

    def _some(self, view: memoryview, *, whole: bool) -> int:
        if not self._left and not self._next_chunk():
            return 0
        view = view[: min(len(view), self._left)]
        count = self._inner.fill(view) if whole else self._inner.some(view)
        if not count:
            raise S3Error("IncompleteBody")
        self._left -= count
        return count

    def _next_chunk(self) -> bool:
        if self._ended:
            return False
        if self._begun and self._inner.readline():
            raise S3Error("InvalidRequest", "A chunk is longer than it says.")
        self._begun = True
        found = _CHUNK.fullmatch(self._inner.readline())
        if found is None:
            raise S3Error("InvalidRequest", "A chunk has no valid size.")
        self._left = int(found[1], 16)
        self._extension = found[2] or b""
        if not self._left:
            self._read_trailers()
            self._ended = True
        return not self._ended

    def _read_trailers(self) -> None:
        for _ in range(_MOST_TRAILERS):
            try:
                line = self._inner.readline()
            except S3Error:  # aws-chunked bodies of some clients end without the last empty line
                return
            if not line:
                return
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise S3Error("InvalidRequest", "A trailer has no colon.")
            self.trailers[name.strip().lower()] = value.strip()
        raise S3Error("InvalidRequest", "There are too many trailers.")


def send_bytes(sock: socket.socket, data: bytes, pace: Pace) -> None:
    """Send everything; `ClientGone` when the client hardly takes it."""
    view = memoryview(data)
    while view:
        begun = time.monotonic()
        sent = sock.send(view[:_SENT_AT_ONCE])
        _check(pace, sent, begun)
        view = view[sent:]


def send_file(sock: socket.socket, fd: int, offset: int, count: int, pace: Pace) -> None:
    """Send a range of a file without its bytes passing through this process."""
    while count:
        begun = time.monotonic()
        sent = os.sendfile(sock.fileno(), fd, offset, min(count, _SENT_AT_ONCE))
        if not sent:
            raise ClientGone  # the file is shorter than it was: the length that we promised cannot be kept
        _check(pace, sent, begun)
        offset += sent
        count -= sent


def _check(pace: Pace, sent: int, begun: float) -> None:
    if not pace.keeps_up(sent, time.monotonic() - begun):
        raise ClientGone("takes its answer too slowly")
