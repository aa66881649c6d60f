"""A program with a port of its own as a replica on a socket: the bytes go to it and to nobody else."""

from __future__ import annotations

import contextlib
import http.client
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from mooring.engines.port_owners import Owners

SERVER = """
import os, socket, sys, time
listener = socket.socket()
listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
listener.bind(("127.0.0.1", int(sys.argv[1])))
assert os.environ["SAGEMAKER_BIND_TO_PORT"] == sys.argv[1]
listener.listen(16)
while True:
    connection, _ = listener.accept()
    if os.fork() == 0:
        while data := connection.recv(65536):
            if data.startswith(b"exit"):
                os.kill(os.getppid(), int(data.split()[1]))
                time.sleep(60)
            connection.sendall(b"%d %s:" % (os.getppid(), sys.argv[1].encode()) + data)
        os._exit(0)
    connection.close()
"""


class Relayed:
    def __init__(self, directory: Path, source: str = SERVER) -> None:
        self.path = directory / "socket"
        (directory / "server.py").write_text(source)
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(self.path))
            listener.listen(64)
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "mooring.engines.relaying", "--listen-fd", str(listener.fileno()), "--",
                 sys.executable, str(directory / "server.py"), "{port}"],
                pass_fds=(listener.fileno(),), start_new_session=True,
            )  # fmt: skip

    def connect(self) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(20)
        connection.connect(str(self.path))
        return connection

    def ask(self, text: bytes, connection: socket.socket | None = None) -> bytes:
        with contextlib.ExitStack() as opened:
            if connection is None:
                connection = opened.enter_context(self.connect())
            connection.sendall(text)
            return connection.recv(65536)

    def program(self) -> tuple[int, int]:
        """The program's pid and port."""
        pid, port = self.ask(b"x").split(b":")[0].split()
        return int(pid), int(port)

    def end(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=20)


@pytest.fixture
def relayed(tmp_path: Path) -> Iterator[Callable[..., Relayed]]:
    made: list[Relayed] = []

    def make(source: str = SERVER) -> Relayed:
        made.append(Relayed(tmp_path, source))
        return made[-1]

    try:
        yield make
    finally:
        for each in made:
            each.end()


def impostor(port: int, found: list[bytes], done: threading.Event) -> None:
    """Take the port as soon as it is free, and keep whatever anybody sends there."""
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        while True:
            if done.is_set():
                return
            with contextlib.suppress(OSError):
                listener.bind(("127.0.0.1", port))
                listener.listen(16)
                break
        listener.settimeout(0.05)
        while not done.is_set():
            with contextlib.suppress(TimeoutError):
                connection, _ = listener.accept()
                with connection:
                    connection.settimeout(1)
                    with contextlib.suppress(OSError):
                        found.append(connection.recv(65536))


def test_bytes_travel_both_ways_and_so_does_an_end(relayed: Callable[..., Relayed]) -> None:
    relay = relayed()
    with relay.connect() as connection:  # waits in the queue until the program listens
        first = relay.ask(b"hello", connection)
        assert first.endswith(b":hello")
        large = os.urandom(3_000_000)
        sender = threading.Thread(target=lambda: (connection.sendall(large), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        received = b""
        while data := connection.recv(1 << 20):
            received += data
        sender.join()
    prefix = first.removesuffix(b"hello")
    assert received.replace(prefix, b"") == large


@pytest.mark.parametrize(("number", "code"), [(signal.SIGKILL, -9), (signal.SIGTERM, -15)])
def test_it_ends_as_the_program_did(relayed: Callable[..., Relayed], number: int, code: int) -> None:
    relay = relayed()
    with relay.connect() as connection:
        connection.sendall(b"exit %d" % number)
        assert relay.process.wait(timeout=20) == code


def test_a_program_that_cannot_be_started(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "socket"))
        command = [sys.executable, "-P", "-m", "mooring.engines.relaying", "--listen-fd", str(listener.fileno())]
        done = subprocess.run(
            [*command, "--", "/no/such/program"],
            pass_fds=(listener.fileno(),),
            capture_output=True,
            timeout=20,
            check=False,
        )
    assert done.returncode == 4
    assert done.stderr.decode() == "/no/such/program cannot be started: No such file or directory\n"


def test_the_program_dies_with_the_relay(relayed: Callable[..., Relayed]) -> None:
    relay = relayed()
    pid, _ = relay.program()
    relay.process.kill()
    relay.process.wait(timeout=20)
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}").exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells owners of ports on Linux only")
def test_whoever_takes_the_port_after_the_program_hears_nothing(relayed: Callable[..., Relayed]) -> None:
    relay = relayed()
    pid, port = relay.program()
    heard: list[bytes] = []
    done = threading.Event()
    thread = threading.Thread(target=impostor, args=(port, heard, done))
    thread.start()
    try:
        os.kill(relay.process.pid, signal.SIGSTOP)  # it does not notice in time
        os.kill(pid, signal.SIGKILL)
        waiting = []
        for _ in range(8):
            connection = relay.connect()
            connection.sendall(b"a secret")
            waiting.append(connection)
        deadline = time.monotonic() + 20
        while not taken(port):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        os.kill(relay.process.pid, signal.SIGCONT)
        relay.process.wait(timeout=20)
        for connection in waiting:
            with connection, contextlib.suppress(ConnectionError):
                assert connection.recv(100) == b""
    finally:
        done.set()
        thread.join(timeout=20)
    assert b"".join(heard) == b""


def taken(port: int) -> bool:
    return any(f":{port:04X} 00000000:0000 0A" in line for line in Path("/proc/net/tcp").read_text().splitlines())


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel tells owners of ports on Linux only")
@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::"])
def test_owners_of_a_port(address: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as listener:
        listener.bind((address, 0))
        port = listener.getsockname()[1]
        other = subprocess.Popen(["sleep", "60"], start_new_session=True)
        try:
            # This process is left out of its own group, as a relay is.
            assert Owners(port, other.pid).listeners() == frozenset()
            listener.listen(1)
            assert Owners(port, other.pid).listeners() == frozenset()
        finally:
            other.kill()
            other.wait()
        code = "import sys, time; time.sleep(60)"
        holder = subprocess.Popen([sys.executable, "-c", code], pass_fds=(listener.fileno(),), start_new_session=True)
        try:
            owners = Owners(port, holder.pid)
            # Its group's leader is what `Owners` counts from, and it holds the very socket.
            assert len(owners.listeners() or ()) == 1
        finally:
            holder.kill()
            holder.wait()
        assert Owners(port, holder.pid).listeners() == frozenset()


def test_a_server_from_the_standard_library(relayed: Callable[..., Relayed]) -> None:
    source = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def log_message(self, *_): pass
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers(); self.wfile.write(b"ok")
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
    relay = relayed(source)
    client = http.client.HTTPConnection("localhost")
    client.sock = relay.connect()
    try:
        for _ in range(3):
            client.request("GET", "/ping")
            response = client.getresponse()
            assert (response.status, response.read()) == (200, b"ok")
    finally:
        client.close()
