"""KMS's ciphertexts: bound to material, place and context, and no two contexts are one."""

from __future__ import annotations

import os
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import KmsError
from mooring.keys.blobs import Origin, bound, decrypted, encrypted, origin_of

MATERIAL = os.urandom(32)
ORIGIN = Origin(str(uuid.uuid4()), 7)
CONTEXTS = st.dictionaries(st.text(max_size=5), st.text(max_size=5), max_size=4)


@given(st.binary(max_size=4096), CONTEXTS)
def test_a_ciphertext_tells_its_origin_and_comes_back(plain: bytes, context: dict[str, str]) -> None:
    blob = encrypted(MATERIAL, ORIGIN, plain, context)
    assert origin_of(blob) == ORIGIN
    assert len(blob) == len(plain) + 65 <= 6144
    assert decrypted(MATERIAL, blob, dict(reversed(context.items()))) == plain


@given(CONTEXTS, CONTEXTS)
def test_no_two_contexts_are_bound_alike(one: dict[str, str], other: dict[str, str]) -> None:
    assert (bound(one) == bound(other)) is (one == other)
    if one != other:
        with pytest.raises(KmsError):
            decrypted(MATERIAL, encrypted(MATERIAL, ORIGIN, b"x", one), other)


@given(st.data())
def test_no_byte_may_change_and_none_may_be_missing(data: st.DataObject) -> None:
    blob = encrypted(MATERIAL, ORIGIN, b"secret", {"a": "b"})
    changed = bytearray(blob)
    changed[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    for bad in (bytes(changed), blob[: data.draw(st.integers(0, len(blob) - 1))]):
        with pytest.raises(KmsError, match=r"^$"):
            decrypted(MATERIAL, bad, {"a": "b"})


@given(st.binary(max_size=100))
def test_rubbish_has_no_origin_or_does_not_open(blob: bytes) -> None:
    for call in (lambda: (origin_of(blob), decrypted(MATERIAL, blob, {})),):
        with pytest.raises(KmsError):
            call()
