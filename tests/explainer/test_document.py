"""What a gateway answers by itself, where nothing is explained: to the byte what the solver would have said."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.explainer.expressions import compiled, constant_of
from mooring.explainer.frames import Explain
from mooring.explainer.reading.composing import response
from mooring.explainer.reading.document import PLAIN_BYTES, plain_document
from mooring.explainer.reading.plan import Plan
from mooring.explainer.reading.records import Reading
from mooring.hosting.explaining import ExplainerRoute

HEADERS = st.none() | st.lists(st.text(min_size=1, max_size=5), min_size=1, max_size=3)


def config(headers: list[str] | None = None, **inference: object) -> dict[str, object]:
    found = {**inference, **({} if headers is None else {"LabelHeaders": headers})}
    members = {"ShapConfig": {"ShapBaselineConfig": {"ShapBaseline": "1,2"}}}
    return {**members, "InferenceConfig": found} if found else members


@given(
    st.binary(max_size=60) | st.text(max_size=30).map(str.encode),
    st.sampled_from(["text/csv", "application/jsonlines", "text/csv; charset=utf-8", "application/json", "", "ü"]),
    st.sampled_from(["text/csv", "application/jsonlines; x=y", ""]),
    HEADERS,
)
def test_it_is_what_the_solver_says(
    answer: bytes, answered_type: str, content_type: str, headers: list[str] | None
) -> None:
    said = config(headers)
    explain = Explain(1, "", content_type, "`false`", b"\xff no CSV", answered_type, answer, 1, 9.0)
    reading = Reading(Plan(ExplainerRoute("m/1/v", said), None), explain)
    assert plain_document(said, content_type, answered_type, answer) == response(reading, [])


@pytest.mark.parametrize(
    ("inference", "content_type", "answer"),
    [
        ({}, "application/json", b"0.5"),
        ({"LabelIndex": 0}, "text/csv", b"cat,0.5"),
        ({"LabelAttribute": "label"}, "text/csv", b"cat,0.5"),
        ({}, "text/csv", b"x" * (PLAIN_BYTES + 1)),
    ],
)
def test_what_is_not_for_a_gateway_to_say(inference: dict[str, object], content_type: str, answer: bytes) -> None:
    assert plain_document(config(**inference), content_type, "text/csv", answer) is None


@pytest.mark.parametrize(
    ("expression", "constant"),
    [("`false`", False), (" `false` ", False), ("`true`", True), ("false", None), ("`0`", None), ("!`true`", None),
     ("[0]", None), ("'false'", None)],
)  # fmt: skip
def test_expressions_that_look_at_nothing(expression: str, constant: bool | None) -> None:
    assert constant_of(compiled(expression)) is constant


def test_no_expression_explains_all() -> None:
    assert constant_of(None) is True
