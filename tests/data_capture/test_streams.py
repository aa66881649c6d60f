"""Streams and their keys; and how much of a disk the spool may take."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.data_capture.sealing import SegmentSeal
from mooring.data_capture.spool import Room, size_of
from mooring.data_capture.streams import DESCRIPTION, Stream, new_segment_name
from mooring.keys.envelopes import Tampered
from mooring.settings import CaptureSettings

STREAM = Stream("123456789012", "us-east-1", "ep", "v", "bucket", "some/prefix")
UUID4 = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"


def test_a_key_is_awss() -> None:
    name = new_segment_name(1650241308.871)
    assert re.fullmatch(rf"some/prefix/ep/v/2022/04/18/00/21-48-871-{UUID4}\.jsonl", STREAM.key_of(name))
    assert re.fullmatch(r"ep/v/2022/.*", replace(STREAM, prefix="").key_of(name))


@given(st.floats(0, 4e9), st.floats(0, 4e9))
def test_names_sort_by_time_and_are_given_once(one: float, other: float) -> None:
    early, late = sorted((one, other))
    if int(early * 1000) != int(late * 1000):
        assert new_segment_name(early) < new_segment_name(late)
    assert new_segment_name(one) != new_segment_name(one)
    assert len(new_segment_name(one)) < 100


def test_what_differs_has_a_directory_of_its_own(tmp_path: Path) -> None:
    others = [
        replace(STREAM, **{name: "x"})
        for name in ("account", "region", "endpoint", "variant", "bucket", "prefix", "key_id", "sealed_data_key")
    ]
    assert len({each.id() for each in [STREAM, *others]}) == 9
    for each in [STREAM, *others]:
        each.describe(tmp_path / each.id())
        each.describe(tmp_path / each.id())
        assert Stream.read(tmp_path / each.id()) == each


def test_a_broken_description_is_an_error(tmp_path: Path) -> None:
    for text in ("", "{}", "[]", '{"account": 1', "null"):
        (tmp_path / DESCRIPTION).write_text(text)
        with pytest.raises((ValueError, TypeError)):
            Stream.read(tmp_path)


def test_room_shrinks_with_what_waits_and_comes_back_with_a_margin(tmp_path: Path) -> None:
    room = Room(tmp_path, CaptureSettings(spool_limit_bytes=1000, disk_limit_percent=100))
    room.look()
    assert (room.left, room.problem) == (1000, None)
    (tmp_path / "stream").mkdir()
    waiting = tmp_path / "stream" / "one"
    waiting.write_bytes(b"x" * 999)
    assert size_of(tmp_path) == 999
    room.look()
    assert (room.left, room.problem) == (1, None)
    waiting.write_bytes(b"x" * 1000)
    room.look()
    assert room.left == 0
    assert room.problem == "as much waits for S3 as may (1000 bytes)"
    waiting.write_bytes(b"x" * 960)
    room.look()
    assert room.problem is not None
    waiting.write_bytes(b"x" * 940)
    room.look()
    assert room.problem is None
    waiting.unlink()
    room.look()
    assert room.problem is None


def test_a_spool_that_is_gone_has_no_room(tmp_path: Path) -> None:
    room = Room(tmp_path / "gone", CaptureSettings())
    room.look()
    assert room.left == 0
    assert "cannot be looked at" in (room.problem or "")
    assert not room.takes_files()


@given(st.binary(max_size=500), st.binary(min_size=32, max_size=32))
def test_sealed_lines_are_lines_of_their_segment(line: bytes, key: bytes) -> None:
    seal = SegmentSeal(key, "one")
    sealed = seal.sealed(line + b"\n")
    assert sealed.index(b"\n") == len(sealed) - 1
    assert seal.opened(sealed) == line + b"\n"
    for stranger in (SegmentSeal(key, "other"), SegmentSeal(key + b"x", "one")):
        with pytest.raises(Tampered):
            stranger.opened(sealed)
