"""Metric math."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.errors import Refused
from mooring.metrics.expressions import Evaluation, names_in
from mooring.metrics.functions import FUNCTIONS
from mooring.metrics.syntax import parsed
from mooring.metrics.tracks import Grid, Track

GRID = Grid(0, 300, 60)
tracks = st.dictionaries(st.sampled_from(range(0, 300, 60)), st.floats(-1e6, 1e6)).map(
    lambda found: dict(sorted(found.items()))
)


def track(**points: float) -> Track:
    return Track("t", 60, {int(at[1:]): float(value) for at, value in points.items()})


def result(expression: str, **metrics: Any) -> list[dict[int, float]]:
    found = Evaluation(metrics, {"e": expression}, GRID).of("e")
    return [each.points for each in found]


A = track(t0=1, t60=2, t120=4)
B = track(t0=2, t60=0, t180=8)


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("a + 1", {0: 2, 60: 3, 120: 5}),
        ("a / b * 100", {0: 50}),  # neither where one is missing, nor by zero
        ("-a ^ 2", {0: -1, 60: -4, 120: -16}),
        ("2 ^ a", {0: 2, 60: 4, 120: 16}),
        ("a - 1 - 1", {0: -1, 60: 0, 120: 2}),
        ("a > 1 AND a < 3", {0: 0, 60: 1, 120: 0}),
        ("a == 1 || a == 4", {0: 1, 60: 0, 120: 1}),
        ("SUM([a, b])", {0: 3, 60: 2, 120: 4, 180: 8}),
        ("SUM(METRICS())", {0: 3, 60: 2, 120: 4, 180: 8}),
        ('AVG(METRICS("a"))', {0: 1, 60: 2, 120: 4}),
        ("MAX([a, b])", {0: 2, 60: 2, 120: 4, 180: 8}),
        ("MAX(a, 3)", {0: 3, 60: 3, 120: 4}),
        ("a - AVG(a) + 7 / 3", {0: 1, 60: 2, 120: 4}),
        ("FILL(b, 0)", {0: 2, 60: 0, 120: 0, 180: 8, 240: 0}),
        ("FILL(a, REPEAT)", {0: 1, 60: 2, 120: 4, 180: 4, 240: 4}),
        ("FILL(b, LINEAR)", {0: 2, 60: 0, 120: 4, 180: 8}),
        ("FILL(a, b)", {0: 1, 60: 2, 120: 4, 180: 8}),
        ("IF(a > 1, a, 0)", {0: 0, 60: 2, 120: 4}),
        ("IF(a > 1, b)", {60: 0}),
        ("DIFF(a)", {60: 1, 120: 2}),
        ("RATE(a)", {60: 1 / 60, 120: 2 / 60}),
        ("DIFF_TIME(b)", {60: 60, 180: 120}),
        ("RUNNING_SUM(a)", {0: 1, 60: 3, 120: 7}),
        ("ABS(0 - a)", {0: 1, 60: 2, 120: 4}),
        ("CEIL(a / 3)", {0: 1, 60: 1, 120: 2}),
        ("LOG10(b)", {0: pytest.approx(0.30103), 180: pytest.approx(0.90309)}),
        ("TIME_SERIES(METRIC_COUNT(METRICS()))", dict.fromkeys(range(0, 300, 60), 2)),
        ("a * PERIOD(a)", {0: 60, 60: 120, 120: 240}),
        ("FIRST([a, b])", {0: 1, 60: 2, 120: 4}),
        ("LAST(METRICS())", {0: 2, 60: 0, 180: 8}),
        ("STDDEV([a, a])", {0: 0, 60: 0, 120: 0}),
        ("MINUTE(a)", {0: 0, 60: 1, 120: 2}),
        ("YEAR(a)", {0: 1970, 60: 1970, 120: 1970}),
    ],
)
def test_expressions(expression: str, wanted: dict[int, Any]) -> None:
    (found,) = result(expression, a=A, b=B)
    assert {at: pytest.approx(value) for at, value in found.items()} == wanted


def test_a_list_gives_a_track_each() -> None:
    assert result("METRICS() * 2", a=A, b=B) == [{0: 2, 60: 4, 120: 8}, {0: 4, 60: 0, 180: 16}]
    assert result("REMOVE_EMPTY(METRICS())", a=A, b=track()) == [A.points]


def test_expressions_use_expressions() -> None:
    evaluation = Evaluation({"a": A}, {"x": "a * y", "y": "SUM(a)", "z": "z2", "z2": "z"}, GRID)
    assert evaluation.of("x")[0].points == {0: 7, 60: 14, 120: 28}
    with pytest.raises(Refused, match="a number"):
        evaluation.of("y")
    with pytest.raises(Refused, match="itself"):
        evaluation.of("z")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("SEARCH('x', 'Sum', 60)", "SEARCH"),
        ("ANOMALY_DETECTION_BAND(a, 2)", "ANOMALY_DETECTION_BAND"),
        ("nobody + 1", "'nobody'"),
        ("1 + 1", "a number"),
        ("a +", "ends too early"),
        ("a ) b", "not expected"),
        ("a ? b", "not expected"),
        ("FILL(a)", "2 arguments"),
        ("SUM(1)", "time series"),
        ("METRICS() + METRICS()", "lists"),
        ("'x'", "METRICS"),
        ("(" * 99 + "a", "deep"),
        ("a" * 99_999, "characters"),
    ],
)
def test_what_cannot_be_is_refused_with_its_reason(expression: str, words: str) -> None:
    with pytest.raises(Refused, match=words):
        result(expression, a=A)


def test_an_expression_cannot_make_any_number_of_datapoints() -> None:
    wide = Evaluation({}, {"e": " + ".join(["TIME_SERIES(1)"] * 60)}, Grid(0, 60 * 100_000, 60))
    with pytest.raises(Refused, match="datapoints"):
        wide.of("e")


def test_lists_of_lists_do_not_grow_without_end() -> None:
    """Also where no track has a point."""
    lists = {f"e{n}": f"[{', '.join([f'e{n - 1}'] * 20)}]" for n in range(2, 9)}
    with pytest.raises(Refused, match="may hold"):
        Evaluation({"a": A}, {"e1": "a / 0", **lists}, GRID).of("e8")
    wide = {f"e{n}": f"[{', '.join(['e0'] * 400)}]" for n in range(1, 400)}
    evaluation = Evaluation({"a": A}, {"e0": "a / 0", **wide}, GRID)
    with pytest.raises(Refused, match="datapoints"):
        sum(len(evaluation.of(name)) for name in wide)


def test_a_long_sum_is_not_a_deep_one() -> None:
    assert result("a" + " + 1" * 2000, a=A) == [{0: 2001, 60: 2002, 120: 2004}]
    assert names_in("a" + " - b" * 2000) == {"a", "b"}


def test_a_long_way_from_expression_to_expression_is_refused() -> None:
    steps = {f"e{n}": f"e{n - 1} + 1" for n in range(1, 500)}
    with pytest.raises(Refused, match="too many steps"):
        Evaluation({"e0": A}, steps, GRID).of("e499")


@pytest.mark.parametrize(
    "expression", ["SUM([x, x])", "AVG([x, x])", "TIME_SERIES(SUM(x))", "TIME_SERIES(1 / 0)", "TIME_SERIES(1e999)"]
)
def test_no_point_is_infinite(expression: str) -> None:
    assert result(expression, x=track(t0=1.5e308, t60=1.5e308)) == [{}]


def test_which_queries_an_expression_needs() -> None:
    with pytest.raises(Refused, match="the function SEARCH"):
        names_in("1 + FILL(SEARCH('x', 'Sum', 60), 0)")
    assert names_in("FILL(m1, REPEAT) / SUM([m2, m_3]) * METRICS('x')") == {"m1", "m2", "m_3"}


@given(tracks, tracks)
def test_operators_meet_where_both_have_points(one: dict[int, float], other: dict[int, float]) -> None:
    (found,) = result("a + b", a=Track("a", 60, one), b=Track("b", 60, other))
    assert found == {at: one[at] + other[at] for at in one if at in other}
    (summed,) = result("SUM([a, b])", a=Track("a", 60, one), b=Track("b", 60, other))
    assert summed == {at: sum(each[at] for each in (one, other) if at in each) for at in sorted({*one, *other})}


@given(tracks, st.floats(-10, 10))
def test_fill_leaves_no_gap_and_changes_no_point(points: dict[int, float], filling: float) -> None:
    (found,) = result(
        f"FILL(a, {filling:f} * 1)" if filling >= 0 else f"FILL(a, -{-filling:f})", a=Track("a", 60, points)
    )
    assert list(found) == list(GRID.times(60))
    assert {at: found[at] for at in points} == points


@given(st.text(max_size=60))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        parsed(text)
    except Refused:
        return


@given(
    st.sampled_from(sorted(FUNCTIONS)),
    st.lists(st.sampled_from(["a", "b", "1", "[a, b]", "'x'", "REPEAT"]), max_size=4),
)
def test_any_call_gives_tracks_or_is_refused(name: str, arguments: list[str]) -> None:
    try:
        result(f"{name}({', '.join(arguments)})", a=A, b=B)
    except Refused:
        return
