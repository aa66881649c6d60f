"""What of a caller's trace is passed on: what W3C lets through, and no byte that could break a head."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.traces import context
from mooring.traces.context import BAGGAGE, TRACEPARENT, TRACESTATE, XRAY, lines, parent_of

TRACE, SPAN = b"4bf92f3577b34da6a3ce929d0e0e4736", b"00f067aa0ba902b7"
VALID = b"00-%b-%b-01" % (TRACE, SPAN)


@pytest.mark.parametrize(
    ("value", "sampled"),
    [
        (VALID, True),
        (b"00-%b-%b-00" % (TRACE, SPAN), False),
        (b"00-%b-%b-03" % (TRACE, SPAN), True),
        (b"cc-%b-%b-01-what-the-future-will-be" % (TRACE, SPAN), True),
        (b"cc-%b-%b-00" % (TRACE, SPAN), False),
    ],
)
def test_valid_parents(value: bytes, sampled: bool) -> None:
    parent = parent_of(value)
    assert parent is not None
    assert (parent.trace_id, parent.span_id, parent.is_sampled) == (TRACE, SPAN, sampled)
    assert lines({TRACEPARENT: value}) == b"traceparent: %b\r\n" % value


@pytest.mark.parametrize(
    "value",
    [
        b"",
        VALID.upper(),
        VALID + b"-more",
        VALID + b"\n",
        b" " + VALID,
        b"ff" + VALID[2:],
        b"00-%b-%b-01" % (b"0" * 32, SPAN),
        b"00-%b-%b-01" % (TRACE, b"0" * 16),
        b"00-%b-%b-1" % (TRACE, SPAN),
        b"cc-%b-%b-01." % (TRACE, SPAN),
        b"cc-%b-%b-01-%b" % (TRACE, SPAN, b"x" * 300),
    ],
)
def test_what_is_no_parent_is_left_out_with_its_state(value: bytes) -> None:
    assert parent_of(value) is None
    assert lines({TRACEPARENT: value, TRACESTATE: b"a=1"}) == b""


@pytest.mark.parametrize("value", [b"", b"a=1," * 32 + b"b=2", b"a=" + b"1" * 600, b"a=\xc3\xa4", b"a=1\r\nHost: x"])
def test_a_state_that_is_too_much_is_left_out_alone(value: bytes) -> None:
    assert lines({TRACEPARENT: VALID, TRACESTATE: value}) == b"traceparent: %b\r\n" % VALID


def test_all_of_it_with_a_parent_of_its_own() -> None:
    said = {
        TRACEPARENT: VALID,
        TRACESTATE: b"a=1,b=2",
        BAGGAGE: b"user=7",
        XRAY: b"Root=1-5759e988-bd862e3fe1be46a9;Sampled=1",
    }
    own = context.traceparent(TRACE, b"1" * 16, 1)
    assert lines(said, own) == (
        b"traceparent: 00-%b-1111111111111111-01\r\ntracestate: a=1,b=2\r\nbaggage: user=7\r\n"
        b"X-Amzn-Trace-Id: Root=1-5759e988-bd862e3fe1be46a9;Sampled=1\r\n" % TRACE
    )


LINE = re.compile(rb"(?:(?:traceparent|tracestate|baggage|X-Amzn-Trace-Id): [\x20-\x7e\t]+\r\n)*")
ANYTHING = st.binary(max_size=80) | st.from_regex(rb"[0c]{2}-[0-9a-f]{32}-[0-9a-f]{16}-0[01].{0,5}", fullmatch=True)


@given(st.dictionaries(st.sampled_from(sorted(context.HEADERS)), ANYTHING))
def test_no_caller_writes_a_line_of_its_own(said: dict[bytes, bytes]) -> None:
    assert LINE.fullmatch(lines(said))
