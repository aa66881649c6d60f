"""The processes of the benchmark: each a context manager that leaves nothing running."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENDPOINT = "bench"
ACCOUNT, REGION = "000000000000", "us-east-1"
PREDICTION = json.dumps({"predictions": [[0.123456] * 19], "model": "a"}).ljust(206)[:206]
START_WITHIN_S = 10.0
SEARCH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin"

MALLOC = {
    "MALLOC_MMAP_THRESHOLD_": "33554432",
    "MALLOC_TRIM_THRESHOLD_": "268435456",
    "MALLOC_TOP_PAD_": "33554432",
}


@dataclass(frozen=True)
class Candidate:
    """Something that answers invocations on a port, and the processes that it is made of."""

    name: str
    port: int
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """CPU time spent so far, of all its processes."""
        return sum(_cpu_seconds(pid) for pid in self.pids)


def _cpu_seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        # The scheduler's own count, in nanoseconds, which it keeps for each thread.
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=True).stdout
    minutes, _, seconds = shown.strip().rpartition(":")
    return sum(60 * int(part) for part in minutes.split(":") if part) + float(seconds)


def pinned() -> bool:
    """Whether processes can be given a core of their own."""
    return bool(shutil.which("taskset")) and (os.cpu_count() or 1) > 1


def on_core(core: int) -> list[str]:
    """The prefix of a command that keeps it on one core."""
    return ["taskset", "-c", str(core)] if pinned() else []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


@contextlib.contextmanager
def running(command: list[str], ready: socket.socket | int, **options: object) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, ended with all its children; entered once its port accepts."""
    process = subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        _await_port(int(ready) if isinstance(ready, int) else ready.getsockname()[1], process)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_WITHIN_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"{process.args!r} did not listen within {START_WITHIN_S:g} s")


@contextlib.contextmanager
def replica(directory: Path, port: int, socket_path: Path) -> Iterator[None]:
    """Answers every POST with the same 206 bytes, on a TCP port and on a Unix socket."""
    if shutil.which("nginx", path=SEARCH):
        answers = f"location / {{ default_type application/json; return 200 '{PREDICTION}'; }}"
        server = f"server {{ listen 127.0.0.1:{port}; listen unix:{socket_path}; {answers} }}"
        with _nginx(directory / "replica", server, port, core=1):
            yield
        return
    command = [*on_core(1), sys.executable, str(Path(__file__).with_name("trivial_replica.py"))]
    with running([*command, str(port), str(socket_path), PREDICTION], port):
        yield


@contextlib.contextmanager
def nginx_proxy(directory: Path, replica_port: int) -> Iterator[Candidate]:
    """nginx as the gateway: one worker, `proxy_pass` with kept connections."""
    port = free_port()
    server = (
        f"upstream replicas {{ server 127.0.0.1:{replica_port}; keepalive 128; keepalive_requests 100000000; }}"
        f"server {{ listen 127.0.0.1:{port}; location /endpoints/{ENDPOINT}/invocations {{"
        ' proxy_pass http://replicas/invocations; proxy_http_version 1.1; proxy_set_header Connection "";'
        " add_header x-Amzn-Invoked-Production-Variant AllTraffic; add_header x-amzn-RequestId $request_id; } }"
    )
    with _nginx(directory / "proxy", server, port, core=0) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        workers = [int(pid) for pid in children.read_text().split()] if children.exists() else []
        yield Candidate("nginx", port, (process.pid, *workers))


@contextlib.contextmanager
def _nginx(directory: Path, server: str, port: int, core: int) -> Iterator[subprocess.Popen[bytes]]:
    directory.mkdir()
    config = directory / "nginx.conf"
    temporary = " ".join(
        f"{kind}_temp_path {directory}/{kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    config.write_text(
        f"daemon off; worker_processes 1; pid {directory}/pid; error_log {directory}/error.log;"
        "events { worker_connections 1024; }"
        f"http {{ access_log off; keepalive_requests 100000000; {temporary} {server} }}"
    )
    binary = shutil.which("nginx", path=SEARCH)
    assert binary is not None
    with running([*on_core(core), binary, "-p", str(directory), "-c", str(config)], port, stderr=-3) as process:
        time.sleep(0.1)  # its worker comes after its port
        yield process


@contextlib.contextmanager
def gateway(data_dir: Path, name: str, replica_address: str) -> Iterator[Candidate]:
    """A real gateway process; its route lies on disk where an earlier one would have left it."""
    from mooring.gateway.routes import RouteTable
    from mooring.hosting.naming import Scope
    from mooring.hosting.routes import Route, RouteReplica, RouteVariant, Version
    from mooring.paths import Paths

    data_dir.mkdir()
    paths = Paths(data_dir)
    paths.make_private_directories()
    variant = RouteVariant("AllTraffic", 1.0, (RouteReplica("replica-1", replica_address),))
    route = Route(Scope(ACCOUNT, REGION), ENDPOINT, Version(1, 1), (variant,), "InService", 6_291_456, 60.0)
    RouteTable.store(paths.gateway_routes(0), route)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0), backlog=4096))
        lifeline, held = os.pipe()
        ready, ready_end = os.pipe()
        for descriptor in (lifeline, held, ready, ready_end):
            stack.callback(os.close, descriptor)
        descriptors = (listener.fileno(), lifeline, ready_end)
        flags = zip(("--listen-fd", "--lifeline-fd", "--ready-fd"), map(str, descriptors), strict=True)
        command = [*on_core(0), sys.executable, "-m", "mooring.gateway", "--index", "0", *(x for f in flags for x in f)]
        environment = {**os.environ, **MALLOC, "MOORING_DATA_DIR": str(data_dir), "MOORING_ACCOUNT_ID": ACCOUNT}
        process = stack.enter_context(running(command, listener, pass_fds=descriptors, env=environment))
        os.read(ready, 1)
        yield Candidate(name, listener.getsockname()[1], (process.pid,))
