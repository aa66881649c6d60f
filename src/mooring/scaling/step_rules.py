"""What StepScalingPolicyConfiguration may contain, one rule a function (`hosting.rules`), in AWS's words."""

from __future__ import annotations

import itertools
import math

from mooring.hosting.rules import Members

MOST_STEPS = 20


def type_and_steps_are_given(config: Members) -> str | None:
    if "AdjustmentType" not in config:
        return "Adjustment type must be specified"
    return None if config.get("StepAdjustments") else "There must be at least one step adjustment"


def steps_are_few(config: Members) -> str | None:
    if len(config["StepAdjustments"]) > MOST_STEPS:
        return f"There can be at most {MOST_STEPS} step adjustments per scaling policy."
    return None


def every_step_has_a_bound(config: Members) -> str | None:
    for step in config["StepAdjustments"]:
        if "MetricIntervalLowerBound" not in step and "MetricIntervalUpperBound" not in step:
            return "Both lower and upper bounds of a step adjustment cannot be left unspecified"
    return None


def bounds_are_in_order(config: Members) -> str | None:
    for low, high in _intervals(config):
        if math.isnan(low) or math.isnan(high) or low >= high:
            return "Lower bound must be less than upper bound for a step adjustment"
    return None


def one_step_is_open_at_an_end(config: Members) -> str | None:
    intervals = _intervals(config)
    for name, ends in (("lower", [low for low, _ in intervals]), ("upper", [high for _, high in intervals])):
        if sum(math.isinf(end) for end in ends) > 1:
            return f"At most one step adjustment may have an unspecified {name} bound"
    return None


def what_reaches_out_is_open(config: Members) -> str | None:
    intervals = _intervals(config)
    if any(low < 0 for low, _ in intervals) and not any(low == -math.inf for low, _ in intervals):
        return (
            "There must be a step adjustment with an unspecified lower bound when one step adjustment has a negative "
            "lower bound"
        )
    if any(high > 0 for _, high in intervals) and not any(high == math.inf for _, high in intervals):
        return (
            "There must be a step adjustment with an unspecified upper bound when one step adjustment has a positive "
            "upper bound"
        )
    return None


def steps_touch(config: Members) -> str | None:
    for (_, high), (low, _) in itertools.pairwise(sorted(_intervals(config))):
        if low < high:
            return "Step adjustment intervals cannot overlap"
        if low > high:
            return "Step adjustment intervals cannot have gaps between them"
    return None


def an_exact_capacity_is_none_or_more(config: Members) -> str | None:
    if config["AdjustmentType"] == "ExactCapacity" and any(
        step["ScalingAdjustment"] < 0 for step in config["StepAdjustments"]
    ):
        return "Scaling adjustment cannot be less than 0 when adjustment type is ExactCapacity"
    return None


def a_magnitude_is_of_a_percentage(config: Members) -> str | None:
    if "MinAdjustmentMagnitude" in config and config["AdjustmentType"] != "PercentChangeInCapacity":
        return "Minimum adjustment magnitude is only allowed for adjustment type PercentChangeInCapacity"
    return None


def _intervals(config: Members) -> list[tuple[float, float]]:
    return [
        (step.get("MetricIntervalLowerBound", -math.inf), step.get("MetricIntervalUpperBound", math.inf))
        for step in config["StepAdjustments"]
    ]


RULES = (
    type_and_steps_are_given,
    steps_are_few,
    every_step_has_a_bound,
    bounds_are_in_order,
    one_step_is_open_at_an_end,
    what_reaches_out_is_open,
    steps_touch,
    an_exact_capacity_is_none_or_more,
    a_magnitude_is_of_a_percentage,
)
