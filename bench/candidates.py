"""The processes of the benchmarks: each a context manager that leaves nothing running, and what they have spent."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ENDPOINT = "bench"
ACCOUNT, REGION = "000000000000", "us-east-1"
START_WITHIN_S = 10.0
GATEWAY_CORE, LOAD_CORE = 0, 1


@dataclass(frozen=True)
class Candidate:
    """Something that answers invocations on a port, and the processes that it is made of."""

    name: str
    port: int
    pids: tuple[int, ...]

    def cpu_seconds(self) -> float:
        """CPU time spent so far, of all its processes."""
        return sum(cpu_seconds(pid) for pid in self.pids)


def cpu_seconds(pid: int) -> float:
    """CPU time that a process has spent so far; 0 of one that is gone."""
    with contextlib.suppress(OSError):
        # The scheduler's own count, in nanoseconds, which it keeps for each thread.
        threads = list(Path(f"/proc/{pid}/task").iterdir())
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads) / 1e9
    shown = subprocess.run(["ps", "-o", "time=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    minutes, _, seconds = shown.strip().rpartition(":")
    return sum(60 * int(part) for part in minutes.split(":") if part) + float(seconds or 0)


def pinned() -> bool:
    """Whether processes can be given a core of their own."""
    return bool(shutil.which("taskset")) and (os.cpu_count() or 1) > 1


def on_core(core: int | None) -> list[str]:
    """The prefix of a command that keeps it on one core; None leaves it free."""
    return ["taskset", "-c", str(core)] if core is not None and pinned() else []


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def tree(pid: int) -> Iterator[int]:
    """A process and all below it."""
    yield pid
    with contextlib.suppress(OSError):
        for children in Path(f"/proc/{pid}/task").glob("*/children"):  # each thread has its own
            for child in children.read_text().split():
                yield from tree(int(child))


@contextlib.contextmanager
def running(
    command: list[str], ready: socket.socket | int, *, within_s: float = START_WITHIN_S, **options: object
) -> Iterator[subprocess.Popen[bytes]]:
    """A process in a session of its own, ended with all its children; entered once its port accepts."""
    process = subprocess.Popen(command, start_new_session=True, **options)  # type: ignore[call-overload]
    try:
        _await_port(int(ready) if isinstance(ready, int) else ready.getsockname()[1], process, within_s)
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _await_port(port: int, process: subprocess.Popen[bytes], within_s: float) -> None:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise SystemExit(f"{process.args!r} ended with {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"{process.args!r} did not listen within {within_s:g} s")


@dataclass(frozen=True)
class Answer:
    """One whole answer."""

    status: int
    body: bytes
    data: bytes
    """All of it."""


def answer_of(port: int, message: bytes) -> Answer:
    """The answer to one request that is sent as it is. It must be framed by its length or by chunks."""
    with socket.create_connection(("127.0.0.1", port), 60) as connection:
        connection.sendall(message)
        data = b""
        while not _whole(data):
            part = connection.recv(1 << 20)
            if not part:
                raise SystemExit(f"port {port} answered {data!r} and closed")
            data += part
    head, _, body = data.partition(b"\r\n\r\n")
    return Answer(int(head[9:12]), body, data)


def _whole(data: bytes) -> bool:
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        return False
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")
