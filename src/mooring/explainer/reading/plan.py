"""A plan: what an ExplainerConfig wants, compiled once with its baseline and used for every call.

Making one is also how control checks a configuration before there is an endpoint, so nothing here knows NumPy.
"""

from __future__ import annotations

import json
from typing import Any

from mooring.explainer.expressions import BadExpression, Expression, compiled
from mooring.explainer.faults import Unexplainable, counted, shown
from mooring.explainer.reading.baseline import TEXT, Baseline, baseline_of, inferred_types
from mooring.explainer.reading.rendering import Rendering, text_in
from mooring.hosting.explaining import ExplainerRoute

PLACEHOLDER = "$features"
BEYOND = 2048
"""Coalitions of a record by default, besides two for each feature."""
MEGABYTE = 1 << 20
DEFAULT_PAYLOAD_MB = 6


class Plan:
    """An `ExplainerRoute`, compiled. Immutable."""

    def __init__(self, route: ExplainerRoute, baseline: bytes | Unexplainable | None) -> None:
        """`baseline` is the content of the file that the route names. Raises `Unexplainable` and `BadExpression`.

        Where it is why that cannot be read, calls that explain nothing can be answered all the same.
        """
        config = route.config
        inference = config.get("InferenceConfig", {})
        shap = config.get("ShapConfig", {})
        self.model = route.model
        self.expression = _compiled(config, "EnableExplanations")
        """Compiled; None to explain all."""
        self.features = _compiled(inference, "FeaturesAttribute")
        self.probability = _compiled(inference, "ProbabilityAttribute")
        self.label = _compiled(inference, "LabelAttribute")
        self.probability_index: int | None = inference.get("ProbabilityIndex")
        self.label_index: int | None = inference.get("LabelIndex")
        self.label_headers: list[str] | None = inference.get("LabelHeaders")
        self.feature_headers: list[str] | None = inference.get("FeatureHeaders")
        self.template = _template(inference.get("ContentTemplate"))
        """What stands before and after the features of a JSON Lines record."""
        self.max_records: int | None = inference.get("MaxRecordCount")
        self.max_bytes: int = inference.get("MaxPayloadInMB", DEFAULT_PAYLOAD_MB) * MEGABYTE
        self.seed: int | None = shap.get("Seed")
        self.use_logit: bool = shap.get("UseLogit", False)
        self.wanted_samples: int | None = shap.get("NumberOfSamples")
        self.text: dict[str, str] | None = shap.get("TextConfig")
        self._baseline = (
            baseline if isinstance(baseline, Unexplainable) else baseline_of(config, baseline, self.features)
        )
        self._types: list[str] | None = inference.get("FeatureTypes")
        self._absent: dict[str, list[list[bytes]]] = {}

    @property
    def baseline(self) -> Baseline:
        """Raises `Unexplainable` where it cannot be read."""
        if isinstance(self._baseline, Unexplainable):
            raise self._baseline
        return self._baseline

    @property
    def types(self) -> list[str]:
        """Of the features."""
        if self._types is None:
            self._types = inferred_types(self.baseline, self.text is not None)
        return self._types

    @property
    def baseline_rows(self) -> int:
        """How many records the baseline has."""
        return len(self.baseline.rows)

    def samples(self, players: int) -> int:
        """How many coalitions of so many features are asked for, with each row of the baseline."""
        wanted = 2 * players + BEYOND if self.wanted_samples is None else self.wanted_samples
        # 2^d is a long number where d is; nobody wants as many as 2^63 coalitions.
        return wanted if players > 62 else min(wanted, 2**players - 2)

    def absent(self, form: str) -> list[list[bytes]]:
        """For each feature, what stands for it in a format where it is absent, from each row of the baseline."""
        if form not in self._absent:
            self.refuse_other_counts()
            rendering = self.rendering(form)
            self._absent[form] = [self._absent_of(column, rendering) for column in range(self.baseline.columns)]
        return self._absent[form]

    def rendering(self, form: str) -> Rendering:
        """How features are written in a format."""
        return Rendering(form, self.baseline.columns == 1)

    def replacements(self, column: int) -> list[str]:
        """What stands for one unit of a text that is absent, from each row of the baseline."""
        return [text_in(row[column], _where(i, column)) for i, row in enumerate(self.baseline.rows)]

    def refuse_other_counts(self) -> None:
        """Headers and types must be as many as features."""
        for name, given in (("FeatureHeaders", self.feature_headers), ("FeatureTypes", self.types)):
            if given is not None and len(given) != self.baseline.columns:
                raise Unexplainable(
                    f"{name} has {counted(len(given), 'entry')} and the baseline "
                    f"{counted(self.baseline.columns, 'feature')}: they must be as many."
                )

    def is_text(self, column: int) -> bool:
        """Whether a feature is divided into units."""
        return self.text is not None and self.types[column] == TEXT

    def _absent_of(self, column: int, rendering: Rendering) -> list[bytes]:
        found = []
        for i, row in enumerate(self.baseline.rows):
            try:
                found.append(rendering.rendered(row[column], self.baseline.form, self.types[column]))
            except ValueError as error:
                raise Unexplainable(f"{_where(i, column)}: {shown(row[column])} cannot be written: {error}.") from None
        return found


def _where(row: int, column: int) -> str:
    return f"Record {row} of the baseline, feature {column}"


def _compiled(members: dict[str, Any], name: str) -> Expression | None:
    expression = members.get(name)
    if expression is None:
        return None
    try:
        return compiled(expression)
    except BadExpression as error:
        raise BadExpression(f"{name}: {error}") from None


def _template(template: str | None) -> tuple[str, str] | None:
    if template is None:
        return None
    times = template.count(PLACEHOLDER)
    if times != 1:
        raise Unexplainable(f"ContentTemplate {template!r} has {PLACEHOLDER} {times} times; it must have it once.")
    before, _, after = template.partition(PLACEHOLDER)
    try:
        json.loads(f'{before}["a"]{after}')
    except (ValueError, RecursionError):
        raise Unexplainable(
            f"ContentTemplate {template!r} is not JSON where {PLACEHOLDER} is a list, such as "
            f'{{"features":{PLACEHOLDER}}} is.'
        ) from None
    return before, after
