"""How the predictions of a variant are explained: ExplainerConfig, as a gateway and its solver need it in a route."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from mooring.hosting.rules import Members

LOG = "explainer"
"""Of explained calls, beside the logs of their variant's replicas."""
WORKERS_VARIABLE = "SAGEMAKER_MODEL_SERVER_WORKERS"
ATTRIBUTES = ("FeaturesAttribute", "ProbabilityAttribute", "LabelAttribute")
"""Members of InferenceConfig that are JMESPath."""


@dataclass(frozen=True, slots=True)
class ExplainerRoute:
    """Of one variant of one fleet."""

    model: str
    """The model's version, `uid/generation/variant`: what was learned of it is kept under this."""
    config: dict[str, Any]
    """ClarifyExplainerConfig as it was given."""
    baseline: str | None = None
    """The file with the baseline that ShapBaselineUri names; None for one that is in `config`."""
    calls_per_replica: int = 1
    """Synthetic calls that one replica is given at a time."""

    def to_text(self) -> str:
        """JSON; the same for the same explainer."""
        return json.dumps(asdict(self), separators=(",", ":"), sort_keys=True)

    @staticmethod
    def from_document(document: dict[str, Any] | None) -> ExplainerRoute | None:
        """The inverse of `dataclasses.asdict`, of JSON."""
        return None if document is None else ExplainerRoute(**document)


def explainer_of(
    config: Members, model: str, environment: Members, baseline: str | None = None
) -> ExplainerRoute | None:
    """What an endpoint config wants of explanations; None when that is nothing. `environment` is the container's."""
    wanted = wanted_explainer(config)
    if wanted is None:
        return None
    workers = str(environment.get(WORKERS_VARIABLE, ""))
    return ExplainerRoute(model, dict(wanted), baseline, int(workers) if workers.isdecimal() and int(workers) else 1)


def wanted_explainer(config: Members) -> Members | None:
    """ClarifyExplainerConfig of an endpoint config; None where nothing is explained."""
    return (config.get("ExplainerConfig") or {}).get("ClarifyExplainerConfig") or None


def baseline_uri(explainer: Members) -> str | None:
    """ShapBaselineUri of a ClarifyExplainerConfig."""
    uri: str | None = explainer["ShapConfig"]["ShapBaselineConfig"].get("ShapBaselineUri")
    return uri or None


def expressions_of(explainer: Members) -> Iterator[tuple[str, str]]:
    """The JMESPath of a ClarifyExplainerConfig, by the name of the field."""
    if "EnableExplanations" in explainer:
        yield "EnableExplanations", explainer["EnableExplanations"]
    inference = explainer.get("InferenceConfig") or {}
    yield from ((name, inference[name]) for name in ATTRIBUTES if name in inference)
