"""What the operations of Application Auto Scaling accept beyond their shapes.

Every function raises `Refused` in AWS's words where they are known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from mooring.errors import Refused
from mooring.hosting.naming import Scope
from mooring.hosting.rules import Members, refuse_unless
from mooring.hosting.variant_rules import instance_types_of
from mooring.scaling import schedules, step_rules
from mooring.scaling.deciding import STEP, TRACKING
from mooring.scaling.documents import INSTANCES, PROVISIONED, Policy, ScalableTarget, ScheduledAction, Target
from mooring.scaling.tracking import PREDEFINED

NAMESPACE = "sagemaker"
UNSUPPORTED = "Unsupported service namespace, resource type or scalable dimension"
BOUNDS = "Maximum capacity cannot be less than minimum capacity"
_RESOURCE = re.compile(r"endpoint/([a-zA-Z0-9](?:-*[a-zA-Z0-9])*)/variant/([a-zA-Z0-9](?:-*[a-zA-Z0-9])*)")
_CONFIGS = {STEP: "StepScalingPolicyConfiguration", TRACKING: "TargetTrackingScalingPolicyConfiguration"}
_OF_METRIC = ("MetricName", "Namespace", "Statistic")
_NOT_VALID = "The customized metric specification is not valid."
_LONGEST_COOLDOWN_S = 86_400

Params = Mapping[str, Any]


def target_of(scope: Scope, params: Params) -> Target:
    """What ServiceNamespace, ResourceId and ScalableDimension name."""
    dimension = params["ScalableDimension"]
    found = _RESOURCE.fullmatch(params["ResourceId"])
    if params["ServiceNamespace"] != NAMESPACE or dimension not in (INSTANCES, PROVISIONED) or found is None:
        raise Refused(UNSUPPORTED)
    return Target(scope, found[1], found[2], dimension)


def bounds(params: Params, held: ScalableTarget | None) -> tuple[int, int]:
    """MinCapacity and MaxCapacity of a registration; what it leaves out stays."""
    least = params.get("MinCapacity", None if held is None else held.least)
    most = params.get("MaxCapacity", None if held is None else held.most)
    if least is None or most is None:
        raise Refused("MinCapacity and MaxCapacity are required to register a new scalable target.")
    _require_order(least, most)
    return least, most


def _require_order(least: int | None, most: int | None) -> None:
    for name, value in (("Minimum", least), ("Maximum", most)):
        if value is not None and value < 0:
            raise Refused(f"{name} capacity cannot be less than 0")
    if least is not None and most is not None and most < least:
        raise Refused(BOUNDS)


def require_variant(target: Target, variant: Members | None, least: int, most: int) -> None:
    """Whether a production variant, as the endpoint's config has it, can be scaled so; None where there is none."""
    if variant is None:
        raise Refused(f"SageMaker endpoint variant doesn't exist: {target.resource_id}")
    serverless = variant.get("ServerlessConfig")
    if (target.dimension == PROVISIONED) != (serverless is not None):
        what = "serverless" if serverless is not None else "not serverless"
        raise Refused(f"{target.dimension} cannot be scaled: variant {target.variant} is {what}.")
    if serverless is not None and most > serverless["MaxConcurrency"]:
        raise Refused(
            f"MaxCapacity {most} is more than the MaxConcurrency of variant {target.variant}, "
            f"{serverless['MaxConcurrency']}."
        )
    for instance_type in instance_types_of(variant):
        if instance_type.startswith("ml.t2."):
            raise Refused(f"Variants on burstable instances such as {instance_type} cannot be scaled automatically.")


def policy_of(params: Params, held: Policy | None) -> tuple[str, dict[str, Any]]:
    """PolicyType and configuration of PutScalingPolicy; `held` is the policy of this name.

    Without PolicyType it is the one that was, or StepScaling.
    """
    kind = params.get("PolicyType", STEP if held is None else held.kind)
    if kind not in _CONFIGS or "PredictiveScalingPolicyConfiguration" in params:
        raise Refused("Predictive scaling is for ECS services only: take TargetTrackingScaling or StepScaling.")
    if held is not None and kind != held.kind:
        raise Refused(f"Policy {held.name} is of type {held.kind}, which cannot be changed to {kind}.")
    config = params.get(_CONFIGS[kind])
    if config is None:
        raise Refused(f"{kind} policy configuration must be specified")
    if any(member in params and other != kind for other, member in _CONFIGS.items()):
        raise Refused(
            "You must only provide a single scaling policy configuration, which must match the scaling policy type "
            "specified."
        )
    if kind == STEP:
        refuse_unless(step_rules.RULES, config)
        _require_cooldown(config, "Cooldown")
    else:
        _require_tracking(config, params["ScalableDimension"])
    return kind, dict(config)


def _require_cooldown(config: Params, name: str) -> None:
    if not 0 <= config.get(name, 0) <= _LONGEST_COOLDOWN_S:
        raise Refused(f"{name} must be from 0 to {_LONGEST_COOLDOWN_S} seconds.")


def _require_tracking(config: Params, dimension: str) -> None:
    predefined, custom = (config.get(f"{kind}MetricSpecification") for kind in ("Predefined", "Customized"))
    if predefined is None and custom is None:
        raise Refused(
            "PredefinedMetricSpecification or CustomizedMetricSpecification must be set for target tracking scaling."
        )
    if predefined is not None and custom is not None:
        raise Refused(
            "Only one of PredefinedMetricSpecification or CustomizedMetricSpecification can be set for target tracking "
            "scaling."
        )
    target = config["TargetValue"]
    if not 2.0**-360 <= target <= 2.0**360:
        raise Refused("TargetValue must be greater than 0 and at most 2^360.")
    _require_cooldown(config, "ScaleOutCooldown")
    _require_cooldown(config, "ScaleInCooldown")
    if predefined is not None:
        _require_predefined(predefined, dimension)
    elif custom is not None:
        _require_custom(custom)


def _require_predefined(given: Params, dimension: str) -> None:
    kind = given["PredefinedMetricType"]
    found = PREDEFINED.get(kind)
    if found is None or not dimension.endswith(found.dimension):
        raise Refused(f"PredefinedMetricType {kind} is not supported for scalable dimension {dimension}.")
    if "ResourceLabel" in given:
        raise Refused(f"ResourceLabel cannot be specified for PredefinedMetricType {kind}.")


def _require_custom(given: Params) -> None:
    """That metrics and expressions are right is for the alarms that are made of them to say."""
    named = [name for name in (*_OF_METRIC, "Dimensions", "Unit") if name in given]
    if "Metrics" in given:
        if named:
            raise Refused(
                f"{_NOT_VALID} You can use a specification with metric math or a specification without metric math, "
                "but not a combination of both."
            )
        returned = [each for each in given["Metrics"] if each.get("ReturnData", True)]
        if len(returned) != 1:
            raise Refused(f"{_NOT_VALID} Exactly one element of the metrics list should return data.")
        return
    absent = [name for name in _OF_METRIC if name not in given]
    if absent:
        raise Refused(f"{_NOT_VALID} It needs {', '.join(absent)}, or Metrics.")


def action_of(target: Target, params: Params, held: ScheduledAction | None, arn: str, now: float) -> ScheduledAction:
    """The scheduled action that PutScheduledAction leaves: what it leaves out stays, but for its times.

    StartTime and EndTime are seconds of the epoch.
    """
    text = params.get("Schedule", None if held is None else held.schedule)
    action = params.get("ScalableTargetAction", None if held is None else held.action)
    if text is None:
        raise Refused("Schedule must be set")
    if action is None:
        raise Refused("ScalableTargetAction must be set")
    if not action:
        raise Refused("At least one of minimum capacity and maximum capacity should be provided")
    _require_order(action.get("MinCapacity"), action.get("MaxCapacity"))
    timezone = params.get("Timezone", "UTC" if held is None else held.timezone)
    starts_at, ends_at = params.get("StartTime"), params.get("EndTime")
    if starts_at is not None and ends_at is not None and ends_at <= starts_at:
        raise Refused("StartTime must be before EndTime")
    if ends_at is not None and ends_at <= now:
        raise Refused("EndTime must be in the future.")
    created_at = now if held is None else held.created_at
    due_at = schedules.next_due(text, timezone, now, created_at=created_at, starts_at=starts_at, ends_at=ends_at)
    if due_at is None:
        raise Refused(f"Schedule {text} is never due again.")
    return ScheduledAction(
        target, params["ScheduledActionName"], arn, text, timezone, dict(action), created_at, starts_at, ends_at, due_at
    )
