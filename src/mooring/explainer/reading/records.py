"""What one explained call's bytes say: which records are explained, with which scores, and their features.

Only records that are explained are looked into; of the others no more is known than that they are there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooring.explainer.expressions import constant_of
from mooring.explainer.faults import Misaligned, Unexplainable, counted, shown
from mooring.explainer.frames import Explain
from mooring.explainer.reading import csv_records, json_records, selecting
from mooring.explainer.reading.baseline import features_of
from mooring.explainer.reading.bulk import Classes
from mooring.explainer.reading.csv_records import Row
from mooring.explainer.reading.formats import CSV, format_of, text_of
from mooring.explainer.reading.outputs import ANSWER, Answer, answer_of, classes_of, labels_told, ordered_scores
from mooring.explainer.reading.plan import Plan
from mooring.explainer.reading.rendering import surroundings, text_in
from mooring.explainer.reading.synthesis import Feature, Game, TextFeature
from mooring.explainer.reading.text import BadText, MaskedText, Unit, loading_s, units

REQUEST = "The request"
LARGE = 65_536
"""Characters of a JSON record that is only skimmed before its turn comes."""
MOST = 100_000
"""Records in a call; each is looked at by the expression."""
MOST_EXPLAINED = 10_000
"""Records that are explained in a call. In its minute a model predicts some thousands of rows for far fewer."""


class Reading:
    """One call, read. Raises `Unexplainable`."""

    def __init__(self, plan: Plan, explain: Explain) -> None:
        self.plan = plan
        self.answered_type, self.answer = explain.answered_type, explain.answer
        self.form = format_of(explain.content_type, REQUEST, "caller")
        expression = selecting.expression_of(plan.expression, explain.expression)
        self.selected: list[bool] = []
        """For each record, whether it is explained; nothing where none is, whatever the request holds."""
        self.scores: list[NDArray[np.float64]] = []
        """For each record its scores; none for one that is not explained."""
        self.classes = Classes(0, None)
        self.loading_s = 0.0
        """How long the language of its texts was loaded for it."""
        self._rows: dict[int, Row] = {}
        self._found_units: dict[tuple[int, int], list[Unit]] = {}
        constant = constant_of(expression)
        if constant is False:
            return
        rows = _rows_of(self.form, text_of(explain.request, REQUEST, "caller"))
        if len(rows) > MOST:
            raise Unexplainable(f"The request has {len(rows)} records; an explained call has at most {MOST}.", "caller")
        answer = self._answer(explain, rows)
        if constant or expression is None:
            self.selected = [True] * len(answer.rows)
        else:
            self.selected = selecting.selected_of(expression, answer.form, answer.rows, len(explain.answer))
        explained = sum(self.selected)
        if explained > MOST_EXPLAINED:
            raise Unexplainable(
                f"{explained} records of the request are to be explained; at most {MOST_EXPLAINED} can be in one call."
            )
        if explained:
            self._read(rows, answer)

    @property
    def labels(self) -> list[str] | None:
        """The names of the classes, which the answer says or else the configuration."""
        if self.classes.labels is not None:
            return list(self.classes.labels)
        found = None if any(self.selected) else labels_told(self.plan, self.answered_type, self.answer)
        return self.plan.label_headers if found is None else found

    def length(self, index: int) -> int:
        """Of an explained record, in characters."""
        row = self._rows[index]
        return len(row) if isinstance(row, str) else sum(map(len, row))

    def game(self, index: int) -> Game:
        """Of an explained record; made anew each time."""
        values = self._values(index)
        return Game(self._features(values, index), surroundings(self.form, self.plan.template))

    def units(self, index: int, column: int) -> list[Unit] | None:
        """Of a text in an explained record whose game was made; None for a feature that has none."""
        return self._found_units.get((index, column))

    def _answer(self, explain: Explain, rows: Sequence[Row]) -> Answer:
        try:
            return answer_of(self.plan, explain.answered_type, explain.answer, len(rows))
        except Misaligned:
            if self.form != CSV:  # a record over several lines is one to the model
                json_records.skimmed(str(rows[0]), "Record 0 of the request", "caller")
            raise

    def _read(self, rows: Sequence[Row], answer: Answer) -> None:
        first = self.selected.index(True)
        self.classes = classes_of(self.plan, answer.form, answer.rows[first], f"{ANSWER} for record {first}")
        self._refuse_other_labels()
        surroundings(self.form, self.plan.template)
        self.plan.absent(self.form)
        none = np.empty(0)
        for i, selected in enumerate(self.selected):
            self.scores.append(self._scores(answer, i) if selected else none)
            if selected:
                self._rows[i] = rows[i]
                self._refuse_what_cannot_be_read(i)

    def _scores(self, answer: Answer, i: int) -> NDArray[np.float64]:
        where = f"{ANSWER} for record {i}"
        return np.array(ordered_scores(self.plan, answer.form, answer.rows[i], self.classes, where))

    def _refuse_other_labels(self) -> None:
        headers = self.plan.label_headers
        if self.classes.labels is None and headers is not None and len(headers) != self.classes.count:
            raise Unexplainable(
                f"LabelHeaders has {counted(len(headers), 'entry')} and the model's answer "
                f"{counted(self.classes.count, 'score')}: they must be as many."
            )

    def _refuse_what_cannot_be_read(self, i: int) -> None:
        """Before the model works on any record; one whose body is all commas is never divided into cells."""
        if self.form == CSV:
            self._refuse_other_count(csv_records.columns_of(self._rows[i]), i)
            return
        read = json_records.skimmed if len(self._rows[i]) > LARGE else json_records.value_of
        self._refuse_other_count(len(self._features_in(read, i)), i)

    def _values(self, i: int) -> list[Any]:
        if self.form == CSV:
            return list(csv_records.cells_of(self._rows[i]))
        return self._features_in(json_records.value_of, i)

    def _features_in(self, read: Callable[[str, str, str], Any], i: int) -> list[Any]:
        where = f"Record {i} of the request"
        line = str(self._rows[i])
        return features_of(read(line, where, "caller"), len(line), where, self.plan.features, "explainer")

    def _refuse_other_count(self, count: int, i: int) -> None:
        usual = self.plan.baseline.columns
        if count != usual:
            raise Unexplainable(
                f"Record {i} of the request has {counted(count, 'feature')} and the baseline has {usual}: "
                "they must be as many, and none of them a label."
            )

    def _features(self, values: list[Any], i: int) -> list[Feature | TextFeature]:
        plan = self.plan
        rendering, absent = plan.rendering(self.form), plan.absent(self.form)
        made: list[Feature | TextFeature] = []
        for column, value in enumerate(values):
            try:
                present = rendering.rendered(value, self.form, plan.types[column])
            except ValueError as error:
                raise Unexplainable(f"{_where(i, column)}: {shown(value)} cannot be written: {error}.") from None
            if plan.is_text(column):
                text = text_in(value, _where(i, column))
                found = self._found_units[i, column] = self._units_of(text, _where(i, column))
                masked = MaskedText(text, found).masked
                replacements = plan.replacements(column)
                made.append(TextFeature(present, text, found, masked, replacements, rendering.rendered_text))
            else:
                made.append(Feature(present, absent[column]))
        return made

    def _units_of(self, text: str, where: str) -> list[Unit]:
        config, before = self.plan.text or {}, loading_s()
        try:
            return units(text, config["Language"], config["Granularity"])
        except BadText as error:
            raise Unexplainable(f"{where}: {error}.") from None
        finally:
            self.loading_s += loading_s() - before


def _where(record: int, column: int) -> str:
    return f"Record {record} of the request, feature {column}"


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
