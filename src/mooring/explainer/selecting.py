"""Which records are explained: EnableExplanations, evaluated on each record of the model's answer."""

from __future__ import annotations

from typing import Any

from mooring.explainer import csv_records, json_records
from mooring.explainer.csv_records import Row
from mooring.explainer.expressions import BadExpression, compiled
from mooring.explainer.faults import Unexplainable, shown
from mooring.explainer.formats import CSV
from mooring.explainer.literals import list_of, number_of


def expression_of(configured: Any | None, given: str | None) -> Any | None:
    """The compiled expression of a call: its own takes the place of the configured one. None explains all."""
    if given is None:
        return configured
    try:
        return compiled(given)
    except BadExpression as error:
        raise Unexplainable(f"EnableExplanations: {error}", "caller") from None


def is_selected(expression: Any, form: str, row: Row, record: int) -> bool:
    """Whether a record of an answer is to be explained."""
    value = loaded(form, row, record)
    try:
        found = expression.search(value)
    except Exception as error:  # noqa: BLE001 - JMESPath raises anything: TypeError where text is compared with a number
        raise Unexplainable(
            f"{_where(expression, row, record)} cannot be evaluated: {error}. "
            "A number compares only with a number, and a literal one stands in backquotes."
        ) from None
    if type(found) is bool:
        return found
    raise Unexplainable(
        f"{_where(expression, row, record)} gives {shown(found)} and not true or false. Literals stand in backquotes."
    )


def loaded(form: str, row: Row, record: int) -> Any:
    """A record of an answer as JSON data: an array for CSV, whose cells are numbers, lists or text."""
    if form == CSV:
        return [_cell(text) for text in csv_records.cells_of(row)]
    return json_records.value_of(str(row), f"The model's answer for record {record}", "explainer")


def _cell(text: str) -> Any:
    number = number_of(text)
    if number is not None:
        return number
    found = list_of(text)
    return text if found is None else found


def _where(expression: Any, row: Row, record: int) -> str:
    return f"EnableExplanations {expression.expression!r}: record {record}, which the model answered with {shown(row)},"
