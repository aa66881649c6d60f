"""A model's answer: divided into records, one for each that was sent, and read as scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mooring.explainer.faults import Misaligned, Unexplainable, counted, shown
from mooring.explainer.reading import csv_records, json_records
from mooring.explainer.reading.bulk import Classes, Floats, scores_at_once
from mooring.explainer.reading.csv_records import Row
from mooring.explainer.reading.formats import CSV, format_of
from mooring.explainer.reading.plan import Plan
from mooring.explainer.reading.scores import labels_in, scores_in

ANSWER = "The model's answer"
_BLANKS = " \t\r\n"


class Answer(NamedTuple):
    """The records of an answer."""

    form: str
    rows: Sequence[Row]


def answer_of(plan: Plan, answered_type: str, answer: bytes, records: int) -> Answer:
    """The answer for so many records of a caller. Raises `Misaligned` when it does not have as many."""
    form = format_of(answered_type, ANSWER, "explainer")
    return Answer(form, _rows_of(plan, form, text_of(answer), records, 1))


def scores_of(plan: Plan, answered_type: str, answer: bytes, records: int, classes: Classes) -> Floats:
    """Records by classes: the answer for so many synthetic records. Raises `Misaligned` as `answer_of`."""
    form = format_of(answered_type, ANSWER, "explainer")
    text = text_of(answer)
    at_once = scores_at_once(plan, form, text, records, classes)
    if at_once is not None:
        return at_once
    rows = _rows_of(plan, form, text, records, classes.count)
    found = [
        ordered_scores(plan, form, row, classes, f"{ANSWER} for synthetic record {i}") for i, row in enumerate(rows)
    ]
    return np.array(found, np.float64).reshape(records, classes.count)


def classes_of(plan: Plan, form: str, row: Row, where: str) -> Classes:
    """The classes of a record."""
    scores, labels = scores_in(plan, form, row, where), labels_in(plan, form, row, where)
    if labels is not None and len(labels) != len(scores):
        raise Unexplainable(
            f"{where} has {counted(len(labels), 'label')}, {shown(labels)}, and {counted(len(scores), 'score')}."
        )
    return Classes(len(scores), None if labels is None else tuple(labels))


def ordered_scores(plan: Plan, form: str, row: Row, classes: Classes, where: str) -> list[float]:
    """The scores of a record in the order of the classes."""
    scores = scores_in(plan, form, row, where)
    if len(scores) != classes.count:
        raise Unexplainable(
            f"{where} has {counted(len(scores), 'score')} and the first explained record has {classes.count}."
        )
    if not classes.ordered:
        return scores
    labels = labels_in(plan, form, row, where) or []
    order = classes.order_of(labels)
    if order is None:
        raise Unexplainable(
            f"{where}: its labels {shown(labels)} are not those of the first explained record, "
            f"{shown(list(classes.labels or ()))}."
        )
    return [scores[at] for at in order]


def labels_told(plan: Plan, answered_type: str, answer: bytes) -> list[str] | None:
    """The labels of the first record of an answer that nothing is explained of, if they can be read."""
    if plan.label is None and plan.label_index is None:
        return None
    try:
        form = format_of(answered_type, ANSWER, "explainer")
        text = text_of(answer).strip(_BLANKS)
        rows = csv_records.rows_of(text, ANSWER, "explainer") if form == CSV else json_records.rows_of(text)
        return labels_in(plan, form, rows[0], ANSWER) if rows else None
    except Unexplainable:
        return None


def text_of(answer: bytes) -> str:
    """What is not UTF-8 in an answer is read as U+FFFD: a label may have it, and a score cannot."""
    return answer.decode("utf-8", "replace").removeprefix("\ufeff")


def _rows_of(plan: Plan, form: str, text: str, records: int, classes: int) -> Sequence[Row]:
    rows: Sequence[Row]
    if form == CSV:
        rows = csv_records.rows_of(text.strip(_BLANKS), ANSWER, "explainer")
        # Records may stand beside each other, in an answer that is no more than their scores.
        no_index = plan.probability_index is None and plan.label_index is None
        if len(rows) == 1 and records > 1 and classes == 1 and no_index:
            beside = csv_records.cells_of(rows[0])
            if len(beside) == records:
                return [[cell] for cell in beside]
    else:
        rows = json_records.rows_of(text)
    if len(rows) == records:
        return rows
    raise Misaligned(
        f"The model answered {counted(records, 'record')} with {counted(len(rows), 'line')}, so that it cannot be told "
        "which is whose. It must answer with one line for each record, in their order."
    )
