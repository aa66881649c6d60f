"""The scores of records, read from what a container answered as the endpoint's InferenceConfig says.

An answer has no base value; it is a score without what the parts of its record add to it. Where a score cannot be read,
or there are not as many as attributions tell of, there is none, and attributions are shown for themselves.
"""

from __future__ import annotations

import ast
import csv
import io
import json
import math
from typing import Any

from mooring.cli.explain.answers import Answer, Record
from mooring.cli.explain.inputs import CSV, JSON_LINES, LARGEST
from mooring.errors import BadInput
from mooring.explainer.expressions import compiled

CLIPPED = 1e-12
"""Probabilities are not nearer to 0 and 1 than this when their log-odds are taken."""


def scores_of(answer: Answer, explainer: dict[str, Any]) -> list[tuple[float, ...] | None]:
    """Of each record its scores, in the units of its attributions: log-odds with UseLogit."""
    config = explainer.get("InferenceConfig") or {}
    rows = _rows(answer, config)
    if len(rows) != len(answer.records):
        return [None] * len(answer.records)
    logit = bool((explainer.get("ShapConfig") or {}).get("UseLogit"))
    found = [_ordered(row, config, answer.labels) for row in rows]
    return [_fitting(row, record, logit) for row, record in zip(found, answer.records, strict=True)]


def _fitting(row: list[float] | None, record: Record, logit: bool) -> tuple[float, ...] | None:
    if row is None or not all(map(math.isfinite, row)) or record.classes not in (0, len(row)):
        return None
    if not logit:
        return tuple(row)
    return tuple(map(_log_odds, row)) if all(0 <= each <= 1 for each in row) else None


def _log_odds(probability: float) -> float:
    clipped = min(max(probability, CLIPPED), 1 - CLIPPED)
    return math.log(clipped / (1 - clipped))


def _rows(answer: Answer, config: dict[str, Any]) -> list[Any]:
    """One value for each record: a row of cells, or what is in a line of JSON."""
    kind = answer.content_type.partition(";")[0].strip().lower()
    try:
        if kind == JSON_LINES:
            return [json.loads(line) for line in answer.data.split("\n") if line.strip()]
        if kind == CSV:
            csv.field_size_limit(LARGEST)
            rows = [row for row in csv.reader(io.StringIO(answer.data, newline="")) if row]
            indexed = "ProbabilityIndex" in config or "LabelIndex" in config
            if len(rows) == 1 and len(rows[0]) == len(answer.records) and not indexed:
                return [[cell] for cell in rows[0]]
            return rows
    except (ValueError, csv.Error, RecursionError):
        pass
    return []


def _ordered(row: Any, config: dict[str, Any], labels: tuple[str, ...]) -> list[float] | None:
    """The scores of a row in the order of the labels that the answer has."""
    try:
        found = _found(row, config.get("ProbabilityIndex"), config.get("ProbabilityAttribute"))
        scores = [float(each) for each in (found if isinstance(found, list) else [found])]
        named = _found(row, config.get("LabelIndex"), config.get("LabelAttribute"), None)
    except (ValueError, TypeError, IndexError, OverflowError, RecursionError, MemoryError, SyntaxError, BadInput):
        return None
    if isinstance(named, list) and len(named) == len(scores) and sorted(map(str, named)) == sorted(labels):
        by_label = dict(zip(map(str, named), scores, strict=True))
        return [by_label[each] for each in labels]
    return scores


_WHOLE = object()


def _found(row: Any, index: int | None, attribute: str | None, default: Any = _WHOLE) -> Any:
    if isinstance(row, list) and all(isinstance(cell, str) for cell in row):
        if index is not None:
            return _value(row[index])
        return row if default is _WHOLE else default
    if attribute is not None:
        return compiled(attribute).search(row)
    return row if default is _WHOLE else default


def _value(cell: str) -> Any:
    """A cell may hold a list, as Python writes one."""
    if not cell.lstrip().startswith("["):
        return cell
    try:
        return ast.literal_eval(cell.strip())
    except (ValueError, SyntaxError):
        return json.loads(cell)
