"""What many, slow or nested connections may take: so many threads, so much time, and never the process."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.objects import front as fronts
from mooring.objects import piping, streams
from mooring.objects.connections import Limits
from mooring.objects.front import Front
from mooring.objects.service import Service
from mooring.objects.storage import Storage
from mooring.objects.streams import LEAST_BYTES_S, PACE_S, Pace
from mooring.settings import AccountSettings
from tests.objects.conftest import ObjectsServer, exchange, hand_over, listen

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
SLOW = b"PUT /slow/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000000\r\n\r\nx"


class Running:
    """A front in a thread of this process, where a test may change what it calls."""

    def __init__(self, root: Path) -> None:
        self.handover_path, self._path = root / "h", root / "s"
        self.listeners = (listen(self.handover_path), listen(self._path))
        storage = Storage(root / "objects")
        storage.open()
        storage.create_bucket("slow", "us-east-1")
        self.front = Front(*self.listeners, None, Service(storage, AccountSettings()), Limits(32768, 120.0))
        self._thread = threading.Thread(target=self.front.run)
        self._thread.start()

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(os.fspath(self._path))
        return connection

    def threads(self) -> int:
        return sum(each.name == "s3-connection" for each in threading.enumerate())

    def close(self) -> None:
        self.front.stop()
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr(fronts, "STOP_S", 0.2)
    stack = threading.stack_size()
    started = Running(tmp_path)
    try:
        yield started
    finally:
        started.close()
        threading.stack_size(stack)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def is_served(running: Running) -> bool:
    with running.connect() as connection:
        connection.sendall(GET)
        return connection.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_so_many_threads_and_not_one_more(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "MOST_CONNECTIONS", 6)
    with contextlib.ExitStack() as stack:
        uploads = []
        for _ in range(20):
            uploads.append(stack.enter_context(running.connect()))
            uploads[-1].sendall(SLOW)
        until(lambda: running.threads() == 6)
        time.sleep(0.2)
        assert running.threads() == 6
        waiting = stack.enter_context(running.connect())
        waiting.sendall(GET)
        for each in uploads:
            each.close()
        assert waiting.recv(65536).startswith(b"HTTP/1.1 200 ")


def test_the_idle_give_way_at_once(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "MOST_CONNECTIONS", 3)
    begun = time.monotonic()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            connection = stack.enter_context(running.connect())
            connection.sendall(GET)
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert time.monotonic() - begun < 3


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "too many"), RuntimeError("can't start new thread")])
def test_what_the_system_refuses_does_not_end_the_front(
    running: Running, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    real = {"accept": socket.socket.accept, "start": threading.Thread.start}
    left = [3]

    def failing(name: str) -> Callable[..., object]:
        def call(this: object, *arguments: object) -> object:
            ours = name == "accept" or getattr(this, "name", "") == "s3-connection"
            if ours and left[0] > 0:
                left[0] -= 1
                raise error
            return real[name](this, *arguments)  # type: ignore[operator]

        return call

    if isinstance(error, OSError):
        monkeypatch.setattr(socket.socket, "accept", failing("accept"))
        assert is_served(running)
    else:
        monkeypatch.setattr(threading.Thread, "start", failing("start"))
        for _ in range(3):
            with running.connect() as connection, contextlib.suppress(ConnectionError):
                connection.sendall(GET)
                assert connection.recv(100) == b""  # closed, and nothing of it is left
        assert is_served(running)
    assert left == [0]


def test_a_pace_is_an_average_over_its_time() -> None:
    pace = Pace()
    assert all(pace.keeps_up(1, 1.0) for _ in range(int(PACE_S) - 1))
    assert not pace.keeps_up(1, 1.0)
    pace = Pace()
    assert pace.keeps_up(0, PACE_S - 1)
    assert pace.keeps_up(int(LEAST_BYTES_S * PACE_S) + 1024, 1.0)
    assert not pace.keeps_up(10, PACE_S)


def test_an_upload_that_hardly_moves_is_ended(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "PACE_S", 0.2)
    with running.connect() as connection:
        connection.sendall(SLOW.replace(b"1000000", b"5000"))
        received = b""
        while not received:
            with contextlib.suppress(OSError):
                connection.sendall(b"y")
            connection.settimeout(0.05)
            with contextlib.suppress(TimeoutError):
                received = connection.recv(65536)
        assert received.startswith(b"HTTP/1.1 400 ")
        assert b"RequestTimeout" in received
        assert b"connection: close" in received
    until(lambda: running.threads() == 0)


def test_an_answer_that_is_hardly_taken_is_ended(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    with running.connect() as connection:
        connection.sendall(
            b"PUT /slow/k HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n" + bytes(4_000_000)
        )
        assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
    monkeypatch.setattr(streams, "PACE_S", 0.2)
    monkeypatch.setattr(streams, "LEAST_BYTES_S", 1 << 40)
    with running.connect() as connection:
        connection.sendall(b"GET /slow/k HTTP/1.1\r\nHost: localhost\r\n\r\n")
        until(lambda: running.threads() == 1)
        time.sleep(0.3)
        size = 0
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(1 << 20):
                size += len(piece)
        assert size < 4_000_000
    until(lambda: running.threads() == 0)


@contextlib.contextmanager
def handed_over(running: Running) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A TCP connection that the front was given, and the listener that it came from: the gateway."""
    with socket.create_server(("127.0.0.1", 0)) as gateway:
        gateway.settimeout(20)
        with socket.create_connection(gateway.getsockname()) as client:
            client.settimeout(20)
            accepted, _ = gateway.accept()
            with accepted:
                hand_over(running.handover_path, accepted, GET)
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            yield client, gateway


@pytest.mark.parametrize("target", [b"/x/-/x", b"/?%ff", b"/b/k?X-Amz-Credential=a", b"/-", b"*"])
def test_what_the_gateway_would_hand_back_is_answered_here(server: ObjectsServer, target: bytes) -> None:
    """The stand-in for the gateway hands everything over but what has an X-Amz-Target: a relay would come back."""
    threads = Path(f"/proc/{server.process.pid}/task")
    with server.connect() as connection:
        for _ in range(3):
            connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert connection.recv(65536).startswith(b"HTTP/1.1 4")
            assert len(list(threads.iterdir())) <= 3
        assert exchange(connection, GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))[0] == 200


def test_a_relayed_request_is_the_last_of_its_connection(running: Running) -> None:
    request = b"POST / HTTP/1.1\r\nHost: localhost\r\nConnection: keep-alive\r\nX-Amz-Target: SageMaker.X\r\n\r\n"
    with handed_over(running) as (client, gateway):
        client.sendall(request)
        relayed, _ = gateway.accept()
        with relayed:
            assert relayed.recv(65536) == piping.as_last(request)
            relayed.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n")
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert client.recv(65536) == b""
    until(lambda: running.threads() == 0)


def test_a_relay_that_stands_still_gives_way(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fronts, "MOST_CONNECTIONS", 1)
    with handed_over(running) as (client, gateway):
        client.sendall(b"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: SageMaker.X\r\n\r\n")
        relayed, _ = gateway.accept()
        with relayed:
            assert relayed.recv(65536)
            assert is_served(running)
        assert client.recv(65536) == b""


@pytest.mark.parametrize(
    "fields",
    [
        b"Connection: keep-alive\r\nHost: a",
        b"Host: a\r\nconnection : keep-alive\r\nCONNECTION: x\r\n y\r\n\tz",
        b"Proxy-Connection: keep-alive\r\nHost: a\r\nConnection: upgrade",
        b"Host: a",
    ],
)
def test_a_head_as_the_last_of_its_connection(fields: bytes) -> None:
    made = piping.as_last(b"\r\nGET /x HTTP/1.1\r\n" + fields + b"\r\n\r\n")
    assert made == b"GET /x HTTP/1.1\r\nConnection: close\r\nHost: a\r\n\r\n"
