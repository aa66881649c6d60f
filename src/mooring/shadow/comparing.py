"""Whether two answers say the same: by value where they are JSON, JSON lines or CSV, else by their bytes.

Numbers are the same up to a relative tolerance, since two builds of one model differ in the last digits. Bodies are a
model's and hostile: no input makes this raise, and its work is linear in their length.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from enum import IntEnum
from itertools import zip_longest
from typing import Any

NEAR_ZERO = 1e-9
"""Numbers this close to each other are the same, whatever their relation: around zero that says nothing."""
LONGEST_TOLD = 120
_LONGEST_VALUE = 40
_MISSING = object()


class Form(IntEnum):
    """How a body is read."""

    BYTES = 0
    JSON = 1
    JSON_LINES = 2
    CSV = 3


def form_of(content_type: bytes) -> Form:
    """How a body of this Content-Type is read."""
    base = content_type.partition(b";")[0].strip().lower()
    if base == b"application/json" or base.endswith(b"+json"):
        return Form.JSON
    if base in (b"application/jsonlines", b"application/x-ndjson", b"application/x-jsonlines", b"application/jsonl"):
        return Form.JSON_LINES
    return Form.CSV if base == b"text/csv" else Form.BYTES


def difference(form: Form, one: bytes, other: bytes, tolerance: float) -> str | None:
    """Where two bodies differ in what they say, in some words; None when they say the same."""
    if one == other:
        return None
    if form is Form.BYTES:
        return _of_bytes(one, other)
    try:
        found = _of_values(form, one, other, tolerance)
    except (ValueError, RecursionError, csv.Error):
        return f"not both {form.name.replace('_', ' ')}; {_of_bytes(one, other)}"
    return None if found is None else found[:LONGEST_TOLD]


def _of_bytes(one: bytes, other: bytes) -> str:
    if len(one) != len(other):
        return f"{len(one)} bytes and {len(other)} bytes"
    return f"bytes differ from {_first_unequal(one, other)} on"


def _first_unequal(one: bytes, other: bytes) -> int:
    low, high = 0, len(one)
    while high - low > 1:  # the slices compare in C, and get shorter
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low


def _of_values(form: Form, one: bytes, other: bytes, tolerance: float) -> str | None:
    if form is Form.JSON:
        return _walk("$", json.loads(one), json.loads(other), tolerance)
    if form is Form.CSV:
        rows = zip_longest(_rows(one), _rows(other), fillvalue=_MISSING)
        return _first(_walk(f"row {number}", *pair, tolerance) for number, pair in enumerate(rows, 1))
    lines = zip_longest(_lines(one), _lines(other), fillvalue=_MISSING)
    return _first(_walk(f"line {number}", *pair, tolerance) for number, pair in enumerate(lines, 1))


def _first(found: Iterator[str | None]) -> str | None:
    return next((each for each in found if each is not None), None)


def _lines(body: bytes) -> Iterator[Any]:
    return (json.loads(line) for line in body.split(b"\n") if line.strip())


def _rows(body: bytes) -> Iterator[Any]:
    for row in csv.reader(body.decode().splitlines()):
        yield [_cell(cell.strip()) for cell in row]


def _cell(text: str) -> float | int | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _walk(where: str, one: Any, other: Any, tolerance: float) -> str | None:
    """The first place where two values differ. A stack of its own: they may be nested deeply."""
    pending = [(where, one, other)]
    while pending:
        where, one, other = pending.pop()
        if isinstance(one, dict) and isinstance(other, dict):
            if one.keys() != other.keys():
                names = sorted(one.keys() ^ other.keys())
                return f"{where}: only one has {_told(names[0])}"
            pending += [(f"{where}.{name[:_LONGEST_VALUE]}", one[name], other[name]) for name in reversed(one)]
        elif isinstance(one, list) and isinstance(other, list):
            if len(one) != len(other):
                return f"{where}: {len(one)} and {len(other)} elements"
            pending += [(f"{where}[{n}]", one[n], other[n]) for n in range(len(one) - 1, -1, -1)]
        elif not _same(one, other, tolerance):
            return f"{where}: {_told(one)} and {_told(other)}"
    return None


def _same(one: Any, other: Any, tolerance: float) -> bool:
    if _is_number(one) and _is_number(other):
        if one == other or (one != one and other != other):
            return True
        try:
            return math.isclose(one, other, rel_tol=tolerance, abs_tol=NEAR_ZERO if tolerance else 0.0)
        except OverflowError:  # integers that no float can hold
            return False
    return type(one) is type(other) and bool(one == other)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _told(value: Any) -> str:
    if value is _MISSING:
        return "nothing"
    try:
        text = json.dumps(value)
    except (ValueError, RecursionError):
        text = type(value).__name__
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}…"
