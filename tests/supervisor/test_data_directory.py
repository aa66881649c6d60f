"""A data directory that cannot be used: one clear line, exit code not 0, and nothing touched."""

from __future__ import annotations

import json
import socket
import sys
from pathlib import Path

import pytest

from mooring.processes.sockets import listen_tcp


def refused(server) -> str:
    out, err = server.output()
    assert server.process.returncode == 1
    assert out == ""
    lines = err.splitlines()
    assert len(lines) == 1, err
    return lines[0]


def test_in_use(serve) -> None:
    first = serve()
    port = first.port()
    line = refused(serve())
    assert line.startswith(f"mooring: the data directory {first.paths.root} is in use by another Mooring")
    assert f"(pid {first.process.pid})" in line
    with socket.create_connection(("127.0.0.1", port), timeout=10):
        pass
    assert first.document()["pid"] == first.process.pid
    assert first.stop() == 0


def test_free_again_after_a_stop(serve) -> None:
    first = serve()
    first.document()
    first.stop()
    second = serve()
    assert second.document()["pid"] == second.process.pid


def test_below_a_regular_file(serve, short_directory: Path) -> None:
    (short_directory / "file").write_text("x")
    line = refused(serve(data=short_directory / "file" / "data"))
    assert line == f"mooring: cannot use the data directory {short_directory}/file/data: Not a directory"


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_unwritable(serve) -> None:
    assert refused(serve(data=Path("/proc/mooring"))).startswith("mooring: cannot use the data directory /proc/mooring")


@pytest.mark.skipif(sys.platform != "linux", reason="/proc")
def test_existing_but_unwritable(serve) -> None:
    assert refused(serve(data=Path("/proc/self"))).startswith("mooring: cannot use the data directory /proc/self: ")


def test_newer_format(serve, short_directory: Path) -> None:
    data = short_directory / "data"
    data.mkdir()
    text = json.dumps({"format": 2, "written_by": "9.1.0"})
    (data / "format.json").write_text(text)
    line = refused(serve())
    assert "was written by a newer Mooring (9.1.0, format 2; this is " in line
    assert (data / "format.json").read_text() == text
    assert sorted(path.name for path in data.iterdir()) == ["format.json", "lock"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": "x"}'])
def test_damaged_format(serve, short_directory: Path, text: str) -> None:
    data = short_directory / "data"
    data.mkdir()
    (data / "format.json").write_text(text)
    assert "format.json is damaged" in refused(serve())


def test_format_is_written(serve) -> None:
    server = serve()
    server.document()
    assert json.loads(server.paths.format.read_text())["format"] == 1
    assert server.paths.root.stat().st_mode & 0o777 == 0o700
    assert server.paths.lock.stat().st_mode & 0o777 == 0o600


def test_port_taken_leaves_no_directory(serve, short_directory: Path) -> None:
    with listen_tcp("127.0.0.1", 0, 1)[0] as other:
        port = other.getsockname()[1]
        line = refused(serve(port=port))
    assert line.startswith(f"mooring: port {port} on 127.0.0.1 is taken by another program")
    assert list(short_directory.iterdir()) == []


def test_port_of_another_mooring_is_taken_though_it_could_be_shared(serve, short_directory: Path) -> None:
    first = serve()
    line = refused(serve(port=first.port(), data=short_directory / "other"))
    assert "is taken by another program" in line


def test_unknown_host(serve) -> None:
    assert refused(serve(host="no such host")).startswith("mooring: host 'no such host': ")


def test_deep_data_directory_has_its_sockets_elsewhere(serve, short_directory: Path) -> None:
    server = serve(data=short_directory / ("d" * 100))
    server.document()
    assert not server.paths.sockets.is_relative_to(short_directory)
    assert server.paths.s3_socket.is_socket()
    assert server.stop() == 0
    assert not server.paths.sockets.exists()
