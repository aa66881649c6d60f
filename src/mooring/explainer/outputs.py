"""A model's answer: divided into records, one for each that was sent, and read as scores.

An answer of plain numbers is read as a whole, for a call may have tens of thousands of rows. What that reading does not
take is read record by record (`scores`), which alone finds out what is wrong, and where.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mooring.explainer import csv_records, json_records
from mooring.explainer.csv_records import Row
from mooring.explainer.faults import Misaligned, Unexplainable, shown
from mooring.explainer.formats import CSV, format_of
from mooring.explainer.plan import Plan
from mooring.explainer.scores import labels_in, scores_in

Floats = NDArray[np.float64]

_decoder: Any = json.JSONDecoder()
_scanned = _decoder.scan_once


class Classes(NamedTuple):
    """What the scores of all records of a call are of. A kept prediction is good for calls of equal classes only."""

    size: int
    labels: tuple[str, ...] | None
    """In the order of all scores of a call, that of its first explained record; None where answers have none."""


class Answer(NamedTuple):
    """The records of an answer."""

    form: str
    rows: Sequence[Row]


def answer_of(plan: Plan, answered_type: str, answer: bytes, records: int) -> Answer:
    """The answer for so many records of a caller. Raises `Misaligned` when it does not have as many."""
    form = format_of(answered_type, "The model's answer", "explainer")
    return Answer(form, _rows_of(plan, form, text_of(answer), records, 1))


def scores_of(plan: Plan, answered_type: str, answer: bytes, records: int, classes: Classes) -> Floats:
    """Records by classes: the answer for so many synthetic records. Raises `Misaligned` as `answer_of`."""
    form = format_of(answered_type, "The model's answer", "explainer")
    text = text_of(answer)
    found = _read_at_once(plan, form, text, records, classes)
    if found is not None:
        return found
    rows = _rows_of(plan, form, text, records, classes.size)
    return np.array(
        [
            ordered_scores(plan, form, row, classes, f"The model's answer for synthetic record {i}")
            for i, row in enumerate(rows)
        ]
    )


def classes_of(plan: Plan, form: str, row: Row, where: str) -> Classes:
    """The classes of a record."""
    scores, labels = scores_in(plan, form, row, where), labels_in(plan, form, row, where)
    if labels is not None and len(labels) != len(scores):
        raise Unexplainable(f"{where}: there are {len(labels)} labels, {shown(labels)}, and {len(scores)} scores.")
    return Classes(len(scores), None if labels is None else tuple(labels))


def ordered_scores(plan: Plan, form: str, row: Row, classes: Classes, where: str) -> list[float]:
    """The scores of a record in the order of the classes."""
    scores = scores_in(plan, form, row, where)
    if len(scores) != classes.size:
        raise Unexplainable(
            f"{where}: there are {len(scores)} scores and the first explained record has {classes.size}."
        )
    # One label beside one score is what was predicted, or the name of the only class: there is no order.
    if classes.labels is None or classes.size == 1:
        return scores
    labels = labels_in(plan, form, row, where) or []
    if tuple(labels) == classes.labels:
        return scores
    at = dict(zip(labels, scores, strict=False))
    if len(labels) != len(scores) or len(at) != len(labels) or set(at) != set(classes.labels):
        raise Unexplainable(
            f"{where}: its labels {shown(labels)} are not those of the first explained record, "
            f"{shown(list(classes.labels))}."
        )
    return [at[label] for label in classes.labels]


def text_of(answer: bytes) -> str:
    """What is not UTF-8 in an answer is read as U+FFFD: a label may have it, and a score cannot."""
    return answer.decode("utf-8", "replace").removeprefix("\ufeff")


def _rows_of(plan: Plan, form: str, text: str, records: int, classes: int) -> Sequence[Row]:
    rows: Sequence[Row]
    if form == CSV:
        rows = csv_records.rows_of(text.strip(" \t\r\n"), "The model's answer", "explainer")
        # Records may stand beside each other, in an answer that is no more than their scores.
        if len(rows) == 1 and records > 1 and classes == 1 and plan.probability_index is plan.label_index is None:
            beside = csv_records.cells_of(rows[0])
            if len(beside) == records:
                return [[cell] for cell in beside]
    else:
        rows = json_records.rows_of(text)
    if len(rows) == records:
        return rows
    raise Misaligned(
        f"The model answered {_counted(records)} with {len(rows)}, and which is whose cannot be known. "
        "It must answer with one line for each record, in their order."
    )


def _counted(records: int) -> str:
    return f"{records} record" if records == 1 else f"{records} records"


def _read_at_once(plan: Plan, form: str, text: str, records: int, classes: Classes) -> Floats | None:
    if classes.labels is not None and classes.size > 1:
        return None
    flat = _plain_cells(plan, text, records, classes) if form == CSV else _plain_values(plan, text, records, classes)
    if flat is None:
        return None
    try:
        found = np.array(list(map(float, flat))).reshape(records, classes.size)
    except (ValueError, OverflowError):
        return None
    fine = (found >= 0) & (found <= 1) if plan.use_logit else np.isfinite(found)
    return found if fine.all() else None


def _plain_cells(plan: Plan, text: str, records: int, classes: Classes) -> list[str] | None:
    if not text.isascii() or '"' in text or "_" in text or "\r" in text:
        return None
    lines = text.strip(" \t\n").split("\n")
    if len(lines) != records:
        return None
    columns = lines[0].count(",") + 1
    if columns == 1:
        return lines if not plan.label_index and not plan.probability_index else None
    if any(line.count(",") + 1 != columns for line in lines):
        return None
    flat = ",".join(lines).split(",")
    if plan.probability_index is not None:
        return flat[plan.probability_index :: columns] if plan.probability_index < columns else None
    return flat if plan.label_index is None else None


def _plain_values(plan: Plan, text: str, records: int, classes: Classes) -> list[float] | None:
    lines = json_records.rows_of(text)
    if len(lines) != records:
        return None
    try:
        values = [_scanned_whole(line) for line in lines]
        if plan.probability is not None:
            parsed = plan.probability.parsed
            if parsed["type"] == "field":
                values = [value[parsed["value"]] for value in values]
            else:
                values = [plan.probability.search(value) for value in values]
    except Exception:  # noqa: BLE001 - whatever it is, the other reading tells it with its place
        return None
    if classes.size > 1 or (values and type(values[0]) is list):
        if any(type(value) is not list or len(value) != classes.size for value in values):
            return None
        values = list(chain.from_iterable(values))
    return values if {*map(type, values)} <= {int, float} else None


def _scanned_whole(line: str) -> Any:
    line = line.strip()
    value, end = _scanned(line, 0)
    if end != len(line):
        raise ValueError("more than one value")
    return value
