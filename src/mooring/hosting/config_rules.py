"""What CreateEndpointConfig accepts beyond its shapes, and what DescribeEndpointConfig adds to what was given."""

from __future__ import annotations

from collections.abc import Mapping

from mooring.errors import Refused
from mooring.hosting import encryption_rules, explainer_rules, feature_rules, variant_rules
from mooring.hosting.rules import Members, refuse_unless
from mooring.hosting.variant_rules import variants_of

SERVERLESS_VOLUME_GB = 5
RULES = (*variant_rules.RULES, *feature_rules.RULES, *explainer_rules.RULES, *encryption_rules.RULES)


def check_config(config: Members) -> None:
    """Raises `Refused` in the words of the first rule that does not hold. That models exist is the store's to say."""
    refuse_unless(RULES, config)


def check_models(config: Members, models: Mapping[str, Members]) -> None:
    """Raises `Refused` for a model, of those by name, that an endpoint of this config cannot run."""
    for model in models.values():
        message = feature_rules.unsupported_model(config, model)
        if message is not None:
            raise Refused(message)


def completed_config(config: Members) -> Members:
    """The config with AWS's defaults, as it is kept and described; without its tags."""
    kept = {name: value for name, value in config.items() if name != "Tags"}
    for name in ("ProductionVariants", "ShadowProductionVariants"):
        if name in kept:
            kept[name] = [_completed_variant(variant) for variant in kept[name]]
    kept.setdefault("EnableNetworkIsolation", False)
    return kept


def models_of(config: Members) -> list[str]:
    """The names of its models, each once."""
    return list(dict.fromkeys(variant["ModelName"] for variant in variants_of(config) if "ModelName" in variant))


def _completed_variant(given: Members) -> Members:
    variant = dict(given)
    if "ModelName" in variant:
        variant["InitialVariantWeight"] = float(variant.get("InitialVariantWeight", 1.0))
    if "ServerlessConfig" in variant:
        variant.setdefault("VolumeSizeInGB", SERVERLESS_VOLUME_GB)
    return variant
