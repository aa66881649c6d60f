"""An answer with explanations as values: of each record the parts of its prediction, checked to be what they claim.

A part is what has attributions of its own: a column, or a unit of a text. Nothing of an answer is believed before it
is looked at: a number is finite, every part has one for each class, and a unit is where it says in the text.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from mooring.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Part:
    """What has attributions, one for each class."""

    name: str
    value: str | None
    """What the record has there; None where that is not known, and for units of text."""
    attributions: tuple[float, ...]
    start: int | None = None
    """Of a unit: where it stands in its text."""


@dataclass(frozen=True, slots=True)
class Text:
    """A text of a record with its units, in order."""

    name: str
    text: str
    spans: tuple[tuple[int, int, Part], ...]
    """Of each unit: from where to where it stands in `text`."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record. Without parts it was not explained."""

    number: int
    parts: tuple[Part, ...]
    texts: tuple[Text, ...]

    @property
    def classes(self) -> int:
        """Of how many scores the parts tell."""
        return len(self.parts[0].attributions) if self.parts else 0

    def total(self, kind: int) -> float:
        """What all parts add to the base value of a class."""
        return math.fsum(part.attributions[kind] for part in self.parts)


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to one call."""

    content_type: str
    """Of the container's answer."""
    data: str
    labels: tuple[str, ...]
    """Of the classes; empty where nobody named them."""
    records: tuple[Record, ...]


class Strange(Unavailable):
    """The answer is no answer with explanations."""


def read(body: bytes, cells: Sequence[list[str] | None], first: int = 0) -> Answer:
    """An answer and what the records have in their columns. Raises `Strange`. Records are numbered from `first`."""
    try:
        document = json.loads(body)
        predictions = document["predictions"]
        content_type, data = _string(predictions["content_type"]), _string(predictions["data"])
        labels = tuple(_string(each) for each in document.get("label_headers") or ())
        explained = document["explanations"].get("kernel_shap") or [None] * max(len(cells), 1)
        records = [
            _record(first + place, each, cells[place] if place < len(cells) else None)
            for place, each in enumerate(explained)
        ]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise Strange(f"the answer is not that of an endpoint with explanations: {_why(error)}") from None
    return Answer(content_type, data, labels, tuple(records))


def _why(error: Exception) -> str:
    return f"it lacks {error}" if isinstance(error, KeyError) else str(error) or type(error).__name__


def _record(number: int, features: Any, cells: list[str] | None) -> Record:
    if features is None:
        return Record(number, (), ())
    known: Sequence[str | None] = cells if cells is not None and len(cells) == len(features) else [None] * len(features)
    parts: list[Part] = []
    texts = []
    for place, (feature, cell) in enumerate(zip(features, known, strict=True)):
        name = _string(feature.get("feature_header") or f"#{place}")
        if feature.get("feature_type") == "text" or "description" in feature["attributions"][0]:
            text = _text(name, feature["attributions"], cell)
            texts.append(text)
            parts += [part for _, _, part in text.spans]
        else:
            (only,) = feature["attributions"]
            parts.append(Part(name, cell, _numbers(only["attribution"])))
    if not parts or len({len(part.attributions) for part in parts}) != 1:
        raise ValueError(f"record {number} has parts of several numbers of classes")
    return Record(number, tuple(parts), tuple(texts))


def _text(name: str, units: list[Any], cell: str | None) -> Text:
    parts = [_unit(unit["description"], unit["attribution"]) for unit in units]
    spans = tuple((part.start or 0, (part.start or 0) + len(part.name), part) for part in parts)
    in_order = all(end <= start for (_, end, _), (start, _, _) in pairwise(spans))
    if cell is not None and in_order and all(start >= 0 and cell[start:end] == part.name for start, end, part in spans):
        return Text(name, cell, spans)
    return _joined(name, parts)


def _unit(description: Any, attribution: Any) -> Part:
    start = description["start_idx"]
    if not isinstance(start, int) or start < 0:
        raise ValueError("a unit of text begins nowhere")
    return Part(_string(description["partial_text"]), None, _numbers(attribution), start)


def _joined(name: str, parts: list[Part]) -> Text:
    """Where the text is not at hand, its units with a blank between two."""
    spans, end = [], 0
    for part in parts:
        spans.append((end, end + len(part.name), part))
        end += len(part.name) + 1
    return Text(name, " ".join(part.name for part in parts), tuple(spans))


def _numbers(values: Any) -> tuple[float, ...]:
    if not isinstance(values, list) or not values:
        raise ValueError("an attribution is no list of numbers")
    if not all(isinstance(each, int | float) and not isinstance(each, bool) and math.isfinite(each) for each in values):
        raise ValueError("an attribution is no finite number")
    return tuple(float(each) for each in values)


def _string(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{type(value).__name__} where a text belongs")
    return value
