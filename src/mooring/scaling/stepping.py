"""Step scaling: which adjustment a breach chooses, and what capacity it asks for."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

Config = Mapping[str, Any]
"""StepScalingPolicyConfiguration."""
Step = Mapping[str, Any]
"""StepAdjustment."""


def proposed(config: Config, current: int, values: Sequence[float], threshold: float) -> int | None:
    """The capacity for datapoints that breach an alarm's threshold; None where no step is for them."""
    if not values:
        return None
    step = chosen(config["StepAdjustments"], aggregated(config, values) - threshold)
    return None if step is None else adjusted(config, current, step["ScalingAdjustment"])


def aggregated(config: Config, values: Sequence[float]) -> float:
    """One value of an alarm's datapoints, by MetricAggregationType."""
    kind = config.get("MetricAggregationType", "Average")
    if kind == "Minimum":
        return min(values)
    if kind == "Maximum":
        return max(values)
    try:
        return statistics.fmean(values)
    except OverflowError:  # of the sum only
        return math.fsum(value / len(values) for value in values)


def chosen(steps: Sequence[Step], above: float) -> Step | None:
    """The step for a metric that is `above` the threshold by so much.

    Above the threshold a step has its lower bound and not its upper one; below it is the other way. What is exactly at
    the threshold may be in either.
    """
    for step in steps:
        low = step.get("MetricIntervalLowerBound", -math.inf)
        high = step.get("MetricIntervalUpperBound", math.inf)
        if (above >= 0 and low <= above < high) or (above <= 0 and low < above <= high):
            return step
    return None


def adjusted(config: Config, current: int, adjustment: int) -> int:
    """The capacity after an adjustment; never less than none.

    A percentage that is less than one unit is one, other fractions are cut off, and MinAdjustmentMagnitude is the least
    that it changes.
    """
    kind = config["AdjustmentType"]
    if kind == "ExactCapacity":
        return max(0, adjustment)
    if kind == "ChangeInCapacity":
        return max(0, current + adjustment)
    share = abs(current * adjustment)
    units = share // 100 if share >= 100 or share == 0 else 1
    if adjustment:
        units = max(units, config.get("MinAdjustmentMagnitude", 0))
    return max(0, current + (units if adjustment > 0 else -units))
