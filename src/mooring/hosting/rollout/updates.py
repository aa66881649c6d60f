"""What UpdateEndpoint makes of an endpoint: a record with a rollout, or a refusal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mooring.errors import Refused
from mooring.hosting.endpoints import EndpointRecord, Phase, Rollout, VariantState
from mooring.hosting.naming import not_found
from mooring.hosting.rollout.deployments import may_be_guarded, policy_of
from mooring.hosting.rollout.rollouts import begun, first_phase
from mooring.hosting.rollout.rules import check_deployment
from mooring.hosting.rollout.targets import in_production
from mooring.hosting.rules import Members
from mooring.hosting.transitions import UNSUPPORTED, failed_at_once, variant_states
from mooring.hosting.variant_rules import variants_of

KEPT_COUNT, KEPT_WEIGHT, KEPT_CAPTURE = "DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"


def updated(
    record: EndpointRecord,
    request: Members,
    config: Members,
    models: Mapping[str, Members],
    now: float,
    longest_s: float,
) -> EndpointRecord:
    """As UpdateEndpoint leaves it: Updating, with a rollout; or `Failed` at once when a model of the config is gone.

    That the endpoint can be updated at all, and that both configs exist, is checked by the caller. `longest_s` is the
    time limit of a rollout whose policy names none.
    """
    if any("ModelName" not in variant for variant in config["ProductionVariants"]):
        raise Refused(UNSUPPORTED)
    instances_stay_instances(record, config)
    deployment = deployment_of(record, request)
    check_deployment(deployment or {}, config)
    for variant in variants_of(config):
        if variant["ModelName"] not in models:
            reason = not_found("model", record.scope.arn("model", variant["ModelName"]))
            return failed_at_once(record, reason, now)
    variants = variant_states(config, models)
    if request.get("RetainAllVariantProperties"):
        overridden = {each["VariantPropertyType"] for each in request.get("ExcludeRetainedVariantProperties", ())}
        variants = tuple(_retained(each, record.variants, overridden) for each in variants)
        if KEPT_CAPTURE in record.config and KEPT_CAPTURE not in overridden:
            config = {**config, KEPT_CAPTURE: record.config[KEPT_CAPTURE]}
    guarded = may_be_guarded(
        [each.config for each in in_production(record.variants)],
        [each.config for each in in_production(variants)],
        [each.model for each in variants],
    )
    rollout = Rollout(
        generation=record.last_generation + 1,
        config_name=config["EndpointConfigName"],
        config=config,
        variants=variants,
        deployment_config=deployment,
        guarded=guarded,
        before=record.status,
        started_at=now,
        timeout_s=policy_of(deployment).timeout_s or longest_s,
        phase=Phase.LAUNCHING,
        phase_since=now,
    )
    return begun(record, replace(rollout, phase=first_phase(rollout)), now)


def deployment_of(record: EndpointRecord, request: Members) -> Members | None:
    """The DeploymentConfig of an update: the one given, or the last one where that is to be used again."""
    given: Members | None = request.get("DeploymentConfig")
    if not request.get("RetainDeploymentConfig"):
        return given
    if given is not None:
        raise Refused("DeploymentConfig cannot be specified when RetainDeploymentConfig is true.")
    return record.deployment_config


def instances_stay_instances(record: EndpointRecord, config: Members) -> None:
    """Raises `Refused` for a change from instances to serverless; AWS takes the other direction only."""
    was = any("ServerlessConfig" in variant.config for variant in record.variants)
    becomes = any("ServerlessConfig" in variant for variant in config["ProductionVariants"])
    if becomes and not was:
        raise Refused("Cannot update an instance-based endpoint to a serverless endpoint.")


def _retained(variant: VariantState, before: Sequence[VariantState], overridden: set[str]) -> VariantState:
    """With what the endpoint's variant of that name wishes, where it is not to be taken from the config."""
    held = next((each for each in before if each.name == variant.name and each.shadow is variant.shadow), None)
    if held is None:
        return variant
    serverless = "ServerlessConfig" in held.config or "ServerlessConfig" in variant.config
    keeps_count = KEPT_COUNT not in overridden and not serverless
    return replace(
        variant,
        desired_count=held.desired_count if keeps_count else variant.desired_count,
        desired_weight=variant.desired_weight if KEPT_WEIGHT in overridden else held.desired_weight,
    )
