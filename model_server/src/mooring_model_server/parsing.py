"""A strict HTTP/1.1 request parser for environments without httptools.

It has the shape of `httptools.HttpRequestParser`, so a connection does not know which one it feeds. Where a message
could be read in two ways (two lengths, a bare line feed, a folded header, space before a colon) it is refused: a
gateway in front may have read it the other way.
"""

from __future__ import annotations

import re
from typing import Any

REQUEST_LINE = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+) ([!-~]+) HTTP/1\.([01])")
HEADER = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*")
CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\x00-\x08\x0a-\x1f\x7f]*)?")
LENGTH = re.compile(rb"[0-9]{1,18}")
BEGINS_REQUEST = frozenset(b"\r!#$%&'*+-.^_`|~0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")
LONGEST_LINE = 64 * 1024


class ParseError(ValueError):
    """The bytes are not one HTTP/1.x request after another."""


class NeverUpgrade(ParseError):
    """Stands where httptools has HttpParserUpgrade; this parser ignores a wish to upgrade."""


class RequestParser:
    """Feeds what it reads to the `on_*` methods of its target, as httptools does."""

    def __init__(self, target: Any) -> None:
        self._target = target
        self._buffer = bytearray()
        self._read = self._request_line
        self._method = b""
        self._minor = b"1"
        self._connection = b""
        self._length: int | None = None
        self._chunked = False
        self._left = 0

    def get_method(self) -> bytes:
        """The method of the message that is being read."""
        return self._method

    def get_http_version(self) -> str:
        """`1.0` or `1.1`."""
        return "1." + self._minor.decode("ascii")

    def should_keep_alive(self) -> bool:
        """Whether the connection may carry another message after this one."""
        words = [word.strip() for word in self._connection.lower().split(b",")]
        return b"close" not in words if self._minor == b"1" else b"keep-alive" in words

    def feed_data(self, data: bytes) -> None:
        """Read on; raises ParseError, after which the parser is of no use."""
        self._buffer += data
        while self._read():
            pass

    def _line(self) -> bytes | None:
        end = self._buffer.find(b"\n")
        if end < 0:
            if len(self._buffer) > LONGEST_LINE:
                raise ParseError("a line is too long")
            return None
        if end == 0 or self._buffer[end - 1] != 0x0D:
            raise ParseError("a line does not end in CR LF")
        line = bytes(self._buffer[: end - 1])
        del self._buffer[: end + 1]
        return line

    def _request_line(self) -> bool:
        if self._buffer and self._buffer[0] not in BEGINS_REQUEST:  # TLS, say: no line may ever come
            raise ParseError("not a request line")
        line = self._line()
        if line is None:
            return False
        if not line:
            return True  # RFC 9112, 2.2: an empty line before a request is ignored
        match = REQUEST_LINE.fullmatch(line)
        if match is None:
            raise ParseError("not a request line")
        self._method, url, self._minor = match.groups()
        self._connection, self._length, self._chunked = b"", None, False
        self._target.on_message_begin()
        self._target.on_url(url)
        self._read = self._header
        return True

    def _header(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if not line:
            self._head_ends()
            return True
        match = HEADER.fullmatch(line)
        if match is None:
            raise ParseError("not a header")
        name, value = match.groups()
        self._note(name.lower(), value)
        self._target.on_header(name, value)
        return True

    def _note(self, name: bytes, value: bytes) -> None:
        if name == b"content-length":
            if self._length is not None or not LENGTH.fullmatch(value):
                raise ParseError("not one Content-Length")
            self._length = int(value)
        elif name == b"transfer-encoding":
            if self._chunked or value.lower() != b"chunked" or self._minor == b"0":
                raise ParseError("not a Transfer-Encoding that is understood")
            self._chunked = True
        elif name == b"connection":
            self._connection += (b"," if self._connection else b"") + value

    def _head_ends(self) -> None:
        if self._chunked and self._length is not None:
            raise ParseError("both a Content-Length and a Transfer-Encoding")
        self._target.on_headers_complete()
        if self._chunked:
            self._read = self._chunk_size
        elif self._length:
            self._left = self._length
            self._read = self._body
        else:
            self._message_ends()

    def _body(self) -> bool:
        if not self._take():
            return False
        self._message_ends()
        return True

    def _take(self) -> bool:
        """Hand on what is there of the body or chunk; True when it is whole."""
        part = bytes(self._buffer[: self._left])
        if part:
            del self._buffer[: len(part)]
            self._left -= len(part)
            self._target.on_body(part)
        return self._left == 0

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = CHUNK_SIZE.fullmatch(line)
        if match is None:
            raise ParseError("not a chunk size")
        self._left = int(match.group(1), 16)
        self._read = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        if not self._take():
            return False
        self._read = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise ParseError("a chunk is longer than it said")
        self._read = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            if HEADER.fullmatch(line) is None:
                raise ParseError("not a trailer")
        else:
            self._message_ends()
        return True

    def _message_ends(self) -> None:
        self._read = self._request_line
        self._target.on_message_complete()
