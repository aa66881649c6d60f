"""The lines of a log as events: the same wherever reading begins, whatever the file holds; and their times."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.engines import log_events, log_times
from mooring.engines.log_events import Line, LogLines
from mooring.engines.log_times import Marks, add_marks, last_mark
from mooring.processes.log_files import bound_log

CONTENT = st.lists(
    st.one_of(
        st.binary(max_size=12),
        st.just(b"\n"),
        st.integers(0, 70).map(lambda count: b"x" * count),
        st.integers(0, 5).map(lambda count: b"\n" * count),
    ),
    max_size=30,
).map(b"".join)


def written(path: Path, content: bytes, *marks: tuple[int, int]) -> Path:
    path.write_bytes(content)
    add_marks(path, [(0, 1), *(marks or [(len(content), 2)])], anew=True)
    return path


def told(lines: Iterator[Line]) -> list[Line]:
    return [line for line in lines if line.text]


@given(content=CONTENT, cuts=st.lists(st.integers(0, 400), max_size=5), start=st.integers(0, 500))
def test_lines_do_not_depend_on_where_reading_begins(content: bytes, cuts: list[int], start: int) -> None:
    offsets = sorted({min(cut, len(content)) for cut in cuts} | {len(content)})
    with TemporaryDirectory() as directory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(log_events, "BLOCK", 8)
        patch.setattr(log_events, "LONGEST", 16)
        path = written(Path(directory) / "x.log", content, *((offset, 10 + offset) for offset in offsets))
        with LogLines(path) as log:
            whole = list(log.forwards(0))
            lines = [line for line in whole if line.text]
            assert told(log.backwards(log.end))[::-1] == lines
            assert told(log.forwards(start)) == [line for line in lines if line.end > start]
            assert told(log.backwards(start))[::-1] == [line for line in lines if line.end <= start]
    for line in lines:
        assert line.text == content[line.start : line.end].decode("utf-8", "replace").removesuffix("\n")
        assert line.at == next(10 + offset for offset in offsets if offset >= line.end)
        assert line.end - line.start <= 16
    assert [line.start for line in whole[1:]] == [line.end for line in whole[:-1]], "nothing is passed over"
    rest = content[whole[-1].end :] if whole else content
    assert b"\n" not in rest
    assert len(rest) < 16
    for line in content.split(b"\n")[:-1]:
        if line and len(line) < 8:
            assert line.decode("utf-8", "replace") in [each.text for each in lines], "a short line is never cut"


def test_what_has_no_time_yet_is_not_told(tmp_path: Path) -> None:
    path = written(tmp_path / "x.log", b"one\ntwo\nthree\n", (6, 5))
    with LogLines(path) as log:
        assert [line.text for line in log.forwards(0)] == ["one"]
    add_marks(path, [(14, 9)])
    with LogLines(path) as log:
        assert [(line.text, line.at) for line in log.forwards(0)] == [("one", 5), ("two", 9), ("three", 9)]


@pytest.mark.skipif(sys.platform != "linux", reason="holes are Linux's")
def test_what_was_given_back_is_passed_over_with_the_line_that_was_cut(tmp_path: Path) -> None:
    lines = [b"%05d %s\n" % (number, b"y" * 93) for number in range(10_000)]
    path = written(tmp_path / "x.log", b"".join(lines))
    with LogLines(path) as log:
        before = told(log.forwards(0))
    bound_log(path, 200_000)
    with LogLines(path) as log:
        after = told(log.forwards(0))
        assert told(log.backwards(log.end))[::-1] == after
    assert 900 < len(after) < 2100
    assert after == before[-len(after) :]


def test_a_log_that_is_no_file_has_no_lines(tmp_path: Path) -> None:
    path = written(tmp_path / "x.log", b"one\n")
    path.unlink()
    os.mkfifo(path)
    with LogLines(path) as log:
        assert list(log.forwards(0)) == []
        assert list(log.backwards(100)) == []
    path.unlink()
    path.symlink_to("/etc/passwd")
    with pytest.raises(OSError):
        LogLines(path)


def test_a_log_that_was_cut_behind_our_back_ends_where_it_ends(tmp_path: Path) -> None:
    path = written(tmp_path / "x.log", b"one\ntwo\nthree\n")
    os.truncate(path, 6)
    with LogLines(path) as log:
        assert [line.text for line in log.forwards(0)] == ["one"]
        assert [line.text for line in log.backwards(1 << 50)] == ["one"]


def test_times_are_found_in_both_directions(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    pairs = [(0, 100)] + [(number * 10, 100 + number * 3) for number in range(1, 2000)]
    add_marks(path, pairs[:700])
    add_marks(path, pairs[700:])
    assert last_mark(path) == pairs[-1]
    marks = Marks(path)
    assert list(marks) == pairs
    assert marks[-3:] == pairs[-3:]
    assert marks[marks.place_of(10)] == (10, 103)
    assert marks[marks.place_of(11)] == (20, 106)
    assert marks.place_of(20_000) == len(marks)
    assert marks.offset_before(100) == 0
    assert marks.offset_before(106) == 10
    assert marks.offset_before(107) == 20
    assert marks.offset_before(1 << 60) == 19_990
    marks.close()


def test_a_pair_cut_short_is_written_over(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    add_marks(path, [(0, 1), (5, 2)])
    with path.with_suffix(".times").open("ab") as file:
        file.write(b"half")
    add_marks(path, [(9, 3)])
    assert last_mark(path) == (9, 3)


def test_times_are_bounded_and_what_has_none_any_more_is_not_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_times, "MOST_MARKS", 8)
    path = tmp_path / "x.log"
    path.write_bytes(b"".join(b"line %d\n" % number for number in range(9)))
    add_marks(path, [(0, 1)])
    for number in range(9):
        add_marks(path, [((number + 1) * 7, 10 + number)])
    assert path.with_suffix(".times").stat().st_size <= 8 * 16
    with LogLines(path) as log:
        lines = told(log.forwards(0))
        assert told(log.backwards(log.end))[::-1] == lines
    assert [(line.text, line.at) for line in lines][-3:] == [("line 6", 16), ("line 7", 17), ("line 8", 18)]
    assert all(line.at == 10 + int(line.text.split()[1]) for line in lines)
