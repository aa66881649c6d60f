"""Scores and labels in one record of a model's answer, looked at closely: what is no score is told with its place."""

from __future__ import annotations

import json
import math
from typing import Any

from mooring.explainer.expressions import Expression
from mooring.explainer.faults import Unexplainable, counted, shown
from mooring.explainer.reading import csv_records, json_records
from mooring.explainer.reading.csv_records import Row
from mooring.explainer.reading.formats import CSV
from mooring.explainer.reading.literals import list_of, number_of
from mooring.explainer.reading.plan import Plan


def scores_in(plan: Plan, form: str, row: Row, where: str) -> list[float]:
    """The scores of a record, one for each class."""
    found = _of_cells(plan, row, where) if form == CSV else _of_value(plan, str(row), where)
    if not found:
        raise Unexplainable(f"{where} has no scores: {shown(row)}")
    return [_score(plan, form, each, where) for each in found]


def labels_in(plan: Plan, form: str, row: Row, where: str) -> list[str] | None:
    """The labels of a record; None where the plan does not say where they are."""
    if form == CSV:
        if plan.label_index is None:
            return None
        return labels_of_cell(_cell(row, plan.label_index, "LabelIndex", where))
    if plan.label is None:
        return None
    found: Any = _searched(plan.label, "LabelAttribute", str(row), where)
    if found is None or found == []:
        raise Unexplainable(f"{where}: LabelAttribute {plan.label.expression!r} finds no labels in {shown(row)}.")
    return [_label(each) for each in found] if isinstance(found, list) else [_label(found)]


def labels_of_cell(text: str) -> list[str]:
    """The label that a cell is, or those that it lists."""
    found = list_of(text)
    return [text] if found is None else [_label(each) for each in found]


def _of_cells(plan: Plan, row: Row, where: str) -> list[Any]:
    if plan.probability_index is not None:
        cells = [_cell(row, plan.probability_index, "ProbabilityIndex", where)]
    else:
        cells = csv_records.cells_of(row)
        if plan.label_index is not None:
            cells = [cell for i, cell in enumerate(cells) if i != plan.label_index]
    if len(cells) == 1:
        found = list_of(cells[0])
        if found is not None:
            return found
    return list(cells)


def _of_value(plan: Plan, line: str, where: str) -> list[Any]:
    if plan.probability is not None:
        found = _searched(plan.probability, "ProbabilityAttribute", line, where)
        if found is None:
            said = plan.probability.expression
            raise Unexplainable(f"{where}: ProbabilityAttribute {said!r} finds no scores in {shown(line)}.")
    else:
        found = json_records.value_of(line, where, "explainer")
        if isinstance(found, dict):
            raise Unexplainable(f"{where}: {shown(line)} is an object; ProbabilityAttribute says where its scores are.")
    return found if isinstance(found, list) else [found]


def _cell(row: Row, index: int, name: str, where: str) -> str:
    columns = csv_records.columns_of(row)
    if index >= columns:
        raise Unexplainable(
            f"{where}: {name} is {index}, counted from 0, of {counted(columns, 'column')}: {shown(row)}"
        )
    return csv_records.cells_of(row)[index]


def _searched(expression: Expression, name: str, line: str, where: str) -> Any:
    value = json_records.value_of(line, where, "explainer")
    try:
        return expression.search(value, len(line))
    except Exception as error:  # noqa: BLE001 - JMESPath raises anything
        said = expression.expression
        raise Unexplainable(f"{where}: {name} {said!r} cannot be evaluated on {shown(line)}: {error}") from None


def _score(plan: Plan, form: str, value: Any, where: str) -> float:
    number = number_of(value) if form == CSV and isinstance(value, str) else value
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise Unexplainable(f"{where}: the score {shown(value)} is not a number.")
    try:
        score = float(number)
    except OverflowError:
        score = math.inf
    if not math.isfinite(score):
        raise Unexplainable(f"{where}: the score {shown(value)} is not a finite number.")
    if plan.use_logit and not 0.0 <= score <= 1.0:
        raise Unexplainable(f"{where}: the score {score!r} is not from 0 to 1, which UseLogit needs.")
    return score


def _label(value: Any) -> str:
    if isinstance(value, str):
        return value
    return json_records.written(value) if isinstance(value, float) else json.dumps(value)
