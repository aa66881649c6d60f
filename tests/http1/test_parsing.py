"""Properties of reading: however the bytes arrive, the same messages come out."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.http1.budget import Budget
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

    def __init__(self, at_once: bool = True, limits: Limits | None = None, budget: Budget | None = None) -> None:
        super().__init__(Listening(limits or Limits(), Ticker(), budget))
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


def test_a_body_has_a_grace_and_what_its_bytes_earn() -> None:
    connection = Collector(limits=Limits(body_grace_s=20, body_rate=100))
    transport: Recorder = connection.transport  # type: ignore[assignment]
    head = b"POST / HTTP/1.1\r\nContent-Length: 9000\r\n\r\n"
    connection.data_received(head + b"x" * (5000 - len(head)))
    connection.sweep(69.0)
    assert not transport.written
    connection.sweep(71.0)
    assert transport.written.startswith(b"HTTP/1.1 408 ")


def test_a_rate_of_zero_is_any() -> None:
    connection = Collector(limits=Limits(body_grace_s=20, body_rate=0))
    connection.data_received(b"POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\nx")
    connection.sweep(1e6)
    transport: Recorder = connection.transport  # type: ignore[assignment]
    assert not transport.written
    assert not transport.closed


def counting(budget: Budget, at_once: bool = False) -> Collector:
    """A connection of which every body counts."""
    return Collector(at_once, Limits(uncounted_bytes=0, body_bytes=100), budget)


TEN = b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\n"


def test_a_reservation_ends_with_its_message() -> None:
    budget = Budget()
    connection = counting(budget)
    for _ in range(2):
        connection.data_received(TEN)
        connection.data_received(b"x" * 10 + TEN)
        assert budget.held == 20, "one is worked on, one is being read"
        connection.respond(200)
        assert budget.held == 10
        connection.data_received(b"x" * 10)
        connection.respond(200)
        assert budget.held == 0
    connection.data_received(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx")
    assert budget.held == 100
    connection.data_received(b"nonsense\r\n")
    assert budget.held == 0


def test_a_reservation_ends_with_its_connection() -> None:
    budget = Budget()
    connection = counting(budget)
    connection.data_received(TEN)
    connection.data_received(b"x" * 10 + TEN)
    connection.connection_lost(None)
    assert budget.held == 0


def test_a_body_that_there_is_no_room_for_is_not_read_until_there_is() -> None:
    budget = Budget(15)
    first, second, third = (counting(budget, at_once=True) for _ in range(3))
    for connection in (first, second, third):
        connection.data_received(TEN.replace(b"\r\n\r\n", b"\r\nExpect: 100-continue\r\n\r\n"))
    transports: list[Recorder] = [each.transport for each in (first, second, third)]  # type: ignore[misc]
    assert [each.paused for each in transports] == [False, True, True]
    assert [each.written for each in transports] == [b"HTTP/1.1 100 Continue\r\n\r\n", b"", b""]
    second.connection_lost(None)
    first.data_received(b"x" * 10)
    assert not transports[2].paused
    assert transports[2].written == b"HTTP/1.1 100 Continue\r\n\r\n"
    third.data_received(b"x" * 10)
    assert third.requests[0].body == b"x" * 10
    assert budget.held == 0


def test_a_body_waits_for_room_for_a_while() -> None:
    budget = Budget(15)
    first, second = counting(budget), counting(budget)
    first.data_received(TEN)
    second.data_received(TEN)
    transport: Recorder = second.transport  # type: ignore[assignment]
    second.sweep(29.0)
    assert not transport.written
    second.sweep(31.0)
    assert transport.written.startswith(b"HTTP/1.1 503 ")
    assert budget.held == 10


def test_a_body_larger_than_all_room_does_not_wait() -> None:
    connection = counting(Budget(5))
    connection.data_received(TEN)
    transport: Recorder = connection.transport  # type: ignore[assignment]
    assert transport.written.startswith(b"HTTP/1.1 503 ")


def test_what_is_here_of_bodies_that_wait_is_bounded() -> None:
    budget = Budget(16, waiting_limit=1)
    first, second, third, fourth = (counting(budget) for _ in range(4))
    begun = TEN + b"x"
    first.data_received(begun)
    transports: list[Recorder] = []
    for connection in (second, third, fourth):
        connection.data_received(begun)
        transports.append(connection.transport)  # type: ignore[arg-type]
    assert [each.written[:12] for each in transports] == [b"", b"HTTP/1.1 503", b"HTTP/1.1 503"]
    second.connection_lost(None)
    fifth = counting(budget)
    fifth.data_received(begun)
    transport: Recorder = fifth.transport  # type: ignore[assignment]
    assert (transport.paused, transport.written) == (True, b""), "there is a place to wait again"
    assert budget.held == 10


def test_a_large_body_has_its_place_once() -> None:
    """Whatever parts it comes in, and also when its beginning waited for room."""
    budget = Budget(15)
    first, second = (counting(budget, at_once=True) for _ in range(2))
    first.data_received(TEN + b"0123")
    second.data_received(TEN + b"abc")
    first.data_received(b"4567")
    first.data_received(b"89")
    second.data_received(b"defg")
    second.data_received(b"hij" + TEN + b"k" * 10)
    assert [request.body for request in (*first.requests, *second.requests)] == [
        b"0123456789", b"abcdefghij", b"k" * 10,
    ]  # fmt: skip
    assert budget.held == 0


@given(st.lists(st.tuples(st.integers(1, 10), st.sampled_from(["take", "give", "leave"])), max_size=60))
def test_room_is_given_in_the_order_of_asking_and_never_twice(steps: list[tuple[int, str]]) -> None:
    budget = Budget(10)
    asked: list[Asking] = []
    given_to: list[Asking] = []
    for size, step in steps:
        if step == "take":
            one = Asking(size, given_to)
            asked.append(one)
            if budget.take(size, one):
                given_to.append(one)
        elif step == "give" and (holding := [one for one in given_to if not one.done]):
            holding[size % len(holding)].done = True
            budget.give_back(holding[size % len(holding)].size)
        elif step == "leave" and (waiting := [one for one in asked if one not in given_to]):
            asked.remove(waiting[size % len(waiting)])
            budget.withdraw(waiting[size % len(waiting)])
        assert budget.held == sum(one.size for one in given_to if not one.done) <= 10
        assert given_to == [one for one in asked if one in given_to]
        waiting = [one for one in asked if one not in given_to]
        assert asked == given_to + waiting
        assert not waiting or budget.held + waiting[0].size > 10, "whoever is next fits, and waits all the same"


class Asking:
    """Remembers that it was given room."""

    def __init__(self, size: int, given_to: list[Asking]) -> None:
        self.size = size
        self.done = False
        self._given_to = given_to

    def room_given(self) -> None:
        self._given_to.append(self)


def test_an_answer_to_a_client_that_left_is_dropped() -> None:
    connection = Collector(at_once=False)
    connection.data_received(b"GET / HTTP/1.1\r\n\r\n")
    connection.connection_lost(None)
    connection.respond(200)
    assert not connection.busy
