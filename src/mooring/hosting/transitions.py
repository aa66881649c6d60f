"""What each operation makes of an endpoint: a new record from an old one, or a refusal in AWS's words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mooring.errors import InProgress, Refused
from mooring.hosting.endpoints import IN_PROGRESS, EndpointRecord, EndpointStatus, VariantState
from mooring.hosting.naming import Scope, in_progress, not_found
from mooring.hosting.rules import Members
from mooring.hosting.serverless import first_replicas, provisioned
from mooring.hosting.variant_rules import some_variant_has_weight, variants_of

UNSUPPORTED = "One or more endpoint features are not supported using this configuration"


def created(
    uid: str, scope: Scope, request: Members, config: Members, models: Mapping[str, Members], now: float
) -> EndpointRecord:
    """The endpoint as CreateEndpoint leaves it: Creating, or Failed when a model of its config is gone.

    `models` holds the documents of the models that exist, by name.
    """
    if any("ModelName" not in variant for variant in config["ProductionVariants"]):
        raise Refused(UNSUPPORTED)
    record = EndpointRecord(
        uid=uid,
        scope=scope,
        name=request["EndpointName"],
        config_name=config["EndpointConfigName"],
        config=config,
        status=EndpointStatus.CREATING,
        variants=(),
        created_at=now,
        modified_at=now,
        deployment_config=request.get("DeploymentConfig"),
    )
    for variant in variants_of(config):
        if variant["ModelName"] not in models:
            reason = not_found("model", scope.arn("model", variant["ModelName"]))
            return replace(record, status=EndpointStatus.FAILED, failure_reason=reason)
    return replace(record, variants=variant_states(config, models))


def variant_states(config: Members, models: Mapping[str, Members]) -> tuple[VariantState, ...]:
    """The variants of a config as they are wished, of which nothing is in effect yet."""
    production = [_variant(variant, models, shadow=False) for variant in config["ProductionVariants"]]
    shadows = [_variant(variant, models, shadow=True) for variant in config.get("ShadowProductionVariants", ())]
    return (*production, *shadows)


def deleting(record: EndpointRecord, now: float, *, forced: bool = False) -> EndpointRecord:
    """As DeleteEndpoint leaves it. Raises `InProgress`, unless it is forced."""
    if not forced:
        refuse_in_progress(record)
    return replace(record, status=EndpointStatus.DELETING, modified_at=now, forced=record.forced or forced)


def reweighted(record: EndpointRecord, changes: Sequence[Members], now: float) -> EndpointRecord:
    """As UpdateEndpointWeightsAndCapacities leaves it: Updating, with new desired values.

    That the endpoint's config still exists is checked by the caller, between these refusals.
    """
    by_name: dict[str, Members] = {}
    for change in changes:
        if change["VariantName"] in by_name:
            raise Refused(f'The variant name "{change["VariantName"]}" was non-unique within the request.')
        by_name[change["VariantName"]] = change
    unknown = [name for name in by_name if name not in {variant.name for variant in record.variants}]
    if unknown:
        raise Refused(
            f'The variant name(s) "{", ".join(unknown)}" is/are not present within endpoint configuration '
            f'"{record.config_name}".'
        )
    scales_to_zero = "AsyncInferenceConfig" in record.config
    variants = tuple(_changed(variant, by_name.get(variant.name, {}), scales_to_zero) for variant in record.variants)
    _refuse_weightless(variants)
    return replace(record, status=EndpointStatus.UPDATING, variants=variants, modified_at=now, failure_reason=None)


def started(record: EndpointRecord, now: float) -> EndpointRecord:
    """As `mooring endpoints start` leaves a stopped endpoint. Raises `Refused` for one that is not."""
    _refuse_busy(record)
    if record.status is not EndpointStatus.OUT_OF_SERVICE:
        raise Refused(f'Endpoint "{record.name}" is {record.status}: only one that is OutOfService can be started.')
    return replace(record, status=EndpointStatus.UPDATING, starting=True, modified_at=now, failure_reason=None)


def stopped(record: EndpointRecord, now: float) -> EndpointRecord:
    """As `mooring endpoints stop` leaves it: OutOfService. Raises `Refused` for one that is not InService."""
    _refuse_busy(record)
    if record.status is not EndpointStatus.IN_SERVICE:
        raise Refused(f'Endpoint "{record.name}" is {record.status}: only one that is InService can be stopped.')
    variants = tuple(replace(each, current_weight=0.0, current_count=0) for each in record.variants)
    return replace(
        record, status=EndpointStatus.OUT_OF_SERVICE, variants=variants, modified_at=now, failure_reason=None
    )


def unchanged(record: EndpointRecord, reason: str, now: float) -> EndpointRecord:
    """A change of numbers that cannot be had is being undone, as AWS does: RollingBack to what is in effect."""
    if record.starting:
        return replace(
            record, status=EndpointStatus.OUT_OF_SERVICE, starting=False, modified_at=now, failure_reason=reason
        )
    variants = tuple(_undone(each) for each in record.variants)
    return replace(
        record, status=EndpointStatus.ROLLING_BACK, variants=variants, modified_at=now, failure_reason=reason
    )


def settled(record: EndpointRecord, now: float) -> EndpointRecord:
    """What is wished is in effect: InService. What was undone keeps its reason."""
    undone = record.status is EndpointStatus.ROLLING_BACK
    return replace(
        record,
        status=EndpointStatus.IN_SERVICE,
        variants=tuple(in_effect(each) for each in record.variants),
        starting=False,
        failure_reason=record.failure_reason if undone else None,
        modified_at=now,
    )


def in_effect(variant: VariantState) -> VariantState:
    """A variant whose wishes have come true."""
    return replace(
        variant,
        current_weight=variant.desired_weight,
        current_count=variant.desired_count,
        current_serverless=variant.config.get("ServerlessConfig"),
    )


def grows(variant: VariantState) -> bool:
    """Whether a variant is to have replicas that it has not yet."""
    before = {"ServerlessConfig": variant.current_serverless or {}}
    return variant.desired_count > variant.current_count or provisioned(variant.config) > provisioned(before)


def _undone(variant: VariantState) -> VariantState:
    """A variant that wishes what is in effect."""
    config = variant.config
    if variant.current_serverless is not None:
        config = {**config, "ServerlessConfig": variant.current_serverless}
    return replace(variant, config=config, desired_weight=variant.current_weight, desired_count=variant.current_count)


def failed_at_once(record: EndpointRecord, reason: str, now: float) -> EndpointRecord:
    """What was asked for cannot be, which is known before anything is started."""
    return replace(record, status=EndpointStatus.FAILED, failure_reason=reason, modified_at=now)


def kept_as_it_was(before: EndpointRecord, wished: EndpointRecord) -> EndpointRecord:
    """A change that failed at once leaves what is in effect, and says why; any other is as it is wished."""
    if wished.status is not EndpointStatus.FAILED:
        return wished
    return replace(before, failure_reason=wished.failure_reason, modified_at=wished.modified_at)


def refuse_in_progress(record: EndpointRecord) -> None:
    """Raises `InProgress` while an operation runs on the endpoint."""
    if record.status in IN_PROGRESS:
        raise InProgress(in_progress(record.arn))


def _refuse_busy(record: EndpointRecord) -> None:
    """The same in Mooring's words, of an operation that AWS does not have."""
    if record.status in IN_PROGRESS:
        raise InProgress(
            f'Endpoint "{record.name}" is {record.status}: wait until that is over. '
            f"`mooring endpoints events {record.name} --follow` shows how far it is."
        )


def refuse_failed(record: EndpointRecord) -> None:
    """A failed endpoint can only be deleted."""
    if record.status is EndpointStatus.FAILED:
        raise Refused(f'Cannot update failed endpoint "{record.arn}".')


def refuse_unserving(record: EndpointRecord) -> None:
    """Weights and capacities are of one whole fleet that serves."""
    if record.status is EndpointStatus.OUT_OF_SERVICE:
        raise Refused(
            f'Cannot update the weights and capacities of endpoint "{record.arn}", which is OutOfService: start it '
            f"with `mooring endpoints start {record.name}`, or use UpdateEndpoint."
        )
    if record.status is EndpointStatus.UPDATE_ROLLBACK_FAILED:
        raise Refused(
            f'Cannot update the weights and capacities of endpoint "{record.arn}", which is UpdateRollbackFailed: '
            "use UpdateEndpoint first."
        )


def _variant(variant: Members, models: Mapping[str, Members], *, shadow: bool) -> VariantState:
    return VariantState(
        name=variant["VariantName"],
        config=variant,
        model=models[variant["ModelName"]],
        desired_weight=float(variant["InitialVariantWeight"]),
        current_weight=0.0,
        # A serverless variant names no count: of how many there are at a time, its first ones are waited for.
        desired_count=first_replicas(variant)
        if "ServerlessConfig" in variant
        else variant.get("InitialInstanceCount", 0),
        current_count=0,
        shadow=shadow,
    )


def _changed(variant: VariantState, change: Members, scales_to_zero: bool) -> VariantState:
    serverless = variant.config.get("ServerlessConfig")
    count = change.get("DesiredInstanceCount", variant.desired_count)
    if "DesiredInstanceCount" in change:
        if serverless is not None:
            raise Refused(f'DesiredInstanceCount is not supported for serverless variant "{variant.name}".')
        if count < 1 and not scales_to_zero:
            raise Refused(f'DesiredInstanceCount must be greater than 0 for variant "{variant.name}".')
    weight = float(change.get("DesiredWeight", variant.desired_weight))
    config = variant.config
    if "ServerlessUpdateConfig" in change:
        if serverless is None:
            raise Refused(f'ServerlessUpdateConfig is only supported for serverless variants, not "{variant.name}".')
        updated = {**serverless, **change["ServerlessUpdateConfig"]}
        if updated.get("ProvisionedConcurrency") == 0:  # as a scalable target may have it
            del updated["ProvisionedConcurrency"]
        if updated.get("ProvisionedConcurrency", 0) > updated["MaxConcurrency"]:
            raise Refused("ProvisionedConcurrency must be less than or equal to MaxConcurrency.")
        config = {**config, "ServerlessConfig": updated}
        count = first_replicas(config)
    return replace(variant, config=config, desired_count=count, desired_weight=weight)


def _refuse_weightless(variants: Sequence[VariantState]) -> None:
    weights = [{"InitialVariantWeight": variant.desired_weight} for variant in variants if not variant.shadow]
    message = some_variant_has_weight({"ProductionVariants": weights})
    if message is not None:
        raise Refused(message)
