"""A scalable target beside the endpoint that has it: which variant, what capacity, and what scales it."""

from __future__ import annotations

from collections.abc import Iterable

from mooring.errors import Refused
from mooring.hosting.endpoints import EndpointRecord, VariantState
from mooring.hosting.rules import Members
from mooring.hosting.serverless import provisioned
from mooring.hosting.variant_rules import instance_types_of
from mooring.scaling.documents import INSTANCES, PROVISIONED, Target


def variant_of(record: EndpointRecord, target: Target) -> VariantState | None:
    """The production variant of that name."""
    return next((each for each in record.variants if each.name == target.variant and not each.shadow), None)


def wished(variant: VariantState, dimension: str) -> int:
    """The capacity that is desired."""
    if dimension == INSTANCES:
        return variant.desired_count
    return provisioned(variant.config)


def in_effect(variant: VariantState, dimension: str) -> int:
    """The capacity that there is."""
    if dimension == INSTANCES:
        return variant.current_count
    return provisioned({"ServerlessConfig": variant.current_serverless or {}})


def can_be_zero(record: EndpointRecord, dimension: str) -> bool:
    """Whether a variant can have no capacity: calls of an asynchronous endpoint wait, and others need an instance."""
    return dimension == PROVISIONED or "AsyncInferenceConfig" in record.config


def change(target: Target, capacity: int) -> Members:
    """What UpdateEndpointWeightsAndCapacities is given."""
    if target.dimension == INSTANCES:
        return {"VariantName": target.variant, "DesiredInstanceCount": capacity}
    return {"VariantName": target.variant, "ServerlessUpdateConfig": {"ProvisionedConcurrency": capacity}}


def refuse_unregistering(targets: Iterable[Target], record: EndpointRecord, config: Members) -> None:
    """Raises `Refused` for an update that takes a registered variant away, or puts it onto other instances."""
    wanted = {each["VariantName"]: each for each in config["ProductionVariants"]}
    lost = sorted({each.variant for each in targets if not _stays(variant_of(record, each), wanted.get(each.variant))})
    if lost:
        raise Refused(
            f'The variant(s) "{", ".join(lost)}" must be deregistered as scalable target(s) in AWS Auto Scaling '
            "before they can be removed or have their instance type changed."
        )


def _stays(held: VariantState | None, wanted: Members | None) -> bool:
    if held is None or wanted is None:
        return held is None
    serverless = "ServerlessConfig" in held.config
    if serverless or "ServerlessConfig" in wanted:
        return serverless and "ServerlessConfig" in wanted
    return list(instance_types_of(held.config)) == list(instance_types_of(wanted))
