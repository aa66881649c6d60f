"""Targets and policies for tests."""

from __future__ import annotations

from typing import Any

from mooring.hosting.naming import Scope
from mooring.scaling.deciding import STEP, TRACKING, Breach
from mooring.scaling.documents import INSTANCES, Policy, ScalableTarget, Target

SCOPE = Scope("123456789012", "us-east-1")
TARGET = Target(SCOPE, "e", "v", INSTANCES)
NOW = 1_000_000.0
INVOCATIONS = {"PredefinedMetricSpecification": {"PredefinedMetricType": "SageMakerVariantInvocationsPerInstance"}}
BACKLOG = {
    "CustomizedMetricSpecification": {
        "MetricName": "ApproximateBacklogSizePerInstance",
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": "EndpointName", "Value": "e"}],
        "Statistic": "Average",
    }
}


def registered(least: int = 1, most: int = 10, **suspended: bool) -> ScalableTarget:
    return ScalableTarget(TARGET, "id", least, most, 0.0, "role", suspended)


def tracking(target: float = 100.0, metric: dict[str, Any] = INVOCATIONS, name: str = "t", **config: Any) -> Policy:
    return Policy(TARGET, name, f"arn:{name}", TRACKING, {"TargetValue": target, **metric, **config}, 0.0)


def stepping(
    *steps: tuple[float | None, float | None, int], kind: str = "ChangeInCapacity", name: str = "s", **config: Any
) -> Policy:
    return Policy(TARGET, name, f"arn:{name}", STEP, step_config(*steps, kind=kind, **config), 0.0)


def step_config(
    *steps: tuple[float | None, float | None, int], kind: str = "ChangeInCapacity", **config: Any
) -> dict[str, Any]:
    adjustments = []
    for low, high, by in steps:
        adjustment: dict[str, Any] = {"ScalingAdjustment": by}
        if low is not None:
            adjustment["MetricIntervalLowerBound"] = low
        if high is not None:
            adjustment["MetricIntervalUpperBound"] = high
        adjustments.append(adjustment)
    return {"AdjustmentType": kind, "StepAdjustments": adjustments, **config}


def breach(policy: Policy, *values: float, threshold: float = 0.0) -> Breach:
    return Breach(policy, f"alarm of {policy.name}", values, threshold)
