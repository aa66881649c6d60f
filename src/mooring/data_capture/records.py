"""The records: one compact JSON line each, in AWS's schema and order of keys. Pure.

A body of a type that the endpoint's config names is kept as text, any other in base64; so is one that is not UTF-8,
whatever its type: the record's `encoding` says which, and every byte can be had back. Lines are put together by hand,
since they are made for every invocation. They hold no line break but the last byte, not even one that only Unicode
calls so.

A body of more than `limit` bytes is kept to its first `limit` (of text: to the character before).
"""

from __future__ import annotations

import time
from binascii import b2a_base64
from collections.abc import Iterator, Mapping
from functools import lru_cache
from itertools import count
from json.encoder import encode_basestring
from random import getrandbits

from mooring.hosting.capturing import CaptureRoute
from mooring.upstream.observing import ReplyHeaders

CONTENT_TYPE = b"content-type"
INFERENCE_ID = b"x-amzn-sagemaker-inference-id"
CUSTOM_ATTRIBUTES = b"x-amzn-sagemaker-custom-attributes"
PIECE = 48 * 1024
"""Bytes that are encoded at a time; a multiple of 3."""

_BREAKS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""JSON takes them as they are, but Python's `splitlines` does not."""
_OWN = b"%08x-%04x-4%03x-%04x-" % (getrandbits(32), getrandbits(16), getrandbits(12), 0x8000 | getrandbits(14))
_numbers = count(getrandbits(47))


def new_event_id() -> bytes:
    """A version 4 UUID: 74 random bits are the process's own, the rest counts (as for ids of requests)."""
    return b"%b%012x" % (_OWN, next(_numbers))


class RecordForm:
    """What the records of one variant have in common."""

    __slots__ = ("_encodings", "_limit", "input", "output")

    def __init__(self, capture: CaptureRoute, limit: int) -> None:
        self.input = capture.input
        self.output = capture.output
        self._limit = limit
        self._encodings = dict.fromkeys(capture.csv_types, b"CSV") | dict.fromkeys(capture.json_types, b"JSON")

    def line(
        self,
        headers: Mapping[bytes, bytes],
        body: bytes,
        reply_headers: ReplyHeaders | None,
        reply_body: bytes,
        now: float,
    ) -> bytes:
        """The line of one invocation. Without `reply_headers` it is of the input only: there was no answer."""
        parts = []
        if self.input:
            parts.append(self._side(b"Input", b"INPUT", headers.get(CONTENT_TYPE), body))
        if self.output and reply_headers is not None:
            parts.append(self._side(b"Output", b"OUTPUT", _content_type(reply_headers), reply_body))
        return b'{"captureData":{%b}%b' % (b",".join(parts), self._metadata(headers, now))

    def pieces(
        self,
        headers: Mapping[bytes, bytes],
        body: bytes,
        reply_headers: ReplyHeaders | None,
        reply_body: bytes,
        now: float,
    ) -> Iterator[bytes]:
        """The same line in pieces, for bodies that are long: between two of them others can work."""
        yield b'{"captureData":{'
        if self.input:
            yield from self._long_side(b"Input", b"INPUT", headers.get(CONTENT_TYPE), body)
        if self.output and reply_headers is not None:
            if self.input:
                yield b","
            yield from self._long_side(b"Output", b"OUTPUT", _content_type(reply_headers), reply_body)
        yield b"}" + self._metadata(headers, now)

    def _side(self, side: bytes, mode: bytes, content_type: bytes | None, body: bytes) -> bytes:
        data = body if len(body) <= self._limit else body[: self._limit]
        text, encoding = self._text(content_type, data, cut=data is not body)
        encoded = b'"%b"' % b2a_base64(data, newline=False) if text is None else _quoted(text)
        return b'"endpoint%b":{%b"mode":"%b","data":%b,"encoding":"%b"}' % (
            side, _observed(content_type), mode, encoded, encoding,
        )  # fmt: skip

    def _long_side(self, side: bytes, mode: bytes, content_type: bytes | None, body: bytes) -> Iterator[bytes]:
        data = body if len(body) <= self._limit else body[: self._limit]
        text, encoding = self._text(content_type, data, cut=data is not body)
        yield b'"endpoint%b":{%b"mode":"%b","data":"' % (side, _observed(content_type), mode)
        if text is None:
            for begin in range(0, len(data), PIECE):
                yield b2a_base64(data[begin : begin + PIECE], newline=False)
        else:
            for begin in range(0, len(text), PIECE):
                yield _quoted(text[begin : begin + PIECE])[1:-1]
        yield b'","encoding":"%b"}' % encoding

    def _text(self, content_type: bytes | None, data: bytes, *, cut: bool) -> tuple[str | None, bytes]:
        """The body as text with the name of its encoding; None for one that is to be in base64."""
        if content_type is None or not self._encodings:
            return None, b"BASE64"
        encoding = self._encodings.get(_media_type(content_type))
        if encoding is None:
            return None, b"BASE64"
        try:
            return str(data, "utf-8"), encoding
        except UnicodeDecodeError as error:
            # Where the body was cut, a character may have been: at the most 3 bytes of it are here.
            if cut and error.reason == "unexpected end of data" and error.end == len(data):
                return str(data[: error.start], "utf-8"), encoding
            return None, b"BASE64"

    @staticmethod
    def _metadata(headers: Mapping[bytes, bytes], now: float) -> bytes:
        extra = b""
        if (attributes := headers.get(CUSTOM_ATTRIBUTES)) is not None:
            extra = b',"customAttributes":[%b]' % _header(attributes)
        if (inference_id := headers.get(INFERENCE_ID)) is not None:
            extra = b',"inferenceId":%b%b' % (_header(inference_id), extra)
        return b',"eventMetadata":{"eventId":"%b"%b,"inferenceTime":"%b"},"eventVersion":"0"}\n' % (
            new_event_id(), extra, _second(int(now)),
        )  # fmt: skip


def _content_type(headers: ReplyHeaders) -> bytes | None:
    for name, value in headers:
        if name == CONTENT_TYPE:
            return value
    return None


@lru_cache(maxsize=1024)
def _observed(content_type: bytes | None) -> bytes:
    return b"" if content_type is None else b'"observedContentType":%b,' % _header(content_type)


def _quoted(text: str) -> bytes:
    """A JSON string."""
    quoted = encode_basestring(text)
    if not quoted.isascii():
        for character, escape in _BREAKS.items():
            quoted = quoted.replace(character, escape)
    return quoted.encode()


def _header(value: bytes) -> bytes:
    return _quoted(value.decode("latin-1"))


@lru_cache(maxsize=1024)
def _media_type(content_type: bytes) -> str:
    return content_type.partition(b";")[0].strip().lower().decode("latin-1")


@lru_cache(maxsize=2)
def _second(at: int) -> bytes:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)).encode()
