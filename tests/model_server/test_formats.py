"""Plain numbers are read and written by a shorter way, which nobody can tell but by the clock."""

from __future__ import annotations

import csv
import io
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring_model_server.formats import decode_array, encode

ANY_FLOAT = st.integers(0, 2**64 - 1).map(lambda bits: struct.unpack("<d", struct.pack("<Q", bits))[0])


def read_as_aws_does(text: str) -> Any:
    """What `sagemaker_containers.encoders` does."""
    rows = csv.reader(io.StringIO(text), delimiter=",", quotechar='"', doublequote=True, strict=True)
    return np.array(list(rows)).squeeze().astype(None)


def written_as_aws_does(values: Any) -> bytes:
    stream = io.StringIO()
    np.savetxt(stream, values, delimiter=",", fmt="%s")
    return stream.getvalue().encode()


def same_or_both_refused(text: str) -> None:
    try:
        expected = read_as_aws_does(text)
    except (ValueError, csv.Error) as error:
        with pytest.raises(type(error)) as caught:
            decode_array(text, "text/csv")
        assert str(caught.value) == str(error)
        return
    found = decode_array(text, "text/csv")
    assert found.dtype == expected.dtype
    assert found.shape == expected.shape
    assert np.array_equal(found, expected, equal_nan=True)


@settings(max_examples=500)
@given(st.text("0123456789eE.,+-\n,,\n", max_size=16))
def test_what_looks_like_numbers_is_read_as_ever(text: str) -> None:
    same_or_both_refused(text)


@settings(max_examples=200)
@given(st.text('0123456789.,\n "nainf_\r\ta\u0661', max_size=16))
def test_what_does_not_is_read_as_ever(text: str) -> None:
    same_or_both_refused(text)


@given(
    st.integers(1, 5).flatmap(lambda n: st.lists(st.lists(ANY_FLOAT, min_size=n, max_size=n), min_size=1, max_size=5))
)
def test_tables_of_numbers(rows: list[list[float]]) -> None:
    same_or_both_refused("\n".join(",".join(map(repr, row)) for row in rows))


@given(st.lists(ANY_FLOAT, max_size=20))
def test_numbers_are_written_as_ever(values: list[float]) -> None:
    assert encode(np.array(values), "text/csv") == written_as_aws_does(np.array(values))


@pytest.mark.parametrize("values", [[[0.5, 1.5]], [1, 2], [[True], [False]], ["a", "b"], np.float32([0.1, 0.2])])
def test_other_values_are_written_as_ever(values: Any) -> None:
    assert encode(np.asarray(values), "text/csv") == written_as_aws_does(np.asarray(values))
