"""Target tracking: its alarms, and that the capacity it proposes brings the metric to the target and keeps it there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.api.alarm_rules import alarm_of_metric
from mooring.scaling.documents import PROVISIONED, Target
from mooring.scaling.tracking import alarm_names, alarms, flaps, low_threshold, proposed
from tests.scaling.making import BACKLOG, INVOCATIONS, SCOPE, TARGET

counts = st.integers(0, 1000)
values = st.floats(0, 1e9, allow_nan=False)
targets = st.floats(1e-3, 1e6, allow_nan=False)


def config(target: float, metric: dict[str, Any] = INVOCATIONS, **more: Any) -> dict[str, Any]:
    return {"TargetValue": target, **metric, **more}


@pytest.mark.parametrize(
    ("current", "value", "capacity"),
    [(4, 100.0, 4), (4, 100.1, 5), (4, 200.0, 8), (4, 91.0, 4), (4, 74.0, 3), (4, 0.0, 0), (0, 1.0, 0), (0, 450.0, 5)],
)
def test_capacity_is_in_proportion_to_the_metric(current: int, value: float, capacity: int) -> None:
    assert proposed(config(100.0), current, value) == capacity


@given(current=st.integers(1, 500), factor=st.integers(1, 50), target=targets)
def test_rounding_of_a_division_asks_for_no_further_unit(current: int, factor: int, target: float) -> None:
    assert proposed(config(target), current, target * factor) == current * factor


@given(current=counts, target=targets, first=values, second=values)
def test_more_load_never_asks_for_less(current: int, target: float, first: float, second: float) -> None:
    low, high = sorted((first, second))
    assert proposed(config(target), current, low) <= proposed(config(target), current, high)


@given(current=st.integers(1, 500), target=targets, value=values, seen=st.lists(values, max_size=15))
def test_what_was_seen_of_late_is_not_above_the_target_after_scaling_in(
    current: int, target: float, value: float, seen: list[float]
) -> None:
    capacity = proposed(config(target), current, value, seen)
    if capacity < current:
        for each in [value, *seen]:
            assert each * current <= capacity * target * (1 + 1e-6)


@given(load=st.floats(0, 1e6), target=st.floats(0.5, 1e4), first=st.integers(1, 300))
def test_constant_load_settles_and_stays(load: float, target: float, first: int) -> None:
    """Each pass sees the load on the capacity of the pass before; once it holds it holds for good."""
    current, passed = first, []
    for _ in range(6):
        current = max(1, proposed(config(target), current, load / current))
        passed.append(current)
    assert passed[1:] == passed[1:2] * 5
    assert load / current <= target * (1 + 1e-6)


@given(current=st.integers(1, 500), target=targets, value=values, seen=st.lists(values, min_size=1, max_size=15))
def test_flapping_is_what_the_newest_point_alone_would_do(
    current: int, target: float, value: float, seen: list[float]
) -> None:
    if flaps(config(target), current, value, seen):
        assert proposed(config(target), current, value) < current
        assert proposed(config(target), current, value, seen) == current


def test_alarms_are_those_of_aws() -> None:
    names = alarm_names(TARGET, "1", "2")
    high, low = alarms(TARGET, "arn:p", config(70.0), names)
    assert high["AlarmName"] == "TargetTracking-endpoint/e/variant/v-AlarmHigh-1"
    assert low["AlarmName"] == "TargetTracking-endpoint/e/variant/v-AlarmLow-2"
    assert (high["ComparisonOperator"], high["EvaluationPeriods"], high["Threshold"]) == ("GreaterThanThreshold", 3, 70)
    assert (low["ComparisonOperator"], low["EvaluationPeriods"], low["Threshold"]) == ("LessThanThreshold", 15, 63)
    assert (high["Period"], low["Period"], high["Statistic"]) == (60, 60, "Sum")
    assert high["AlarmActions"] == low["AlarmActions"] == ["arn:p"]


def test_high_resolution_goes_out_by_ten_seconds_and_in_by_minutes() -> None:
    kind = "SageMakerVariantConcurrentRequestsPerModelHighResolution"
    given = config(5.0, {"PredefinedMetricSpecification": {"PredefinedMetricType": kind}})
    high, low = alarms(TARGET, "arn:p", given, alarm_names(TARGET, "1", "2"))
    assert (high["Period"], low["Period"], high["MetricName"]) == (10, 60, "ConcurrentRequestsPerModel")


def test_without_scaling_in_there_is_no_low_alarm() -> None:
    assert len(alarms(TARGET, "arn:p", config(5.0, DisableScaleIn=True), ("h", "l"))) == 1


def test_silence_is_low_for_what_calls_make_and_not_for_a_metric_of_ones_own() -> None:
    assert alarms(TARGET, "arn:p", config(5.0), ("h", "l"))[1]["TreatMissingData"] == "breaching"
    assert alarms(TARGET, "arn:p", config(5.0, BACKLOG), ("h", "l"))[1]["TreatMissingData"] == "missing"


MATH = {
    "CustomizedMetricSpecification": {
        "Metrics": [
            {
                "Id": "m1",
                "MetricStat": {"Metric": {"MetricName": "Jobs", "Namespace": "mine"}, "Stat": "Sum"},
                "ReturnData": False,
            },
            {"Id": "e1", "Expression": "m1 / 4", "Label": "jobs of each"},
        ]
    }
}


@pytest.mark.parametrize("metric", [INVOCATIONS, BACKLOG, MATH])
def test_alarms_are_what_put_metric_alarm_takes(metric: dict[str, Any]) -> None:
    for definition in alarms(TARGET, "arn:p", config(5.0, metric), alarm_names(TARGET, "1", "2")):
        alarm = alarm_of_metric(definition, SCOPE, 0.0)
        assert alarm.period == 60
        assert alarm.condition.to_alarm == definition["EvaluationPeriods"]


def test_provisioned_concurrency_has_its_own_metric() -> None:
    kind = "SageMakerVariantProvisionedConcurrencyUtilization"
    given = config(0.7, {"PredefinedMetricSpecification": {"PredefinedMetricType": kind}})
    target = Target(SCOPE, "e", "v", PROVISIONED)
    high, low = alarms(target, "arn:p", given, alarm_names(target, "1", "2"))
    assert high["MetricName"] == "ServerlessProvisionedConcurrencyUtilization"
    assert low["Threshold"] == low_threshold(given) == pytest.approx(0.63)
