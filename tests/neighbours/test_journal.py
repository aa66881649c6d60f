"""What was acknowledged is found again, whatever happened to the end of the file."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import DataDirectoryError
from mooring.neighbours import journal as module
from mooring.neighbours.journal import Journal
from tests.wire.botocore_half import CALM

RECORDS = [{"n": number, "text": f"ü\n{number}"} for number in range(3)]
texts = st.text(st.characters(exclude_categories=["Cs"]))
records = st.lists(st.dictionaries(texts, texts | st.integers() | st.none(), max_size=3), max_size=5)


@contextmanager
def opened(path: Path) -> Iterator[Journal]:
    journal = Journal.open(path)
    try:
        yield journal
    finally:
        journal.close()


def written(path: Path, kept: list[dict[str, Any]]) -> bytes:
    with opened(path) as journal:
        for record in kept:
            journal.append(record)
    return path.read_bytes()


def found(path: Path) -> list[dict[str, Any]]:
    with opened(path) as journal:
        return list(journal.records())


@CALM
@given(records)
def test_what_is_appended_is_found(kept: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "journal"
        written(path, kept)
        assert found(path) == kept
        assert path.stat().st_mode & 0o777 == 0o600


def test_a_torn_end_is_cut_wherever_it_tore(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = written(path, RECORDS)
    before = len(written(tmp_path / "shorter", RECORDS[:2]))
    for length in range(before, len(whole)):
        path.write_bytes(whole[:length])
        assert found(path) == RECORDS[:2]
        assert path.stat().st_size == before
        with opened(path) as journal:
            journal.append({"later": length})
        assert found(path) == [*RECORDS[:2], {"later": length}]


@pytest.mark.parametrize("rubbish", [b"\0" * 4096, b"\n", b"00000000 {}\n", b"\xff\xfe\n\n\n"])
def test_rubbish_at_the_end_is_cut(tmp_path: Path, rubbish: bytes) -> None:
    path = tmp_path / "journal"
    whole = written(path, RECORDS)
    path.write_bytes(whole + rubbish)
    assert found(path) == RECORDS
    assert path.read_bytes() == whole


def test_damage_before_the_end_is_not_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    whole = bytearray(written(path, RECORDS))
    whole[12] ^= 1
    path.write_bytes(whole)
    with pytest.raises(DataDirectoryError, match="journal is damaged at byte 0, .* move it away"):
        found(path)
    assert path.read_bytes() == whole, "nothing is cut"


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.parametrize("room", [0, 10])
def test_what_could_not_be_written_is_not_there(tmp_path: Path, room: int) -> None:
    path = tmp_path / "journal"
    written(path, RECORDS)
    with opened(path) as journal:
        with largest_file(path.stat().st_size + room), pytest.raises(OSError):
            journal.append({"lost": True})
        journal.append({"later": True})
    assert found(path) == [*RECORDS, {"later": True}]


def test_one_process_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "journal"
    hold = "import sys, pathlib\nfrom mooring.neighbours.journal import Journal\n"
    hold += "j = Journal.open(pathlib.Path(sys.argv[1]))\nprint('held', flush=True)\nsys.stdin.read()"
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with monkeypatch.context() as hasty:
            hasty.setattr(module, "PREDECESSOR_WAIT_S", 0.05)
            with pytest.raises(DataDirectoryError, match="in use by another process"):
                Journal.open(path)
        holder.kill()
        assert found(path) == [], "it was waited for"
    finally:
        holder.kill()
        holder.communicate()


@pytest.mark.parametrize("obstacle", ["directory", "link", "fifo"])
def test_what_is_no_file(tmp_path: Path, obstacle: str) -> None:
    path = tmp_path / "journal"
    if obstacle == "directory":
        path.mkdir()
    elif obstacle == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DataDirectoryError):
        Journal.open(path)
