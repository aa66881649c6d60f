"""The answer of an explained call, to the byte."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from mooring.explainer.reading.composing import response
from tests.explainer.making import CSV, JSON_LINES, TOKENS, plan_of, reading_of


def test_two_records_one_of_which_is_not_explained() -> None:
    plan = plan_of("0,0", expression="[0]<`0.5`", FeatureHeaders=["Age", "Sex"], LabelHeaders=["no", "yes"])
    reading = reading_of(plan, "1,2\n3,4", "0.2,0.8\n0.9,0.1\n", answered_type="text/csv; charset=utf-8")
    body = response(reading, [np.array([[-0.25, 0.25], [0.05, -0.05]]), None])
    assert body == (
        b'{"version":"1.0","predictions":{"content_type":"text/csv; charset=utf-8","data":"0.2,0.8\\n0.9,0.1\\n"},'
        b'"label_headers":["no","yes"],"explanations":{"kernel_shap":[[{"attributions":[{"attribution":[-0.25,0.25]}],'
        b'"feature_header":"Age"},{"attributions":[{"attribution":[0.05,-0.05]}],"feature_header":"Sex"}],null]}}'
    )


def test_a_text() -> None:
    numbers = [
        -0.007270948666666712,
        -0.018199033666666628,
        0.01970993241666666,
        0.1253469515833334,
        0.03291143366666657,
    ]
    reading = reading_of(plan_of('"<MASK>"', shap=TOKENS), "This is a good product", "0.9766594\n")
    reading.game(0)
    assert response(reading, [np.array(numbers).reshape(-1, 1)]) == (
        b'{"version":"1.0","predictions":{"content_type":"text/csv","data":"0.9766594\\n"},'
        b'"explanations":{"kernel_shap":[[{"attributions":['
        b'{"attribution":[-0.007270948666666712],"description":{"partial_text":"This","start_idx":0}},'
        b'{"attribution":[-0.018199033666666628],"description":{"partial_text":"is","start_idx":5}},'
        b'{"attribution":[0.01970993241666666],"description":{"partial_text":"a","start_idx":8}},'
        b'{"attribution":[0.1253469515833334],"description":{"partial_text":"good","start_idx":10}},'
        b'{"attribution":[0.03291143366666657],"description":{"partial_text":"product","start_idx":15}}],'
        b'"feature_type":"text"}]]}}'
    )


def test_a_text_beside_numbers() -> None:
    plan = plan_of('0,"<MASK>",0', shap=TOKENS, FeatureHeaders=["a", "b", "c"])
    reading = reading_of(plan, "1,so good,2", "0.5")
    reading.game(0)
    found = json.loads(response(reading, [np.array([[1.0], [2.0], [3.0], [4.0]])]))["explanations"]["kernel_shap"]
    assert found == [[
        {"attributions": [{"attribution": [1.0]}], "feature_header": "a", "feature_type": "numerical"},
        {"attributions": [
            {"attribution": [2.0], "description": {"partial_text": "so", "start_idx": 0}},
            {"attribution": [3.0], "description": {"partial_text": "good", "start_idx": 3}},
        ], "feature_header": "b", "feature_type": "text"},
        {"attributions": [{"attribution": [4.0]}], "feature_header": "c", "feature_type": "numerical"},
    ]]  # fmt: skip


def test_nothing_explained_has_98_bytes_as_the_services_own() -> None:
    reading = reading_of(plan_of(), "1,2,3,4", "414194.5625", expression="`false`")
    body = response(reading, [])
    assert body == b'{"version":"1.0","predictions":{"content_type":"text/csv","data":"414194.5625"},"explanations":{}}'
    assert len(body) == 98
    reading = reading_of(plan_of(expression="[0]>`1`"), "1,2,3,4", "0.5")
    assert response(reading, [None]).endswith(b'"explanations":{}}')


def test_numbers_are_as_python_writes_them() -> None:
    reading = reading_of(plan_of("0,0,0"), "1,1,1", "0.5")
    body = response(reading, [np.array([[3.637978807091713e-12], [-0.0], [1 / 3]])])
    assert b"[3.637978807091713e-12]" in body
    assert b"[-0.0]" in body
    assert b"[0.3333333333333333]" in body


@pytest.mark.parametrize(
    ("answer", "data"),
    [
        (b"0.5\r\n", "0.5\r\n"),
        (b"\xef\xbb\xbf0.5", "\ufeff0.5"),
        ('caf\u00e9 😀 \u2028 "'.encode(), 'caf\u00e9 😀 \u2028 "'),
        (b"\xff\xfe0", "\ufffd\ufffd0"),
        (b"a\0b", "a\0b"),
    ],
)
def test_the_prediction_is_the_containers_own(answer: bytes, data: str) -> None:
    body = response(reading_of(plan_of(), "1,2,3,4", answer, expression="`false`", answered_type="TEXT/CSV ;x=y"), [])
    assert json.loads(body)["predictions"] == {"content_type": "TEXT/CSV ;x=y", "data": data}
    assert b"\\u00e9" not in body


@pytest.mark.parametrize(
    ("inference", "answer", "answered_type", "labels"),
    [
        ({}, "0.5", CSV, None),
        ({"LabelHeaders": ["p"]}, "0.5", CSV, ["p"]),
        ({"LabelHeaders": ["p"], "LabelIndex": 0}, "cat,0.5", CSV, ["cat"]),
        ({"LabelHeaders": ["p"], "LabelAttribute": "l"}, "0.5", CSV, ["p"]),
        ({"LabelAttribute": "l", "ProbabilityAttribute": "p"}, '{"l":"é","p":0.5}', JSON_LINES, ["é"]),
    ],
)
@pytest.mark.parametrize("explained", [True, False])
def test_label_headers_are_the_answers_or_the_configurations(
    inference: dict[str, Any], answer: str, answered_type: str, labels: list[str] | None, explained: bool
) -> None:
    reading = reading_of(plan_of(**inference), "1,2,3,4", answer, answered_type=answered_type,
                         expression=None if explained else "`false`")  # fmt: skip
    body = json.loads(response(reading, [np.zeros((4, 1))] if explained else []))
    assert body.get("label_headers") == labels
    assert list(body)[-1] == "explanations"


def test_texts_are_utf_8_and_places_in_them_characters() -> None:
    reading = reading_of(plan_of('"<MASK>"', shap=TOKENS, FeatureHeaders=["où"]), "é 😀 good", "0.5")
    game = reading.game(0)
    assert response(reading, [np.zeros((game.players, 1))]).endswith(
        '{"kernel_shap":[[{"attributions":['
        '{"attribution":[0.0],"description":{"partial_text":"é","start_idx":0}},'
        '{"attribution":[0.0],"description":{"partial_text":"😀","start_idx":2}},'
        '{"attribution":[0.0],"description":{"partial_text":"good","start_idx":4}}],'
        '"feature_header":"où","feature_type":"text"}]]}}'.encode()
    )


def test_half_a_surrogate_pair_in_a_text_is_escaped() -> None:
    plan = plan_of('["<MASK>"]', mime=JSON_LINES, shap=TOKENS, ContentTemplate="$features")
    reading = reading_of(plan, '["a \\ud800"]', "0.5", content_type=JSON_LINES)
    game = reading.game(0)
    body = response(reading, [np.zeros((game.players, 1))])
    assert b'"partial_text":"\\ud800"' in body
