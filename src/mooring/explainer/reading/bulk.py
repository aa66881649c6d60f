"""A whole answer read at once, for a call may have tens of thousands of rows.

It takes only what it is sure of. What it does not take is read record by record (`scores`), which alone finds out what
is wrong and where; both say the same of what both read.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooring.explainer.expressions import Expression
from mooring.explainer.reading import csv_records, json_records
from mooring.explainer.reading.formats import CSV
from mooring.explainer.reading.plan import Plan
from mooring.explainer.reading.scores import labels_of_cell

Floats = NDArray[np.float64]

_decoder: Any = json.JSONDecoder()
_scanned = _decoder.scan_once


@dataclass(frozen=True, slots=True)
class Classes:
    """What the scores of all records of a call are of. A kept prediction is good for calls of equal classes only."""

    count: int
    labels: tuple[str, ...] | None
    """In the order of all scores of a call, that of its first explained record; None where answers have none."""

    @property
    def ordered(self) -> bool:
        """Whether a record may have another order. One label by one score is what was predicted, or the only class."""
        return self.labels is not None and self.count > 1

    def order_of(self, labels: Sequence[str]) -> list[int] | None:
        """Where in a record with these labels the score of each class is; None where they are others."""
        at = {label: i for i, label in enumerate(labels)}
        if self.labels is None or len(labels) != self.count or len(at) != self.count or at.keys() != {*self.labels}:
            return [*range(self.count)] if tuple(labels) == self.labels else None
        return [at[label] for label in self.labels]


def scores_at_once(plan: Plan, form: str, text: str, records: int, classes: Classes) -> Floats | None:
    """Records by classes; None for an answer that must be looked at closely."""
    try:
        found = (_cells if form == CSV else _values)(plan, text, records, classes)
    except Exception:  # noqa: BLE001 - JMESPath raises anything; whatever it is, the other reading tells it
        return None
    if found is None:
        return None
    fine = (found >= 0) & (found <= 1) if plan.use_logit else np.isfinite(found)
    return found if fine.all() else None


def _cells(plan: Plan, text: str, records: int, classes: Classes) -> Floats | None:
    if '"' in text:
        return _lists_in_cells(plan, text, records, classes)
    if classes.ordered or "_" in text or "\r" in text or not text.isascii():
        return None
    lines = text.strip(" \t\n").split("\n")
    columns = lines[0].count(",") + 1
    if len(lines) != records or (columns > 1 and any(line.count(",") + 1 != columns for line in lines)):
        return None
    flat = lines if columns == 1 else ",".join(lines).split(",")
    index = plan.probability_index
    if index is not None:
        return _matrix(list(map(float, flat[index::columns])), records, classes) if index < columns else None
    return _matrix(list(map(float, flat)), records, classes) if plan.label_index is None else None


def _lists_in_cells(plan: Plan, text: str, records: int, classes: Classes) -> Floats | None:
    rows = csv_records.rows_of(text.strip(" \t\r\n"), "", "")
    index, label_index = plan.probability_index, plan.label_index
    if index is None and label_index is None and all(len(row) == 1 for row in rows):
        index = 0
    if len(rows) != records or index is None:
        return None
    scores = _flat([_scanned_whole(row[index]) for row in rows], classes)
    if scores is None or not classes.ordered:
        return scores
    if label_index is None:
        return None
    return _in_order(scores, [row[label_index] for row in rows], labels_of_cell, classes)


def _values(plan: Plan, text: str, records: int, classes: Classes) -> Floats | None:
    lines = json_records.rows_of(text)
    if len(lines) != records:
        return None
    values = [_scanned_whole(line) for line in lines]
    scores = _flat(values if plan.probability is None else _attributes(plan.probability, values, len(text)), classes)
    if scores is None or not classes.ordered:
        return scores
    labels = [tuple(each) for each in _attributes(plan.label, values, len(text))]
    if not {*map(type, chain.from_iterable(labels))} <= {str}:
        return None
    return _in_order(scores, labels, list, classes)


def _attributes(expression: Expression | None, values: list[Any], length: int) -> list[Any]:
    assert expression is not None
    parsed = expression.parsed
    if parsed["type"] == "field":
        return [value[parsed["value"]] for value in values]
    return [expression.search(value, length) for value in values]


def _flat(values: list[Any], classes: Classes) -> Floats | None:
    records = len(values)
    if classes.count > 1 or type(values[0]) is list:
        if any(type(value) is not list or len(value) != classes.count for value in values):
            return None
        values = list(chain.from_iterable(values))
    return _matrix(values, records, classes) if {*map(type, values)} <= {int, float} else None


def _matrix(values: list[float], records: int, classes: Classes) -> Floats | None:
    if len(values) != records * classes.count:
        return None
    return np.array(values, np.float64).reshape(records, classes.count)


def _in_order(scores: Floats, labels: list[Any], named: Callable[[Any], list[str]], classes: Classes) -> Floats | None:
    orders = {each: classes.order_of(named(each)) for each in {*labels}}
    if None in orders.values():
        return None
    return np.take_along_axis(scores, np.array([orders[each] for each in labels]), axis=1)


def _scanned_whole(text: str) -> Any:
    stripped = text.strip()
    value, end = _scanned(stripped, 0)
    if end != len(stripped):
        raise ValueError("more than one value")
    return value
