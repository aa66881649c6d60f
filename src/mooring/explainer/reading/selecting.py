"""Which records are explained: EnableExplanations, evaluated on each record of the model's answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mooring.explainer.expressions import BadExpression, Expression, Outsized, compiled
from mooring.explainer.faults import Unexplainable, shown
from mooring.explainer.reading import csv_records, json_records
from mooring.explainer.reading.csv_records import Row
from mooring.explainer.reading.formats import CSV, JSON_LINES
from mooring.explainer.reading.literals import list_of, number_of

_MEMBERS = {
    CSV: "The columns of a line of CSV are [0], [1] and so on.",
    JSON_LINES: "The members of an object in JSON Lines go by their names, such as probability.",
}
"""What there is in a record, for an expression that finds nothing."""


def expression_of(configured: Expression | None, given: str | None) -> Expression | None:
    """The compiled expression of a call: its own takes the place of the configured one. None explains all."""
    if given is None:
        return configured
    try:
        return compiled(given)
    except BadExpression as error:
        raise Unexplainable(f"EnableExplanations: {error}", "caller") from None


def selected_of(expression: Expression, form: str, rows: Sequence[Row], length: int) -> list[bool]:
    """For each record of an answer, which is so many characters long, whether it is to be explained."""
    try:
        expression.refuse_length(length)
    except Outsized as error:
        raise Unexplainable(
            f"EnableExplanations {expression.expression!r} cannot be evaluated on the model's answer: {error}."
        ) from None
    return [is_selected(expression, form, row, i) for i, row in enumerate(rows)]


def is_selected(expression: Expression, form: str, row: Row, record: int) -> bool:
    """Whether a record of an answer is to be explained."""
    value = loaded(form, row, record)
    try:
        found = expression.search(value)
    except Exception as error:  # noqa: BLE001 - JMESPath raises anything
        reason = str(error).rstrip(".")
        if isinstance(error, TypeError):  # as it does of text beside a number
            reason += ". A number compares only with a number, and a literal one stands in backquotes"
        raise Unexplainable(f"{_where(expression, row, record)} cannot be evaluated: {reason}.") from None
    if type(found) is bool:
        return found
    remedy = f" {_MEMBERS[form]}" if found is None else ""
    raise Unexplainable(
        f"{_where(expression, row, record)} gives {shown(found)} and not true or false. "
        f"Literals stand in backquotes.{remedy}"
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


def _where(expression: Expression, row: Row, record: int) -> str:
    return f"EnableExplanations {expression.expression!r}: record {record}, which the model answered with {shown(row)},"
