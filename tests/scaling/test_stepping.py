"""Step scaling: intervals relative to the threshold, and what each kind of adjustment makes of a capacity."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.scaling.stepping import adjusted, chosen, proposed
from tests.scaling.making import step_config

OUT = ((0.0, 10.0, 1), (10.0, 20.0, 2), (20.0, None, 4))
IN = ((-10.0, 0.0, -1), (None, -10.0, -2))


@pytest.mark.parametrize(
    ("value", "capacity"),
    [(50.0, 5), (59.9, 5), (60.0, 6), (69.9, 6), (70.0, 8), (1e9, 8), (49.9, None), (0.0, None)],
)
def test_above_the_threshold_the_lower_bound_is_in(value: float, capacity: int | None) -> None:
    assert proposed(step_config(*OUT), 4, [value], 50.0) == capacity


@pytest.mark.parametrize(
    ("value", "capacity"), [(50.0, 3), (49.9, 3), (40.1, 3), (40.0, 2), (0.0, 2), (50.1, None), (60.0, None)]
)
def test_below_the_threshold_the_upper_bound_is_in(value: float, capacity: int | None) -> None:
    assert proposed(step_config(*IN), 4, [value], 50.0) == capacity


@pytest.mark.parametrize(("kind", "capacity"), [("Average", 6), ("Minimum", 5), ("Maximum", 8)])
def test_datapoints_are_aggregated_as_asked(kind: str, capacity: int) -> None:
    assert proposed(step_config(*OUT, MetricAggregationType=kind), 4, [51.0, 60.0, 72.0], 50.0) == capacity


@pytest.mark.parametrize(
    ("current", "percent", "least", "capacity"),
    [
        (10, 127, 0, 22),  # 12.7 is 12
        (1, 67, 0, 2),  # 0.67 is 1
        (1, -58, 0, 0),  # -0.58 is -1
        (100, -6, 0, 94),
        (67, -10, 0, 61),  # -6.7 is -6
        (4, 25, 2, 6),
        (4, -25, 2, 2),
        (0, 50, 0, 0),
        (0, 50, 1, 1),
        (4, 0, 3, 4),
    ],
)
def test_percentages_are_rounded_as_on_aws(current: int, percent: int, least: int, capacity: int) -> None:
    config = step_config((0.0, None, percent), kind="PercentChangeInCapacity", MinAdjustmentMagnitude=least)
    assert adjusted(config, current, percent) == capacity


def test_exact_capacity_is_what_it_says() -> None:
    assert adjusted(step_config((0.0, None, 7), kind="ExactCapacity"), 3, 7) == 7


bounds = st.lists(st.integers(-100, 100), min_size=1, max_size=8, unique=True).map(sorted)


@given(edges=bounds, above=st.floats(-200, 200, allow_nan=False))
def test_steps_that_touch_leave_no_value_without_one(edges: list[int], above: float) -> None:
    ends = [None, *map(float, edges), None]
    steps = [(low, high, at) for at, (low, high) in enumerate(itertools.pairwise(ends))]
    found = chosen(step_config(*steps)["StepAdjustments"], above)
    assert found is not None
    assert found.get("MetricIntervalLowerBound", -1e9) <= above <= found.get("MetricIntervalUpperBound", 1e9)


@given(
    kind=st.sampled_from(["ChangeInCapacity", "PercentChangeInCapacity"]),
    current=st.integers(0, 1000),
    by=st.integers(-500, 500),
    least=st.integers(0, 20),
)
def test_an_adjustment_goes_its_way_and_not_below_none(kind: str, current: int, by: int, least: int) -> None:
    capacity = adjusted(step_config((0.0, None, by), kind=kind, MinAdjustmentMagnitude=least), current, by)
    assert capacity >= 0
    assert (capacity >= current) if by >= 0 else (capacity <= current)


@given(current=st.integers(0, 100), first=st.integers(-100, 100), second=st.integers(-100, 100))
def test_a_larger_adjustment_never_leaves_less(current: int, first: int, second: int) -> None:
    config = step_config((0.0, None, 1), kind="PercentChangeInCapacity")
    low, high = sorted((first, second))
    assert adjusted(config, current, low) <= adjusted(config, current, high)
