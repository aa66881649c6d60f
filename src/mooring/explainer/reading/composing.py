"""The answer of an explained call, in the service's own schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooring.explainer.reading.document import document, written
from mooring.explainer.reading.records import Reading

Attributions = NDArray[np.float64]


def response(reading: Reading, attributions: Sequence[Attributions | None]) -> bytes:
    """The whole body. `attributions` has players by classes for each record that is explained, None for others."""
    said = document(reading.answered_type, reading.answer, reading.labels)
    said["explanations"] = {}
    if any(each is not None for each in attributions):
        said["explanations"]["kernel_shap"] = [
            None if each is None else _record(reading, i, each) for i, each in enumerate(attributions)
        ]
    return written(said)


def _record(reading: Reading, index: int, attributions: Attributions) -> list[dict[str, Any]]:
    plan = reading.plan
    values: list[list[float]] = attributions.tolist()
    made, at = [], 0
    for column in range(plan.baseline.columns):
        units = reading.units(index, column)
        players = 1 if units is None else len(units)
        found: list[dict[str, Any]] = [{"attribution": value} for value in values[at : at + players]]
        for one, unit in zip(found, units or (), strict=False):
            one["description"] = {"partial_text": unit.text, "start_idx": unit.start}
        at += players
        said: dict[str, Any] = {"attributions": found}
        if plan.feature_headers is not None:
            said["feature_header"] = plan.feature_headers[column]
        if plan.text is not None:
            said["feature_type"] = plan.types[column]
        made.append(said)
    return made
