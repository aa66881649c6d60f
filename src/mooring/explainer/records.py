"""What one explained call's bytes say: which records are explained, with which scores, and their features.

Only records that are explained are looked into; of the others no more is known than that they are there.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooring.explainer import csv_records, json_records, selecting
from mooring.explainer.baseline import features_of
from mooring.explainer.csv_records import Row
from mooring.explainer.faults import Unexplainable
from mooring.explainer.formats import CSV, format_of, text_of
from mooring.explainer.frames import Explain
from mooring.explainer.outputs import Answer, Classes, answer_of, classes_of, ordered_scores
from mooring.explainer.plan import Plan
from mooring.explainer.rendering import rendered, surroundings, text_in
from mooring.explainer.synthesis import Feature, Game, TextFeature

REQUEST = "The request"


class Reading:
    """One call, read. Raises `Unexplainable`."""

    def __init__(self, plan: Plan, explain: Explain) -> None:
        self.plan, self.explain = plan, explain
        self.form = format_of(explain.content_type, REQUEST, "caller")
        expression = selecting.expression_of(plan.expression, explain.expression)
        self.selected: list[bool] = []
        """For each record, whether it is explained; nothing where none is, whatever the request holds."""
        self.scores: list[NDArray[np.float64]] = []
        """For each record its scores; none for one that is not explained."""
        self.classes = Classes(0, None)
        self._games: dict[int, Game] = {}
        constant = selecting.constant_of(expression)
        if constant is False:
            return
        rows = _rows_of(self.form, text_of(explain.request, REQUEST, "caller"))
        answer = answer_of(plan, explain.answered_type, explain.answer, len(rows))
        self.selected = [
            bool(constant) or selecting.is_selected(expression, answer.form, row, i)
            for i, row in enumerate(answer.rows)
        ]
        if any(self.selected):
            self._read(rows, answer)

    @property
    def labels(self) -> list[str] | None:
        """The names of the classes, which the answer knows or else the configuration."""
        return list(self.classes.labels) if self.classes.labels is not None else self.plan.label_headers

    def game(self, index: int) -> Game:
        """Of an explained record."""
        return self._games[index]

    def _read(self, rows: Sequence[Row], answer: Answer) -> None:
        first = self.selected.index(True)
        self.classes = classes_of(self.plan, answer.form, answer.rows[first], f"The model's answer for record {first}")
        self._refuse_other_labels()
        none = np.empty(0)
        for i, selected in enumerate(self.selected):
            self.scores.append(self._scores(answer, i) if selected else none)
        around = surroundings(self.form, self.plan.template)
        for i, selected in enumerate(self.selected):
            if selected:
                self._games[i] = Game(self._features(rows[i], i), around)

    def _scores(self, answer: Answer, i: int) -> NDArray[np.float64]:
        where = f"The model's answer for record {i}"
        return np.array(ordered_scores(self.plan, answer.form, answer.rows[i], self.classes, where))

    def _refuse_other_labels(self) -> None:
        headers = self.plan.label_headers
        if self.classes.labels is None and headers is not None and len(headers) != self.classes.size:
            raise Unexplainable(
                f"LabelHeaders has {len(headers)} entries and the model's answer {self.classes.size} scores: "
                "they must be as many."
            )

    def _features(self, row: Row, i: int) -> list[Feature | TextFeature]:
        absent = self.plan.absent(self.form)
        count = csv_records.columns_of(row) if self.form == CSV else None
        if count in (None, len(absent)):
            values: list[Any]
            if self.form == CSV:
                values = csv_records.cells_of(row)
            else:
                where = f"Record {i} of the request"
                value = json_records.value_of(str(row), where, "caller")
                values = features_of(value, where, self.plan.features, "explainer")
            count = len(values)
        if count != len(absent):
            raise Unexplainable(
                f"Record {i} of the request has {count} features and the baseline has {len(absent)}: "
                "they must be as many, without a label."
            )
        return [self._feature(value, i, column, absent[column]) for column, value in enumerate(values)]

    def _feature(self, value: Any, i: int, column: int, absent: list[bytes]) -> Feature | TextFeature:
        where = f"Record {i} of the request, feature {column}"
        is_text = self.plan.is_text(column)
        present = rendered(value, self.form, self.form, is_text, where)
        if not is_text:
            return Feature(present, absent)
        return _text_feature(self.plan, self.form, text_in(value, where), present, column)


def _text_feature(plan: Plan, form: str, text: str, present: bytes, column: int) -> TextFeature:
    from mooring.explainer.text import MaskedText, Unit, units

    config = plan.text or {}
    # A text without a unit, such as an empty one, is one unit.
    found = units(text, config["Language"], config["Granularity"]) or [Unit(text, 0)]
    written = partial(rendered, form=form, from_form=form, is_text=True, where="A text")
    return TextFeature(present, text, found, MaskedText(text, found).masked, plan.replacements(column), written)


def baseline_lines(plan: Plan, content_type: str) -> list[bytes]:
    """The records of the baseline, as the model is asked of them by a call with this Content-Type."""
    form = format_of(content_type, REQUEST, "caller")
    before, after = surroundings(form, plan.template)
    return [before + b",".join(row) + after for row in zip(*plan.absent(form), strict=True)]


def body_of(lines: Sequence[bytes]) -> bytes:
    """A synthetic request."""
    return b"\n".join(lines)


def _rows_of(form: str, text: str) -> Sequence[Row]:
    rows: Sequence[Row]
    rows = csv_records.rows_of(text, REQUEST, "caller") if form == CSV else json_records.rows_of(text)
    if not rows:
        raise Unexplainable("The request has no records.", "caller")
    return rows
