"""Encrypted files: read from anywhere, and never other than they were written."""

from __future__ import annotations

import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.keys.envelopes import TAG_BYTES, Tampered
from mooring.keys.segments import CHUNK_BYTES, HEAD_BYTES, Segment, SegmentWriter, read_segment, salt_of, stored_size

KEY = os.urandom(32)
SIZES = st.one_of(st.integers(0, 64), st.sampled_from([n * CHUNK_BYTES + d for n in (1, 2, 3) for d in (-1, 0, 1)]))


def written(plain: bytes, *cuts: int, key: bytes = KEY) -> tuple[Segment, bytes]:
    pieces: list[bytes] = []
    writer, at = SegmentWriter(key, pieces.append), 0
    for cut in [*sorted(cuts), len(plain)]:
        writer.write(memoryview(plain)[at:cut])
        at = max(at, cut)
    return writer.finish(), b"".join(pieces)


def read(segment: Segment, stored: bytes, offset: int, count: int, key: bytes = KEY) -> bytes:
    return b"".join(read_segment(key, segment, lambda at, some: stored[at : at + some], offset, count))


def content(size: int) -> bytes:
    return os.urandom(64) * (size // 64) + b"x" * (size % 64)


@settings(deadline=None, max_examples=60)
@given(SIZES, st.data())
def test_any_range_of_any_file_comes_back_however_it_was_written(size: int, data: st.DataObject) -> None:
    plain = content(size)
    segment, stored = written(plain, *data.draw(st.lists(st.integers(0, size), max_size=4)))
    assert segment.size == size
    assert len(stored) == segment.stored == stored_size(size)
    assert salt_of(stored[:HEAD_BYTES]) == segment.salt
    first = data.draw(st.integers(0, size))
    count = data.draw(st.integers(0, size - first))
    assert read(segment, stored, first, count) == plain[first : first + count]
    assert read(segment, stored, 0, size) == plain


@settings(deadline=None, max_examples=100)
@given(st.integers(1, 3 * CHUNK_BYTES), st.data())
def test_a_changed_byte_is_never_read(size: int, data: st.DataObject) -> None:
    segment, stored = written(content(size))
    changed = bytearray(stored)
    changed[data.draw(st.integers(HEAD_BYTES, len(stored) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Tampered):
        read(segment, bytes(changed), 0, size)


@settings(deadline=None, max_examples=60)
@given(SIZES.filter(bool), st.data())
def test_a_cut_file_is_never_read_to_its_end(size: int, data: st.DataObject) -> None:
    segment, stored = written(content(size))
    with pytest.raises(Tampered):
        read(segment, stored[: data.draw(st.integers(0, len(stored) - 1))], 0, size)


def test_a_file_cut_at_a_chunk_cannot_be_told_to_be_shorter() -> None:
    segment, stored = written(content(3 * CHUNK_BYTES))
    shorter = Segment(2 * CHUNK_BYTES, segment.salt)
    with pytest.raises(Tampered):
        read(shorter, stored[: shorter.stored], 0, shorter.size)


def test_chunks_cannot_change_places_or_come_from_elsewhere() -> None:
    plain = content(3 * CHUNK_BYTES)
    segment, stored = written(plain)
    step = CHUNK_BYTES + TAG_BYTES
    first, second = stored[HEAD_BYTES : HEAD_BYTES + step], stored[HEAD_BYTES + step : HEAD_BYTES + 2 * step]
    swapped = stored[:HEAD_BYTES] + second + first + stored[HEAD_BYTES + 2 * step :]
    repeated = stored[:HEAD_BYTES] + first + first + stored[HEAD_BYTES + 2 * step :]
    _, other = written(plain)
    foreign = stored[:HEAD_BYTES] + other[HEAD_BYTES : HEAD_BYTES + step] + stored[HEAD_BYTES + step :]
    for bad in (swapped, repeated, foreign):
        with pytest.raises(Tampered):
            read(segment, bad, 0, segment.size)


def test_another_key_or_salt_reads_nothing() -> None:
    segment, stored = written(b"plain")
    with pytest.raises(Tampered):
        read(segment, stored, 0, 5, key=os.urandom(32))
    with pytest.raises(Tampered):
        read(Segment(5, os.urandom(16)), stored, 0, 5)
    with pytest.raises(Tampered):
        salt_of(b"plain file that is long enough for a head")
    assert written(b"plain")[1] != stored


def test_nothing_of_the_plain_text_is_in_what_is_written() -> None:
    plain = b"the quick brown fox " * 40_000
    _, stored = written(plain)
    assert b"quick" not in stored
