"""What CreateEndpointConfig accepts beyond its shapes, and what DescribeEndpointConfig adds to what was given."""

from __future__ import annotations

from mooring.hosting.naming import folded
from mooring.hosting.rules import Members, refuse_unless

SERVERLESS_MEMORY_MB = (1024, 2048, 3072, 4096, 5120, 6144)
SERVERLESS_VOLUME_GB = 5
INSTANCE_MEMBERS = (
    "InstanceType",
    "InstancePools",
    "InitialInstanceCount",
    "VolumeSizeInGB",
    "AcceleratorType",
    "ManagedInstanceScaling",
)
"""What a variant cannot have beside ServerlessConfig."""


def check_config(config: Members) -> None:
    """Raises `Refused` in the words of the first rule that does not hold. That models exist is the store's to say."""
    refuse_unless(RULES, config)


def variants_of(config: Members) -> list[Members]:
    """Production variants, then shadow variants."""
    return [*config["ProductionVariants"], *config.get("ShadowProductionVariants", ())]


def completed_config(config: Members) -> Members:
    """The config with AWS's defaults, as it is kept and described; without its tags."""
    kept = {name: value for name, value in config.items() if name != "Tags"}
    for name in ("ProductionVariants", "ShadowProductionVariants"):
        if name in kept:
            kept[name] = [_completed_variant(variant) for variant in kept[name]]
    kept.setdefault("EnableNetworkIsolation", False)
    return kept


def _completed_variant(given: Members) -> Members:
    variant = dict(given)
    if "ModelName" in variant:
        variant["InitialVariantWeight"] = float(variant.get("InitialVariantWeight", 1.0))
    if "ServerlessConfig" in variant:
        variant.setdefault("VolumeSizeInGB", SERVERLESS_VOLUME_GB)
    return variant


def variant_names_are_unique(config: Members) -> str | None:
    seen: set[str] = set()
    for variant in variants_of(config):
        name = variant["VariantName"]
        if folded(name) in seen:
            return f'Variant names must be unique within an endpoint configuration: "{name}".'
        seen.add(folded(name))
    return None


def all_variants_name_a_model_or_none_does(config: Members) -> str | None:
    named = ["ModelName" in variant for variant in config["ProductionVariants"]]
    if all(named) or not any(named):
        return None
    return "All production variants must either specify a model or none of them."


def a_shadow_has_one_production_variant(config: Members) -> str | None:
    shadows = config.get("ShadowProductionVariants", ())
    if not shadows or (len(shadows) == 1 and len(config["ProductionVariants"]) == 1):
        return None
    return "Shadow production variants require exactly one production variant and one shadow variant."


def every_variant_has_capacity(config: Members) -> str | None:
    for variant in variants_of(config):
        if "ServerlessConfig" in variant:
            continue
        kind = "InstanceType" in variant or "InstancePools" in variant
        managed = "ModelName" not in variant and "ManagedInstanceScaling" in variant
        if not kind or not ("InitialInstanceCount" in variant or managed):
            return (
                "Either ServerlessConfig or both InstanceType and InitialInstanceCount must be specified for "
                f'production variant "{variant["VariantName"]}".'
            )
    return None


def a_serverless_variant_has_no_instances(config: Members) -> str | None:
    for variant in variants_of(config):
        if "ServerlessConfig" not in variant:
            continue
        for name in INSTANCE_MEMBERS:
            if name in variant:
                where = f'production variant "{variant["VariantName"]}"'
                return f"{name} cannot be specified with ServerlessConfig for {where}."
    return None


def serverless_memory_is_a_step(config: Members) -> str | None:
    for place, variant in enumerate(config["ProductionVariants"], 1):
        size = variant.get("ServerlessConfig", {}).get("MemorySizeInMB", SERVERLESS_MEMORY_MB[0])
        if size not in SERVERLESS_MEMORY_MB:
            return (
                f"1 validation error detected: Value '{size}' at "
                f"'productionVariants.{place}.member.serverlessConfig.memorySizeInMB' failed to satisfy constraint: "
                f"Member must satisfy enum value set: [{', '.join(map(str, SERVERLESS_MEMORY_MB))}]"
            )
    return None


def provisioned_concurrency_is_within_the_most(config: Members) -> str | None:
    if all(_fits(variant.get("ServerlessConfig", {})) for variant in variants_of(config)):
        return None
    return "ProvisionedConcurrency must be less than or equal to MaxConcurrency."


def a_serverless_variant_is_alone(config: Members) -> str | None:
    serverless = any("ServerlessConfig" in variant for variant in variants_of(config))
    if not serverless or len(variants_of(config)) == 1:
        return None
    return "A serverless endpoint must have exactly one production variant."


def some_variant_has_weight(config: Members) -> str | None:
    weights = [variant.get("InitialVariantWeight", 1.0) for variant in config["ProductionVariants"]]
    return None if sum(weights) > 0 else "The sum of all production variant weights must be greater than 0."


def _fits(serverless: Members) -> bool:
    provisioned, most = serverless.get("ProvisionedConcurrency"), serverless.get("MaxConcurrency")
    return provisioned is None or most is None or provisioned <= most


RULES = (
    variant_names_are_unique,
    all_variants_name_a_model_or_none_does,
    every_variant_has_capacity,
    a_serverless_variant_has_no_instances,
    serverless_memory_is_a_step,
    provisioned_concurrency_is_within_the_most,
    a_serverless_variant_is_alone,
    a_shadow_has_one_production_variant,
    some_variant_has_weight,
)
