"""The answer of an explained call, in the service's own schema."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooring.explainer.plan import Plan
from mooring.explainer.records import Reading
from mooring.explainer.synthesis import Game, TextFeature

Attributions = NDArray[np.float64]

VERSION = "1.0"


def response(reading: Reading, attributions: Sequence[Attributions | None]) -> bytes:
    """The whole body. `attributions` has players by classes for each record that is explained, None for others."""
    explain = reading.explain
    said: dict[str, Any] = {
        "version": VERSION,
        "predictions": {"content_type": explain.answered_type, "data": explain.answer.decode("utf-8", "replace")},
    }
    if reading.labels is not None:
        said["label_headers"] = reading.labels
    said["explanations"] = {}
    if any(each is not None for each in attributions):
        said["explanations"]["kernel_shap"] = [
            None if each is None else _record(reading.plan, reading.game(i), each)
            for i, each in enumerate(attributions)
        ]
    try:
        return json.dumps(said, separators=(",", ":"), ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half of a surrogate pair in a text of the caller's
        return json.dumps(said, separators=(",", ":")).encode()


def _record(plan: Plan, game: Game, attributions: Attributions) -> list[dict[str, Any]]:
    values: list[list[float]] = attributions.tolist()
    made, at = [], 0
    for column, feature in enumerate(game.features):
        found: list[dict[str, Any]]
        if isinstance(feature, TextFeature):
            found = [
                {"attribution": value, "description": {"partial_text": unit.text, "start_idx": unit.start}}
                for unit, value in zip(feature.units, values[at:], strict=False)
            ]
        else:
            found = [{"attribution": values[at]}]
        at += len(found)
        said: dict[str, Any] = {"attributions": found}
        if plan.feature_headers is not None:
            said["feature_header"] = plan.feature_headers[column]
        if plan.text is not None:
            said["feature_type"] = plan.types[column]
        made.append(said)
    return made
