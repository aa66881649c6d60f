"""What the variants of an endpoint config must be, each for itself and beside the others."""

from __future__ import annotations

from collections.abc import Iterator

from mooring.hosting.instance_types import has_local_storage
from mooring.hosting.naming import folded
from mooring.hosting.rules import Members

SERVERLESS_MEMORY_MB = (1024, 2048, 3072, 4096, 5120, 6144)
INSTANCE_MEMBERS = (
    "InstanceType",
    "InstancePools",
    "InitialInstanceCount",
    "VolumeSizeInGB",
    "AcceleratorType",
    "ManagedInstanceScaling",
)
"""What a variant cannot have beside ServerlessConfig."""


def variants_of(config: Members) -> list[Members]:
    """Production variants, then shadow variants."""
    return [*config["ProductionVariants"], *config.get("ShadowProductionVariants", ())]


def instance_types_of(variant: Members) -> Iterator[str]:
    """Every instance type that a variant may run on."""
    if "InstanceType" in variant:
        yield variant["InstanceType"]
    for pool in variant.get("InstancePools", ()):
        yield pool["InstanceType"]


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


def a_variant_names_its_instances_once(config: Members) -> str | None:
    for variant in variants_of(config):
        if "InstanceType" in variant and "InstancePools" in variant:
            return f"Only one of InstanceType and InstancePools can be specified for {_named(variant)}."
        priorities = [pool["Priority"] for pool in variant.get("InstancePools", ())]
        if len(set(priorities)) < len(priorities):
            return f"The priorities of InstancePools must be unique for {_named(variant)}."
    return None


def local_storage_has_no_volume(config: Members) -> str | None:
    for variant in variants_of(config):
        for instance_type in instance_types_of(variant):
            if "VolumeSizeInGB" in variant and has_local_storage(instance_type):
                return f"VolumeSize parameter is not allowed for the selected Instance type {instance_type}."
    return None


def some_variant_has_weight(config: Members) -> str | None:
    weights = [variant.get("InitialVariantWeight", 1.0) for variant in config["ProductionVariants"]]
    return None if sum(weights) > 0 else "The sum of all production variant weights must be greater than 0."


def prefix_routing_is_configured(config: Members) -> str | None:
    for variant in variants_of(config):
        routing = variant.get("RoutingConfig", {})
        prefix = routing.get("PrefixAwareRoutingConfig")
        if (routing.get("RoutingStrategy") == "PREFIX_AWARE") != (prefix is not None):
            return (
                "PrefixAwareRoutingConfig must be specified exactly when RoutingStrategy is PREFIX_AWARE for "
                f"{_named(variant)}."
            )
        if prefix is not None and not {"PrefixLength", "ConcurrencyThreshold"} <= prefix.keys():
            return f"PrefixLength and ConcurrencyThreshold must both be specified for {_named(variant)}."
    return None


def a_serverless_variant_has_no_instances(config: Members) -> str | None:
    for variant in variants_of(config):
        if "ServerlessConfig" not in variant:
            continue
        for name in INSTANCE_MEMBERS:
            if name in variant:
                return f"{name} cannot be specified with ServerlessConfig for {_named(variant)}."
    return None


def serverless_memory_is_a_step(config: Members) -> str | None:
    for place, variant in enumerate(config["ProductionVariants"], 1):
        size = variant.get("ServerlessConfig", {}).get("MemorySizeInMB", SERVERLESS_MEMORY_MB[0])
        if size not in SERVERLESS_MEMORY_MB:
            where = f"productionVariants.{place}.member.serverlessConfig.memorySizeInMB"
            return not_in_set(size, where, SERVERLESS_MEMORY_MB)
    return None


def provisioned_concurrency_is_within_the_most(config: Members) -> str | None:
    for variant in variants_of(config):
        serverless = variant.get("ServerlessConfig", {})
        if serverless.get("ProvisionedConcurrency", 0) > serverless.get("MaxConcurrency", 200):
            return "ProvisionedConcurrency must be less than or equal to MaxConcurrency."
    return None


def a_serverless_variant_is_alone(config: Members) -> str | None:
    serverless = any("ServerlessConfig" in variant for variant in variants_of(config))
    if not serverless or len(variants_of(config)) == 1:
        return None
    return "A serverless endpoint must have exactly one production variant."


def a_shadow_has_one_production_variant(config: Members) -> str | None:
    shadows = config.get("ShadowProductionVariants", ())
    if not shadows or (len(shadows) == 1 and len(config["ProductionVariants"]) == 1):
        return None
    return "Shadow production variants require exactly one production variant and one shadow variant."


def not_in_set(value: object, where: str, allowed: tuple[object, ...]) -> str:
    """The clause of AWS's validation for a value that its model does not bound, as its service does."""
    return (
        f"1 validation error detected: Value '{value}' at '{where}' failed to satisfy constraint: "
        f"Member must satisfy enum value set: [{', '.join(map(str, allowed))}]"
    )


def _named(variant: Members) -> str:
    return f'production variant "{variant["VariantName"]}"'


RULES = (
    variant_names_are_unique,
    all_variants_name_a_model_or_none_does,
    every_variant_has_capacity,
    a_variant_names_its_instances_once,
    a_serverless_variant_has_no_instances,
    serverless_memory_is_a_step,
    provisioned_concurrency_is_within_the_most,
    a_serverless_variant_is_alone,
    a_shadow_has_one_production_variant,
    some_variant_has_weight,
    local_storage_has_no_volume,
    prefix_routing_is_configured,
)
