"""The baseline: one or more records of features only, that stand for features which are absent.

Read without NumPy, for control reads it too: an endpoint whose baseline cannot be used is not created.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from mooring.explainer.expressions import Expression
from mooring.explainer.faults import Unexplainable, counted, shown
from mooring.explainer.reading import csv_records, json_records
from mooring.explainer.reading.formats import CSV, JSON_LINES, text_of
from mooring.explainer.reading.json_records import Number
from mooring.explainer.reading.literals import number_of

NUMERICAL, CATEGORICAL, TEXT = "numerical", "categorical", "text"


class Baseline(NamedTuple):
    """Rows of equally many values: text, from CSV, and any JSON value with `Number` for numbers, from JSON Lines."""

    form: str
    """`formats.CSV` or `formats.JSON_LINES`."""
    rows: list[list[Any]]

    @property
    def columns(self) -> int:
        """How many features a record has."""
        return len(self.rows[0])


def baseline_of(config: dict[str, Any], stored: bytes | None, features: Expression | None) -> Baseline:
    """Of a ClarifyExplainerConfig. `stored` is what ShapBaselineUri names, `features` FeaturesAttribute, compiled."""
    wanted = config.get("ShapConfig", {}).get("ShapBaselineConfig", {})
    inline = wanted.get("ShapBaseline")
    whose = "The baseline of ShapBaselineUri" if inline is None else "ShapBaseline"
    named = "the baseline" if inline is None else whose
    content = stored if inline is None else inline.encode("utf-8", "surrogatepass")
    if content is None:
        raise Unexplainable("There is no baseline: ShapBaselineConfig needs ShapBaseline or ShapBaselineUri.")
    form = wanted.get("MimeType", CSV).lower()
    text = text_of(content, whose, "explainer")
    rows: list[list[Any]]
    if not text or text.isspace():
        rows = []
    elif form == JSON_LINES:
        rows = [
            _features(line, f"Record {i} of {named}", features) for i, line in enumerate(json_records.rows_of(text))
        ]
    else:
        rows = [csv_records.cells_of(row) for row in csv_records.rows_of(text, whose, "explainer")]
    if not rows:
        raise Unexplainable(f"{whose} has no records; it needs one or more, of features only, without a header row.")
    _refuse_unlike(rows, named)
    return Baseline(form, rows)


def _refuse_unlike(rows: list[list[Any]], named: str) -> None:
    usual = len(rows[0])
    for i, row in enumerate(rows):
        if len(row) != usual:
            raise Unexplainable(f"Record {i} of {named} has {counted(len(row), 'feature')} and record 0 has {usual}.")
        if not row:
            raise Unexplainable(f"Record {i} of {named} has no features.")


def _features(line: str, where: str, features: Expression | None) -> list[Any]:
    value = json_records.value_of(line, where, "explainer")
    return features_of(value, len(line), where, features, "explainer")


def features_of(value: Any, length: int, where: str, features: Expression | None, fault: str) -> list[Any]:
    """The list of features in the value of a JSON Lines record of so many characters."""
    found = value
    if features is not None:
        try:
            found = features.search(value, length)
        except Exception as error:  # noqa: BLE001 - JMESPath raises anything: functions and values are the caller's
            raise Unexplainable(f"{where}: FeaturesAttribute {features.expression!r} fails: {error}", fault) from None
    if isinstance(found, list):
        return found
    if features is None:
        said = f" is {shown(found)} and not a list of features: InferenceConfig has no FeaturesAttribute, which says "
        raise Unexplainable(f"{where}{said}where that is.", fault)
    said = f": FeaturesAttribute {features.expression!r} gives {shown(found)} and not a list of features."
    raise Unexplainable(f"{where}{said}", fault)


def inferred_types(baseline: Baseline, has_text: bool) -> list[str]:
    """The types of features without FeatureTypes: what is no number is text where there is a TextConfig."""
    return [
        _inferred([_kind(row[column], baseline.form) for row in baseline.rows], has_text)
        for column in range(baseline.columns)
    ]


def _inferred(kinds: list[str], has_text: bool) -> str:
    if kinds.count(NUMERICAL) == len(kinds):
        return NUMERICAL
    return TEXT if has_text and CATEGORICAL not in kinds else CATEGORICAL


def _kind(value: Any, form: str) -> str:
    if isinstance(value, str):
        return NUMERICAL if form == CSV and number_of(value) is not None else TEXT
    return NUMERICAL if isinstance(value, Number) else CATEGORICAL
