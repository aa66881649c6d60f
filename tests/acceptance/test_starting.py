"""`mooring serve`: what it refuses, in one clear line."""

from __future__ import annotations

import json
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.acceptance.running import MOORING, Server


def refused(data: Path, *flags: str) -> str:
    done = subprocess.run(
        [MOORING, "serve", "--data-dir", data, *flags], capture_output=True, text=True, timeout=20, check=False
    )
    assert done.returncode != 0
    assert "Traceback" not in done.stderr
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_a_data_directory_in_use(server: Server) -> None:
    line = refused(server.data, "--port", "0")
    assert str(server.data) in line
    assert str(server.pid) in line


def test_a_data_directory_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert str(tmp_path / "file") in refused(tmp_path / "file" / "data", "--port", "0")


def test_a_data_directory_from_a_newer_version(make_server: Callable[..., Server]) -> None:
    server = make_server()
    server.start()
    assert server.stop() == 0
    document = json.loads((server.data / "format.json").read_text())
    (server.data / "format.json").write_text(json.dumps({**document, "format": 999}))
    assert "newer" in refused(server.data, "--port", "0")


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert str(port) in refused(tmp_path / "data", "--port", str(port))


@pytest.mark.parametrize("flags", [("--port", "99999"), ("--workers", "0"), ("--log-level", "loud")])
def test_bad_flags(tmp_path: Path, flags: tuple[str, str]) -> None:
    done = subprocess.run(
        [MOORING, "serve", "--data-dir", tmp_path / "data", *flags],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert flags[1] in done.stderr


def test_it_stops_cleanly_on_a_signal(make_server: Callable[..., Server]) -> None:
    server = make_server().start()
    assert server.stop() == 0
    assert server.survivors() == []
    assert server.command("status").returncode != 0
