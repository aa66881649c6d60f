"""Events of `application/vnd.amazon.eventstream`, as InvokeEndpointWithResponseStream sends them.

A frame is `total length, length of the headers, CRC-32 of these eight bytes; headers; payload; CRC-32 of all before`,
with big-endian numbers of 32 bits. A header is a length and a name, the type 7 for text, and two bytes of length and
the text. All that a kind of event says about itself is the same in each, so it is put together once.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Final
from zlib import crc32

CONTENT_TYPE: Final = "application/vnd.amazon.eventstream"
PART_LIMIT_BYTES: Final = 1024 * 1024
"""The most that one part carries. Readers refuse far larger ones (botocore: 24 MiB), and must hold one whole."""

_LENGTHS: Final = struct.Struct(">II")
_NUMBER: Final = struct.Struct(">I")
_AROUND: Final = _LENGTHS.size + 2 * _NUMBER.size
_TEXT: Final = 7


def _headers(headers: Mapping[str, str]) -> bytes:
    written = b""
    for name, value in headers.items():
        named, text = name.encode(), value.encode()
        written += bytes((len(named),)) + named + bytes((_TEXT,)) + struct.pack(">H", len(text)) + text
    return written


_PART: Final = _headers(
    {":event-type": "PayloadPart", ":content-type": "application/octet-stream", ":message-type": "event"}
)


def frame(headers: bytes, payload: bytes) -> bytes:
    """One frame around headers that are encoded already."""
    lengths = _LENGTHS.pack(_AROUND + len(headers) + len(payload), len(headers))
    head = b"%b%b%b" % (lengths, _NUMBER.pack(crc32(lengths)), headers)
    return b"%b%b%b" % (head, payload, _NUMBER.pack(crc32(payload, crc32(head))))


def payload_parts(data: bytes) -> bytes:
    """Bytes of a model's answer as `PayloadPart` events: one, unless there are very many; none for no bytes."""
    if 0 < len(data) <= PART_LIMIT_BYTES:
        return frame(_PART, data)
    return b"".join(frame(_PART, piece) for piece in _pieces(data))


def failure(code: str, members: Mapping[str, str]) -> bytes:
    """An exception after which nothing follows: ModelStreamError, or InternalStreamFailure."""
    headers = _headers({":exception-type": code, ":content-type": "application/json", ":message-type": "exception"})
    return frame(headers, json.dumps(members, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace"))


def _pieces(data: bytes) -> Iterator[bytes]:
    for start in range(0, len(data), PART_LIMIT_BYTES):
        yield data[start : start + PART_LIMIT_BYTES]
