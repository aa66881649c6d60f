"""No request is found in bytes that a strict reading finds none in, however they are cut."""

from __future__ import annotations

import re

from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from tests.http1 import reference
from tests.http1.oddities import messages, pieces
from tests.http1.test_parsing import Collector, Recorder

START = b"POST /endpoints/ep/invocations HTTP/1.1"
CUTS = st.lists(st.integers(0, 2000), max_size=4)


@settings(max_examples=600)
@given(st.lists(messages(START), min_size=1, max_size=3), CUTS, st.booleans())
@example([b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nZ\r\n0\r\n\r\n"], [], True)
def test_what_is_delivered_is_what_a_strict_reading_finds(sent: list[bytes], places: list[int], at_once: bool) -> None:
    data = b"".join(sent)
    connection = Collector(at_once)
    for piece in pieces(data, places):
        connection.data_received(piece)
    while not at_once and connection.busy:
        connection.respond(200)
    strict = reference.requests(data)
    event(f"{len(connection.requests)} of {len(sent)} delivered")
    read = [(each.target, each.body) for each in connection.requests]
    assert read == [(each.start, each.body) for each in strict][: len(read)], data
    framing = (b"content-length", b"transfer-encoding")
    for mine, theirs in zip(connection.requests, strict, strict=False):
        read_framing = [(name, value.strip(b" \t")) for name, value in mine.headers if name in framing]
        assert read_framing == [header for header in theirs.headers if header[0] in framing]


@settings(max_examples=200)
@given(messages(START), CUTS)
def test_what_is_answered_is_one_response_each(sent: bytes, places: list[int]) -> None:
    connection = Collector()
    for piece in pieces(sent, places):
        connection.data_received(piece)
    transport: Recorder = connection.transport  # type: ignore[assignment]
    answers = transport.written.replace(b"HTTP/1.1 100 Continue\r\n\r\n", b"")
    count = len(re.findall(rb"HTTP/1\.1 [0-9]", answers))
    assert count - len(connection.requests) in (0, 1), "one refusal at the most, and it is the last"
    if count == 1:
        reference.one_response(answers)
