"""Whose requests come through: not those of a foreign web page, on the first request of a connection or a later one."""

from __future__ import annotations

import os
import socket

import pytest

from tests.objects.conftest import ObjectsServer, exchange
from tests.objects.test_bodies import head

DELETE = b"<Delete><Object><Key>victim</Key></Object></Delete>"
FOREIGN = [
    ("Origin: http://evil.example", "Sec-Fetch-Site: cross-site"),
    ("Origin: null",),
    ("Sec-Fetch-Site: same-site",),
]


def foreign_delete(bucket: str, *headers: str, host: str = "localhost") -> bytes:
    request = head(bucket, "?delete", f"Content-Length: {len(DELETE)}", "Content-Type: text/plain", *headers)
    request = request.replace(b"/?delete", b"?delete").replace(b"PUT ", b"POST ")
    return request.replace(b"Host: localhost", f"Host: {host}".encode()) + DELETE


@pytest.mark.parametrize("headers", FOREIGN)
def test_a_foreign_page_deletes_nothing(server: ObjectsServer, bucket: str, headers: tuple[str, ...]) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="victim", Body=b"x")
    status, answer = exchange(server.connect(), foreign_delete(bucket, *headers))
    assert status == 403
    assert b"<Code>AccessDenied</Code><Message>The request comes from a web page of" in answer
    assert s3.head_object(Bucket=bucket, Key="victim")["ContentLength"] == 1


def test_a_later_request_is_asked_too(server: ObjectsServer, bucket: str) -> None:
    s3 = server.client()
    s3.put_object(Bucket=bucket, Key="victim", Body=b"x")
    with server.connect() as connection:
        connection.sendall(head(bucket, "victim", method="GET").replace(b"Connection: close\r\n", b""))
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        status, _ = exchange(connection, foreign_delete(bucket, *FOREIGN[0]))
    assert status == 403
    assert s3.head_object(Bucket=bucket, Key="victim")["ContentLength"] == 1


def test_a_name_that_was_given_our_address_is_not_ours(server: ObjectsServer, bucket: str) -> None:
    server.client().put_object(Bucket=bucket, Key="victim", Body=b"x")
    status, answer = exchange(server.connect(), foreign_delete(bucket, host="rebind.evil.example:8080"))
    assert (status, b"MOORING_ALLOWED_HOSTS" in answer) == (403, True)
    assert exchange(server.connect(), foreign_delete(bucket, host=f"{bucket}.localhost:8080"))[0] != 403


def test_moorings_own_socket_is_exempt(server: ObjectsServer) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(os.fspath(server.paths.s3_socket))
        request = b"GET / HTTP/1.1\r\nHost: anything.example\r\nOrigin: null\r\nConnection: close\r\n\r\n"
        assert exchange(connection, request)[0] == 200
