"""The HTTP edge of a replica: limits, pipelining, bodies, refusals; with httptools and with the parser of its own."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httptools
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring_model_server.connections import render
from mooring_model_server.contract import Answer
from mooring_model_server.parsing import ParseError, RequestParser
from tests.model_server.serving import Replica, executed, prepare

SCRIPT = """
import sys
def model_fn(d): return "httptools" in sys.modules
def predict_fn(data, model): return model if data == b"httptools" else len(data)
"""


@pytest.fixture(scope="module", params=["with httptools", "standard library only"])
def replica(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replica]:
    prepared = prepare(tmp_path_factory.mktemp("http") / "r", SCRIPT, body_limit=100_000)
    if request.param != "with httptools":
        blocked = prepared.root / "work" / "blocked"
        blocked.mkdir()
        (blocked / "httptools.py").write_text("raise ImportError('not here')\n")
        prepared.spec["environment"]["PYTHONPATH"] = str(blocked)
    with executed(prepared) as running:
        used = running.invoke("httptools", "application/octet-stream").json
        assert used == (request.param == "with httptools")
        yield running


def talk(replica: Replica, *parts: bytes, then_end: bool = False) -> bytes:
    """Send parts, then read to the end."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(replica.socket))
        for part in parts:
            client.sendall(part)
        if then_end:
            client.shutdown(socket.SHUT_WR)
        answer = b""
        while data := client.recv(65536):
            answer += data
        return answer


def test_routes(replica: Replica) -> None:
    assert replica.ping().status == 200
    assert replica.ask("GET", "/ping?x=1").status == 200
    assert replica.ask("GET", "/execution-parameters").json["BatchStrategy"] == "MULTI_RECORD"
    assert replica.ask("GET", "/elsewhere").status == 404
    refused = replica.ask("GET", "/invocations")
    assert (refused.status, refused.headers["allow"]) == (405, "POST")
    assert replica.ask("POST", "/ping", b"").status == 405


def test_connection_is_kept_and_pipelined_requests_are_answered_in_order(replica: Replica) -> None:
    call = b"POST /invocations HTTP/1.1\r\nContent-Type: a/b\r\nContent-Length: 3\r\n\r\nabc"
    ping = b"GET /ping HTTP/1.1\r\n\r\n"
    last = b"GET /gone HTTP/1.1\r\nConnection: close\r\n\r\n"
    answer = talk(replica, call + ping * 2000 + call + last)
    assert answer.startswith(
        b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 1\r\n\r\n3HTTP/1.1 200 OK"
    )
    assert answer.count(b"HTTP/1.1 200 OK") == 2002
    assert b"404 Not Found" in answer


def test_chunked_body(replica: Replica) -> None:
    head = b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n"
    answer = talk(replica, head, b"3\r\nabc\r", b"\nA;x=y\r\n0123456789\r\n0\r\nTrailer: t\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n13")


def test_expectation_is_met_before_the_body(replica: Replica) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(10)
        client.connect(str(replica.socket))
        client.sendall(b"POST /invocations HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert client.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"ab")
        assert client.recv(1000).endswith(b"\r\n\r\n2")


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 100001\r\nExpect: 100-continue\r\n\r\n", b"413"),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 200_000, b"413"),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n20000\r\n" + b"x" * 0x20000, b"413"),
        (b"GET /ping HTTP/1.1\r\nX: " + b"x" * 200_000, b"4"),
        (b"GET /ping HTTP/1.1\r\nbad header\r\n\r\n", b"400"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", b"400"),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", b"400"),
        (b"POST /invocations HTTP/1.1\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", b"400"),
        (b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", b"400"),
    ],
)
def test_refusals(replica: Replica, sent: bytes, status: bytes) -> None:
    answer = talk(replica, sent, then_end=True)
    assert answer.startswith(b"HTTP/1.1 " + status), answer[:100]
    assert b"Connection: close" in answer
    assert answer.count(b"HTTP/1.1 ") == 1
    assert replica.ping().status == 200


def test_endless_trailers_and_chunk_extensions_are_cut_off(replica: Replica) -> None:
    head = b"POST /invocations HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    for endless in (b"0\r\n" + b"X: y\r\n" * 100_000, b"0\r\nX: " + b"y" * 400_000, b"1;" + b"x" * 400_000):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(replica.socket))
            client.sendall(head + endless)
            assert client.recv(10) == b"HTTP/1.1 4"
    assert replica.ping().status == 200


def test_client_that_asks_and_does_not_read_is_not_read_either(replica: Replica) -> None:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(0.3)
        client.connect(str(replica.socket))
        pings = b"GET /ping HTTP/1.1\r\n\r\n" * 1000
        with pytest.raises(TimeoutError):
            client.sendall(pings * 2000)  # 44 MB, of which buffers hold a few
        assert replica.ping().status == 200


def test_unfinished_messages_hold_up_neither_pings_nor_the_end(tmp_path: Path) -> None:
    with executed(prepare(tmp_path / "r", SCRIPT)) as replica, contextlib.ExitStack() as stack:
        for begun in (
            b"",
            b"G",
            b"GET /ping HTTP/1.1\r\nA: ",
            b"POST /invocations HTTP/1.1\r\nContent-Length: 9\r\n\r\n1",
        ):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(10)
            client.connect(str(replica.socket))
            client.sendall(begun)
        assert replica.ping().status == 200
        os.kill(replica.pid, signal.SIGTERM)
        assert client.recv(1) == b""


def test_body_at_the_limit(replica: Replica) -> None:
    assert replica.invoke(b"x" * 100_000, "application/octet-stream").json == 100_000


def test_answers_cannot_be_split_by_what_a_script_set() -> None:
    answer = Answer(
        200, "a/b\r\nX: 1", b"body", [("Y\r\nZ", "1\r\n\r\nno"), ("Content-Length", "999"), ("X-Kept", "é")]
    )
    head, _, body = render(answer, keep=True).partition(b"\r\n\r\n")
    assert body == b"body"
    names = [line.partition(b":")[0] for line in head.split(b"\r\n")[1:]]
    assert names == [b"Content-Type", b"Y  Z", b"X-Kept", b"Content-Length"]


def test_empty_statuses_have_no_body_and_no_length() -> None:
    assert render(Answer(204, None, b""), keep=True) == b"HTTP/1.1 204 No Content\r\n\r\n"


class Events:
    """What a parser said, with the body joined."""

    def __init__(self, parser: Any = RequestParser) -> None:
        self.seen: list[Any] = []
        self.parser = parser(self)

    def on_message_begin(self) -> None:
        self.seen.append("begin")

    def on_url(self, url: bytes) -> None:
        self.seen.append(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self.seen.append((name, value))

    def on_headers_complete(self) -> None:
        self.seen += [self.parser.get_method(), self.parser.should_keep_alive(), self.parser.get_http_version(), [b""]]

    def on_body(self, body: bytes) -> None:
        self.seen[-1][0] += body

    def on_message_complete(self) -> None:
        self.seen.append("complete")


def read(events: Events, data: bytes, cuts: list[int]) -> list[Any]:
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    for start, end in pairwise(edges):
        events.parser.feed_data(data[start:end])
    return events.seen


token = st.from_regex(rb"X-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True)
text = st.from_regex(rb"([!-~]([ -~]{0,20}[!-~])?)?", fullmatch=True)


@st.composite
def messages(draw: st.DrawFn) -> bytes:
    lines = [draw(st.sampled_from([b"GET /ping HTTP/1.1", b"POST /invocations?a=b HTTP/1.1", b"POST /x HTTP/1.0"]))]
    lines += [name + b": " + value for name, value in draw(st.lists(st.tuples(token, text), max_size=4))]
    lines += draw(st.sampled_from([[], [b"Connection: close"], [b"connection: keep-alive"]]))
    body = draw(st.binary(max_size=50))
    if body and not lines[0].endswith(b"1.0") and draw(st.booleans()):
        at = draw(st.integers(1, len(body)))
        lines.append(b"Transfer-Encoding: chunked")
        parts = [part for part in (body[:at], body[at:]) if part]
        body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    elif body:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@settings(max_examples=150)
@given(message=messages(), cuts=st.lists(st.integers(0, 500), max_size=6))
def test_own_parser_reads_as_httptools_does(message: bytes, cuts: list[int]) -> None:
    assert read(Events(), message, cuts) == read(Events(httptools.HttpRequestParser), message, [])


@settings(max_examples=150)
@given(data=st.one_of(st.binary(max_size=200), messages().map(lambda m: m.replace(b"\r\n", b"\n", 1))))
def test_own_parser_refuses_or_waits_but_never_breaks(data: bytes) -> None:
    try:
        Events().parser.feed_data(data)
    except ParseError as error:
        assert str(error)


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\nHost: x\n\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n folded\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
        b"GET  / HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: +3\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 3, 3\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n",
        b"GET / HTTP/1.1\r\nA: b\x00c\r\n\r\n",
        b"X" * 70_000,
    ],
)
def test_own_parser_refuses_what_could_be_read_in_two_ways(head: bytes) -> None:
    with pytest.raises(ParseError):
        Events().parser.feed_data(head)


def test_bare_python_needs_nothing(tmp_path: Path) -> None:
    with executed(prepare(tmp_path / "r", SCRIPT), "python3", "-S", PYTHONPATH=str(source())) as replica:
        assert replica.invoke("httptools", "application/octet-stream").json is False


def source() -> Path:
    import mooring_model_server

    return Path(mooring_model_server.__file__).parents[1]
