"""Plans and readings for tests, from as little as they need."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mooring.explainer.frames import Explain
from mooring.explainer.reading.plan import Plan
from mooring.explainer.reading.records import Reading
from mooring.hosting.explaining import ExplainerRoute

CSV, JSON_LINES = "text/csv", "application/jsonlines"
TOKENS = {"TextConfig": {"Language": "en", "Granularity": "token"}}


def plan_of(
    baseline: str | None = "0,0,0,0",
    *,
    stored: bytes | None = None,
    mime: str | None = None,
    expression: str | None = None,
    shap: dict[str, Any] | None = None,
    **inference: Any,
) -> Plan:
    """A plan; `inference` has the members of InferenceConfig, `shap` those of ShapConfig."""
    background = {} if baseline is None else {"ShapBaseline": baseline}
    if mime is not None:
        background["MimeType"] = mime
    config: dict[str, Any] = {"ShapConfig": {**(shap or {}), "ShapBaselineConfig": background}}
    if inference:
        config["InferenceConfig"] = inference
    if expression is not None:
        config["EnableExplanations"] = expression
    return Plan(ExplainerRoute("m/1/v", config, "/a/file" if baseline is None else None), stored)


def reading_of(
    plan: Plan,
    request: str | bytes,
    answer: str | bytes,
    *,
    content_type: str = CSV,
    answered_type: str = CSV,
    expression: str | None = None,
) -> Reading:
    """What a call says."""
    asked = request.encode() if isinstance(request, str) else request
    said = answer.encode() if isinstance(answer, str) else answer
    return Reading(plan, Explain(1, "", content_type, expression, asked, answered_type, said, 1, 50.0))


def every_mask(players: int) -> NDArray[np.bool_]:
    """All coalitions but the empty one, which is the baseline's, in the order of binary numbers."""
    return np.array(list(product([False, True], repeat=players))[1:], np.bool_).reshape(-1, players)
