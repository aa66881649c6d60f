"""A real gateway process, with a replica, a control and an objects front that tests script."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.client import HTTPResponse
from pathlib import Path
from typing import Any

from mooring.hosting.naming import Scope
from mooring.hosting.routes import Route, RouteReplica, RouteVariant, Version
from mooring.paths import Paths

ACCOUNT, REGION = "123456789012", "us-east-1"
WAIT_S = 10.0
REPORTS = {"counted", "capture", "gauges", "shadow", "used", "demand"}
"""What a gateway says of its own accord."""


def signed(service: str = "sagemaker", region: str = REGION) -> str:
    """An Authorization header that names a scope; nobody verifies it here."""
    return (
        f"AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/{region}/{service}/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={'0' * 64}"
    )


def invocation(endpoint: str = "ep", body: bytes = b"{}", api: str = "invocations", **headers: str) -> bytes:
    """The bytes of one invocation; `target_variant="b"` becomes that SageMaker header."""
    named = {"Host": "localhost", "Authorization": signed(), "Content-Length": str(len(body))}
    for name, value in headers.items():
        plain = {"content_type": "Content-Type", "accept": "Accept", "connection": "Connection", "expect": "Expect"}
        named[plain.get(name) or "X-Amzn-SageMaker-" + name.replace("_", "-").title()] = value
    lines = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"POST /endpoints/{endpoint}/{api} HTTP/1.1\r\n{lines}\r\n".encode() + body


def answer(body: bytes = b"ok", status: int = 200, **headers: str) -> bytes:
    """The bytes of a replica's response."""
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
    return f"HTTP/1.1 {status} X\r\n{lines}Content-Length: {len(body)}\r\n\r\n".encode() + body


@dataclass
class Response:
    """What a raw client read."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.body)


class Client:
    """A raw connection that never waits without a limit."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), WAIT_S)
        self._file = self.socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, method: str = "POST") -> Response:
        # Every response reads from one buffered file, so that pipelined ones are not lost between two readers.
        response = HTTPResponse(_Reading(self._file), method=method)  # type: ignore[arg-type]
        response.begin()
        return Response(response.status, {k.lower(): v for k, v in response.getheaders()}, response.read())

    def call(self, data: bytes) -> Response:
        self.send(data)
        return self.receive()

    def at_end(self) -> bool:
        """Whether the server closed, or reset, after what was read."""
        try:
            return self._file.read(1) == b""
        except ConnectionError:
            return True

    def close(self) -> None:
        self._file.close()
        self.socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@dataclass
class _Reading:
    file: Any

    def makefile(self, _mode: str) -> Any:
        return _Unclosable(self.file)


@dataclass
class _Unclosable:
    file: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)

    def close(self) -> None:
        pass

    def flush(self) -> None:
        pass


@dataclass
class Seen:
    """One request as a scripted server read it."""

    line: str
    headers: dict[str, str]
    body: bytes
    connection: int


Script = Callable[[Seen, socket.socket], bytes | None]


def read_request(connection: socket.socket, number: int) -> Seen | None:
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece:
            return None
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    line, *rest = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (item.partition(":") for item in rest)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65536)
    return Seen(line, headers, body, number)


class ScriptedServer:
    """Threads on a Unix socket; `script` gets each request and returns the response's bytes, or None to hang up."""

    def __init__(self, path: Path, script: Script) -> None:
        self.path = path
        self.script = script
        self.seen: list[Seen] = []
        self.lost = threading.Event()  # a client went away
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(128)
        self._open: set[socket.socket] = set()
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        number = 0
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                number += 1
                self._open.add(connection)
                self._threads.append(threading.Thread(target=self._serve, args=(connection, number), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with connection, contextlib.suppress(OSError):
            while (seen := read_request(connection, number)) is not None:
                self.seen.append(seen)
                response = self.script(seen, connection)
                if response is None:
                    break
                connection.sendall(response)
            else:
                self.lost.set()
        self._open.discard(connection)

    def hang_up(self) -> None:
        """Close every open connection."""
        for connection in tuple(self._open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.hang_up()
        for thread in self._threads:
            thread.join(WAIT_S)
        self.path.unlink(missing_ok=True)


class FakeControl:
    """Control's end of the route channel."""

    def __init__(self, paths: Paths) -> None:
        self.said: queue.Queue[dict[str, Any]] = queue.Queue()
        self.reported: queue.Queue[dict[str, Any]] = queue.Queue()
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(paths.routes_socket))
        self._listener.listen()
        self._listener.settimeout(WAIT_S)
        self._connection: socket.socket | None = None
        self._thread: threading.Thread | None = None

    def accept(self) -> dict[str, Any]:
        """Wait for the gateway, and return its hello."""
        self.hang_up()
        self._connection, _ = self._listener.accept()
        self._thread = threading.Thread(target=self._read, args=(self._connection,), daemon=True)
        self._thread.start()
        return self.next()["hello"]

    def _read(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection.makefile("rb") as lines:
            for line in lines:
                message = json.loads(line)
                (self.reported if message.keys() & REPORTS else self.said).put(message)

    def next(self) -> dict[str, Any]:
        return self.said.get(timeout=WAIT_S)

    def tell(self, message: dict[str, Any]) -> None:
        """Send one message."""
        assert self._connection is not None
        self._connection.sendall(json.dumps(message).encode() + b"\n")

    def say(self, message: dict[str, Any]) -> dict[str, Any]:
        """Send one message and return what the gateway says to it."""
        self.tell(message)
        return self.next()

    def publish(self, route: Route) -> dict[str, Any]:
        return self.say({"route": route.to_document()})["ack"]

    def hang_up(self) -> None:
        if self._connection is not None:
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)
            self._connection.close()
        if self._thread is not None:
            self._thread.join(WAIT_S)

    def close(self) -> None:
        self.hang_up()
        self._listener.close()


@dataclass
class Stage:
    """A gateway and everything around it."""

    paths: Paths
    environment: dict[str, str] = field(default_factory=dict)
    _stack: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    _control: FakeControl | None = None

    def __post_init__(self) -> None:
        self.paths.make_private_directories()
        self.listener = self._stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=128))
        self.port: int = self.listener.getsockname()[1]
        self.process: subprocess.Popen[bytes] | None = None
        self._lifeline_end = -1

    @property
    def control(self) -> FakeControl:
        """Control's end of the route channel; it appears when it is first asked for."""
        if self._control is None:
            self._control = FakeControl(self.paths)
            self._stack.callback(self._control.close)
        return self._control

    def start(self) -> None:
        """Start the gateway and wait until it says that it is ready."""
        lifeline, self._lifeline_end = os.pipe()
        ready, ready_end = os.pipe()
        descriptors = (self.listener.fileno(), lifeline, ready_end)
        names = ("--listen-fd", "--lifeline-fd", "--ready-fd")
        flags = [item for pair in zip(names, map(str, descriptors), strict=True) for item in pair]
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("MOORING_", "AWS_"))},
            "MOORING_DATA_DIR": str(self.paths.root),
            "MOORING_ACCOUNT_ID": ACCOUNT,
            "MOORING_ACCOUNT_REGION": REGION,
            **self.environment,
        }
        command = [sys.executable, "-m", "mooring.gateway", "--index", "0", *flags]
        self.process = subprocess.Popen(command, pass_fds=descriptors, env=environment, start_new_session=True)
        os.close(lifeline)
        os.close(ready_end)
        said = os.read(ready, 1)
        os.close(ready)
        assert said == b"1", "the gateway did not get ready"

    def cut_lifeline(self) -> None:
        os.close(self._lifeline_end)
        self._lifeline_end = -1

    def terminate(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)

    def wait(self) -> int:
        assert self.process is not None
        return self.process.wait(WAIT_S)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
        if self._lifeline_end >= 0:
            self.cut_lifeline()

    def client(self) -> Client:
        return self._stack.enter_context(Client(self.port))

    def server(self, name: str, script: Script) -> ScriptedServer:
        """A scripted server at a socket of its own."""
        server = ScriptedServer(self.paths.sockets / f"{name}.sock", script)
        self._stack.callback(server.close)
        return server

    def control_edge(self, script: Script) -> ScriptedServer:
        """Control's HTTP edge."""
        server = ScriptedServer(self.paths.control_socket, script)
        self._stack.callback(server.close)
        return server

    def served(self, script: Script, **changes: Any) -> ScriptedServer:
        """Start with endpoint `ep` in service on one scripted replica; returns the replica."""
        server = self.server("replica-1", script)
        control = self.control
        self.start()
        control.accept()
        control.publish(route(RouteReplica("replica-1", str(server.path)), **changes))
        return server

    def close(self) -> None:
        self.kill()
        self._stack.close()


def route(*replicas: RouteReplica, variants: tuple[RouteVariant, ...] = (), **changes: Any) -> Route:
    """Endpoint `ep` with one variant `a` over `replicas`, or with these variants."""
    plain = Route(
        Scope(ACCOUNT, REGION),
        "ep",
        Version(1, 1),
        variants or (RouteVariant("a", 1.0, replicas),),
        "InService",
        body_limit_bytes=6_291_456,
        invocation_timeout_s=60.0,
    )
    return replace(plain, **changes)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait for `condition`, with a limit."""
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline, "it did not come true in time"
        time.sleep(0.01)


def handed_over(listener: socket.socket) -> tuple[socket.socket, bytes]:
    """Take one connection as the objects front does: the client's socket, and the bytes that were read of it."""
    listener.settimeout(WAIT_S)
    channel, _ = listener.accept()
    with channel:
        channel.settimeout(WAIT_S)
        data, descriptors, _, _ = socket.recv_fds(channel, 65536, 1)
        while len(data) < 5 or len(data) < 5 + data[4] + int.from_bytes(data[:4], "big"):
            data += channel.recv(65536)
        assert channel.recv(1) == b""
    assert data[5 : 5 + data[4]] == b"127.0.0.1", "the client's address goes with it"
    return socket.socket(fileno=descriptors[0]), data[5 + data[4] :]


@contextlib.contextmanager
def staged(root: Path, **environment: str) -> Iterator[Stage]:
    stage = Stage(Paths(root), dict(environment))
    try:
        yield stage
    finally:
        stage.close()
