"""What travels: requests as they were read, responses as they are written.

Header names are lower-cased when read, so that a look-up is one comparison; values keep their bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

Headers = Sequence[tuple[bytes, bytes]]

PER_CONNECTION = frozenset((b"connection", b"keep-alive", b"transfer-encoding", b"content-length", b"date"))
"""Headers of one hop, which whoever passes a message on leaves out."""

SOURCE = b"x-mooring-source"
"""The address of who made a request, from one process of Mooring to another; a client's own is never believed."""

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
_STATUS_LINES[424] = b"HTTP/1.1 424 Failed Dependency\r\n"


def status_line(status: int) -> bytes:
    """`HTTP/1.1 200 OK` with its line end; a status without a name gets none."""
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d Status\r\n" % status


def response_head(status: int, headers: Headers) -> bytes:
    """Status line and header lines; the empty line that ends a head is the sender's."""
    return status_line(status) + b"".join([b"%b: %b\r\n" % header for header in headers])


class Request:
    """One whole request. Only the parser builds and fills it."""

    __slots__ = ("body", "headers", "is_1_0", "keep_alive", "method", "target")

    def __init__(self) -> None:
        self.method = b""
        self.target = b""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = b""
        self.keep_alive = True
        self.is_1_0 = False

    @property
    def path(self) -> bytes:
        """The raw target without its query."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        """What follows the first question mark, raw."""
        return self.target.partition(b"?")[2]

    def header(self, name: bytes) -> bytes | None:
        """The first value of the header with this lower-case name."""
        for found, value in self.headers:
            if found == name:
                return value
        return None


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, whole. `Content-Length`, `Date` and `Connection` are added by the connection."""

    status: int
    headers: Headers = ()
    body: bytes = b""
