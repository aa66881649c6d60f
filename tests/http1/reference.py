"""A second reading of HTTP/1.1, after RFC 9112 to the letter: what a server makes of bytes is held against it.

It is slow, whole and strict. Where it says that bytes are not a message, a server may not find one in them; a server
may refuse more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
REQUEST_LINE = re.compile(rb"(" + TOKEN + rb") ([!-~\x80-\xff]+) HTTP/1\.([01])\r\n")
STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: [^\r\n]*)?\r\n")  # nobody looks at the reason
FIELD = re.compile(rb"(" + TOKEN + rb"):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*\r\n")
CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})((?:[ \t]*;[^\x00-\x08\x0a-\x1f\x7f]*)?)\r\n")


class Bad(Exception):
    """These bytes are not what they should be, whatever follows."""


class More(Exception):
    """They may become it."""


@dataclass(frozen=True)
class Message:
    """A request, whose start is its target, or a response, whose start is its status."""

    start: bytes
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes
    ends_with_connection: bool = False


def requests(data: bytes) -> list[Message]:
    """The whole requests at the beginning of `data`, up to the first doubt."""
    found, at = [], 0
    try:
        while at < len(data):
            message, at = _message(data, at, is_request=True)
            found.append(message)
    except (Bad, More):
        pass
    return found


def one_response(data: bytes) -> Message:
    """`data` as one response and nothing else. Raises Bad or More."""
    message, at = _message(data, 0, is_request=False)
    if at != len(data):
        raise Bad("more than one")
    return message


def first_response(data: bytes) -> tuple[Message, int]:
    """The first final response of `data` and where it ends; interim ones are passed over. Raises Bad or More."""
    at = 0
    while True:
        interim = re.compile(rb"HTTP/1\.[01] 1[0-9]{2}").match(data, at)
        if interim is None:
            return _message(data, at, is_request=False)
        line = STATUS_LINE.match(data, at)
        if line is None:
            raise Bad("start line")
        _, at = _fields(data, line.end())


def _message(data: bytes, at: int, *, is_request: bool) -> tuple[Message, int]:
    while is_request and data.startswith(b"\r\n", at):  # section 2.2: empty lines before a request line
        at += 2
    line = (REQUEST_LINE if is_request else STATUS_LINE).match(data, at)
    if line is None:
        raise Bad("start line")
    headers, at = _fields(data, line.end())
    lengths = [value for name, value in headers if name == b"content-length"]
    codings = [value for name, value in headers if name == b"transfer-encoding"]
    version = line[3] if is_request else line[1]
    if codings:
        if lengths or version == b"0" or len(codings) > 1 or codings[0].lower() != b"chunked":
            raise Bad("framing")
        body, at = _chunked(data, at)
    elif lengths:
        if len(lengths) > 1 or not re.fullmatch(rb"[0-9]+", lengths[0]):
            raise Bad("length")
        size = int(lengths[0])
        body, at = data[at : at + size], at + size
        if at > len(data):
            raise More
    elif is_request:
        body = b""
    else:
        return Message(line[2], headers, data[at:], ends_with_connection=True), len(data)
    return Message(line[2], headers, body), at


def _fields(data: bytes, at: int) -> tuple[tuple[tuple[bytes, bytes], ...], int]:
    headers = []
    while not data.startswith(b"\r\n", at):
        field = FIELD.match(data, at)
        if field is None:
            raise Bad("field line")
        headers.append((field[1].lower(), field[2]))
        at = field.end()
    return tuple(headers), at + 2


def _chunked(data: bytes, at: int) -> tuple[bytes, int]:
    body = b""
    while True:
        chunk = CHUNK.match(data, at)
        if chunk is None:
            raise Bad("chunk")
        size, at = int(chunk[1], 16), chunk.end()
        if not size:
            _, at = _fields(data, at)
            return body, at
        if at + size + 2 > len(data):
            raise More
        body += data[at : at + size]
        if data[at + size : at + size + 2] != b"\r\n":
            raise Bad("chunk end")
        at += size + 2
