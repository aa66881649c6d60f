"""Segments: what was appended is there after any death, a torn end is not, and sealing twice is sealing once."""

from __future__ import annotations

import errno
import fcntl
import os
import resource
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.journal.sealing import name_of, seal, sealed
from mooring.journal.segments import OPEN, SEALED, Segment

LINES = st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b" ") + b"\n"), max_size=8)


def test_a_segment_is_not_sealed_while_its_writer_lives(tmp_path: Path) -> None:
    segment = Segment.create(tmp_path, "one")
    segment.append(b"first\n")
    assert seal(tmp_path) == 0
    segment.append_pieces([b"sec", b"", b"ond\n"])
    segment.close()
    assert seal(tmp_path) == 1
    assert [path.read_bytes() for path in sealed(tmp_path)] == [b"first\nsecond\n"]
    assert [name_of(path) for path in sealed(tmp_path)] == ["one"]
    assert seal(tmp_path) == 0


def test_a_name_is_given_once(tmp_path: Path) -> None:
    Segment.create(tmp_path, "one").close()
    (tmp_path / "two.new").touch()
    with pytest.raises(FileExistsError):
        Segment.create(tmp_path, "two")


@pytest.mark.parametrize("moment", ["before it is locked", "while it is locked"])
def test_one_that_is_taken_for_abandoned_while_it_is_made_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    locked, tries = fcntl.flock, 0

    def flock(descriptor: int, operation: int) -> None:
        nonlocal tries
        tries += 1
        if tries == 1:
            if moment == "while it is locked":
                raise BlockingIOError  # the one who looks for abandoned ones has it for a moment
            (tmp_path / "one.new").unlink()
        locked(descriptor, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    segment = Segment.create(tmp_path, "one")
    segment.append(b"kept\n")
    segment.close()
    assert seal(tmp_path) == 1
    assert [path.read_bytes() for path in sealed(tmp_path)] == [b"kept\n"]


def test_one_that_was_never_written_goes(tmp_path: Path) -> None:
    Segment.create(tmp_path, "empty").close()
    (tmp_path / "made.new").touch()
    assert seal(tmp_path) == 0
    assert list(tmp_path.iterdir()) == []


@given(LINES, st.binary(min_size=1, max_size=60).map(lambda torn: torn.replace(b"\n", b"")))
def test_a_torn_end_is_cut_at_every_byte(lines: list[bytes], torn: bytes) -> None:
    for end in range(1, len(torn) + 1):
        with tempfile.TemporaryDirectory() as made:
            place = Path(made)
            (place / f"x{OPEN}").write_bytes(b"".join(lines) + torn[:end])
            assert seal(place) == bool(lines)
            assert [path.read_bytes() for path in sealed(place)] == ([b"".join(lines)] if lines else [])


@given(LINES, st.integers(0, 400))
def test_sealing_is_deterministic_wherever_the_writer_died(lines: list[bytes], end: int) -> None:
    written = b"".join(lines)[:end]
    found = []
    for _ in range(2):
        with tempfile.TemporaryDirectory() as made:
            place = Path(made)
            (place / f"x{OPEN}").write_bytes(written)
            seal(place)
            seal(place)
            found.append([path.read_bytes() for path in sealed(place)])
    assert found[0] == found[1]
    whole = written[: written.rfind(b"\n") + 1]
    assert found[0] == ([whole] if whole else [])


def test_a_torn_end_of_many_blocks_is_cut(tmp_path: Path) -> None:
    (tmp_path / f"x{OPEN}").write_bytes(b"kept\n" + b"t" * 200_000)
    (tmp_path / f"y{OPEN}").write_bytes(b"t" * 200_000)
    assert seal(tmp_path) == 1
    assert [path.read_bytes() for path in sealed(tmp_path)] == [b"kept\n"]


def test_what_no_writer_made_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / f"link{OPEN}").symlink_to("/etc/passwd")
    os.mkfifo(tmp_path / f"pipe{OPEN}")
    (tmp_path / f"good{OPEN}").write_bytes(b"line\n")
    assert seal(tmp_path) == 1
    assert [name_of(path) for path in sealed(tmp_path)] == ["good"]


WRITER = """
import sys
from pathlib import Path
from mooring.journal.segments import Segment
segment = Segment.create(Path(sys.argv[1]), "killed")
number = 0
while True:
    segment.append_pieces([b"%d " % number, b"x" * 300_000, b"\\n"])
    number += 1
    print(number, flush=True)
"""


def test_lines_outlive_a_killed_writer(tmp_path: Path) -> None:
    """Every line that was appended before the kill is there, and at the most the one that was being written besides."""
    writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        for _ in range(20):
            acknowledged = int(writer.stdout.readline())
        assert seal(tmp_path) == 0
        writer.send_signal(signal.SIGKILL)
        acknowledged = max([acknowledged, *map(int, writer.stdout.read().split())])
    finally:
        writer.kill()
        writer.wait()
        if writer.stdout:
            writer.stdout.close()
    assert seal(tmp_path) == 1
    (path,) = sealed(tmp_path)
    numbers = [int(line.split()[0]) for line in path.read_bytes().splitlines()]
    assert numbers == list(range(len(numbers)))
    assert acknowledged <= len(numbers) <= acknowledged + 1


def test_a_writer_that_is_stopped_is_alive(tmp_path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, tmp_path], stdout=subprocess.PIPE, text=True)
    try:
        assert writer.stdout is not None
        writer.stdout.readline()
        writer.send_signal(signal.SIGSTOP)
        assert seal(tmp_path) == 0
        assert not sealed(tmp_path)
    finally:
        writer.kill()
        writer.wait()
        if writer.stdout:
            writer.stdout.close()


@settings(deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=8), st.integers(1, 1200), st.booleans())
def test_a_full_disk_leaves_whole_lines_only(sizes: list[int], room: int, pieces: bool) -> None:
    """A write that does not fit is refused whole, and what is written after it is not joined to it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    with tempfile.TemporaryDirectory() as made:
        segment = Segment.create(Path(made), "bounded")
        kept = []
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, hard))
        try:
            for number, size in enumerate(sizes):
                line = b"%d" % number * size + b"\n"
                try:
                    if pieces:
                        segment.append_pieces([line[:1], line[1:]])
                    else:
                        segment.append(line)
                except OSError as error:
                    assert error.errno == errno.EFBIG
                else:
                    kept.append(line)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        segment.append(b"after\n")
        assert segment.size == len(b"".join(kept)) + len(b"after\n")
        assert not segment.spoiled
        segment.close()
        seal(Path(made))
        assert [path.read_bytes() for path in sealed(Path(made))] == [b"".join(kept) + b"after\n"]


def test_what_cannot_be_taken_back_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    segment = Segment.create(tmp_path, "spoiled")
    segment.append(b"good\n")

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(os, "write", full)
    monkeypatch.setattr(os, "ftruncate", full)
    with pytest.raises(OSError):
        segment.append(b"lost\n")
    assert segment.spoiled
    monkeypatch.undo()
    segment.close()
    assert (tmp_path / f"spoiled{OPEN}").exists()
    assert seal(tmp_path) == 1
    assert (tmp_path / f"spoiled{SEALED}").read_bytes() == b"good\n"
