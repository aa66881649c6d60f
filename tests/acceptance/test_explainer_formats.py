"""What explanations are made of: CSV and JSON Lines both ways, several classes, labels and texts, through boto3.

The model is linear with a class for each weight, so that what each feature has a part in is known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.running import Deployment, Server, wait_until

LINEAR = """
import csv, io, json, pathlib
SEEN = pathlib.Path({seen!r})
def model_fn(model_dir): return None
def number(cell):
    try: return float(cell)
    except ValueError: return float(len(cell))
def transform_fn(model, body, content_type, accept):
    body = body if isinstance(body, str) else body.decode("utf-8", "replace")
    with SEEN.open("a") as file: file.write(json.dumps([content_type, accept, body]) + "\\n")
    if content_type.startswith("text/csv"):
        rows = [row for row in csv.reader(io.StringIO(body, newline=""), strict=True) if row]
    else:
        rows = [json.loads(line)["data"]["f"] for line in body.splitlines()]
        rows = [row if isinstance(row, list) else [row] for row in rows]
    return {answer}, accept
"""
CSV, JSON_LINES = "text/csv", "application/jsonlines"
BOTH = (
    '"".join((json.dumps({"p": [sum(map(number, row))]}) if accept == "application/jsonlines"'
    ' else repr(sum(map(number, row)))) + "\\n" for row in rows)'
)
NAMED = (
    "\"\".join('\"%s\",\"%s\"\\n' % ((['up', 'down'], [number(row[0]), -number(row[1])]) if number(row[0]) > 1 else"
    " (['down', 'up'], [-number(row[1]), number(row[0])])) for row in rows)"
)
BESIDE = '",".join(repr(sum(map(number, row))) for row in rows)'


class Explained:
    """A server with a model, and endpoints that explain it."""

    def __init__(self, own: Deployment, folder: Path) -> None:
        self.own, self.folder = own, folder

    def create(self, name: str, answer: str, baseline: str, *, shap: dict[str, Any] | None = None,
               mime: str | None = None, **inference: Any) -> None:  # fmt: skip
        own, seen = self.own, self.folder / f"{name}.jsonl"
        own.model(name, LINEAR.replace("{seen!r}", repr(str(seen))).replace("{answer}", answer))
        background = {"ShapBaseline": baseline, **({"MimeType": mime} if mime else {})}
        clarify: dict[str, Any] = {"ShapConfig": {"ShapBaselineConfig": background, **(shap or {})}}
        if inference:
            clarify["InferenceConfig"] = inference
        own.config(name, own.variant(name), ExplainerConfig={"ClarifyExplainerConfig": clarify})
        own.sagemaker.create_endpoint(EndpointName=name, EndpointConfigName=name)
        own.wait(name)

    def call(self, name: str, body: str | bytes, asked: str = CSV, accept: str = CSV, **members: Any) -> dict[str, Any]:
        answer = self.own.runtime.invoke_endpoint(
            EndpointName=name, Body=body, ContentType=asked, Accept=accept, **members
        )
        found: dict[str, Any] = json.loads(answer["Body"].read())
        return found

    def refused(self, name: str, body: str | bytes, asked: str = CSV, accept: str = CSV) -> tuple[str, int | None, str]:
        with pytest.raises(ClientError) as raised:
            self.call(name, body, asked, accept)
        found = raised.value.response
        message = found.get("OriginalMessage") or found["Error"]["Message"]
        return found["Error"]["Code"], found.get("OriginalStatusCode"), message

    def told(self, name: str) -> str:
        """The endpoint's log."""
        return self.own.server.command("logs", name).stdout

    def seen(self, name: str) -> list[tuple[str, str, str]]:
        return [tuple(json.loads(line)) for line in (self.folder / f"{name}.jsonl").read_text().splitlines()]


def numbers(record: list[dict[str, Any]]) -> list[list[float]]:
    return [one["attribution"] for feature in record for one in feature["attributions"]]


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Explained]:
    server = Server(tmp_path_factory.mktemp("formats") / "data")
    try:
        yield Explained(Deployment(server.start()), tmp_path_factory.mktemp("seen"))
    finally:
        server.end()


@pytest.fixture(scope="module")
def both(explained: Explained) -> Explained:
    explained.create(
        "both",
        BOTH,
        "1,0,x\n3,0,x",
        FeaturesAttribute="data.f",
        ContentTemplate='{"data":{"f":$features}}',
        ProbabilityAttribute="p",
        FeatureHeaders=["a", "b", "c"],
    )
    return explained


@pytest.mark.parametrize("accept", [CSV, JSON_LINES])
@pytest.mark.parametrize("asked", [CSV, JSON_LINES])
def test_input_and_output_in_either_format(both: Explained, asked: str, accept: str) -> None:
    body = {CSV: '5,2.50,"a,b"\r\n1,0,x\r\n', JSON_LINES: '{"data":{"f":[5,2.50,"a,b"]}}\n{"data":{"f":[1,0,"x"]}}'}[
        asked
    ]
    found = both.call("both", body, asked, accept)
    assert found["predictions"]["content_type"].partition(";")[0] == accept
    one, other = found["explanations"]["kernel_shap"]
    assert numbers(one) == [[pytest.approx(3)], [pytest.approx(2.5)], [pytest.approx(2)]]
    assert numbers(other) == [[pytest.approx(-1)], [pytest.approx(0)], [pytest.approx(0)]]
    assert [feature["feature_header"] for feature in one] == ["a", "b", "c"]
    calls = [call for call in both.seen("both") if call[:2] == (asked, accept)]
    assert calls[0][2] == body
    lines = {line for call in calls[1:] for line in call[2].splitlines()}
    whole = {CSV: '5,0,"a,b"', JSON_LINES: '{"data":{"f":[5,0,"a,b"]}}'}[asked]
    part = {CSV: "3,2.50,x", JSON_LINES: '{"data":{"f":[3,2.50,"x"]}}'}[asked]
    assert {whole, part} <= lines


def test_lists_in_cells_with_labels_in_any_order(explained: Explained) -> None:
    explained.create("named", NAMED, "0,0", ProbabilityIndex=1, LabelIndex=0)
    found = explained.call("named", "3,7\n1,2")
    assert found["label_headers"] == ["up", "down"]
    one, other = found["explanations"]["kernel_shap"]
    assert numbers(one) == [[pytest.approx(3), pytest.approx(0)], [pytest.approx(0), pytest.approx(-7)]]
    assert numbers(other) == [[pytest.approx(1), pytest.approx(0)], [pytest.approx(0), pytest.approx(-2)]]
    only = explained.call("named", "3,7\n1,2", EnableExplanations="[1][1] > `0`")
    assert [record is None for record in only["explanations"]["kernel_shap"]] == [True, False]
    assert only["label_headers"] == ["down", "up"]


def test_scores_beside_each_other_in_one_line(explained: Explained) -> None:
    explained.create("beside", BESIDE, "0,0")
    one, other = explained.call("beside", "1,2\n3,4")["explanations"]["kernel_shap"]
    assert numbers(one) == [[pytest.approx(1)], [pytest.approx(2)]]
    assert numbers(other) == [[pytest.approx(3)], [pytest.approx(4)]]


def test_a_text_beside_a_number(explained: Explained) -> None:
    explained.create("text", BOTH, '"_",0', shap={"TextConfig": {"Language": "en", "Granularity": "sentence"}})
    (record,) = explained.call("text", '"Good, ""so"" good.\n Bad. ",5')["explanations"]["kernel_shap"]
    text, number = record
    assert [one["description"] for one in text["attributions"]] == [
        {"partial_text": 'Good, "so" good.', "start_idx": 0},
        {"partial_text": "\n Bad.", "start_idx": 16},
    ]
    # A sentence is its length instead of 1. With any of the three the text is two replacements and a blank at least,
    # and with none it is the baseline's one: these 2 are shared.
    assert numbers(record) == [[pytest.approx(15 + 2 / 3)], [pytest.approx(5 + 2 / 3)], [pytest.approx(5 + 2 / 3)]]
    assert number["attributions"][0].keys() == {"attribution"}
    assert [feature["feature_type"] for feature in record] == ["text", "numerical"]
    wait_until(lambda: "Explained 1 record" in explained.told("text"), what="the call to be in the log")
    assert re.search(
        r" in \d+\.\d{3} s, of which \d+\.\d{3} s to load the language of its texts", explained.told("text")
    )


def test_paragraphs_of_types_and_labels_that_are_given(explained: Explained) -> None:
    explained.create(
        "given",
        BOTH,
        '{"data":{"f":["0",5]}}',
        mime=JSON_LINES,
        shap={"TextConfig": {"Language": "xx", "Granularity": "paragraph"}},
        FeaturesAttribute="data.f",
        ContentTemplate='{"data":{"f":$features}}',
        ProbabilityAttribute="p",
        FeatureTypes=["text", "categorical"],
        FeatureHeaders=["said", "kind"],
        LabelHeaders=["sum"],
    )
    found = explained.call("given", '{"data":{"f":["aa\\n\\nbbb",7]}}', JSON_LINES, JSON_LINES)
    assert found["label_headers"] == ["sum"]
    (record,) = found["explanations"]["kernel_shap"]
    assert [(feature["feature_header"], feature["feature_type"]) for feature in record] == [
        ("said", "text"), ("kind", "categorical"),
    ]  # fmt: skip
    assert [one["description"] for one in record[0]["attributions"]] == [
        {"partial_text": "aa", "start_idx": 0},
        {"partial_text": "bbb", "start_idx": 4},
    ]
    # A text is its length, and 0 is 0: with all absent it is that, and with its paragraphs absent 4 characters long.
    assert numbers(record) == [[pytest.approx(7 / 3)], [pytest.approx(10 / 3)], [pytest.approx(10 / 3)]]


def test_log_odds_are_refused_of_what_is_no_probability(explained: Explained) -> None:
    explained.create("odds", BOTH, "0,0.5", shap={"UseLogit": True})
    (record,) = explained.call("odds", "0.25,0.5")["explanations"]["kernel_shap"]
    assert numbers(record) == [[pytest.approx(1.0986122886681098)], [0.0]]
    assert explained.refused("odds", "1,0.5") == (
        "ModelError", 400, "The model's answer for record 0: the score 1.5 is not from 0 to 1, which UseLogit needs."
    )  # fmt: skip
    assert explained.refused("odds", "nan,0.5") == (
        "ModelError", 400, "The model's answer for record 0: the score 'nan' is not a finite number."
    )  # fmt: skip
    code, status, message = explained.refused("odds", "0.75,0")
    assert (code, status) == ("ModelError", 400)
    assert "for synthetic record" in message
    assert "the score 1.25 is not from 0 to 1" in message


def test_what_a_caller_can_mend(both: Explained) -> None:
    for body, asked, code, status, words in (
        ("1,2", CSV, "ModelError", 400, "Record 0 of the request has 2 features and the baseline has 3"),
        (
            '{"data":{"f":7}}',
            JSON_LINES,
            "ModelError",
            400,
            "FeaturesAttribute 'data.f' gives 7 and not a list of features",
        ),
        (b"1,\xff,3", CSV, "ValidationError", None, "The request is not UTF-8 text: byte 2 cannot be read."),
    ):
        found = both.refused("both", body, asked)
        assert found[:2] == (code, status), found
        assert words in found[2]


def test_answers_that_cannot_be_explained(explained: Explained) -> None:
    answer = (
        '{"1": "cat\\n" * len(rows), "2": "0.5\\n", "0": "0.1,0.2\\n" * len(rows)}'
        '.get(rows[0][0], "0.5\\n" * len(rows))'
    )
    explained.create("bad", answer, "0,0")
    for body, words in (
        ("1,7", "The model's answer for record 0: the score 'cat' is not a number."),
        ("2,7\n3,7", "The model answered 2 records with 1 line, so that it cannot be told which is whose."),
        ("3,7", "The model's answer for synthetic record 0 has 2 scores and the first explained record has 1."),
    ):
        code, status, message = explained.refused("bad", body)
        assert (code, status) == ("ModelError", 400)
        assert message.startswith(words)
    assert explained.call("bad", "1,7", EnableExplanations="`false`")["predictions"]["data"] == "cat\n"


def test_label_headers_that_are_not_as_many(explained: Explained) -> None:
    explained.create("labels", BOTH, "0,0", LabelHeaders=["no", "yes"])
    assert explained.refused("labels", "1,2") == (
        "ModelError", 400, "LabelHeaders has 2 entries and the model's answer 1 score: they must be as many."
    )  # fmt: skip
