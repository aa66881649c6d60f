"""EnableExplanations: evaluated on each record of the model's answer, and what is wrong with it told with its place."""

from __future__ import annotations

import pytest

from mooring.explainer.faults import Unexplainable
from tests.explainer.making import CSV, JSON_LINES, plan_of, reading_of

ONE = "1,2,3,4"


@pytest.mark.parametrize(
    ("expression", "answer", "answered_type", "selected"),
    [
        ("[1]>`0.5`", "1,0.6", CSV, True),
        ("[0]>`0.8`", "0.638", CSV, False),
        ("[0]==`1`", "1,0.6", CSV, True),
        ("[0]=='cat'", "cat,0.6", CSV, True),
        ("[1][1]>`0.5`", "\"['cat','dog','fish']\",\"[0.1,0.6,0.3]\"", CSV, True),
        ("contains([0], 'dog')", "\"['cat','dog','fish']\",\"[0.1,0.6,0.3]\"", CSV, True),
        ("probability>`0.5`", '{"predicted_label":1,"probability":0.6}', JSON_LINES, True),
        (
            "!contains(probabilities[:-1], max(probabilities))",
            '{"probabilities":[0.4,0.1,0.4],"labels":["cat","dog","fish"]}',
            JSON_LINES,
            False,
        ),
        ("`true`", "0.1", CSV, True),
        ("`false`", "0.1", CSV, False),
        ("`1` < `2`", "0.1", CSV, True),
    ],
)
def test_a_record_is_explained_where_the_expression_is_true(
    expression: str, answer: str, answered_type: str, selected: bool
) -> None:
    plan = plan_of(expression=expression, ProbabilityIndex=1, ProbabilityAttribute="probability || probabilities")
    if "," not in answer:
        plan = plan_of(expression=expression)
    reading = reading_of(plan, ONE, answer, answered_type=answered_type)
    assert any(reading.selected) is selected


def test_each_record_is_judged_by_itself() -> None:
    plan = plan_of(expression="[0]>`0.5`")
    reading = reading_of(plan, f"{ONE}\n{ONE}\n{ONE}", "0.6\n0.4\n0.7\n")
    assert reading.selected == [True, False, True]
    assert [scores.tolist() for scores in reading.scores] == [[0.6], [], [0.7]]


def test_the_expression_of_a_call_takes_the_place_of_the_configured_one() -> None:
    plan = plan_of(expression="[0]>`0.5`")
    assert reading_of(plan, ONE, "0.1", expression="`true`").selected == [True]
    assert reading_of(plan, ONE, "0.9", expression="`false`").selected == []
    assert reading_of(plan_of(), ONE, "0.9", expression="[0]<`0.5`").selected == [False]


def test_without_explanations_nothing_of_a_call_is_looked_at() -> None:
    plan = plan_of(ProbabilityIndex=9, LabelIndex=9, LabelHeaders=["a", "b"])
    reading = reading_of(plan, b"\xff", b"anything \xff", answered_type="image/png", expression="`false`")
    assert (reading.selected, reading.labels) == ([], ["a", "b"])


NO_BOOLEAN = "and not true or false. Literals stand in backquotes."


@pytest.mark.parametrize(
    ("expression", "answer", "answered_type", "record", "said", "message"),
    [
        (
            "[0]>`0.5`",
            "0.9\ncat",
            CSV,
            1,
            "'cat'",
            "cannot be evaluated: '>' not supported between instances of 'str' and",
        ),
        ("[5]", "0.9\n0.1", CSV, 0, "'0.9'", f"gives null {NO_BOOLEAN} The columns of a line of CSV are [0], [1] and"),
        ("p>`0.5`", "0.9\n0.1", CSV, 0, "'0.9'", f"gives null {NO_BOOLEAN} The columns of a line of CSV are [0], [1]"),
        ("true", "0.9\n0.1", CSV, 0, "'0.9'", f"gives null {NO_BOOLEAN}"),
        ("p", '{"p":true}\n{"p":1}', JSON_LINES, 1, """'{"p":1}'""", f"gives 1 {NO_BOOLEAN}"),
        (
            "[0]>`0.5`",
            '{"p":1}\n{"p":1}',
            JSON_LINES,
            0,
            """'{"p":1}'""",
            f"gives null {NO_BOOLEAN} The members of an object in JSON Lines go by their names",
        ),
    ],
)
def test_an_expression_that_gives_no_boolean_is_told_with_its_record(
    expression: str, answer: str, answered_type: str, record: int, said: str, message: str
) -> None:
    with pytest.raises(Unexplainable) as refused:
        reading_of(plan_of(expression=expression), f"{ONE}\n{ONE}", answer, answered_type=answered_type)
    assert str(refused.value).startswith(
        f"EnableExplanations {expression!r}: record {record}, which the model answered with {said}, {message}"
    )
    assert refused.value.kind == "explainer"


@pytest.mark.parametrize(
    "expression", ["nope([0])", "max(@) > `1`", "sum([0])", "abs('x')", "[0].a(", "to_number('x')"]
)
def test_whatever_an_expression_raises_is_told(expression: str) -> None:
    with pytest.raises(Unexplainable, match="EnableExplanations"):
        reading_of(plan_of(), ONE, "cat", expression=expression)


def test_what_is_wrong_with_an_expression_is_all_that_is_told() -> None:
    with pytest.raises(Unexplainable) as refused:
        reading_of(plan_of(expression="nope([0])"), ONE, "0.5")
    assert str(refused.value).endswith("cannot be evaluated: Unknown function: nope().")
    with pytest.raises(Unexplainable) as refused:
        reading_of(plan_of(expression="[0]"), ONE, "0.5")
    assert str(refused.value).endswith(f"gives 0.5 {NO_BOOLEAN}")


def test_an_expression_of_a_call_that_does_not_compile_is_the_callers_fault() -> None:
    with pytest.raises(Unexplainable) as refused:
        reading_of(plan_of(), ONE, "0.5", expression="[0]>")
    assert refused.value.kind == "caller"
    assert str(refused.value).startswith("EnableExplanations: '[0]>' is not a JMESPath expression")


def test_an_answer_that_is_not_json_is_told() -> None:
    with pytest.raises(Unexplainable, match="The model's answer for record 0 is not JSON"):
        reading_of(plan_of(expression="a"), ONE, "oops", answered_type=JSON_LINES)
