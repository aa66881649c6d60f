"""Sealed records: they open whole, with their own key and in their own place, or not at all."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.keys.envelopes import KEY_BYTES, OVERHEAD_BYTES, DataKey, Tampered, open_record, seal_record

KEYS = st.binary(min_size=KEY_BYTES, max_size=KEY_BYTES)


@given(KEYS, st.binary(max_size=4096), st.binary(max_size=64))
def test_a_record_comes_back(key: bytes, record: bytes, aad: bytes) -> None:
    sealed = seal_record(key, record, aad)
    assert len(sealed) == len(record) + OVERHEAD_BYTES
    assert open_record(key, sealed, aad) == record


@given(st.binary(max_size=200), st.data())
def test_no_byte_may_change(record: bytes, data: st.DataObject) -> None:
    key = os.urandom(KEY_BYTES)
    sealed = bytearray(seal_record(key, record, b"place"))
    sealed[data.draw(st.integers(0, len(sealed) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises(Tampered):
        open_record(key, bytes(sealed), b"place")


@given(st.binary(max_size=200), st.data())
def test_nothing_may_be_cut_off(record: bytes, data: st.DataObject) -> None:
    key = os.urandom(KEY_BYTES)
    sealed = seal_record(key, record, b"")
    with pytest.raises(Tampered):
        open_record(key, sealed[: data.draw(st.integers(0, len(sealed) - 1))], b"")


@given(KEYS, KEYS, st.binary(max_size=20), st.binary(max_size=20))
def test_it_opens_with_its_own_key_in_its_own_place(key: bytes, other: bytes, aad: bytes, elsewhere: bytes) -> None:
    sealed = seal_record(key, b"record", aad)
    if other != key:
        with pytest.raises(Tampered):
            open_record(other, sealed, aad)
    if elsewhere != aad:
        with pytest.raises(Tampered):
            open_record(key, sealed, elsewhere)


def test_a_record_is_sealed_differently_each_time_and_a_key_is_not_told() -> None:
    key = os.urandom(KEY_BYTES)
    assert seal_record(key, b"same", b"") != seal_record(key, b"same", b"")
    assert key.hex() not in repr(DataKey(key, b"sealed", "arn"))
    assert repr(key) not in repr(DataKey(key, b"sealed", "arn"))
