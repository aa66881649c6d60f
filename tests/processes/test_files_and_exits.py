"""Small files are replaced whole; exit records say how a process ended."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mooring.processes import files
from mooring.processes.exits import ExitRecord, read_exit, write_exit
from mooring.processes.files import read_small, write_atomically
from mooring.processes.identity import ProcessIdentity


@pytest.mark.parametrize("durable", [False, True])
def test_content_and_mode(tmp_path: Path, durable: bool) -> None:
    target = tmp_path / "file.json"
    write_atomically(target, b"one", durable=durable)
    write_atomically(target, b"two", durable=durable)
    assert target.read_bytes() == b"two"
    assert target.stat().st_mode & 0o777 == 0o600
    assert [found.name for found in tmp_path.iterdir()] == ["file.json"]


def test_durable_syncs_the_file_before_and_the_directory_after_the_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    target = tmp_path / "file"
    monkeypatch.setattr(files.os, "fsync", lambda _: seen.append("after" if target.exists() else "before"))
    write_atomically(target, b"x")
    assert seen == []
    target.unlink()
    write_atomically(target, b"x", durable=True)
    assert seen == ["before", "after"]


def test_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    write_atomically(target, b"old")

    def fail(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "write", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert [found.name for found in tmp_path.iterdir()] == ["file"]


def test_missing_directory_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "file", b"x")


def test_readers_never_see_a_part(tmp_path: Path) -> None:
    target = tmp_path / "file"
    contents = [bytes([letter]) * 200_000 for letter in b"abc"]
    write_atomically(target, contents[0])

    def write() -> None:
        for turn in range(30):
            write_atomically(target, contents[turn % 3])

    writers = [threading.Thread(target=write) for _ in range(2)]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        assert target.read_bytes() in contents
    for writer in writers:
        writer.join()


@pytest.mark.parametrize(
    ("program", "returncode"),
    [("raise SystemExit(3)", 3), ("import os; os.kill(os.getpid(), 9)", -signal.SIGKILL), ("", 0)],
)
def test_exit_record_of_a_real_process(tmp_path: Path, program: str, returncode: int) -> None:
    process = subprocess.Popen([sys.executable, "-S", "-c", program])
    pid, status = os.waitpid(process.pid, 0)
    process.returncode = 0  # reaped here, so that the raw wait status is seen
    write_exit(tmp_path, pid=pid, status=status, reaped_by="supervisor")
    record = read_exit(tmp_path)
    assert record is not None
    assert (record.pid, record.returncode, record.reaped_by) == (pid, returncode, "supervisor")
    assert record.at > 1_600_000_000


@pytest.mark.parametrize("text", [None, "", "[]", "{}", '{"pid": 1}', '{"pid": null, "returncode": 1}'])
def test_damaged_exit_record_is_none(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "exit.json").write_text(text)
    assert read_exit(tmp_path) is None


def test_exit_record_of_another_writer_is_read(tmp_path: Path) -> None:
    (tmp_path / "exit.json").write_text('{"pid": 5, "returncode": -9, "reaped_by": "zygote", "at": 1.5, "more": 1}')
    assert read_exit(tmp_path) == ExitRecord(5, -9, "zygote", 1.5)


def test_a_small_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert read_small(tmp_path / "a") == b"x" * 100


def test_what_is_no_small_file_is_refused_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"x" * 101)
    (tmp_path / "link").symlink_to("large")
    for name in ("pipe", "large", "link", "missing", "."):
        with pytest.raises(OSError):
            read_small(tmp_path / name, limit=100)


def test_a_pipe_in_the_place_of_a_record_reads_as_no_record(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "exit.json")
    os.mkfifo(tmp_path / "identity.json")
    assert read_exit(tmp_path) is None
    assert ProcessIdentity.read(tmp_path / "identity.json") is None
