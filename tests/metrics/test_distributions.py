"""Distributions and their statistics against the plain list of values."""

from __future__ import annotations

import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.metrics.distributions import GAMMA, Distribution, at_most, key_of, merged, upper_bound, value_of
from mooring.metrics.statistics import statistic

numbers = st.floats(min_value=-1e12, max_value=1e12).filter(lambda value: value == 0 or abs(value) > 1e-9)
lists = st.lists(numbers, min_size=1, max_size=60)


def told(name: str, seen: Distribution) -> float:
    found = statistic(name)(seen)
    assert found is not None
    return found


def near(found: float, wanted: float, size: float | None = None) -> bool:
    return math.isclose(found, wanted, rel_tol=0, abs_tol=(GAMMA - 1) * (abs(wanted) if size is None else size) + 1e-9)


@given(numbers)
def test_a_bucket_is_as_narrow_as_it_says(value: float) -> None:
    assert near(value_of(key_of(value)), value)
    if value > 0:
        assert value <= upper_bound(key_of(value)) * (1 + 1e-9)
        assert upper_bound(key_of(value) - 1) < value * (1 + 1e-9)


@given(numbers, numbers)
def test_keys_sort_as_values_do(one: float, other: float) -> None:
    assert (one <= other) <= (key_of(one) <= key_of(other))


@given(lists, st.floats(0, 100))
def test_statistics_are_those_of_the_values(values: list[float], percent: float) -> None:
    seen = Distribution.of(values)
    assert told("SampleCount", seen) == len(values)
    assert told("Minimum", seen) == min(values)
    assert told("Maximum", seen) == max(values)
    assert math.isclose(told("Sum", seen), sum(values))
    assert math.isclose(told("Average", seen), sum(values) / len(values))
    found = told(f"p{percent:.4f}", seen)
    rank = max(1, math.ceil(round(float(f"{percent:.4f}") / 100 * len(values), 9)))
    assert near(found, sorted(values)[rank - 1], None if min(values) >= 0 else max(map(abs, values)))


@given(st.lists(st.floats(0.001, 1e9), min_size=1, max_size=50), st.integers(0, 100), st.integers(0, 100))
def test_trimmed_means_are_those_of_the_middle(values: list[float], one: int, other: int) -> None:
    low, high = sorted((one, other))
    seen = Distribution.of(values)
    count = told(f"TC({low}%:{high}%)", seen)
    assert math.isclose(count, len(values) * (high - low) / 100, abs_tol=1e-6)
    found = statistic(f"TM({low}%:{high}%)")(seen)
    if count < 1e-6:
        assert found is None
        return
    # Of the sorted values, each as wide as one rank.
    first, last, total = low / 100 * len(values), high / 100 * len(values), 0.0
    for rank, value in enumerate(sorted(values)):
        total += value * max(0.0, min(rank + 1, last) - max(rank, first))
    assert found is not None
    assert math.isclose(found, total / count, rel_tol=GAMMA - 1)
    assert math.isclose(told(f"TS({low}%:{high}%)", seen), total, rel_tol=GAMMA - 1)


@given(lists, lists)
def test_what_is_seen_apart_is_as_what_is_seen_together(one: list[float], other: list[float]) -> None:
    apart = merged([Distribution.of(one), Distribution.of(other)])
    together = Distribution.of(one + other)
    assert apart.buckets == together.buckets
    assert (apart.count, apart.least, apart.most) == (together.count, together.least, together.most)
    assert math.isclose(apart.total, together.total, abs_tol=1e-3)


@given(lists)
def test_a_distribution_survives_json(values: list[float]) -> None:
    seen = Distribution.of(values)
    assert Distribution.from_document(json.loads(json.dumps(seen.to_document()))) == seen


@pytest.mark.parametrize("document", [[], [1, 2, 3], [0, 0, 0, 0, {}], ["x", 1, 1, 1, {}], [1, math.nan, 1, 1, None]])
def test_what_is_no_distribution_is_refused(document: list[object]) -> None:
    with pytest.raises((ValueError, TypeError)):
        Distribution.from_document(document)


@given(st.integers(0, 24))
def test_small_whole_numbers_are_told_exactly(value: int) -> None:
    assert value_of(key_of(float(value))) == value


def test_zeros_and_ones_are_told_exactly() -> None:
    seen = Distribution.of([0.0] * 90 + [1.0] * 10)
    assert seen.values() == [(0.0, 90), (1.0, 10)]
    assert told("p90", seen) == 0
    assert told("p91", seen) == 1
    assert told("PR(0.5:1)", seen) == 10
    assert told("wm90", Distribution.of([1.0] * 100)) == 1
    assert told("IQM", Distribution.of([5.0])) == 5


def test_a_summary_has_no_percentiles_unless_its_values_are_equal() -> None:
    assert statistic("p50")(Distribution.summarized(3, 6, 1, 3)) is None
    assert told("Sum", Distribution.summarized(3, 6, 1, 3)) == 6
    assert told("p50", Distribution.summarized(3, 6, 2, 2)) == 2
    mixed = merged([Distribution.summarized(3, 6, 1, 3), Distribution.of([1.0])])
    assert statistic("p50")(mixed) is None
    assert told("SampleCount", mixed) == 4


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=40), st.lists(st.floats(0.001, 1e6), max_size=5))
def test_counts_up_to_a_bucket(values: list[float], bounds: list[float]) -> None:
    keys = sorted(map(key_of, bounds))
    seen = Distribution.of(values).buckets
    assert seen is not None
    assert list(at_most(seen, keys)) == [sum(key_of(value) <= key for value in values) for key in keys]


@pytest.mark.parametrize(
    "name", ["", "p", "p101", "sum", "TM(:)", "TM(90%:10%)", "PR(1%:2%)", "TM(1:2%)", "p1e5", "p" + "9" * 99]
)
def test_what_is_no_statistic_is_refused(name: str) -> None:
    with pytest.raises(Refused):
        statistic(name)
