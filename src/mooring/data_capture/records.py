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

TYPES_REMEMBERED = 256

_BEGIN = b'{"captureData":{'
_BREAKS = {"\x85": "\\u0085", "\u2028": "\\u2028", "\u2029": "\\u2029"}
"""JSON takes them as they are, but Python's `splitlines` does not."""
_OWN = b"%08x-%04x-4%03x-%04x-" % (getrandbits(32), getrandbits(16), getrandbits(12), 0x8000 | getrandbits(14))
_numbers = count(getrandbits(47))
"""An event's id is a version 4 UUID: 74 random bits are the process's own, the rest counts, as in ids of requests."""


def _behind(encoding: bytes) -> bytes:
    return b',"encoding":"%b"}' % encoding


BASE64 = _behind(b"BASE64")


_Form = tuple[bytes, bytes, bool]
"""Of a side, for one type of body: what stands before the data, what behind it if that is text, and whether it is."""


class _Side:
    """What the input or the output of all records has in common, by the type of the body."""

    __slots__ = ("_encodings", "_forms", "_limit", "_name")

    def __init__(self, name: bytes, encodings: Mapping[str, bytes], limit: int) -> None:
        self._name = name
        self._encodings = encodings
        self._limit = limit
        self._forms: dict[bytes | None, _Form] = {}

    def pair(self, content_type: bytes | None, body: bytes) -> tuple[bytes, bytes, bytes]:
        """What stands before the data, the data as a JSON string, and what stands behind it."""
        before, behind, is_text = self._forms.get(content_type) or self._form(content_type)
        cut = len(body) > self._limit
        if cut:
            body = body[: self._limit]
        if is_text and (text := _text(body, cut=cut)) is not None:
            quoted = encode_basestring(text)
            return before, quoted.encode() if quoted.isascii() else _escaped(quoted), behind
        return before, b'"%b"' % b2a_base64(body, newline=False), BASE64

    def pieces(self, content_type: bytes | None, body: bytes) -> Iterator[bytes]:
        """The same of a long body."""
        before, behind, is_text = self._forms.get(content_type) or self._form(content_type)
        data = body if len(body) <= self._limit else body[: self._limit]
        text = _text(data, cut=data is not body) if is_text else None
        yield before + b'"'
        if text is None:
            for begin in range(0, len(data), PIECE):
                yield b2a_base64(data[begin : begin + PIECE], newline=False)
        else:
            for begin in range(0, len(text), PIECE):
                yield _quoted(text[begin : begin + PIECE])[1:-1]
        yield b'"' + (BASE64 if text is None else behind)

    def _form(self, content_type: bytes | None) -> _Form:
        observed, encoding = b"", None
        if content_type is not None:
            observed = b'"observedContentType":%b,' % _quoted(content_type.decode("latin-1"))
            media_type = content_type.partition(b";")[0].strip().lower().decode("latin-1")
            encoding = self._encodings.get(media_type)
        before = b'"endpoint%b":{%b"mode":"%b","data":' % (self._name, observed, self._name.upper())
        form = before, BASE64 if encoding is None else _behind(encoding), encoding is not None
        if len(self._forms) >= TYPES_REMEMBERED:  # callers send whatever they like
            self._forms.clear()
        self._forms[content_type] = form
        return form


class RecordForm:
    """What the records of one variant have in common."""

    __slots__ = ("_input", "_output")

    def __init__(self, capture: CaptureRoute, limit: int) -> None:
        encodings = dict.fromkeys(capture.csv_types, b"CSV") | dict.fromkeys(capture.json_types, b"JSON")
        self._input = _Side(b"Input", encodings, limit) if capture.input else None
        self._output = _Side(b"Output", encodings, limit) if capture.output else None

    def line(
        self,
        headers: Mapping[bytes, bytes],
        body: bytes,
        reply_headers: ReplyHeaders | None,
        reply_body: bytes,
        now: float,
    ) -> bytes:
        """The line of one invocation. Without `reply_headers` it is of the input only: there was no answer."""
        asked, answered = self._input, self._output
        parts = [_BEGIN]
        if asked is not None:
            parts += asked.pair(headers.get(CONTENT_TYPE), body)
        if answered is not None and reply_headers is not None:
            if asked is not None:
                parts.append(b",")
            parts += answered.pair(_content_type(reply_headers), reply_body)
        parts += _metadata(headers), _end(int(now))
        return b"".join(parts)

    def pieces(
        self,
        headers: Mapping[bytes, bytes],
        body: bytes,
        reply_headers: ReplyHeaders | None,
        reply_body: bytes,
        now: float,
    ) -> Iterator[bytes]:
        """The same line in pieces, for bodies that are long: between two of them others can work."""
        yield _BEGIN
        if self._input is not None:
            yield from self._input.pieces(headers.get(CONTENT_TYPE), body)
        if self._output is not None and reply_headers is not None:
            if self._input is not None:
                yield b","
            yield from self._output.pieces(_content_type(reply_headers), reply_body)
        yield _metadata(headers) + _end(int(now))


def _text(data: bytes, *, cut: bool) -> str | None:
    """The body as text; None for what is not UTF-8."""
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        # Where the body was cut, a character may have been: at the most 3 bytes of it are here.
        if cut and error.reason == "unexpected end of data" and error.end == len(data):
            return str(data[: error.start], "utf-8")
        return None


def _metadata(headers: Mapping[bytes, bytes]) -> bytes:
    inference_id, attributes = headers.get(INFERENCE_ID), headers.get(CUSTOM_ATTRIBUTES)
    head = b'},"eventMetadata":{"eventId":"%b%012x"' % (_OWN, next(_numbers))
    if inference_id is not None:
        head += b',"inferenceId":' + _quoted(inference_id.decode("latin-1"))
    if attributes is not None:
        head += b',"customAttributes":[%b]' % _quoted(attributes.decode("latin-1"))
    return head


@lru_cache(maxsize=2)
def _end(at: int) -> bytes:
    second = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)).encode()
    return b',"inferenceTime":"%b"},"eventVersion":"0"}\n' % second


def _content_type(headers: ReplyHeaders) -> bytes | None:
    for name, value in headers:
        if name == CONTENT_TYPE:
            return value
    return None


def _quoted(text: str) -> bytes:
    """A JSON string."""
    quoted = encode_basestring(text)
    return quoted.encode() if quoted.isascii() else _escaped(quoted)


def _escaped(quoted: str) -> bytes:
    """One without what only Unicode calls a line break."""
    for character, escape in _BREAKS.items():
        quoted = quoted.replace(character, escape)
    return quoted.encode()
