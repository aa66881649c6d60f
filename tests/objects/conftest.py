"""A started objects front, and a stand-in for the gateway: an acceptor that hands every TCP connection over."""

from __future__ import annotations

import dataclasses
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

from mooring.paths import Paths
from mooring.settings import RESOLVED, Settings, load
from tests.objects.keeping import KeysOfControl

FIRST_READ = 64 * 1024


def hand_over(path: Path, connection: socket.socket, held: bytes) -> None:
    """What a gateway does with a connection whose first request is S3's."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as channel:
        channel.connect(os.fspath(path))
        source = str(connection.getpeername()[0]).encode()
        message = len(held).to_bytes(4, "big") + bytes([len(source)]) + source + held
        sent = socket.send_fds(channel, [message], [connection.fileno()])
        if sent < len(message):  # to send nothing fails once the front has taken the connection and closed this one
            channel.sendall(message[sent:])


class Acceptor:
    """Listens on a loopback port; S3's requests are handed over, `/echo` is answered as another service would."""

    def __init__(self, paths: Paths) -> None:
        self._paths = paths
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            connection.settimeout(10)
            try:
                held = connection.recv(FIRST_READ)
                if b"x-amz-target" in held.lower():
                    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother")
                elif held:
                    hand_over(self._paths.handover_socket, connection, held)
            except OSError:
                return

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def listen(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(os.fspath(path))
    listener.listen(128)
    return listener


class ObjectsServer:
    """The front's process with its sockets; `restart` keeps the data and the sockets."""

    def __init__(self, root: Path, **environment: str) -> None:
        settings = load(environment)
        self.settings: Settings = dataclasses.replace(
            settings, server=dataclasses.replace(settings.server, data_dir=str(root), log_level="warning")
        )
        self.paths = Paths(root)
        self.paths.make_private_directories()
        self._listeners = [listen(self.paths.handover_socket), listen(self.paths.s3_socket)]
        self.process: subprocess.Popen[bytes]
        self.lifeline = -1
        self.start()
        self.acceptor = Acceptor(self.paths)
        self.url = f"http://127.0.0.1:{self.acceptor.port}"

    def ask_keys(self) -> KeysOfControl:
        """Have the part of control that makes and opens data keys."""
        return KeysOfControl(self.settings, self.paths)

    def start(self) -> None:
        lifeline_read, self.lifeline = os.pipe()
        ready_read, ready_write = os.pipe()
        handover, s3 = self._listeners
        inherited = (handover.fileno(), s3.fileno(), lifeline_read, ready_write)
        names = ("--handover-fd", "--s3-fd", "--lifeline-fd", "--ready-fd")
        arguments = [text for name, fd in zip(names, inherited, strict=True) for text in (name, str(fd))]
        environment = {**os.environ, RESOLVED: self.settings.to_json()}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "mooring.objects", *arguments], pass_fds=inherited, env=environment
        )
        os.close(lifeline_read)
        os.close(ready_write)
        with os.fdopen(ready_read, "rb") as ready:
            assert ready.read() == b"1"

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)

    def restart(self, number: int = signal.SIGKILL) -> None:
        self.process.send_signal(number)
        self.process.wait(10)
        os.close(self.lifeline)
        self.start()

    def client(
        self,
        style: str = "path",
        region: str = "us-east-1",
        key: tuple[str, ...] = ("any", "thing"),
        signature_version: str | None = "s3v4",
        **options: object,
    ):
        return boto3.client(
            "s3",
            endpoint_url=self.url.replace("127.0.0.1", "localhost") if style == "virtual" else self.url,
            region_name=region,
            aws_access_key_id=key[0],
            aws_secret_access_key=key[1],
            aws_session_token=key[2] if len(key) > 2 else None,
            config=Config(
                s3={"addressing_style": style},
                signature_version=signature_version,
                retries={"total_max_attempts": 1},
                read_timeout=20,
                **options,
            ),
        )

    def connect(self) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", self.acceptor.port))
        connection.settimeout(20)
        return connection

    def close(self) -> None:
        self.kill()
        os.close(self.lifeline)
        self.acceptor.close()
        for listener in self._listeners:
            listener.close()


def exchange(connection: socket.socket, request: bytes) -> tuple[int, bytes]:
    """Send raw bytes, read until the other side closes, and close; status and everything after the head."""
    received = b""
    with connection:
        connection.sendall(request)
        while piece := connection.recv(65536):
            received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body


@pytest.fixture(scope="module")
def server() -> Iterator[ObjectsServer]:
    """One front for a module's tests, which use buckets of their own."""
    with tempfile.TemporaryDirectory() as root:
        started = ObjectsServer(Path(root))
        try:
            with started.ask_keys():
                yield started
        finally:
            started.close()


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[ObjectsServer]:
    """A front that a test may kill."""
    started = ObjectsServer(tmp_path)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture
def bucket(server: ObjectsServer, request: pytest.FixtureRequest) -> str:
    """A new bucket in the module's front."""
    name = f"b-{abs(hash(request.node.nodeid)):x}"[:40]
    server.client().create_bucket(Bucket=name)
    return name
