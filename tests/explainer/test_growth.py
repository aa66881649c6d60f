"""Expressions that would make too much of a record are refused before they do; all others give what JMESPath gives."""

from __future__ import annotations

import json
from typing import Any

import jmespath
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.explainer.expressions import Outsized, compiled
from mooring.explainer.faults import Unexplainable
from mooring.explainer.growth import JOINED, LARGEST, growth
from tests.explainer.making import CSV, JSON_LINES, plan_of, reading_of

DOUBLING = "[@,@,@][]|" * 5 + "`true`"
"""Every cell of a record 243 times."""


def grown(expression: str) -> int:
    return growth(compiled(expression).parsed)


@pytest.mark.parametrize(
    ("expression", "most"),
    [
        ("[0]>`0.8`", 1),
        ("a.b[*].c[?d>`1`] | [0]", 1),
        ("[0] && [1] || ![2]", 1),
        ("!contains(probabilities[:-1], max(probabilities))", 2),
        ("{a:@,b:@}", 2),
        ("map(&[@,@],[@,@])", 4),
        ("[@,@]|[@,@]|to_string(@)", 4),
        (DOUBLING, 243),
    ],
)
def test_what_an_expression_may_grow_by(expression: str, most: int) -> None:
    assert grown(expression) == most


PARTS = st.sampled_from(["@", "[0]", "[@,@]", "[]", "[*].[@,@]", "to_string(@)", "{a:@,b:[@,@]}", "values(@)", "[*]"])


@given(st.lists(PARTS, min_size=1, max_size=5), st.recursive(st.integers(0, 9), st.lists, max_leaves=9))
def test_nothing_is_larger_than_was_said(parts: list[str], value: Any) -> None:
    """Each level that is added around a value has its own few characters, which are not counted."""
    expression = compiled("|".join(parts))
    try:
        found = expression.search(value)
    except Exception:  # noqa: BLE001 - a function of another type
        return
    assert found == jmespath.search("|".join(parts), value)
    given_length, made = len(json.dumps(value)), len(json.dumps(found))
    assert made <= growth(expression.parsed) * (given_length + 16 * len(parts)) * (
        2 if "to_string" in str(parts) else 1
    )


def test_a_record_that_would_become_too_much_is_not_explained() -> None:
    cells = LARGEST // 243 // 2 + 1
    with pytest.raises(Unexplainable, match="EnableExplanations .* 243 times as much") as raised:
        reading_of(plan_of(), "1,2,3,4", ",".join(["1"] * cells), expression=DOUBLING)
    assert raised.value.kind == "explainer"
    assert reading_of(plan_of(), "1,2,3,4", "1,1", expression=DOUBLING).selected == [True]


def test_a_long_record_may_be_looked_at_by_what_does_not_grow() -> None:
    assert compiled("[0]").search(["a"], 1 << 40) == "a"


def test_many_records_count_together() -> None:
    records = LARGEST // 243 // 2 + 1
    with pytest.raises(Unexplainable, match="too much"):
        reading_of(plan_of(), "1,2,3,4\n" * records, "1\n" * records, expression=DOUBLING)


def test_features_and_scores_that_would_become_too_much() -> None:
    long = json.dumps([1] * (LARGEST // 9))
    nine = "[@,@,@][]|[@,@,@][]"
    plan = plan_of(ProbabilityAttribute=nine)
    with pytest.raises(Unexplainable, match="ProbabilityAttribute .* too much"):
        reading_of(plan, "1,2,3,4", long, answered_type=JSON_LINES)
    plan = plan_of(FeaturesAttribute=nine, ContentTemplate="$features")
    with pytest.raises(Unexplainable, match="FeaturesAttribute .* too much"):
        reading_of(plan, long, "0.5", content_type=JSON_LINES, answered_type=CSV)


def test_join_makes_no_more_than_it_may() -> None:
    expression = compiled("join([0],[1])")
    assert expression.search([", ", ["a", "b"]], 20) == "a, b"
    with pytest.raises(ValueError, match="join"):
        expression.search(["x" * JOINED, ["a", "b"]], 2 * JOINED)


def test_outsized_is_a_value_error() -> None:
    with pytest.raises(Outsized, match="3 times as much of"):
        compiled("[@,@,@]").search([], LARGEST)
