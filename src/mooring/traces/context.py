"""The context of a trace in the headers of a call: W3C Trace Context and Baggage, and AWS's X-Amzn-Trace-Id.

What a caller sends is hostile until its form is right: what is not well formed, or too long, is left out, as W3C asks,
and never fails a call. `tracestate` goes with a valid `traceparent` only. Parents of versions that are not known yet
are passed on as they are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import NamedTuple

TRACEPARENT, TRACESTATE, BAGGAGE, XRAY = b"traceparent", b"tracestate", b"baggage", b"x-amzn-trace-id"
HEADERS = frozenset((TRACEPARENT, TRACESTATE, BAGGAGE, XRAY))
"""What a call may say of its trace, lower-cased."""

MOST_TRACESTATE, MOST_MEMBERS = 512, 32
MOST_BAGGAGE, MOST_ENTRIES = 8192, 64
MOST_PARENT, MOST_XRAY = 256, 256
SAMPLED = 1

_PARENT = re.compile(
    rb"([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-[\x21-\x7e]*)?", re.DOTALL
)
_PRINTABLE = re.compile(rb"[\x20-\x7e\t]+")
_XRAY = re.compile(rb"[A-Za-z0-9_=;:.\-]+")


class Parent(NamedTuple):
    """A valid `traceparent`."""

    trace_id: bytes
    """32 hexadecimal digits."""
    span_id: bytes
    """16 hexadecimal digits."""
    flags: int

    @property
    def is_sampled(self) -> bool:
        return bool(self.flags & SAMPLED)


def parent_of(value: bytes | None) -> Parent | None:
    """What a `traceparent` says; None when it is none."""
    if value is None or len(value) > MOST_PARENT:
        return None
    found = _PARENT.fullmatch(value)
    if found is None or found[1] == b"ff" or (found[1] == b"00" and found[5] is not None):
        return None
    return Parent(found[2], found[3], int(found[4], 16))


def traceparent(trace_id: bytes, span_id: bytes, flags: int) -> bytes:
    """The header's line."""
    return b"traceparent: 00-%b-%b-%02x\r\n" % (trace_id, span_id, flags)


def lines(headers: Mapping[bytes, bytes], own_parent: bytes | None = None) -> bytes:
    """The lines of a request's head that pass on what `headers` say; with `own_parent` in the place of theirs."""
    found = own_parent or b""
    parent = headers.get(TRACEPARENT, b"")
    if parent_of(parent) is not None:
        if own_parent is None:
            found = b"traceparent: %b\r\n" % parent
        state = headers.get(TRACESTATE, b"")
        if _fits(state, MOST_TRACESTATE, MOST_MEMBERS):
            found += b"tracestate: %b\r\n" % state
    baggage = headers.get(BAGGAGE, b"")
    if _fits(baggage, MOST_BAGGAGE, MOST_ENTRIES):
        found += b"baggage: %b\r\n" % baggage
    xray = headers.get(XRAY, b"")
    if len(xray) <= MOST_XRAY and _XRAY.fullmatch(xray):
        found += b"X-Amzn-Trace-Id: %b\r\n" % xray
    return found


def _fits(value: bytes, most: int, members: int) -> bool:
    return 0 < len(value) <= most and value.count(b",") < members and _PRINTABLE.fullmatch(value) is not None
