"""One explained call, from frame to frame, without a process."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mooring.explainer import shapley
from mooring.explainer.frames import Explained, Predict, Predicted, Unexplained
from mooring.explainer.shapley import Coalitions
from mooring.explainer.work import valuing
from mooring.explainer.work.explaining import Work

from .containers import CSV, Container, attributions_of, explain_of, explained, kept_of

BASELINE = "The model refuses a record of the baseline, '0,0,0': "
SYNTHETIC = "The model refuses a synthetic record, "


def linear(row: list[float]) -> float:
    return 2.0 * row[0] - 3.0 * row[1] + 0.5 * row[2] + 7.0


def wavy(row: list[float]) -> float:
    """Of any number of features, with interactions."""
    return float(np.sin(sum(row)) + np.prod(row[:4]) + sum(i * x for i, x in enumerate(row)))


def test_attributions_of_a_line() -> None:
    container = Container(linear)
    said = explained(explain_of(linear, b"1,2,3\n4,5,6", baseline="1,1,1"), container.answer)
    one, other = attributions_of(said)
    assert np.allclose(one[:, 0], [0.0, -3.0, 1.0], atol=1e-12)
    assert np.allclose(other[:, 0], [6.0, -12.0, 2.5], atol=1e-12)
    assert isinstance(said, Explained)
    assert (said.records, said.errors) == (2, [0.0, 0.0])
    assert said.predicted == len(container.predicted)


def test_several_baseline_rows_are_averaged() -> None:
    said = explained(explain_of(linear, b"1,2,3", baseline="0,0,0\n2,2,2\n4,1,1"), Container(linear).answer)
    assert np.allclose(attributions_of(said)[0][:, 0], [2 * (1 - 2), -3 * (2 - 1), 0.5 * (3 - 1)], atol=1e-12)


def test_several_classes() -> None:
    def model(row: list[float]) -> list[float]:
        return [linear(row), -linear(row)]

    said = explained(explain_of(model, b"1,2,3"), Container(model).answer)
    assert np.allclose(attributions_of(said)[0], [[2.0, -2.0], [-6.0, 6.0], [1.5, -1.5]], atol=1e-12)


def test_log_odds_are_taken_of_the_mean() -> None:
    def model(row: list[float]) -> float:
        return 1 / (1 + math.exp(-linear(row) / 10))

    request = explain_of(model, b"1,2,3", baseline="0,0,0\n1,0,2", shap={"UseLogit": True})
    values = attributions_of(explained(request, Container(model).answer))[0][:, 0]
    full, empty = model([1, 2, 3]), (model([0, 0, 0]) + model([1, 0, 2])) / 2
    assert np.isclose(values.sum(), np.log(full / (1 - full)) - np.log(empty / (1 - empty)), atol=1e-12)


def test_log_odds_are_taken_of_each_coalition() -> None:
    """Of its mean over the rows of the baseline, and not the mean of their log-odds; 0 and 1 are clipped by 1e-12."""

    def model(row: list[float]) -> float:
        return float(np.clip(0.1 + 0.2 * row[0] * row[1] + 0.15 * row[1], 0, 1))

    record, baseline = [2.0, 3.0], [[0.0, 1.0], [4.0, -2.0]]
    rows = "\n".join(",".join(map(str, row)) for row in baseline)
    said = explained(explain_of(model, b"2,3", baseline=rows, shap={"UseLogit": True}), Container(model).answer)

    def v(*kept: int) -> float:
        mixed = [[mine if i in kept else row[i] for i, mine in enumerate(record)] for row in baseline]
        mean = min(max(sum(map(model, mixed)) / len(mixed), 1e-12), 1 - 1e-12)
        return math.log(mean / (1 - mean))

    assert v(0, 1) > 27, "the model says 1"
    truth = [(v(i) - v() + v(0, 1) - v(1 - i)) / 2 for i in (0, 1)]
    assert attributions_of(said)[0][:, 0] == pytest.approx(truth, rel=1e-9)


def test_samples_are_as_many_as_all_features_have_and_taken_of_those_that_vary() -> None:
    record = [str(i + 1 if i % 5 < 3 else 0) for i in range(20)]
    container = Container(wavy)
    explained(explain_of(wavy, ",".join(record).encode(), baseline=",".join("0" * 20)), container.answer)
    assert sum(cell != "0" for cell in record) == 12
    assert len(container.predicted) == 1 + 2 * 20 + 2048


def test_the_seed_of_the_config_is_the_one() -> None:
    record = ",".join(str(i % 5 + 0.25) for i in range(13)).encode()

    def values(seed: int | None) -> list[list[float]]:
        shap = {"NumberOfSamples": 300, **({} if seed is None else {"Seed": seed})}
        explain = explain_of(wavy, record, baseline=",".join("0" * 13), shap=shap)
        found: list[list[float]] = attributions_of(explained(explain, Container(wavy).answer))[0].tolist()
        return found

    assert values(7) == values(7)
    assert len({str(values(seed)) for seed in (7, -7, 0, None)}) == 4


def test_features_as_in_the_baseline_have_no_part_and_are_not_sampled() -> None:
    container = Container(linear)
    said = explained(explain_of(linear, b"1,0,3"), container.answer)
    assert np.allclose(attributions_of(said)[0][:, 0], [2.0, 0.0, 1.5], atol=1e-12)
    assert len(container.predicted) == 1 + 2, "the baseline, and two coalitions of two features"


@pytest.mark.parametrize(("request_body", "values"), [(b"5,0,0", [10.0, 0.0, 0.0]), (b"0,0,0", [0.0, 0.0, 0.0])])
def test_less_than_two_varying_features_need_no_rows(request_body: bytes, values: list[float]) -> None:
    container = Container(linear)
    said = explained(explain_of(linear, request_body), container.answer)
    assert attributions_of(said)[0][:, 0].tolist() == values
    assert container.predicted == [b"0,0,0"]


def test_nothing_selected_is_answered_at_once() -> None:
    container = Container(linear)
    said = explained(explain_of(linear, b"1,2,3", expression="`false`"), container.answer)
    assert isinstance(said, Explained)
    assert json.loads(said.body)["explanations"] == {}
    assert (said.records, said.errors, said.predicted, container.asked) == (0, [], 0, [])


def test_only_selected_records_are_explained() -> None:
    said = explained(explain_of(linear, b"1,2,3\n9,0,1\n1,1,1", expression="[0]>`20`"), Container(linear).answer)
    values = attributions_of(said)
    assert [value is None for value in values] == [True, False, True]
    assert isinstance(said, Explained)
    assert said.records == 1


def test_the_same_rows_are_sent_once() -> None:
    container = Container(linear)
    explained(explain_of(linear, b"1,2,3\n1,2,4\n1,2,3"), container.answer)
    assert len(container.predicted) == len(set(container.predicted)) == 1 + 6 + 3
    assert b"1,2,3" not in container.predicted, "the model has answered the record itself"


def test_what_the_model_said_of_a_record_is_not_asked_again_for_another() -> None:
    container = Container(linear)
    said = explained(explain_of(linear, b"1,0,0\n1,2,0"), container.answer)
    assert container.predicted == [b"0,0,0", b"0,2,0"]
    assert np.allclose([each[:, 0] for each in attributions_of(said)], [[2.0, 0.0, 0.0], [2.0, -6.0, 0.0]])


def test_the_baseline_is_predicted_once_for_each_version_of_a_model() -> None:
    kept, container = kept_of(), Container(linear)
    for call in range(3):
        explained(explain_of(linear, b"1,2,3", call=call), container.answer, kept)
    assert container.predicted.count(b"0,0,0") == 1
    explained(explain_of(linear, b"1,2,3", route={"model": "m/2/v"}), container.answer, kept)
    assert container.predicted.count(b"0,0,0") == 2


def test_a_call_that_wishes_something_else_of_the_model_has_its_own_baseline() -> None:
    """The model goes by CustomAttributes: what it predicted of the baseline for one call is wrong for another."""

    def doubled(row: list[float]) -> float:
        return 2 * linear(row)

    kept, wishes = kept_of(), {"": linear, "double": doubled}
    for call, (wish, model) in enumerate([*wishes.items(), *wishes.items()]):
        container = Container(model)
        said = explained(explain_of(model, b"1,2,3", call=call)._replace(wishes=wish), container.answer, kept)
        assert attributions_of(said)[0].sum() == pytest.approx(model([1, 2, 3]) - model([0, 0, 0]), rel=1e-12)
        assert container.predicted.count(b"0,0,0") == (call < 2)


def test_the_default_number_of_samples_is_asked_for() -> None:
    container = Container(wavy)
    record = ",".join(str(i + 1) for i in range(14)).encode()
    said = explained(explain_of(wavy, record, baseline=",".join("0" * 14)), container.answer)
    assert isinstance(said, Explained)
    assert len(container.predicted) == 1 + 2 * 14 + 2048
    assert said.errors[0] > 0
    total = wavy([float(i + 1) for i in range(14)]) - wavy([0.0] * 14)
    assert np.isclose(attributions_of(said)[0].sum(), total, rtol=1e-12)


def shuffled(seed: int) -> Callable[[int], int]:
    generator = random.Random(seed)
    return generator.randrange


def test_the_order_and_sizes_of_requests_change_nothing() -> None:
    """To the last bit, and neither does where in a call a record stands."""
    one = ",".join(str(i % 5 + 0.25) for i in range(13))
    other = ",".join(str(i % 3 + 0.1) for i in range(13))
    baseline = "\n".join(",".join(str((i * b) % 4) for i in range(13)) for b in (1, 2, 3))
    known = []
    for seed, most, body in (
        (0, None, f"{one}\n{other}"),
        (1, 7, f"{one}\n{other}"),
        (2, 64, f"{other}\n{other}\n{one}"),
    ):
        caps = {} if most is None else {"MaxRecordCount": most}
        explain = explain_of(
            wavy, body.encode(), baseline=baseline, width=seed + 1, shap={"Seed": 7, "NumberOfSamples": 300}, **caps
        )
        values = attributions_of(explained(explain, Container(wavy).answer, pick=shuffled(seed)))
        known.append((values[0 if seed < 2 else 2].tolist(), values[1].tolist()))
    assert known[0] == known[1] == known[2]


@pytest.mark.parametrize("most", [1, 2, 5, 63, 64])
def test_max_record_count_is_never_exceeded(most: int) -> None:
    container = Container(wavy)
    records = b"\n".join(",".join(str(i + start) for i in range(9)).encode() for start in (1, 2, 3))
    explained(explain_of(wavy, records, baseline=",".join("0" * 9), MaxRecordCount=most), container.answer)
    assert max(predict.records for predict in container.asked) == most


def test_max_payload_holds_to_the_byte() -> None:
    def model(row: list[float]) -> float:
        return row[0] + row[1] * row[2]

    def record(longest: int) -> bytes:
        """Its longest synthetic row, which has two of its features, has so many bytes."""
        return b"0." + b"1" * ((longest - 3) // 2 - 2) + b",0." + b"1" * (longest - 3 - (longest - 3) // 2 - 2) + b",1"

    cap = 1 << 20
    container = Container(model)
    said = explained(explain_of(model, record(cap), MaxPayloadInMB=1), container.answer)
    assert isinstance(said, Explained)
    assert max(len(predict.body) for predict in container.asked) == cap
    said = explained(explain_of(model, record(cap + 1), MaxPayloadInMB=1), Container(model).answer)
    assert isinstance(said, Unexplained)
    assert f"{cap + 1} bytes long, and MaxPayloadInMB allows {cap}" in said.message


@pytest.mark.parametrize("digits", [20_000, 131_068, 131_069, 131_070])
def test_rows_fill_a_payload_and_no_more(digits: int) -> None:
    def model(row: list[float]) -> float:
        return row[0] + row[1] * row[2] + row[3] % 2

    record = b",".join(b"0." + b"%d" % i * digits for i in range(1, 5))
    container = Container(model)
    said = explained(explain_of(model, record, baseline="0,0,0,0", MaxPayloadInMB=1), container.answer)
    assert isinstance(said, Explained)
    assert 300_000 < max(len(predict.body) for predict in container.asked) <= 1 << 20


def test_a_container_that_takes_one_record_at_a_time() -> None:
    container = Container(linear, lambda predict: (400, b"one at a time") if predict.records > 1 else None)
    said = explained(explain_of(linear, b"1,2,3"), container.answer)
    assert np.allclose(attributions_of(said)[0][:, 0], [2.0, -6.0, 1.5])


def test_a_record_that_is_sent_twice_stays_within_the_cap() -> None:
    def model(row: list[float]) -> float:
        return row[0] + row[1]

    def refusal(predict: Predict) -> tuple[int, bytes] | None:
        one, _, other = predict.body.partition(b"\n")
        return None if one == other else (500, b"1-D")

    half = 1 << 19
    for longest, fits in ((half - 1, True), (half, False)):
        container = Container(model, refusal)
        record = b"0." + b"1" * (longest - 4) + b",5"
        said = explained(explain_of(model, record, baseline="0,0", MaxPayloadInMB=1), container.answer)
        assert isinstance(said, Explained if fits else Unexplained)
        assert max(len(predict.body) for predict in container.asked) <= 1 << 20


def test_a_container_that_answers_the_first_record_only() -> None:
    container = Container(linear)

    def first_only(predict: Predict) -> Predicted:
        said = container.answer(predict)
        return said._replace(body=said.body.split(b"\n")[0])

    said = explained(explain_of(linear, b"1,2,3"), first_only)
    assert np.allclose(attributions_of(said)[0][:, 0], [2.0, -6.0, 1.5])


def test_a_container_that_takes_no_single_record() -> None:
    """Many a model makes a list of one CSV row, and not a table of one row."""
    kept, container = kept_of(), Container(linear, lambda predict: (500, b"1-D") if predict.records == 1 else None)
    said = explained(explain_of(linear, b"1,2,3\n2,3,4"), container.answer, kept)
    assert np.allclose(attributions_of(said)[0][:, 0], [2.0, -6.0, 1.5])
    assert sum(predict.records == 1 for predict in container.asked) == 1, "that is remembered"
    assert b"0,0,0\n0,0,0" in [predict.body for predict in container.asked]
    container = Container(linear, lambda predict: (500, b"1-D") if predict.records == 1 else None)
    said = explained(explain_of(linear, b"1,2,3", MaxRecordCount=1), container.answer)
    assert said == Unexplained(1, "container", 500, f"{BASELINE}1-D"), "a cap is a cap"
    container = Container(linear, lambda predict: (500, b"%d" % predict.records))
    said = explained(explain_of(linear, b"1,2,3"), container.answer)
    assert said == Unexplained(1, "container", 500, f"{BASELINE}1"), "what it said of one record is what helps"


def test_a_container_that_refuses_says_why() -> None:
    container = Container(
        linear, lambda predict: (422, "kein Datensatz ä".encode()) if b"4,0,0" in predict.body else None
    )
    said = explained(explain_of(linear, b"4,2,3\n1,2,3"), container.answer)
    assert said == Unexplained(1, "container", 422, f"{SYNTHETIC}'4,0,0': kein Datensatz ä")
    assert len(container.asked) < 20


@pytest.mark.parametrize("status", [429, 503, 0])
def test_a_busy_container_is_asked_again_a_few_times(status: int) -> None:
    container = Container(linear, lambda predict: (status, b"busy") if len(container.asked) % 4 else None)
    said = explained(explain_of(linear, b"1,2,3\n4,5,6"), container.answer)
    assert isinstance(said, Explained)
    container = Container(linear, lambda predict: (status, b"busy"))
    said = explained(explain_of(linear, b"1,2,3"), container.answer)
    assert said == Unexplained(1, "container", status, "busy")
    assert len(container.asked) <= 10


@pytest.mark.parametrize(
    ("said", "part"),
    [
        (b"nan", "not a finite number"),
        (b"1,2", "scores"),
        (b"\xff\xfe\x00", "not a number"),
        (b"", "0"),
        (b"true", "not a number"),
        (b"[" * 100_000, ""),
        (b"1e999", "not a finite number"),
    ],
)
def test_what_a_container_says_in_vain(said: bytes, part: str) -> None:
    def nonsense(predict: Predict) -> Predicted:
        return Predicted(predict.call, predict.number, 200, CSV, b"\n".join([said] * predict.records), 0.001)

    found = explained(explain_of(linear, b"1,2,3"), nonsense)
    assert isinstance(found, Unexplained)
    assert found.kind == "explainer"
    assert part in found.message


def test_what_a_container_answers_is_of_the_type_that_it_says() -> None:
    def typed(content_type: str, line: bytes) -> Unexplained | Explained:
        def answer(predict: Predict) -> Predicted:
            body = b"\n".join([line] * predict.records)
            return Predicted(predict.call, predict.number, 200, content_type, body, 0.001)

        return explained(explain_of(linear, b"1,2,3"), answer)

    refused = typed("application/json", b"0.5")
    assert isinstance(refused, Unexplained)
    assert "the Content-Type 'application/json'" in refused.message
    lists = typed("application/jsonlines", b"[4.0]")
    assert isinstance(lists, Explained)
    assert np.isclose(attributions_of(lists)[0].sum(), linear([1, 2, 3]) - 4.0)


def test_an_error_of_our_own_is_told_and_logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for error in (RecursionError, MemoryError, KeyError):

        def broken(*anything: object, error: type[Exception] = error) -> None:
            raise error

        monkeypatch.setattr("mooring.explainer.work.asking.scores_of", broken)
        said = explained(explain_of(linear, b"1,2,3"), Container(linear).answer)
        assert said == Unexplained(1, "mooring", 0, f"The call cannot be explained: {error.__name__}")
        assert "Traceback" in caplog.text
        caplog.clear()


def test_a_baseline_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "baseline").write_bytes(b"1,1,1\n3,3,3\n")
    config = {"ShapConfig": {"ShapBaselineConfig": {"ShapBaselineUri": "s3://a/b"}}}
    route = {"config": config, "baseline": str(tmp_path / "baseline")}
    kept = kept_of()
    said = explained(explain_of(linear, b"1,2,3", route=route), Container(linear).answer, kept)
    assert np.allclose(attributions_of(said)[0][:, 0], [-2.0, 0.0, 0.5])
    (tmp_path / "baseline").unlink()
    again = explained(explain_of(linear, b"1,2,3", route=route), Container(linear).answer, kept)
    assert again == said._replace(predicted=again.predicted)  # type: ignore[union-attr]
    lost = explained(explain_of(linear, b"1,2,3", route=route), Container(linear).answer, kept_of())
    assert isinstance(lost, Unexplained)
    assert lost.kind == "explainer"
    assert "ShapBaselineUri cannot be read: No such file" in lost.message


def test_more_samples_than_memory_are_refused() -> None:
    record = ",".join(str(i + 1) for i in range(40)).encode()
    said = explained(
        explain_of(wavy, record, baseline=",".join("0" * 40), shap={"NumberOfSamples": 10**15}), Container(wavy).answer
    )
    assert isinstance(said, Unexplained)
    assert "too many to explain" in said.message


@pytest.mark.parametrize(("features", "in_a_thread"), [(12, False), (300, True)])
def test_many_coalitions_are_drawn_where_others_do_not_wait(
    monkeypatch: pytest.MonkeyPatch, features: int, in_a_thread: bool
) -> None:
    working, drawn = [False], []
    work = Work.__call__

    def worked(self: Work) -> None:
        working[0] = True
        work(self)
        working[0] = False

    def coalitions(players: int, samples: int, seed: int | None) -> Coalitions:
        drawn.append(working[0])
        return shapley.coalitions(players, samples, seed)

    monkeypatch.setattr(Work, "__call__", worked)
    monkeypatch.setattr(valuing, "coalitions", coalitions)
    record, baseline = b",".join([b"1"] * features), ",".join("0" * features)
    said = explained(explain_of(sum, record, baseline=baseline), Container(sum).answer)
    assert np.allclose(attributions_of(said)[0], 1.0)
    assert drawn == [in_a_thread]


def test_room_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = kept_of()
    before = kept.room.left
    explained(explain_of(linear, b"1,2,3"), Container(linear).answer, kept)
    assert kept.room.left == before


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32), refusing=st.floats(0, 0.5), bears=st.integers(1, 200), width=st.integers(1, 4))
def test_a_container_that_refuses_at_random(seed: int, refusing: float, bears: int, width: int) -> None:
    """The call ends, with all rows predicted once or with what the container said."""
    generator = random.Random(seed)

    def refusal(predict: Predict) -> tuple[int, bytes] | None:
        if predict.records > bears:
            return 413, b"too many"
        return (generator.choice((400, 500, 503, 0)), b"no") if generator.random() < refusing else None

    container = Container(linear, refusal)
    said = explained(
        explain_of(linear, b"1,2,3\n3,1,2\n5,5,5\n1,2,9", baseline="0,0,0\n1,0,2\n7,7,7", width=width),
        container.answer, pick=generator.randrange, most=20_000,
    )  # fmt: skip
    assert len(container.predicted) == len(set(container.predicted))
    if isinstance(said, Unexplained):
        assert said.kind == "container"
        assert said.message.rpartition(": ")[2] == "no"
    else:
        whole = explained(
            explain_of(linear, b"1,2,3\n3,1,2\n5,5,5\n1,2,9", baseline="0,0,0\n1,0,2\n7,7,7"), Container(linear).answer
        )
        assert said.body == whole.body  # type: ignore[union-attr]


def test_refused_rows_do_not_hold_up_others_for_ever() -> None:
    """A container that refuses one row names it, however many there are and whatever became of the sizes."""
    record = ",".join(str(i + 1) for i in range(11)).encode()
    bad = b"1,2,0,4,0,6,7,0,9,0,11"
    container = Container(wavy, lambda predict: (500, b"bad row") if bad in predict.body.split(b"\n") else None)
    said = explained(explain_of(wavy, record, baseline=",".join("0" * 11), width=2), container.answer)
    assert said == Unexplained(1, "container", 500, f"{SYNTHETIC}{bad.decode()!r}: bad row")
    assert len(container.asked) < 120


@pytest.mark.parametrize("samples", [1, 2, 3, 5, 13])
def test_few_samples_still_add_up(samples: int) -> None:
    record = ",".join(str(i + 1) for i in range(6)).encode()
    container = Container(wavy)
    said = explained(
        explain_of(wavy, record, baseline=",".join("0" * 6), shap={"NumberOfSamples": samples}), container.answer
    )
    total = wavy([float(i + 1) for i in range(6)]) - wavy([0.0] * 6)
    assert np.isclose(attributions_of(said)[0].sum(), total, rtol=1e-12)
    assert len(container.predicted) <= 1 + samples


Scores = Callable[[list[float]], list[float]]


def by_definition(score: Scores, record: list[int], baseline: list[list[int]], link: Callable[[Any], Any]) -> Any:
    """Features by classes: the mean over all orders of joining of what a feature adds."""
    players = range(len(record))

    def v(kept: tuple[int, ...]) -> Any:
        mixed = [[float(record[i] if i in kept else row[i]) for i in players] for row in baseline]
        return link(np.mean([score(row) for row in mixed], axis=0))

    orders = list(permutations(players))
    return np.array([
        sum(v((*order[: order.index(i)], i)) - v(order[: order.index(i)]) for order in orders) / len(orders)
        for i in players
    ])  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_attributions_are_those_of_the_definition(data: st.DataObject) -> None:
    """Of models, baselines, classes, links and caps of all kinds; equal cells and equal records are among them."""
    features, classes = data.draw(st.integers(1, 4)), data.draw(st.integers(1, 3))
    row = st.lists(st.integers(0, 2), min_size=features, max_size=features)
    records, baseline = (data.draw(st.lists(row, min_size=1, max_size=3)) for _ in range(2))
    use_logit, most = data.draw(st.booleans()), data.draw(st.none() | st.integers(1, 5))
    phase = data.draw(st.floats(-3, 3))

    def score(row: list[float]) -> list[float]:
        turned = [phase + k + sum((i + 1.5) * x for i, x in enumerate(row)) + row[0] * row[-1] for k in range(classes)]
        return [0.5 + 0.49 * math.sin(each) for each in turned]

    def link(p: Any) -> Any:
        return np.log(p) - np.log1p(-p) if use_logit else p

    container, width = Container(score), data.draw(st.integers(1, 3))
    caps: dict[str, Any] = {} if most is None else {"MaxRecordCount": most}
    shap = {"UseLogit": use_logit}
    request = csv_of(records).encode()
    explain = explain_of(score, request, baseline=csv_of(baseline), shap=shap, width=width, **caps)
    said = explained(explain, container.answer, pick=shuffled(1))
    assert most is None or max(predict.records for predict in container.asked) <= most
    assert len(container.predicted) == len(set(container.predicted))
    for record, found in zip(records, attributions_of(said), strict=True):
        assert np.allclose(found, by_definition(score, record, baseline, link), rtol=1e-9, atol=1e-11)


def csv_of(rows: list[list[int]]) -> str:
    return "\n".join(",".join(map(str, row)) for row in rows)
