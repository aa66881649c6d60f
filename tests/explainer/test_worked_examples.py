"""From a caller's bytes to the bytes of the answer, with containers whose Shapley values are known."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from mooring.explainer.reading.composing import response
from mooring.explainer.reading.outputs import scores_of
from mooring.explainer.reading.plan import Plan
from mooring.explainer.reading.records import Reading, baseline_lines, body_of
from mooring.explainer.shapley import attributions, coalitions, log_odds
from tests.explainer.making import CSV, JSON_LINES, TOKENS, plan_of, reading_of

Model = Callable[[list[Any]], Any]


def csv_container(model: Model) -> Callable[[bytes], bytes]:
    """A container that takes CSV and answers with CSV."""

    def answer(body: bytes) -> bytes:
        rows = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
        return "".join(f"{model(row)}\n" for row in rows if row).encode()

    return answer


def json_container(model: Model) -> Callable[[bytes], bytes]:
    """One that takes and answers JSON Lines."""

    def answer(body: bytes) -> bytes:
        return "".join(json.dumps(model(json.loads(line)["features"])) + "\n" for line in body.splitlines()).encode()

    return answer


def explained(
    plan: Plan, container: Callable[[bytes], bytes], request: str, asked: str = CSV, answered: str = CSV
) -> list[Any]:
    """`kernel_shap` of a call."""
    first = request if asked == CSV else "\n".join(
        json.dumps({"features": json.loads(line)["data"]}) for line in request.splitlines()
    )  # fmt: skip
    reading = reading_of(plan, request, container(first.encode()), content_type=asked, answered_type=answered)
    base = scores_of(
        plan, answered, container(body_of(baseline_lines(plan, asked))), plan.baseline_rows, reading.classes
    )
    found = [solved(plan, reading, i, container, answered, base) for i in range(len(reading.selected))]
    said: list[Any] = json.loads(response(reading, found))["explanations"]["kernel_shap"]
    return said


def solved(
    plan: Plan, reading: Reading, i: int, container: Callable[[bytes], bytes], answered: str, base: np.ndarray
) -> np.ndarray:
    game, link = reading.game(i), log_odds if plan.use_logit else np.array
    design = coalitions(len(game.varying), plan.samples(game.players), plan.seed)
    answers = [container(body_of(game.lines(design.masks, row))) for row in range(plan.baseline_rows)]
    scores = [scores_of(plan, answered, answer, len(design.masks), reading.classes) for answer in answers]
    values = np.zeros((game.players, reading.classes.count))
    solution = attributions(design, link(np.mean(scores, axis=0)), link(base.mean(axis=0)), link(reading.scores[i]))
    values[game.varying] = solution.values
    return values


def numbers(record: list[Any]) -> list[list[float]]:
    return [one["attribution"] for feature in record for one in feature["attributions"]]


def house(row: list[Any]) -> float:
    year, sqft, bed, bath, lot, garage = map(float, row)
    return 150 * sqft + 10000 * bed + 15000 * bath + 15000 * lot + 15000 * garage - 5000 * (2022 - year)


HOUSE = [[50000], [30000], [-10000], [7500], [-1500], [-15000]]


def test_the_price_of_a_house() -> None:
    plan = plan_of("1995,3000,4,2,1,2", FeatureHeaders=["YEAR", "SQFT", "BED", "BATH", "LOT", "GARAGE"])
    (record,) = explained(plan, csv_container(house), "2005,3200,3,2.5,0.9,1")
    np.testing.assert_allclose(numbers(record), HOUSE, rtol=1e-9)
    assert [feature["feature_header"] for feature in record] == ["YEAR", "SQFT", "BED", "BATH", "LOT", "GARAGE"]


def test_the_price_of_a_house_in_json_lines() -> None:
    plan = plan_of('{"data":[1995,3000,4,2,1,2]}', mime=JSON_LINES, FeaturesAttribute="data",
                   ContentTemplate='{"features":$features}', ProbabilityAttribute="price")  # fmt: skip
    container = json_container(lambda row: {"price": house(row)})
    record, other = explained(
        plan, container, '{"data":[2005,3200,3,2.5,0.9,1]}\n{"data":[1995,3000,4,2,1,1]}\n', JSON_LINES, JSON_LINES
    )
    np.testing.assert_allclose(numbers(record), HOUSE, rtol=1e-9)
    np.testing.assert_allclose(numbers(other), [[0], [0], [0], [0], [0], [-15000]], rtol=1e-9)


def test_a_linear_model_with_several_rows_of_baseline_and_classes_in_any_order() -> None:
    baseline, record = [[1.0, 2.0, 3.0], [3.0, 2.0, 5.0]], [7.0, 2.0, -1.0]
    plan = plan_of("\n".join(",".join(map(str, row)) for row in baseline), ProbabilityIndex=1, LabelIndex=0)

    def model(row: list[Any]) -> str:
        x, y, z = map(float, row)
        scores = {"a": x + y, "b": 2 * z - x}
        names = ["a", "b"] if z < 4 else ["b", "a"]
        return f'"{names}","{[scores[name] for name in names]}"'

    (found,) = explained(plan, csv_container(model), ",".join(map(str, record)))
    means = np.mean(baseline, axis=0)
    weights = np.array([[1, -1], [1, 0], [0, 2]])
    np.testing.assert_allclose(numbers(found), weights * (np.array(record) - means)[:, None], atol=1e-9)


def test_attributions_sum_up_to_the_difference_of_log_odds() -> None:
    plan = plan_of("0,0,0\n1,0,1", shap={"UseLogit": True})
    chance = lambda x, y, z: 1 / (1 + np.exp(-(x * y - z)))  # noqa: E731
    (record,) = explained(plan, csv_container(lambda row: chance(*map(float, row))), "2,1,0.5")
    base = (chance(0, 0, 0) + chance(1, 0, 1)) / 2
    wanted = log_odds(np.array([chance(2, 1, 0.5)])) - log_odds(np.array([base]))
    np.testing.assert_allclose(np.sum(numbers(record), axis=0), wanted, atol=1e-9)


def test_a_text_of_which_each_word_counts_for_itself() -> None:
    worth = {"good": 0.25, "bad": -0.5, "<MASK>": 0.0625}

    def model(row: list[Any]) -> float:
        text, stars = row
        return sum(worth.get(word, 0.0) for word in text.split()) + float(stars)

    plan = plan_of('"<MASK>",3', shap=TOKENS)
    (record,) = explained(plan, csv_container(model), '"good, ""not"" bad",5'.replace(",", " ,", 1))
    text, stars = record
    assert [one["description"]["partial_text"] for one in text["attributions"]] == ["good", ",", '"', "not", '"', "bad"]
    # The empty coalition is the record of the baseline, with one replacement, and not the text of six.
    assert sum(one["attribution"][0] for one in text["attributions"]) + stars["attributions"][0]["attribution"][0] == (
        pytest.approx(model(['good , "not" bad', "5"]) - model(["<MASK>", "3"]))
    )
