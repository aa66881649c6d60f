"""Properties of reading: however the bytes arrive, the same messages come out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.http1.connection import ServerConnection
from mooring.http1.listening import Limits, Listening
from mooring.http1.messages import Request
from mooring.http1.ticking import Ticker


class Recorder:
    """A transport that only remembers."""

    def __init__(self) -> None:
        self.written = b""
        self.paused = False
        self.closed = False

    def write(self, data: bytes) -> None:
        self.written += data

    def writelines(self, pieces: tuple[bytes, ...]) -> None:
        self.written += b"".join(pieces)

    def close(self) -> None:
        self.closed = True

    abort = close

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


class Collector(ServerConnection):
    """Keeps its requests; answers at once, or when told."""

    __slots__ = ("at_once", "requests")

    def __init__(self, at_once: bool = True, limits: Limits | None = None) -> None:
        super().__init__(Listening(limits or Limits(), Ticker()))
        self.at_once = at_once
        self.requests: list[Request] = []
        self.connection_made(Recorder())  # type: ignore[arg-type]

    def request_received(self, request: Request) -> None:
        self.requests.append(request)
        if self.at_once:
            self.respond(200, (), b"%d" % len(self.requests))


tokens = st.text("abcXYZ-_09", min_size=1, max_size=12).map(str.encode)
values = st.text("abc XYZ=;,/\t~", max_size=20).map(lambda text: text.strip(" \t").encode())
bodies = st.binary(max_size=300)


@st.composite
def messages(draw: st.DrawFn) -> tuple[bytes, tuple[bytes, list[tuple[bytes, bytes]], bytes]]:
    target = b"/" + draw(tokens)
    headers = [(b"X-" + name, value) for name, value in draw(st.lists(st.tuples(tokens, values), max_size=5))]
    body = draw(bodies)
    if draw(st.booleans()):
        framing = (b"Content-Length", b"%d" % len(body))
        wire = body
    else:
        framing = (b"Transfer-Encoding", b"chunked")
        size = draw(st.integers(1, 100))
        pieces = [body[at : at + size] for at in range(0, len(body), size)]
        wire = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    headers.append(framing)
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    read = [(name.lower(), value) for name, value in headers]
    return b"POST %b HTTP/1.1\r\n%b\r\n%b" % (target, lines, wire), (target, read, body)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges) if a != b]


@settings(max_examples=200)
@given(st.lists(messages(), min_size=1, max_size=4), st.lists(st.integers(0, 10_000), max_size=8), st.booleans())
def test_messages_do_not_depend_on_how_they_arrive(
    sent: list[tuple[bytes, tuple[bytes, list[tuple[bytes, bytes]], bytes]]], places: list[int], at_once: bool
) -> None:
    connection = Collector(at_once)
    for piece in cut(b"".join(wire for wire, _ in sent), places):
        connection.data_received(piece)
    if not at_once:
        for number in range(len(sent)):
            assert len(connection.requests) == number + 1, "the next message waits for the answer"
            connection.respond(200)
    read = [(request.target, request.headers, request.body) for request in connection.requests]
    assert read == [message for _, message in sent]
    assert connection.transport is not None
    transport: Recorder = connection.transport  # type: ignore[assignment]
    assert transport.written.count(b"HTTP/1.1 200 OK\r\n") == len(sent)
    assert not transport.paused
    assert not transport.closed


@settings(max_examples=200)
@given(st.binary(max_size=400), st.lists(st.integers(0, 400), max_size=4))
def test_nonsense_is_refused_and_never_raises(data: bytes, places: list[int]) -> None:
    connection = Collector(limits=Limits(header_bytes=100))
    for piece in cut(data, places):
        connection.data_received(piece)
    assert len(connection.requests) < 20


def test_a_body_grows_no_further_than_its_limit() -> None:
    connection = Collector(limits=Limits(body_bytes=1000))
    connection.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
    for _ in range(100):
        connection.data_received(b"64\r\n" + b"x" * 100 + b"\r\n")
    transport: Recorder = connection.transport  # type: ignore[assignment]
    assert transport.written.startswith(b"HTTP/1.1 413 ")
    assert not connection.requests


def test_chunk_extensions_and_trailers_are_bounded_too() -> None:
    connection = Collector(limits=Limits(body_bytes=1000, header_bytes=100))
    connection.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n")
    for _ in range(200):
        connection.data_received(b"X: " + b"y" * 100 + b"\r\n")
    transport: Recorder = connection.transport  # type: ignore[assignment]
    assert transport.written.startswith(b"HTTP/1.1 413 ")


@pytest.mark.parametrize("began", [b"G", b"GET / HTTP/1.1\r\nX: y", b"GET /" + b"a" * 1000])
def test_a_head_has_ten_seconds_from_its_first_byte(began: bytes) -> None:
    connection = Collector()
    transport: Recorder = connection.transport  # type: ignore[assignment]
    ticker = connection.listening.ticker
    connection.sweep(100.0)
    assert not transport.closed, "nothing began: the connection is idle"
    ticker.now = 100.0
    connection.data_received(began)
    ticker.now = 109.0
    connection.data_received(b"E")
    connection.sweep(110.0)
    assert not transport.closed
    connection.sweep(110.1)
    assert transport.closed


def test_a_body_may_take_longer_than_a_head() -> None:
    connection = Collector()
    transport: Recorder = connection.transport  # type: ignore[assignment]
    connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nx")
    connection.sweep(119.0)
    assert not transport.closed
    connection.sweep(121.0)
    assert transport.closed


class Reserving(Collector):
    """Counts every body that it waits for."""

    __slots__ = ()

    def head_received(self, request: Request, length: int | None) -> int:
        self.reserve(request, length or 100)
        return 1000


def test_a_reservation_ends_with_its_message() -> None:
    connection = Reserving(at_once=False)
    one = b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n"
    for _ in range(2):
        connection.data_received(one)
        connection.data_received(b"x" * 10 + one)
        assert connection.listening.reserved == 20, "one is worked on, one is being read"
        connection.respond(200)
        assert connection.listening.reserved == 10
        connection.data_received(b"x" * 10)
        connection.respond(200)
        assert connection.listening.reserved == 0
    connection.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx")
    assert connection.listening.reserved == 100
    connection.data_received(b"nonsense\r\n")
    assert connection.listening.reserved == 0


def test_a_reservation_ends_with_its_connection() -> None:
    connection = Reserving(at_once=False)
    one = b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n"
    connection.data_received(one)
    connection.data_received(b"x" * 10 + one)
    connection.connection_lost(None)
    assert connection.listening.reserved == 0


def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    connection = Collector(at_once=False)
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    connection.connection_lost(None)
    connection.respond(200)
    assert not connection.busy
