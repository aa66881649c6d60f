from __future__ import annotations

import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from mooring.paths import Paths
from mooring.settings import RESOLVED, load

STAND_IN = """
import sys, types
from mooring.api.process import main
from tests.api.serving import RecordingControl

class Control(RecordingControl):
    async def stop(self):
        print("control stopped", flush=True)

async def start(settings, paths, store, clock):
    return Control()

service = types.ModuleType("mooring.control.starting")
service.start = start
sys.modules["mooring.control.starting"] = service
sys.exit(main(sys.argv[1:]))
"""
ROOT = Path(__file__).parents[2]


@dataclass
class Control:
    """A control process and the ends of its pipes that a supervisor would hold."""

    process: subprocess.Popen[bytes]
    lifeline: int
    ready: int


@contextmanager
def control(data: Path) -> Iterator[Control]:
    lifeline_read, lifeline_write = os.pipe()
    ready_read, ready_write = os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_IN, "--lifeline-fd", str(lifeline_read), "--ready-fd", str(ready_write)],
        pass_fds=(lifeline_read, ready_write),
        env={**os.environ, RESOLVED: load({}, data_dir=str(data)).to_json()},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    os.close(lifeline_read)
    os.close(ready_write)
    running = Control(process, lifeline_write, ready_read)
    try:
        yield running
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()
        for fd in {running.lifeline, running.ready} - {-1}:
            os.close(fd)


def ask_status(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        connection.connect(str(path))
        connection.sendall(b"GET /-/mooring/v1/status HTTP/1.1\r\nHost: x\r\nX-Mooring-Client: t\r\n\r\n")
        return connection.recv(4096)


def test_it_serves_when_it_says_so_and_stops_in_order(tmp_path: Path) -> None:
    paths = Paths(tmp_path)
    with control(tmp_path) as running:
        assert os.read(running.ready, 1) == b"1"
        assert os.read(running.ready, 1) == b""
        assert paths.control_socket.stat().st_mode & 0o777 == 0o600
        assert ask_status(paths.control_socket).startswith(b"HTTP/1.1 200 ")
        running.process.send_signal(signal.SIGTERM)
        out, errors = running.process.communicate(timeout=10)
        assert (running.process.returncode, out) == (0, b"control stopped\n"), errors
        assert not paths.control_socket.exists()


def test_it_replaces_the_socket_of_one_that_was_killed(tmp_path: Path) -> None:
    for _ in range(2):
        with control(tmp_path) as running:
            assert os.read(running.ready, 1) == b"1"
            assert ask_status(Paths(tmp_path).control_socket).startswith(b"HTTP/1.1 200 ")
            running.process.kill()


def test_it_dies_with_its_supervisor(tmp_path: Path) -> None:
    with control(tmp_path) as running:
        assert os.read(running.ready, 1) == b"1"
        os.close(running.lifeline)
        running.lifeline = -1
        assert running.process.wait(20) != 0


def test_a_data_directory_of_a_newer_mooring_is_one_line(tmp_path: Path) -> None:
    with control(tmp_path) as running:
        assert os.read(running.ready, 1) == b"1"
        running.process.send_signal(signal.SIGTERM)
        running.process.wait(10)
    with sqlite3.connect(tmp_path / "state.db") as raw:
        raw.execute("UPDATE alembic_version SET version_num = '9999'")
    raw.close()
    with control(tmp_path) as running:
        assert os.read(running.ready, 1) == b""
        _, errors = running.process.communicate(timeout=10)
        assert running.process.returncode == 78
        [line] = errors.decode().splitlines()
        assert line.startswith(f"mooring: {tmp_path}/state.db was written by a newer Mooring")


def test_the_supervisor_is_asked_to_stop_only_while_it_is_our_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    from mooring.api.process import server_stopper

    killed: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "kill", lambda pid, number: killed.append((pid, number)))
    stop = server_stopper()
    stop()
    assert killed == [(os.getppid(), signal.SIGTERM)]
    monkeypatch.setattr(os, "getppid", lambda: 1)
    stop()
    assert len(killed) == 1
