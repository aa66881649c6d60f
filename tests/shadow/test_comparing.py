"""What counts as the same answer: never a crash, symmetric, blind to form and to the last digits."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.shadow.comparing import LONGEST_TOLD, Form, difference, form_of

TOLERANCE = 1e-6
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=12,
)


def of_json(one: Any, other: Any, tolerance: float = TOLERANCE) -> str | None:
    return difference(Form.JSON, json.dumps(one).encode(), json.dumps(other).encode(), tolerance)


@given(VALUES)
def test_form_is_no_difference(value: Any) -> None:
    compact = json.dumps(value, separators=(",", ":"), sort_keys=True).encode()
    wide = json.dumps(value, indent=3, ensure_ascii=False).encode("utf-8", "surrogatepass")
    if b"\xed" not in wide:  # lone surrogates cannot be told in UTF-8
        assert difference(Form.JSON, compact, wide, TOLERANCE) is None


@given(VALUES, VALUES)
def test_it_is_symmetric_and_without_tolerance_it_is_equality(one: Any, other: Any) -> None:
    there, back = of_json(one, other, 0.0), of_json(other, one, 0.0)
    assert (there is None) is (back is None)
    assert (there is None) is (canonical(one) == canonical(other))


def canonical(value: Any) -> Any:
    """With numbers that are equal where JSON's are, and nothing else."""
    if isinstance(value, bool) or not isinstance(value, (int, float, list, dict)):
        return type(value).__name__, value
    if isinstance(value, list):
        return [canonical(each) for each in value]
    if isinstance(value, dict):
        return {name: canonical(each) for name, each in value.items()}
    return "nan" if value != value else ("number", value)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False, min_value=-1e200, max_value=1e200), min_size=1))
def test_the_last_digits_do_not_count(numbers: list[float]) -> None:
    off = [number * (1 + TOLERANCE / 10) for number in numbers]
    assert of_json({"predictions": numbers}, {"predictions": off}) is None
    assert difference(Form.CSV, csv_of(numbers), csv_of(off), TOLERANCE) is None
    far = [*off[:-1], off[-1] * 1.5 + 1]
    assert of_json(numbers, far) is not None
    assert difference(Form.CSV, csv_of(numbers), csv_of(far), TOLERANCE) is not None


def csv_of(numbers: list[float]) -> bytes:
    return "\n".join(map(str, numbers)).encode()


@given(st.sampled_from(Form), st.binary(max_size=60), st.binary(max_size=60))
def test_no_bytes_raise(form: Form, one: bytes, other: bytes) -> None:
    found = difference(form, one, other, TOLERANCE)
    assert found is None or len(found) <= LONGEST_TOLD
    assert difference(form, one, one, TOLERANCE) is None
    if form is Form.BYTES:
        assert (found is None) is (one == other)


@pytest.mark.parametrize(
    ("form", "one", "other", "told"),
    [
        (Form.JSON, b'{"a": [1, 2]}', b'{"a": [1, 3]}', "$.a[1]: 2 and 3"),
        (Form.JSON, b'{"a": 1}', b'{"b": 1}', '$: only one has "a"'),
        (Form.JSON, b"[1]", b"[1, 2]", "$: 1 and 2 elements"),
        (Form.JSON, b"true", b"1", "$: true and 1"),
        (Form.JSON, b"[1]", b"[1", "not both JSON; 3 bytes and 2 bytes"),
        (Form.JSON, b"[" * 100_000, b"[" * 100_001, "not both JSON; 100000 bytes and 100001 bytes"),
        (Form.JSON, b"1" * 5000, b"2" * 5000, "not both JSON; bytes differ from 0 on"),
        (Form.JSON_LINES, b'{"a":1}\n{"a":2}\n', b'{"a":1}\n{"a":3}', "line 2.a: 2 and 3"),
        (Form.JSON_LINES, b"1\n2", b"1", "line 2: 2 and nothing"),
        (Form.CSV, b"1.0,a\n2,b\n", b"1,a\n2,c", 'row 2[1]: "b" and "c"'),
        (Form.CSV, b"1\n2\n", b"1\n", "row 2: [2] and nothing"),
        (Form.CSV, b"\xff", b"1", "not both CSV; bytes differ from 0 on"),
        (Form.BYTES, b"abcd", b"abXd", "bytes differ from 2 on"),
    ],
)
def test_it_says_where(form: Form, one: bytes, other: bytes, told: str) -> None:
    found = difference(form, one, other, TOLERANCE)
    assert found == told


@pytest.mark.parametrize(
    ("one", "other"),
    [(1e400, 1e400), (math.nan, math.nan), (10**400, 10**400), (0.0, 1e-12), (1, 1.0), ("a", "a")],
)
def test_the_same(one: Any, other: Any) -> None:
    assert of_json([one], [other]) is None


def test_the_same_numbers_that_no_float_holds_differ() -> None:
    assert of_json([10**400], [10**400 + 1]) is not None


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        (b"application/json", Form.JSON),
        (b"Application/JSON; charset=utf-8", Form.JSON),
        (b"application/vnd.x+json", Form.JSON),
        (b"application/jsonlines", Form.JSON_LINES),
        (b"text/csv;header=absent", Form.CSV),
        (b"application/x-npy", Form.BYTES),
        (b"", Form.BYTES),
    ],
)
def test_forms(content_type: bytes, form: Form) -> None:
    assert form_of(content_type) is form
