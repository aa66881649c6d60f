"""Target tracking: the two alarms of a policy, and the capacity that keeps its metric at the target.

The alarms are AWS's: above the target for three points, below 90 % of it for fifteen minutes. What a metric of
capacity says is proportional to load over capacity, so `capacity × metric / target` units have it at the target. Out
goes by the newest point. In goes by the highest of the low alarm's points: what was seen of late would not go over the
target again, so a load that is steady, or swings within fifteen minutes, does not make capacity swing.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from mooring.scaling.documents import Target

HIGH_POINTS, LOW_POINTS = 3, 15
PERIOD_S, SHORT_PERIOD_S = 60, 10
"""Of a point. Those of high resolution go out by the short one and in by the long one, as on AWS."""
LOW_WINDOW_S = LOW_POINTS * PERIOD_S
_NOISE = 1e-9
"""The share of a quotient that is rounding, and asks for no further unit."""

Config = Mapping[str, Any]
"""TargetTrackingScalingPolicyConfiguration."""


class Predefined(NamedTuple):
    """What a PredefinedMetricType stands for."""

    metric: str
    statistic: str
    dimension: str
    """Of a target, `InstanceCount` or `ProvisionedConcurrency` in its name."""
    period: int = PERIOD_S


PREDEFINED = {
    "SageMakerVariantInvocationsPerInstance": Predefined("InvocationsPerInstance", "Sum", "DesiredInstanceCount"),
    "SageMakerVariantConcurrentRequestsPerModelHighResolution": Predefined(
        "ConcurrentRequestsPerModel", "Maximum", "DesiredInstanceCount", SHORT_PERIOD_S
    ),
    "SageMakerVariantProvisionedConcurrencyUtilization": Predefined(
        "ServerlessProvisionedConcurrencyUtilization", "Average", "DesiredProvisionedConcurrency"
    ),
}
"""Those of variants, in namespace AWS/SageMaker with the variant's dimensions."""


def alarm_names(target: Target, high_id: str, low_id: str) -> tuple[str, str]:
    """As AWS names them, by two uuids."""
    prefix = f"TargetTracking-{target.resource_id}"
    return f"{prefix}-AlarmHigh-{high_id}", f"{prefix}-AlarmLow-{low_id}"


def alarms(target: Target, policy_arn: str, config: Config, names: Sequence[str]) -> list[dict[str, Any]]:
    """The high and the low alarm as PutMetricAlarm takes them; without a low one where DisableScaleIn is set.

    InvocationsPerInstance has no points when nobody calls: that is low.
    """
    shared = {
        "AlarmDescription": f"DO NOT EDIT OR DELETE. For TargetTrackingScaling policy {policy_arn}.",
        "AlarmActions": [policy_arn],
    }
    high = {
        "AlarmName": names[0],
        **shared,
        **_metric(target, config, high=True),
        "EvaluationPeriods": HIGH_POINTS,
        "Threshold": config["TargetValue"],
        "ComparisonOperator": "GreaterThanThreshold",
    }
    if config.get("DisableScaleIn"):
        return [high]
    low = {
        "AlarmName": names[1],
        **shared,
        **_metric(target, config, high=False),
        "EvaluationPeriods": LOW_POINTS,
        "Threshold": low_threshold(config),
        "ComparisonOperator": "LessThanThreshold",
        "TreatMissingData": "breaching" if silence_is_low(config) else "missing",
    }
    return [high, low]


def low_threshold(config: Config) -> float:
    """Below which the low alarm breaches."""
    return float(config["TargetValue"]) * 9 / 10


def silence_is_low(config: Config) -> bool:
    """Whether a metric without points is at zero: no calls."""
    kind = config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    return kind in PREDEFINED and PREDEFINED[kind].metric == "InvocationsPerInstance"


def settling_s(config: Config, *, out: bool) -> int:
    """How long after a change the newest point may still be of what was before: until one whole period has passed."""
    kind = config.get("PredefinedMetricSpecification", {}).get("PredefinedMetricType")
    return 2 * (PREDEFINED[kind].period if out and kind in PREDEFINED else PERIOD_S)


def _metric(target: Target, config: Config, *, high: bool) -> dict[str, Any]:
    """What an alarm watches."""
    if (predefined := config.get("PredefinedMetricSpecification")) is not None:
        found = PREDEFINED[predefined["PredefinedMetricType"]]
        return {
            "Namespace": "AWS/SageMaker",
            "MetricName": found.metric,
            "Dimensions": [
                {"Name": "EndpointName", "Value": target.endpoint},
                {"Name": "VariantName", "Value": target.variant},
            ],
            "Statistic": found.statistic,
            "Period": found.period if high else PERIOD_S,
        }
    custom = config["CustomizedMetricSpecification"]
    if "Metrics" not in custom:
        return {**custom, "Period": PERIOD_S}
    queries = []
    for given in custom["Metrics"]:
        query = dict(given)
        if "MetricStat" in query:
            query["MetricStat"] = {**query["MetricStat"], "Period": PERIOD_S}
        queries.append(query)
    return {"Metrics": queries}


def proposed(config: Config, current: int, value: float, seen: Sequence[float] = ()) -> int:
    """The capacity for a metric that is at `value`, and was at `seen` before; never in by a value that asks for out.

    With no capacity the metric counts as that of one unit: ApproximateBacklogSizePerInstance is then the whole backlog.
    """
    target = float(config["TargetValue"])
    if value > target:
        return max(current, _needed(max(current, 1), value, target))
    highest = max([value, *seen])
    if value < low_threshold(config):
        return min(current, _needed(current, highest, target))
    return current


def flaps(config: Config, current: int, value: float, seen: Sequence[float]) -> bool:
    """Whether `value` alone would scale in, and only what was seen before keeps capacity where it is."""
    return proposed(config, current, value) < current == proposed(config, current, value, seen)


def _needed(current: int, value: float, target: float) -> int:
    """The units that have the metric at the target; what is above zero needs one, however little it is."""
    ratio = current * (value / target)
    if not math.isfinite(ratio):
        return current
    return max(int(value > 0), math.ceil(ratio * (1 - _NOISE)))
