"""XGBoost: by a script, and as the built-in algorithm that needs none."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tests.acceptance.running import Deployment
from tests.models import pages
from tests.models.deploying import FIRST_TIME_S, Endpoint, deploy, fail

np = pytest.importorskip("numpy", reason="xgboost is not installed")
xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")
pytestmark = pytest.mark.timeout(FIRST_TIME_S)

IMAGE = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
SCRIPT = pages.read("xgboost-script").files["code/inference.py"]
ROW = "5.1,3.5,1.4,0.2"
LIBSVM = "0 0:5.1 1:3.5 2:1.4 3:0.2\n2 0:6.7 1:3.0 2:5.2 3:2.3\n"


@pytest.fixture
def scripted(served_by_page: Callable[[str], Endpoint]) -> Endpoint:
    return served_by_page("xgboost-script")


@pytest.fixture
def algorithm(served_by_page: Callable[[str], Endpoint]) -> Endpoint:
    return served_by_page("xgboost-algorithm")


def test_a_script_reads_csv_and_libsvm(scripted: Endpoint) -> None:
    assert json.loads(scripted.ask(ROW, "text/csv").body) == [0.0]
    assert scripted.ask(LIBSVM, "text/libsvm", "text/csv").body == b"0.0\n2.0\n"


def test_a_script_reads_no_json_by_itself(scripted: Endpoint) -> None:
    refused = scripted.refusal(f"[[{ROW}]]", "application/json")
    assert refused["OriginalStatusCode"] == 415
    assert "Content type application/json is not supported" in refused["OriginalMessage"]


def test_a_script_that_cannot_load_its_booster_says_why(models: Deployment) -> None:
    files: dict[str, str | bytes] = {"model.json": b"this is no booster", "code/inference.py": SCRIPT}
    reason, log = fail(models, "boosted-garbage", IMAGE, files, SAGEMAKER_PROGRAM="inference.py")
    assert "model_fn failed: xgboost.core.XGBoostError: " in reason
    assert "[bt]" not in reason
    assert "Traceback" in log


def test_the_algorithm_reads_csv_and_libsvm(algorithm: Endpoint) -> None:
    table = algorithm.ask(ROW, "text/csv")
    assert (table.content_type, table.body) == ("text/csv; charset=utf-8", b"0.0\n")
    assert algorithm.ask(LIBSVM, "text/libsvm", "text/csv").body == b"0.0\n2.0\n"
    lines = algorithm.ask(LIBSVM, "text/x-libsvm", "application/jsonlines").body
    assert lines == b'{"score": 0.0}\n{"score": 2.0}\n'


def test_the_algorithm_says_what_is_wrong_with_a_body(algorithm: Endpoint) -> None:
    narrow = algorithm.refusal("1,2", "text/csv")
    assert narrow["OriginalStatusCode"] == 400
    assert "Feature size of text/csv inference data 2 is not consistent" in narrow["OriginalMessage"]
    assert "Traceback" in algorithm.log()
    assert algorithm.refusal(f"[[{ROW}]]", "application/json")["OriginalStatusCode"] == 415


def test_the_algorithm_takes_a_pickle_and_averages_several(models: Deployment) -> None:
    rows = np.array([[0.0, 0.0], [1.0, 1.0]] * 10, "float32")
    matrix = xgboost.DMatrix(rows, np.array([0, 1] * 10))

    def train(rounds: int) -> Any:
        return xgboost.train({"objective": "binary:logistic", "nthread": 1}, matrix, rounds)

    first, second = train(1), train(9)
    files: dict[str, str | bytes] = {"a": pickle.dumps(first), "b": bytes(second.save_raw("json"))}
    endpoint = deploy(models, "boosted-pickle", IMAGE, files)
    scores = [float(line) for line in endpoint.ask("0,0\n1,1\n", "text/csv").body.splitlines()]
    assert scores == pytest.approx(((first.predict(matrix) + second.predict(matrix)) / 2)[:2].tolist())


def test_the_algorithm_says_what_is_no_model(models: Deployment) -> None:
    reason, log = fail(models, "boosted-no-model", IMAGE, {"xgboost-model": b"this is no booster"})
    assert "model failed: ValueError: xgboost-model is neither a model that xgboost " in reason
    assert "[bt]" not in reason
    assert "Traceback" in log
