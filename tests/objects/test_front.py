"""The process: handing over, piping on, stopping, dying, and the memory it takes."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from mooring.objects.client import open_source
from tests.objects.conftest import ObjectsServer, exchange, hand_over
from tests.objects.test_bodies import head

MIB = 1024 * 1024


def resident_mib(pid: int) -> float:
    """The most that a process has had resident."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


def upload(server: ObjectsServer, bucket: str, key: str, size: int) -> None:
    block = bytes(MIB)
    with server.connect() as connection:
        connection.sendall(head(bucket, key, f"Content-Length: {size}"))
        for _ in range(size // MIB):
            connection.sendall(block)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200 ")


def test_large_uploads_at_once_take_bounded_memory(own_server: ObjectsServer) -> None:
    own_server.client().create_bucket(Bucket="large")
    threads = [
        threading.Thread(target=upload, args=(own_server, "large", f"k{number}", 32 * MIB)) for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(50)
    sizes = [each["Size"] for each in own_server.client().list_objects_v2(Bucket="large")["Contents"]]
    assert sizes == [32 * MIB] * 8
    assert resident_mib(own_server.process.pid) < 80


def begin_upload(server: ObjectsServer) -> Iterator[socket.socket]:
    """A PUT whose first half has arrived, then whatever the test does, then the end."""
    s3 = server.client()
    s3.create_bucket(Bucket="cut")
    s3.put_object(Bucket="cut", Key="k", Body=b"old")
    with server.connect() as connection:
        connection.sendall(head("cut", "k", f"Content-Length: {2 * MIB}") + bytes(MIB))
        deadline = time.monotonic() + 5
        while not any(each.stat().st_size for each in (server.paths.objects / "staging").iterdir()):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        yield connection


def test_a_kill_in_the_middle_of_an_upload_leaves_the_old_object(own_server: ObjectsServer) -> None:
    for connection in begin_upload(own_server):
        own_server.restart(signal.SIGKILL)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(100) == b""
    assert own_server.client().get_object(Bucket="cut", Key="k")["Body"].read() == b"old"
    assert list((own_server.paths.objects / "staging").iterdir()) == []


def test_sigterm_lets_an_upload_finish_and_closes_idle_connections(own_server: ObjectsServer) -> None:
    with own_server.connect() as idle:
        idle.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(65536).startswith(b"HTTP/1.1 200 ")
        for connection in begin_upload(own_server):
            own_server.process.send_signal(signal.SIGTERM)
            assert idle.recv(100) == b""
            status, _ = exchange(connection, bytes(MIB))
            assert status == 200
        assert own_server.process.wait(10) == 0
    own_server.restart()
    assert own_server.client().head_object(Bucket="cut", Key="k")["ContentLength"] == 2 * MIB


def test_it_exits_at_once_when_the_supervisor_dies(own_server: ObjectsServer) -> None:
    for _ in begin_upload(own_server):
        os.close(own_server.lifeline)
        assert own_server.process.wait(1) != 0
    own_server.start()


def test_requests_queue_while_the_front_is_down(own_server: ObjectsServer) -> None:
    own_server.kill()
    with own_server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        own_server.restart()
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_another_services_request_on_the_same_connection_is_piped(server: ObjectsServer) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"ListAllMyBucketsResult" in connection.recv(65536)
        status, body = exchange(
            connection,
            b"POST / HTTP/1.1\r\nX-Amz-Target: SageMaker.X\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        )
    assert (status, body) == (200, b"other")


def test_bad_handovers_harm_nobody(server: ObjectsServer) -> None:
    mine, theirs = socket.socketpair()
    with mine, theirs:
        for message in (b"", b"\x00", b"\xff\xff\xff\xff", (5).to_bytes(4, "big") + b"abc", b"\0\0\0\1ab"):
            with socket.socket(socket.AF_UNIX) as channel:
                channel.connect(os.fspath(server.paths.handover_socket))
                if message:
                    socket.send_fds(channel, [message], [theirs.fileno()])
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(os.fspath(server.paths.handover_socket))
            channel.sendall(b"\0\0\0\0")
        with socket.socket(socket.AF_UNIX) as channel:
            channel.connect(os.fspath(server.paths.handover_socket))
            socket.send_fds(channel, [b"\0\0\0\0"], [theirs.fileno(), mine.fileno()])
    assert server.client().list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_a_head_that_comes_in_pieces(server: ObjectsServer) -> None:
    with socket.create_connection(("127.0.0.1", server.acceptor.port)) as client:
        client.settimeout(10)
        request = b"\r\nGET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
        client.sendall(request[:1])
        for at in range(1, len(request)):
            time.sleep(0.001)
            client.sendall(request[at : at + 1])
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_more_connections_than_threads(server: ObjectsServer) -> None:
    """Idle connections give way: 300 of them do not lock anybody out."""
    idle = []
    try:
        for _ in range(300):
            connection = socket.socket(socket.AF_UNIX)
            connection.connect(os.fspath(server.paths.s3_socket))
            idle.append(connection)
        assert server.client().list_buckets()["ResponseMetadata"]["HTTPStatusCode"] == 200
    finally:
        for connection in idle:
            connection.close()


def test_mooring_reads_its_own_objects_over_the_socket(server: ObjectsServer, bucket: str) -> None:
    server.client().put_object(Bucket=bucket, Key="x", Body=b"1")
    assert [*open_source(server.settings, server.paths).list(bucket, "")] == [("x", 1)]


def test_a_connection_can_be_handed_over_with_nothing_read(server: ObjectsServer) -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    with listener, socket.create_connection(listener.getsockname()) as client:
        accepted, _ = listener.accept()
        with accepted:
            hand_over(server.paths.handover_socket, accepted, b"")
        client.settimeout(10)
        assert exchange(client, b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")[0] == 200
