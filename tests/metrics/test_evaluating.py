"""Alarm states: AWS's own tables, and what must hold for any datapoints."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.metrics.composites import holds, named, rule
from mooring.metrics.evaluating import EVALUATED_MORE, Condition, State, evaluated

TREATMENTS = ("missing", "ignore", "breaching", "notBreaching")
O, A, I = State.OK, State.ALARM, State.INSUFFICIENT_DATA  # noqa: E741


def condition(periods: int, to_alarm: int, missing: str = "missing") -> Condition:
    return Condition("GreaterThanThreshold", 0.5, periods, to_alarm, missing)


def points(text: str) -> list[float | None]:
    return [{"0": 0.0, "X": 1.0, "-": None}[each] for each in text.split()]


@pytest.mark.parametrize(
    ("text", "to_alarm", "missing", "ignore", "breaching", "not_breaching"),
    [
        ("0 - X - X", 3, O, O, O, O),
        ("- - - - 0", 3, O, O, O, O),
        ("- - - - -", 3, I, None, A, O),
        ("0 X X - X", 3, A, A, A, A),
        ("- - X - -", 3, A, None, A, O),
        ("0 - X - X", 2, A, A, A, A),
        ("0 0 X 0 X", 2, A, A, A, A),
        ("0 - X - -", 2, O, O, A, O),
        ("- - - - 0", 2, O, O, A, O),
        ("- - - X -", 2, A, None, A, O),
        ("- - - - X", 2, O, None, A, O),  # too new to be taken for an alarm
    ],
)
@pytest.mark.parametrize("current", list(State))
def test_the_tables_of_the_user_guide(
    text: str,
    to_alarm: int,
    missing: State,
    ignore: State | None,
    breaching: State,
    not_breaching: State,
    current: State,
) -> None:
    for treatment, wanted in zip(TREATMENTS, (missing, ignore, breaching, not_breaching), strict=True):
        found = evaluated(condition(3, to_alarm, treatment), points(text), current).state
        assert found == (current if wanted is None else wanted), treatment


cases = st.integers(1, 6).flatmap(
    lambda periods: st.tuples(
        st.just(periods),
        st.integers(1, periods),
        st.sampled_from(TREATMENTS),
        st.lists(st.sampled_from([0.0, 1.0, None]), min_size=periods, max_size=periods + EVALUATED_MORE),
        st.sampled_from(list(State)),
    )
)


@given(cases)
def test_what_holds_of_every_evaluation(case: tuple[int, int, str, list[float | None], State]) -> None:
    periods, to_alarm, missing, datapoints, current = case
    found = evaluated(condition(periods, to_alarm, missing), datapoints, current)
    present = [value for value in datapoints if value is not None]
    newest = present[-periods:]
    assert len(found.used) == len(newest)
    if found.state is State.INSUFFICIENT_DATA:
        assert not present or (missing == "ignore" and current is State.INSUFFICIENT_DATA)
    if sum(newest) >= to_alarm:
        assert found.state is State.ALARM
    if present and not any(newest) and missing != "breaching":
        assert found.state is State.OK
    if len(present) >= periods:  # then nothing depends on how missing data are taken
        assert {evaluated(condition(periods, to_alarm, each), datapoints, current).state for each in TREATMENTS} == {
            found.state
        }
    # Another breaching datapoint never calms an alarm that takes missing data for good ones.
    if missing == "notBreaching" and found.state is State.ALARM:
        assert evaluated(condition(periods, to_alarm, missing), [*datapoints[1:], 1.0], current).state is State.ALARM


@pytest.mark.parametrize(
    ("comparison", "breaching"),
    [
        ("GreaterThanThreshold", [2.0]),
        ("GreaterThanOrEqualToThreshold", [1.0, 2.0]),
        ("LessThanThreshold", [0.0]),
        ("LessThanOrEqualToThreshold", [0.0, 1.0]),
    ],
)
def test_comparisons(comparison: str, breaching: list[float]) -> None:
    asked = Condition(comparison, 1.0, 1, 1)
    assert [value for value in (0.0, 1.0, 2.0) if asked.breaches(value)] == breaching


def test_rules_of_composite_alarms() -> None:
    states = {"a": State.ALARM, "b-1": State.OK, "c": State.INSUFFICIENT_DATA}
    arn = "arn:aws:cloudwatch:us-east-1:000000000000:alarm:b-1"
    for text, wanted in [
        ("ALARM(a)", True),
        ('ALARM("a") AND OK("b-1")', True),
        (f"OK('{arn}')", True),
        ("ALARM(a) AND NOT OK('b-1')", False),
        ("INSUFFICIENT_DATA(c) OR FALSE", True),
        ("NOT (ALARM(a) OR TRUE)", False),
        ("ALARM(gone)", False),
        ("TRUE", True),
    ]:
        assert holds(rule(text), states.get) == wanted, text
    long = " OR ".join(f"ALARM(n{number})" for number in range(600))  # as long as a rule may be
    assert holds(rule(long), {"n599": State.ALARM}.get)
    assert not holds(rule(long), {}.get)
    assert len(named(rule(long))) == 600
    assert named(rule(f"ALARM(a) AND NOT (OK('{arn}') OR ALARM(\"x y\"))")) == {"a", "b-1", "x y"}


@pytest.mark.parametrize(
    "text", ["", "a", "ALARM()", "ALARM(a, b)", "ALARM(a) +1", "MAYBE(a)", "ALARM(a", "NOT", "1", "(" * 200]
)
def test_what_is_no_rule_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        rule(text)
