"""What goes into heads: nothing that a client says may end a line of an answer, or of the log."""

from __future__ import annotations

import json
import logging
import socket
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.objects import answers
from mooring.objects.answers import Answer
from mooring.objects.bodies import Body
from mooring.objects.errors import S3Error
from mooring.objects.requests import address, is_header_text, parse_head
from mooring.objects.service import Service
from mooring.objects.storage import Storage
from mooring.objects.streams import SocketStream
from mooring.settings import AccountSettings
from tests.objects.conftest import ObjectsServer, exchange
from tests.objects.test_bodies import head


@pytest.mark.parametrize(
    "query",
    [
        "x-amz-meta-a=b%0d%0aSet-Cookie:%20evil=1",
        "x-amz-meta-a=b%0aSet-Cookie:evil",
        "x-amz-meta-a=b%00",
        "x-amz-meta-a%0d%0aSet-Cookie:%20evil=1",
        "x-amz-meta-%20=1",
        "x-amz-meta-a%3ab=1",
    ],
)
def test_a_parameter_that_becomes_a_header_must_be_one(server: ObjectsServer, bucket: str, query: str) -> None:
    status, answer = exchange(server.connect(), head(bucket, f"k?{query}", "Content-Length: 1") + b"x")
    assert (status, b"InvalidArgument" in answer) == (400, True)
    assert exchange(server.connect(), head(bucket, "k", method="GET"))[0] == 404


@given(st.text(), st.text(max_size=20))
def test_whatever_the_query_says_headers_stay_headers(value: str, name: str) -> None:
    def encoded(text: str) -> str:
        return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))

    request = f"PUT /b/k?x-amz-meta-{encoded(name)}={encoded(value)} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    found = parse_head(request.encode())
    try:
        address(found)
    except S3Error as error:
        assert error.status == 400
    assert all(is_header_text(f"{key}: {text}") for key, text in found.headers.items())


def test_the_writer_of_heads_sends_no_control_characters(caplog: pytest.LogCaptureFixture) -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs, caplog.at_level(logging.CRITICAL, "mooring.objects"):
        bad = Answer(200, {"x-amz-meta-a": "b\r\nSet-Cookie: evil=1"}, b"content")
        answers.send(mine, bad, request_id="R", is_head=False, keep_alive=False)
        mine.shutdown(socket.SHUT_WR)
        received = theirs.recv(65536)
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"InternalError" in received
    assert b"evil" not in received


def test_a_record_from_before_the_check_is_not_sent(server: ObjectsServer, bucket: str) -> None:
    server.client().put_object(Bucket=bucket, Key="k", Body=b"x", Metadata={"a": "harmless"})
    changed = 0
    for path in (server.paths.objects / "records").rglob("*"):
        if path.is_file() and b"harmless" in (content := path.read_bytes()):
            document = json.loads(content)
            path.write_text(json.dumps(document).replace("harmless", "b\\r\\nSet-Cookie: evil=1"))
            changed += 1
    assert changed == 1
    with server.connect() as connection:
        connection.sendall(head(bucket, "k", method="GET"))
        received = b""
        while piece := connection.recv(65536):
            received += piece
    assert received.startswith(b"HTTP/1.1 500 ")
    assert b"evil" not in received


def test_a_path_forges_no_line_of_the_log(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = Storage(tmp_path)
    storage.open()
    mine, theirs = socket.socketpair()
    with mine, theirs, caplog.at_level(logging.INFO, "mooring.objects"):
        found = parse_head(b"GET /nobucket/a%0aERROR%20forged?b%0aforged HTTP/1.1\r\nHost: localhost\r\n\r\n")
        body = Body(SocketStream(mine), found.headers)
        assert Service(storage, AccountSettings()).answer(found, body, "R").status == 501
    assert "forged" in caplog.text
    assert all("\n" not in record.getMessage() for record in caplog.records)


@pytest.mark.parametrize("first", [True, False])
def test_a_query_that_is_not_text(server: ObjectsServer, bucket: str, first: bool) -> None:
    with server.connect() as connection:
        if not first:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        status, answer = exchange(connection, head(bucket, "k?%ff=1", method="GET"))
    assert (status, b"InvalidURI" in answer) == (400, True)
