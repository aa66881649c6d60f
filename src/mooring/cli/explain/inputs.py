"""The records that shall be explained: a file or standard input, its content type, and one of its records.

A record is sent as it stands in the file, to the byte.
"""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mooring.errors import BadInput
from mooring.explainer.expressions import compiled

CSV, JSON_LINES = "text/csv", "application/jsonlines"
LARGEST = 6_291_456
"""Bytes of a body that InvokeEndpoint takes."""
STANDARD_INPUT = "-"
_BY_SUFFIX = {
    ".csv": CSV,
    ".jsonl": JSON_LINES,
    ".jsonlines": JSON_LINES,
    ".ndjson": JSON_LINES,
}


@dataclass(frozen=True, slots=True)
class Input:
    """What is sent."""

    body: bytes
    content_type: str

    def record(self, number: int) -> Input:
        """One record of it, from 0. Raises `BadInput`."""
        records = self.records()
        if number >= len(records):
            there = "1 record" if len(records) == 1 else f"{len(records)} records"
            raise BadInput(f"--record {number}: the input has {there}, counted from 0")
        return Input(records[number], self.content_type)

    def records(self) -> list[bytes]:
        """Each record as it stands."""
        if self._is_json():
            return [line for line in self.body.split(b"\n") if line.strip()]
        return _rows_as_they_stand(self.body)

    def cells(self, features: str | None) -> list[list[str] | None]:
        """Of each record the values of its features, where they can be read; `features` is FeaturesAttribute."""
        if self._is_json():
            return [_cells_of(line, features) for line in self.records()]
        try:
            return [row for row in _rows(self.body.decode("utf-8", "replace")) if row]
        except csv.Error:
            return []

    def _is_json(self) -> bool:
        return self.content_type.partition(";")[0].strip().lower() == JSON_LINES


def read(file: str, content_type: str | None) -> Input:
    """The input in a file; its content type is guessed where none is given."""
    if file == STANDARD_INPUT:
        body = sys.stdin.buffer.read(LARGEST + 1)
    else:
        with Path(file).open("rb") as source:
            body = source.read(LARGEST + 1)
    if len(body) > LARGEST:
        raise BadInput(f"the input has more than {LARGEST} bytes, the most that InvokeEndpoint takes")
    if not body.strip():
        raise BadInput("the input is empty")
    return Input(body, content_type or guessed(file, body))


def guessed(name: str, body: bytes) -> str:
    """By the name of a file, else by whether its first line is a JSON object or list."""
    known = _BY_SUFFIX.get(Path(name).suffix.lower())
    if known is not None:
        return known
    first = body.lstrip().partition(b"\n")[0]
    try:
        return JSON_LINES if isinstance(json.loads(first), dict | list) else CSV
    except (ValueError, RecursionError):
        return CSV


def _rows(text: str) -> list[list[str]]:
    csv.field_size_limit(LARGEST)
    return list(csv.reader(io.StringIO(text, newline="")))


def _rows_as_they_stand(body: bytes) -> list[bytes]:
    # A row may be of several lines; the reader counts those that it has taken. Latin-1 keeps each byte.
    csv.field_size_limit(LARGEST)
    lines = [line + b"\n" for line in body.split(b"\n")]
    reader = csv.reader(line.decode("latin-1") for line in lines)
    rows, start = [], 0
    try:
        for row in reader:
            if row:
                rows.append(b"".join(lines[start : reader.line_num]))
            start = reader.line_num
    except csv.Error as error:
        raise BadInput(f"the input is no CSV: {error}") from None
    return rows


def _cells_of(line: bytes, features: str | None) -> list[str] | None:
    try:
        record: Any = json.loads(line)
        if features:
            record = compiled(features).search(record)
    except (ValueError, RecursionError, BadInput, TypeError):
        return None
    if not isinstance(record, list):
        return None
    return [each if isinstance(each, str) else json.dumps(each) for each in record]
