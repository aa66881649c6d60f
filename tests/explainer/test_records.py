"""Readings and games: which records are explained, and how their features come to the model again, to the byte."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mooring.explainer.faults import Misaligned, Unexplainable
from mooring.explainer.reading import text
from mooring.explainer.reading.bulk import Classes
from mooring.explainer.reading.records import MOST, MOST_EXPLAINED, baseline_lines, body_of
from mooring.explainer.reading.synthesis import TABLE_BYTES, Feature, Game
from tests.explainer.making import CSV, JSON_LINES, TOKENS, every_mask, plan_of, reading_of

TEMPLATE = '{"features":$features}'


def lines_of(game: Game, row: int = 0) -> list[bytes]:
    return game.lines(every_mask(len(game.varying)), row)


# CSV


def test_a_masked_record_keeps_the_text_of_its_cells() -> None:
    plan = plan_of("0,0,0.0,x")
    reading = reading_of(plan, "1,2.50,0.0,a b\r\n5,6,7,y", "0.25\n0.75\n")
    assert reading.selected == [True, True]
    assert [scores.tolist() for scores in reading.scores] == [[0.25], [0.75]]
    game = reading.game(0)
    assert (game.players, game.varying.tolist()) == (4, [0, 1, 3])
    masks = np.array([[True, False, False], [False, True, True], [True, True, True]])
    assert game.lines(masks, 0) == [b"1,0,0.0,x", b"0,2.50,0.0,a b", b"1,2.50,0.0,a b"]
    assert body_of(baseline_lines(plan, CSV)) == b"0,0,0.0,x"


def test_cells_are_quoted_again_where_they_must_be() -> None:
    reading = reading_of(plan_of('"a,b",0,z'), '"x","li\nne","say ""no"""', "0.5")
    assert lines_of(reading.game(0))[0] == b'"a,b",0,"say ""no"""'
    assert lines_of(reading.game(0))[-1] == b'x,"li\nne","say ""no"""'


def test_each_row_of_the_baseline_gives_its_own_records() -> None:
    plan = plan_of("0,0\n1,0\n1,7")
    game = reading_of(plan, "1,0", "0.5").game(0)
    assert game.varying.tolist() == [0, 1]
    assert [game.lines(np.array([[True, False], [False, True]]), row) for row in range(3)] == [
        [b"1,0", b"0,0"],
        [b"1,0", b"1,0"],
        [b"1,7", b"1,0"],
    ]
    assert baseline_lines(plan, CSV) == [b"0,0", b"1,0", b"1,7"]


def test_a_feature_that_is_the_baseline_in_every_row_does_not_vary() -> None:
    assert reading_of(plan_of("1,2\n1,2"), "1,2", "0.5").game(0).varying.tolist() == []
    assert reading_of(plan_of("1,2\n1,3"), "1,2", "0.5").game(0).varying.tolist() == [1]
    # 1.0 is another text than 1, and what a model makes of them is its own affair.
    assert reading_of(plan_of("1,2"), "1.0,2", "0.5").game(0).varying.tolist() == [0]
    game = reading_of(plan_of("1,2"), "1,2", "0.5").game(0)
    assert game.lines(np.ones((2, 0), np.bool_), 0) == [b"1,2", b"1,2"]


def test_a_record_of_one_empty_cell_is_no_empty_line() -> None:
    plan = plan_of("x")
    game = reading_of(plan, '""\n', "0.5").game(0)
    assert lines_of(game) == [b'""']
    assert baseline_lines(plan_of('""'), CSV) == [b'""']


@given(st.data())
def test_a_csv_record_is_the_features_that_its_mask_says(data: st.DataObject) -> None:
    cell = st.text(st.characters(blacklist_categories=["Cs"]) | st.sampled_from('",\r\n 1'), max_size=4)
    columns = data.draw(st.integers(1, 20))
    rows = [data.draw(st.lists(cell, min_size=columns, max_size=columns)) for _ in range(3)]
    record, *baseline = rows
    game = reading_of(plan_of(csv_of(baseline)), csv_of([record]), "0.5").game(0)
    masks = np.array(
        data.draw(st.lists(st.lists(st.booleans(), min_size=columns, max_size=columns), max_size=5)), np.bool_
    )
    masks = masks.reshape(-1, columns)[:, : len(game.varying)]
    for row in (1, 0, 1):
        whole = np.ones((len(masks), columns), np.bool_)
        whole[:, game.varying] = masks
        wanted = [
            [mine if kept else other for mine, other, kept in zip(record, baseline[row], keep, strict=True)]
            for keep in whole
        ]
        text = body_of(game.lines(masks, row)).decode()
        assert [each for each in csv.reader(io.StringIO(text, newline=""), strict=True) if each] == wanted


def csv_of(rows: list[list[str]]) -> str:
    said = io.StringIO(newline="")
    csv.writer(said, quoting=csv.QUOTE_ALL).writerows(rows)
    return said.getvalue()


def test_large_features_do_not_make_large_tables() -> None:
    features = [Feature(b"x" * TABLE_BYTES, [b"y" * TABLE_BYTES]) for _ in range(4)]
    game = Game(features, (b"", b""))
    lines = lines_of(game)
    assert [line[:: TABLE_BYTES + 1] for line in lines[-2:]] == [b"xxxy", b"xxxx"]
    assert game._parts == {} or sum(part.size() for part in game._parts[0]) < 10 * TABLE_BYTES


# JSON Lines


def test_json_lines_are_rendered_from_the_template() -> None:
    plan = plan_of('{"data":{"features":[0,0.0,null,"x"]}}', mime=JSON_LINES, FeaturesAttribute="data.features",
                   ContentTemplate='{"features":$features,"k":"é"}')  # fmt: skip
    request = '{"data":{"features":[1,1e5,true,"a\\"b\\u00e9"]},"id":7}\n\n{"data":{"features":[1.0,2,[3.50],"y"]}}\n'
    reading = reading_of(plan, request, "0.1\n0.2", content_type="application/jsonlines;charset=utf-8")
    assert lines_of(reading.game(0))[-1] == '{"features":[1,1e5,true,"a\\"bé"],"k":"é"}'.encode()
    assert lines_of(reading.game(1))[0] == '{"features":[0,0.0,null,"y"],"k":"é"}'.encode()
    assert lines_of(reading.game(1))[-1] == '{"features":[1.0,2,[3.50],"y"],"k":"é"}'.encode()
    assert baseline_lines(plan, JSON_LINES) == ['{"features":[0,0.0,null,"x"],"k":"é"}'.encode()]


def test_without_features_attribute_the_whole_record_is_the_features() -> None:
    plan = plan_of("0,0,0,0", ContentTemplate=TEMPLATE)
    reading = reading_of(plan, "[1,2,3,4]", '{"score":0.5}\n'.replace('{"score":0.5}', "0.5"), content_type=JSON_LINES)
    assert lines_of(reading.game(0))[-1] == b'{"features":[1,2,3,4]}'


@pytest.mark.parametrize(("answer", "answered_type"), [("0.25", CSV), ('{"score":0.25}', JSON_LINES)])
@pytest.mark.parametrize(
    ("request_body", "content_type", "line"),
    [("1,2", CSV, b"1,2"), ('{"f":[1,2]}', JSON_LINES, b'{"features":[1,2]}')],
)
def test_input_and_output_may_be_of_different_formats(
    request_body: str, content_type: str, line: bytes, answer: str, answered_type: str
) -> None:
    plan = plan_of("0,0", FeaturesAttribute="f", ContentTemplate=TEMPLATE, ProbabilityAttribute="score")
    reading = reading_of(plan, request_body, answer, content_type=content_type, answered_type=answered_type)
    assert reading.scores[0].tolist() == [0.25]
    assert lines_of(reading.game(0))[-1] == line


@pytest.mark.parametrize(
    ("baseline", "types", "rendered"),
    [
        ("0,1.50,-2e5", None, b"[0,1.50,-2e5]"),
        ("+1,.5, 7", None, b"[1,0.5,7]"),
        ("x,007,", None, b'["x",7,""]'),
        ("x,007,7", ["text", "categorical", "text"], b'["x","007","7"]'),
    ],
)
def test_a_baseline_of_csv_is_put_into_json(baseline: str, types: list[str] | None, rendered: bytes) -> None:
    plan = plan_of(baseline, ContentTemplate="$features") if types is None else plan_of(
        baseline, ContentTemplate="$features", FeatureTypes=types, shap=TOKENS
    )  # fmt: skip
    assert baseline_lines(plan, JSON_LINES) == [rendered]


def test_a_baseline_of_json_is_put_into_csv() -> None:
    plan = plan_of('[1.50,"a,b",null,true,[1,2.0]]', mime=JSON_LINES)
    assert baseline_lines(plan, CSV) == [b'1.50,"a,b",,true,"[1,2.0]"']


SCALAR = st.none() | st.booleans() | st.text(max_size=4) | st.integers() | st.floats(allow_nan=False)


@given(st.lists(SCALAR | st.lists(SCALAR, max_size=2), min_size=1, max_size=12), st.randoms())
def test_a_json_record_is_the_features_that_its_mask_says(record: list[Any], random: Any) -> None:
    baseline = random.sample(record, len(record))
    plan = plan_of(json.dumps(baseline), mime=JSON_LINES, ContentTemplate=TEMPLATE)
    game = reading_of(plan, json.dumps(record), "0.5", content_type=JSON_LINES).game(0)
    mask = np.array([[random.random() < 0.5 for _ in game.varying]], np.bool_)
    kept = np.ones(len(record), np.bool_)
    kept[game.varying] = mask[0]
    (line,) = game.lines(mask, 0)
    assert json.loads(line) == {
        "features": [mine if keep else other for mine, other, keep in zip(record, baseline, kept, strict=True)]
    }


# Text


def test_each_unit_of_a_text_is_a_player() -> None:
    plan = plan_of('"<MASK>"', shap=TOKENS)
    reading = reading_of(plan, '"This is a good product"', "0.9766594\n")
    game = reading.game(0)
    assert (game.players, game.varying.tolist()) == (5, [0, 1, 2, 3, 4])
    masks = np.array([[True, False, True, True, False], [True] * 5])
    assert game.lines(masks, 0) == [b"This <MASK> a good <MASK>", b"This is a good product"]
    assert [unit.start for unit in reading.units(0, 0) or ()] == [0, 5, 8, 10, 15]
    # The empty coalition is the record of the baseline, and no text of replacements.
    assert baseline_lines(plan, CSV) == [b"<MASK>"]


def test_a_text_stands_between_other_features() -> None:
    plan = plan_of('1,"<MASK>",0,0', shap=TOKENS)
    game = reading_of(plan, '1,"so, ""good"" it is",5,6', "0.5").game(0)
    assert game.players == 10
    assert game.varying.tolist() == list(range(1, 10))
    masks = np.array([[True, False, True, True, True, True, True, True, False], [False] * 7 + [True, True]])
    assert game.lines(masks, 0) == [
        b'1,"so<MASK> ""good"" it is",5,0',
        b"1,<MASK><MASK> <MASK><MASK><MASK> <MASK> <MASK>,5,6",
    ]


def test_a_text_of_json_keeps_what_it_is() -> None:
    plan = plan_of('["[MASK]",0]', mime=JSON_LINES, shap=TOKENS, ContentTemplate=TEMPLATE)
    reading = reading_of(plan, '["it\\u0027s\\n\\ud83d\\ude00 \\ud800",3]', "0.5", content_type=JSON_LINES)
    whole = lines_of(reading.game(0))[-1]
    assert json.loads(whole)["features"] == ["it's\n😀 \ud800", 3]
    assert b"\\ud800" in whole


def test_a_unit_that_is_its_replacement_does_not_vary() -> None:
    plan = plan_of('"good"', shap=TOKENS)
    game = reading_of(plan, "a good product", "0.5").game(0)
    assert (game.players, game.varying.tolist()) == (3, [0, 2])
    assert game.lines(np.array([[False, True]]), 0) == [b"good good product"]
    assert reading_of(plan, "good", "0.5").game(0).varying.tolist() == []
    # As a whole it is not the baseline, so its units have a part in the difference.
    assert reading_of(plan, "good good", "0.5").game(0).varying.tolist() == [0, 1]


def test_how_long_a_language_was_loaded_is_of_the_record_that_it_was_loaded_for() -> None:
    text._pipeline.cache_clear()
    plan = plan_of('"_"', shap=TOKENS)
    first = reading_of(plan, "a b\nc d", "0.5\n0.5")
    assert first.loading_s == 0.0
    first.game(0)
    took = first.loading_s
    assert took > 0.0
    first.game(1)
    assert first.loading_s == took
    second = reading_of(plan, "a b", "0.5")
    second.game(0)
    assert second.loading_s == 0.0


def test_an_empty_text_is_one_unit() -> None:
    game = reading_of(plan_of('"<MASK>",0', shap=TOKENS), '"",1', "0.5").game(0)
    assert (game.players, lines_of(game)) == (2, [b"<MASK>,1", b",0", b",1"])


def test_several_baselines_replace_a_unit_in_turn() -> None:
    game = reading_of(plan_of('"<A>"\n"<B>"', shap=TOKENS), "x y", "0.5").game(0)
    assert [game.lines(np.array([[True, False]]), row) for row in (0, 1, 0)] == [[b"x <A>"], [b"x <B>"], [b"x <A>"]]


def test_a_text_that_cannot_be_split_is_told_with_its_place() -> None:
    plan = plan_of('0,"<MASK>"', shap=TOKENS)
    with pytest.raises(Unexplainable, match="Record 0 of the request, feature 1: a text has more than 4096 units"):
        reading_of(plan, "1," + "x " * 5000, "0.5").game(0)


@pytest.mark.parametrize("baseline", ['["[MASK]"]', "[0]"])
def test_a_feature_of_type_text_is_text(baseline: str) -> None:
    plan = plan_of(baseline, mime=JSON_LINES, shap=TOKENS, ContentTemplate="$features", FeatureTypes=["text"])
    with pytest.raises(Unexplainable, match="Record 0 of the (request|baseline), feature 0: [50] is not text"):
        reading_of(plan, "[5]" if "MASK" in baseline else '["a"]', "0.5", content_type=JSON_LINES).game(0)


# What is refused


@pytest.mark.parametrize(
    ("request_body", "content_type", "inference", "kind", "message"),
    [
        ("1,2,3,4\n1,2,3", CSV, {}, "explainer",
         "Record 1 of the request has 3 features and the baseline has 4: they must be as many, and none of them a"),
        ("," * 6_000_000, CSV, {}, "explainer", "Record 0 of the request has 6000001 features and the baseline has 4"),
        ("[1,2,3,4]\n[1,2,3]", JSON_LINES, {"ContentTemplate": TEMPLATE}, "explainer",
         "Record 1 of the request has 3 features and the baseline has 4"),
        ("[1,2,3,4]\n[" + "1," * 100_000 + "9" * 10_000 + "]", JSON_LINES, {"ContentTemplate": TEMPLATE}, "explainer",
         "Record 1 of the request has 100001 features and the baseline has 4"),
        ("[1,2,3,4]\n[1,2,3,4]", JSON_LINES, {}, "explainer",
         "The request is JSON Lines and the endpoint's InferenceConfig has no ContentTemplate"),
        ('{"a":[1,2,3,4]}\n{"a":5}', JSON_LINES, {"ContentTemplate": TEMPLATE, "FeaturesAttribute": "a"}, "explainer",
         "Record 1 of the request: FeaturesAttribute 'a' gives 5 and not a list of features."),
        ('{"a":[1,2,3,4]}\n{}', JSON_LINES, {"ContentTemplate": TEMPLATE, "FeaturesAttribute": "a"}, "explainer",
         "Record 1 of the request: FeaturesAttribute 'a' gives null and not a list of features."),
        ('{"a":1}\n1', JSON_LINES, {"ContentTemplate": TEMPLATE, "FeaturesAttribute": "abs(@)"}, "explainer",
         "Record 0 of the request: FeaturesAttribute 'abs(@)' fails: "),
        ('{"a":1}\n1', JSON_LINES, {"ContentTemplate": TEMPLATE}, "explainer",
         "Record 0 of the request is {'a': 1} and not a list of features: InferenceConfig has no FeaturesAttribute,"),
        ("[1,2,3,4]\nx", JSON_LINES, {"ContentTemplate": TEMPLATE}, "caller", "Record 1 of the request is not JSON"),
        ("[" * 1000 + "\n[]", JSON_LINES, {"ContentTemplate": TEMPLATE}, "caller",
         "Record 0 of the request is nested too deeply"),
        ("[1,2,3,4]\n[1,2,3,4]", "application/json", {}, "caller",
         "The request has the Content-Type 'application/json'; only text/csv and application/jsonlines can be"),
        (b"1,2,\xff,4\n", CSV, {}, "caller", "The request is not UTF-8 text: byte 4 cannot be read."),
        ('1,"2', CSV, {}, "caller", "The request is not CSV: unexpected end of data, at line 1."),
        ("\n\n", CSV, {}, "caller", "The request has no records."),
        ("", JSON_LINES, {}, "caller", "The request has no records."),
        ("1,2,3,4\n1,2,3,4", CSV, {"FeatureHeaders": ["a"]}, "explainer",
         "FeatureHeaders has 1 entry and the baseline 4 features: they must be as many."),
        ("1,2,3,4\n1,2,3,4", CSV, {"FeatureTypes": ["text"] * 5}, "explainer",
         "FeatureTypes has 5 entries and the baseline 4 features: they must be as many."),
        ("1,2,3,4\n1,2,3,4", CSV, {"LabelHeaders": ["a", "b"]}, "explainer",
         "LabelHeaders has 2 entries and the model's answer 1 score: they must be as many."),
        ("1,2,3,4\n" * (MOST + 1), CSV, {}, "caller", f"The request has {MOST + 1} records; an explained call has"),
    ],
    ids=range(20),
)  # fmt: skip
def test_what_cannot_be_explained_is_told_with_its_place(
    request_body: str, content_type: str, inference: dict[str, Any], kind: str, message: str
) -> None:
    records = 1 if request_body == "," * 6_000_000 or isinstance(request_body, bytes) else 2
    with pytest.raises(Unexplainable) as refused:
        reading_of(plan_of(**inference), request_body, "0.5\n" * records, content_type=content_type)
    assert str(refused.value).startswith(message)
    assert refused.value.kind == kind


def test_a_feature_that_is_nested_too_deeply_is_refused() -> None:
    plan = plan_of("0,0", ContentTemplate=TEMPLATE)
    reading = reading_of(plan, "[1," + "[" * 200 + "]" * 200 + "]", "0.5", content_type=JSON_LINES)
    with pytest.raises(
        Unexplainable, match="Record 0 of the request, feature 1: .* cannot be written: nested too deeply"
    ):
        reading.game(0)


def test_too_many_records_are_not_explained() -> None:
    with pytest.raises(Unexplainable, match="10001 records of the request are to be explained; at most 10000 can be"):
        reading_of(plan_of("0"), "1\n" * (MOST_EXPLAINED + 1), "0.5\n" * (MOST_EXPLAINED + 1))


def test_the_answer_must_align_with_the_request() -> None:
    with pytest.raises(Misaligned, match="The model answered 2 records with 1 line, so that"):
        reading_of(plan_of("0"), "1\n2", "0.5")
    # Quoted line breaks are no ends of records.
    assert reading_of(plan_of("0"), '"1\n2"', "0.5").selected == [True]


def test_a_request_over_several_lines_is_told_though_the_answer_does_not_align() -> None:
    plan = plan_of(ContentTemplate=TEMPLATE)
    with pytest.raises(Unexplainable) as refused:
        reading_of(plan, "[\n 1,\n 2,\n 3,\n 4\n]", "0.5", content_type=JSON_LINES)
    assert str(refused.value).startswith("Record 0 of the request is not JSON: ")
    assert str(refused.value).endswith("In JSON Lines each record is on one line of its own, as a whole.")
    assert refused.value.kind == "caller"
    with pytest.raises(Misaligned):
        reading_of(plan, "[1,2,3,4]\n[1,2,3,4]", "0.5", content_type=JSON_LINES)


def test_a_record_that_is_not_explained_may_be_anything() -> None:
    plan = plan_of("0,0", expression="length(@)==`1`", LabelHeaders=["p"])
    reading = reading_of(plan, "1,2\nx\n3,4,5", "0.5\nno,thing\nat,all")
    assert reading.selected == [True, False, False]
    assert (reading.classes, reading.labels) == (Classes(1, None), ["p"])


def test_labels_are_those_of_the_first_explained_record() -> None:
    plan = plan_of("0", expression="[2]", ProbabilityIndex=1, LabelIndex=0)
    plan = plan_of("0", expression="starts_with([2], 'y')", ProbabilityIndex=1, LabelIndex=0, LabelHeaders=["x"])
    answer = "oops,oops,no\n\"['a','b']\",\"[0.1,0.9]\",yes\n\"['b','a']\",\"[0.7,0.3]\",yes"
    reading = reading_of(plan, "1\n2\n3", answer)
    assert reading.labels == ["a", "b"]
    assert [scores.tolist() for scores in reading.scores] == [[], [0.1, 0.9], [0.3, 0.7]]


FORMAT = st.sampled_from([CSV, JSON_LINES])


@given(st.binary(max_size=80), st.binary(max_size=40), FORMAT, FORMAT, st.sampled_from(["`true`", "[0]>`0.5`", "a"]))
def test_no_call_breaks_its_reader(
    request_body: bytes, answer: bytes, content_type: str, answered_type: str, expression: str
) -> None:
    plan = plan_of("0,0", ContentTemplate="$features", FeaturesAttribute="@", ProbabilityAttribute="@")
    try:
        reading = reading_of(plan, request_body, answer, content_type=content_type, answered_type=answered_type,
                             expression=expression)  # fmt: skip
        games = [reading.game(i) for i, selected in enumerate(reading.selected) if selected]
    except Unexplainable as error:
        assert error.kind in ("caller", "explainer")
    else:
        assert all(lines_of(game)[-1] for game in games)
