"""Answers: aligned with what was sent, and read as scores and labels; what is wrong is told with its record."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.explainer.faults import Misaligned, Unexplainable
from mooring.explainer.reading.bulk import Classes, scores_at_once
from mooring.explainer.reading.outputs import answer_of, classes_of, ordered_scores, scores_of, text_of
from mooring.explainer.reading.plan import Plan
from tests.explainer.making import CSV, JSON_LINES, plan_of

LISTS = b"\"['cat','dog','fish']\",\"[0.1,0.6,0.3]\"\n"
OBJECT = b'{"predicted_labels":["cat","dog","fish"],"probabilities":[0.1,0.6,0.3]}\n'
ANIMALS = ("cat", "dog", "fish")


def first_of(plan: Plan, answer: bytes, answered_type: str) -> tuple[list[float], list[str] | None]:
    found = answer_of(plan, answered_type, answer, 1)
    classes = classes_of(plan, found.form, found.rows[0], "It")
    labels = None if classes.labels is None else list(classes.labels)
    return ordered_scores(plan, found.form, found.rows[0], classes, "It"), labels


# Alignment


@pytest.mark.parametrize(
    ("answer", "answered_type", "records", "rows"),
    [
        (b"0.1\n0.2\n", CSV, 2, ["0.1", "0.2"]),
        (b"0.1\r\n0.2", CSV, 2, ["0.1", "0.2"]),
        (b"0.1\n\n0.2\n\n", CSV, 2, ["0.1", "0.2"]),
        (b"0.6,0.3", CSV, 2, [["0.6"], ["0.3"]]),
        (b"194306.59375,403780.28125,485313.8125", CSV, 3, [["194306.59375"], ["403780.28125"], ["485313.8125"]]),
        (b"0.1,0.6,0.3", CSV, 1, ["0.1,0.6,0.3"]),
        (b"0.1,0.9\n0.2,0.8", CSV, 2, ["0.1,0.9", "0.2,0.8"]),
        (b'"a\nb",1\n"c",2', CSV, 2, [["a\nb", "1"], ["c", "2"]]),
        (b"\xef\xbb\xbf0.5", "", 1, ["0.5"]),
        (b'{"a":1}\n\n{"a":2}\n', JSON_LINES, 2, ['{"a":1}', '{"a":2}']),
        (b'{"a":1}', "application/jsonlines; charset=utf-8", 1, ['{"a":1}']),
    ],
)
def test_a_record_of_an_answer_is_that_of_the_record_that_was_sent(
    answer: bytes, answered_type: str, records: int, rows: list[Any]
) -> None:
    assert list(answer_of(plan_of(), answered_type, answer, records).rows) == rows


@pytest.mark.parametrize(
    ("answer", "answered_type", "records", "inference"),
    [
        (b"0.1\n0.2\n0.3", CSV, 2, {}),
        (b"0.1", CSV, 2, {}),
        (b"0.1,0.2,0.3", CSV, 2, {}),
        (b"0.1,0.2", CSV, 2, {"ProbabilityIndex": 0}),
        (b"0.1,0.2", CSV, 2, {"LabelIndex": 0}),
        (b"", CSV, 1, {}),
        (b"[0.1,0.2]", JSON_LINES, 2, {}),
        (b'{"a":1}\n{"a":2}', JSON_LINES, 1, {}),
        (b"", JSON_LINES, 1, {}),
    ],
)
def test_an_answer_that_does_not_align_is_refused(
    answer: bytes, answered_type: str, records: int, inference: dict[str, Any]
) -> None:
    with pytest.raises(Misaligned, match="so that it cannot be told which is whose"):
        answer_of(plan_of(**inference), answered_type, answer, records)
    with pytest.raises(Misaligned):
        scores_of(plan_of(**inference), answered_type, answer, records, Classes(1, None))


ROW = st.lists(st.sampled_from(["1", '"a\nb"', ""]), min_size=1, max_size=4)
INDEXES = st.sampled_from([{}, {"ProbabilityIndex": 0}, {"LabelIndex": 0}])


@given(st.integers(1, 4), st.lists(ROW, max_size=4), INDEXES, st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_csv_aligns_by_lines_or_by_cells_of_the_only_line(
    records: int, table: list[list[str]], inference: dict[str, Any], end: str
) -> None:
    lines = [",".join(row) for row in table if row != [""]]
    cells = lines[0].replace('"a\nb"', "x").split(",") if lines else []
    aligns = len(lines) == records or (len(lines) == 1 and len(cells) == records and not inference)
    answer = end.join(lines).encode()
    try:
        found = answer_of(plan_of(**inference), CSV, answer, records).rows
    except Misaligned:
        assert not aligns
    else:
        assert aligns
        assert len(found) == records


def test_one_row_of_several_classes_is_not_several_records_of_one() -> None:
    with pytest.raises(Misaligned, match="The model answered 3 records with 1 line"):
        scores_of(plan_of(), CSV, b"0.1,0.6,0.3", 3, Classes(3, None))
    assert scores_of(plan_of(), CSV, b"0.1,0.6,0.3", 3, Classes(1, None)).tolist() == [[0.1], [0.6], [0.3]]


def test_as_many_scores_in_other_rows_are_not_the_records() -> None:
    with pytest.raises(Misaligned, match="The model answered 3 records with 2 lines"):
        scores_of(plan_of(), CSV, b"0.1,0.2,0.3\n0.4,0.5,0.6", 3, Classes(2, None))
    with pytest.raises(Misaligned, match="The model answered 2 records with 4 lines"):
        scores_of(plan_of(), CSV, b"0.1\n0.2\n0.3\n0.4", 2, Classes(2, None))
    with pytest.raises(Misaligned, match="The model answered 2 records with 3 lines"):
        scores_of(plan_of(ProbabilityIndex=0), CSV, b"0.1,9\n0.2,9\n0.3,9", 2, Classes(1, None))
    for records in (1, 3):
        with pytest.raises(Misaligned, match="with 2 lines"):
            scores_of(plan_of(ProbabilityAttribute="p"), JSON_LINES, b'{"p":0.1}\n{"p":0.2}', records, Classes(1, None))
        with pytest.raises(Misaligned, match="with 2 lines"):
            scores_of(plan_of(), CSV, b'"[0.1,0.9]"\n"[0.2,0.8]"', records, Classes(2, None))


def test_an_answer_of_another_type_is_refused() -> None:
    with pytest.raises(Unexplainable) as refused:
        answer_of(plan_of(), "application/json", b"[0.5]", 1)
    assert refused.value.kind == "explainer"
    assert str(refused.value) == (
        "The model's answer has the Content-Type 'application/json'; "
        "only text/csv and application/jsonlines can be explained. The Accept of a call asks the model for one of them."
    )


# Scores and labels


@pytest.mark.parametrize(
    ("answer", "answered_type", "inference", "scores", "labels"),
    [
        (b"0.6", CSV, {}, [0.6], None),
        (b"0.1,0.6,0.3", CSV, {}, [0.1, 0.6, 0.3], None),
        (b"1,0.6", CSV, {"ProbabilityIndex": 1}, [0.6], None),
        (b"1,0.6", CSV, {"ProbabilityIndex": 1, "LabelIndex": 0}, [0.6], ["1"]),
        (b"1,0.6", CSV, {"LabelIndex": 0}, [0.6], ["1"]),
        (LISTS, CSV, {"ProbabilityIndex": 1, "LabelIndex": 0}, [0.1, 0.6, 0.3], list(ANIMALS)),
        (LISTS, CSV, {"ProbabilityIndex": 1}, [0.1, 0.6, 0.3], None),
        (b'"[0.25, 0.75]"', CSV, {}, [0.25, 0.75], None),
        (b'{"score":0.6}', JSON_LINES, {"ProbabilityAttribute": "score"}, [0.6], None),
        (b"0.6", JSON_LINES, {}, [0.6], None),
        (b"[0.25,0.75]", JSON_LINES, {}, [0.25, 0.75], None),
        (
            OBJECT,
            JSON_LINES,
            {"ProbabilityAttribute": "probabilities", "LabelAttribute": "predicted_labels"},
            [0.1, 0.6, 0.3],
            list(ANIMALS),
        ),
        (OBJECT, JSON_LINES, {"ProbabilityAttribute": "probabilities[1]"}, [0.6], None),
        (
            b'{"p":0.6,"l":7}',
            JSON_LINES,
            {"ProbabilityAttribute": "p", "LabelAttribute": "l"},
            [0.6],
            ["7"],
        ),
        # Indexes are for CSV, attributes for JSON Lines.
        (b"0.5", CSV, {"ProbabilityAttribute": "nope", "LabelAttribute": "nope"}, [0.5], None),
        (b"0.5", JSON_LINES, {"ProbabilityIndex": 3, "LabelIndex": 4}, [0.5], None),
    ],
)
def test_scores_and_labels_are_where_the_configuration_says(
    answer: bytes, answered_type: str, inference: dict[str, Any], scores: list[float], labels: list[str] | None
) -> None:
    plan = plan_of(**inference)
    assert first_of(plan, answer, answered_type) == (scores, labels)
    classes = Classes(len(scores), None if labels is None else tuple(labels))
    assert scores_of(plan, answered_type, answer, 1, classes).tolist() == [scores]


@pytest.mark.parametrize(
    ("answer", "answered_type", "inference", "message"),
    [
        (b"cat", CSV, {}, "It: the score 'cat' is not a number."),
        (b"nan", CSV, {}, "It: the score 'nan' is not a finite number."),
        (b"1e999", CSV, {}, "It: the score '1e999' is not a finite number."),
        (b"True", CSV, {}, "It: the score 'True' is not a number."),
        (b"0.1,", CSV, {}, "It: the score '' is not a number."),
        (b"\xff", CSV, {}, "It: the score '\ufffd' is not a number."),
        (b'"[]"', CSV, {}, "It has no scores: ['[]']"),
        (b'"[0.1,true]"', CSV, {}, "It: the score true is not a number."),
        (b"1,0.6", CSV, {"ProbabilityIndex": 2}, "It: ProbabilityIndex is 2, counted from 0, of 2 columns: '1,0.6'"),
        (b"1", CSV, {"ProbabilityIndex": 0, "LabelIndex": 1}, "It: LabelIndex is 1, counted from 0, of 1 column: '1'"),
        (b"a,b,0.5", CSV, {"ProbabilityIndex": 2, "LabelIndex": 0}, None),
        (b'{"score":0.6}', JSON_LINES, {},
         "It: '{\"score\":0.6}' is an object; ProbabilityAttribute says where its scores are."),
        (b'{"score":0.6}', JSON_LINES, {"ProbabilityAttribute": "p"},
         "It: ProbabilityAttribute 'p' finds no scores in '{\"score\":0.6}'."),
        (b'{"score":"0.6"}', JSON_LINES, {"ProbabilityAttribute": "score"}, "It: the score '0.6' is not a number."),
        (b'{"score":true}', JSON_LINES, {"ProbabilityAttribute": "score"}, "It: the score true is not a number."),
        (b'{"score":NaN}', JSON_LINES, {"ProbabilityAttribute": "score"}, "It: the score NaN is not a finite number."),
        (b'{"score":[]}', JSON_LINES, {"ProbabilityAttribute": "score"}, "It has no scores: '{\"score\":[]}'"),
        (b'{"score":[[0.5]]}', JSON_LINES, {"ProbabilityAttribute": "score"}, "It: the score [0.5] is not a number."),
        (b'{"score":0.6}', JSON_LINES, {"ProbabilityAttribute": "score", "LabelAttribute": "l"},
         "It: LabelAttribute 'l' finds no labels in '{\"score\":0.6}'."),
        (b'{"s":[0.4,0.6],"l":["a"]}', JSON_LINES, {"ProbabilityAttribute": "s", "LabelAttribute": "l"},
         "It has 1 label, ['a'], and 2 scores."),
        (b'{"s":"x"}', JSON_LINES, {"ProbabilityAttribute": "abs(s)"},
         "It: ProbabilityAttribute 'abs(s)' cannot be evaluated on"),
    ],
)  # fmt: skip
def test_what_is_no_score_is_told_by_its_name(
    answer: bytes, answered_type: str, inference: dict[str, Any], message: str | None
) -> None:
    plan = plan_of(**inference)
    if message is None:
        assert first_of(plan, answer, answered_type) == ([0.5], ["a"])
        return
    with pytest.raises(Unexplainable) as refused:
        first_of(plan, answer, answered_type)
    assert str(refused.value).startswith(message)
    assert refused.value.kind == "explainer"


@pytest.mark.parametrize(("score", "fits"), [("0", True), ("1", True), ("0.5", True), ("-0.1", False), ("1.1", False)])
def test_log_odds_are_of_what_is_from_0_to_1(score: str, fits: bool) -> None:
    plan = plan_of(shap={"UseLogit": True})
    answer = f"0.5\n{score}".encode()
    if fits:
        assert scores_of(plan, CSV, answer, 2, Classes(1, None)).tolist() == [[0.5], [float(score)]]
        return
    with pytest.raises(Unexplainable) as refused:
        scores_of(plan, CSV, answer, 2, Classes(1, None))
    assert str(refused.value) == (
        f"The model's answer for synthetic record 1: the score {score} is not from 0 to 1, which UseLogit needs."
    )


def test_a_record_has_as_many_scores_as_the_first() -> None:
    with pytest.raises(Unexplainable, match="for synthetic record 1 has 2 scores and the first explained record has 3"):
        scores_of(plan_of(), CSV, b"0.1,0.2,0.3\n0.1,0.2", 2, Classes(3, None))
    with pytest.raises(Unexplainable, match="for synthetic record 0 has 1 score and the first explained record has 2"):
        scores_of(plan_of(), JSON_LINES, b"0.1\n0.2", 2, Classes(2, None))


# The order of labels


def test_scores_are_in_the_order_of_the_labels_of_the_first_record() -> None:
    plan = plan_of(ProbabilityIndex=1, LabelIndex=0)
    answer = LISTS + b"\"['fish','cat','dog']\",\"[0.5,0.2,0.3]\""
    assert scores_of(plan, CSV, answer, 2, Classes(3, ANIMALS)).tolist() == [[0.1, 0.6, 0.3], [0.2, 0.3, 0.5]]
    plan = plan_of(ProbabilityAttribute="probabilities", LabelAttribute="predicted_labels")
    answer = OBJECT + b'{"predicted_labels":["fish","cat","dog"],"probabilities":[0.5,0.2,0.3]}'
    assert scores_of(plan, JSON_LINES, answer, 2, Classes(3, ANIMALS)).tolist() == [[0.1, 0.6, 0.3], [0.2, 0.3, 0.5]]


@pytest.mark.parametrize("labels", [["cat", "dog"], ["cat", "dog", "cow"], ["cat", "cat", "dog"], []])
def test_other_labels_are_refused(labels: list[str]) -> None:
    plan = plan_of(ProbabilityAttribute="p", LabelAttribute="l")
    answer = json.dumps({"l": labels, "p": [0.1, 0.6, 0.3]}).encode()
    with pytest.raises(Unexplainable, match="for synthetic record 0: (its labels .* are not those|LabelAttribute)"):
        scores_of(plan, JSON_LINES, answer, 1, Classes(3, ANIMALS))


def test_one_label_by_one_score_may_differ_between_records() -> None:
    plan = plan_of(ProbabilityIndex=1, LabelIndex=0)
    assert scores_of(plan, CSV, b"1,0.6\n0,0.3", 2, Classes(1, ("1",))).tolist() == [[0.6], [0.3]]


def test_labels_that_are_the_same_twice_keep_their_places() -> None:
    plan = plan_of(ProbabilityAttribute="p", LabelAttribute="l")
    answer = b'{"l":["a","a"],"p":[0.1,0.9]}'
    assert scores_of(plan, JSON_LINES, answer, 1, Classes(2, ("a", "a"))).tolist() == [[0.1, 0.9]]


# Both readings


def closely(plan: Plan, form: str, text: bytes, records: int, classes: Classes) -> list[list[float]] | None:
    try:
        rows = answer_of(plan, form, text, records).rows
        return [ordered_scores(plan, form, row, classes, "It") for row in rows]
    except Unexplainable:
        return None


NUMBER = st.floats(-1, 2).map(repr) | st.sampled_from(
    ["1", "0", " 0.5", "nan", "inf", "x", "", "1_0", "True", "1e400", "１"]
)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "ProbabilityIndex": st.integers(0, 2),
        "LabelIndex": st.integers(0, 2),
        "shap": st.just({"UseLogit": True}),
    },
)


@given(
    st.lists(st.lists(NUMBER, min_size=1, max_size=3), min_size=1, max_size=4),
    SETTINGS,
    st.booleans(),
    st.integers(1, 3),
)
def test_an_answer_read_at_once_is_the_answer_read_closely(
    table: list[list[str]], inference: dict[str, Any], quoted: bool, classes: int
) -> None:
    mark = '"' if quoted else ""
    text = "\n".join(",".join(mark + cell + mark for cell in row) for row in table)
    compare(plan_of(**inference), CSV, text.encode(), len(table), Classes(classes, None))


@given(
    st.lists(
        st.tuples(st.permutations(ANIMALS), st.lists(st.floats(-1, 2) | st.just(float("nan")), min_size=3, max_size=3)),
        min_size=1,
        max_size=4,
    ),
    st.booleans(),
    st.booleans(),
)
def test_labels_read_at_once_are_labels_read_closely(
    table: list[tuple[list[str], list[float]]], as_csv: bool, as_json: bool
) -> None:
    if as_csv:
        plan = plan_of(ProbabilityIndex=1, LabelIndex=0)
        said = [[json.dumps(each) if as_json else str(each) for each in row] for row in table]
        text = "\n".join(",".join('"' + cell.replace('"', '""') + '"' for cell in row) for row in said)
    else:
        plan = plan_of(ProbabilityAttribute="s.p", LabelAttribute="l" if as_json else "[l][]")
        text = "\n".join(json.dumps({"l": labels, "s": {"p": scores}}) for labels, scores in table)
    compare(plan, CSV if as_csv else JSON_LINES, text.encode(), len(table), Classes(3, ANIMALS))


SCALAR = st.floats() | st.integers() | st.text(max_size=2) | st.booleans() | st.none()
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=3))


@given(st.lists(VALUE, min_size=1, max_size=4), st.integers(1, 3))
def test_json_read_at_once_is_json_read_closely(values: list[Any], classes: int) -> None:
    text = "\n".join(json.dumps(value) for value in values)
    compare(plan_of(), JSON_LINES, text.encode(), len(values), Classes(classes, None))
    text = "\n".join(json.dumps({"p": value}) for value in values)
    compare(plan_of(ProbabilityAttribute="p"), JSON_LINES, text.encode(), len(values), Classes(classes, None))


def compare(plan: Plan, form: str, text: bytes, records: int, classes: Classes) -> None:
    at_once, known = (
        scores_at_once(plan, form, text_of(text), records, classes),
        closely(plan, form, text, records, classes),
    )
    if at_once is not None:
        assert at_once.tolist() == known
    try:
        found = scores_of(plan, form, text, records, classes)
    except Unexplainable:
        assert known is None or classes.count == 1
    else:
        assert found.tolist() == known
        assert found.shape == (records, classes.count)
        assert np.isfinite(found).all()


@given(st.binary(max_size=60), st.sampled_from([CSV, JSON_LINES]), st.integers(1, 3))
def test_no_answer_breaks_its_reader(answer: bytes, form: str, records: int) -> None:
    with contextlib.suppress(Unexplainable):
        assert scores_of(plan_of(), form, answer, records, Classes(1, None)).shape == (records, 1)
