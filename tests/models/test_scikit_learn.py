"""scikit-learn: a pickled estimator, the script that loads it, and what the container's own input and output do."""

from __future__ import annotations

import io
import json
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.acceptance.running import IMAGE, Deployment
from tests.models import pages
from tests.models.deploying import FIRST_TIME_S, Endpoint, deploy, fail

joblib = pytest.importorskip("joblib", reason="scikit-learn is not installed")
datasets = pytest.importorskip("sklearn.datasets", reason="scikit-learn is not installed")
linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")
pytestmark = pytest.mark.timeout(FIRST_TIME_S)

SCRIPT = pages.read("scikit-learn").files["code/inference.py"]
FEATURES = """
class Wrapped:
    def __init__(self, estimator): self.estimator = estimator
    def predict(self, rows): return self.estimator.predict(rows)
"""
ROW = "5.1,3.5,1.4,0.2"
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


@pytest.fixture
def endpoint(served_by_page: Callable[[str], Endpoint]) -> Endpoint:
    return served_by_page("scikit-learn")


@pytest.fixture(scope="module")
def estimator() -> Any:
    return linear_model.LogisticRegression(max_iter=500).fit(*datasets.load_iris(return_X_y=True))


@pytest.fixture
def features() -> Iterator[Any]:
    """A module of the one who trains, whose classes a pickle names."""
    module = types.ModuleType("features")
    exec(FEATURES, module.__dict__)
    sys.modules["features"] = module
    yield module
    del sys.modules["features"]


def dumped(model: Any) -> bytes:
    stream = io.BytesIO()
    joblib.dump(model, stream)
    return stream.getvalue()


def test_json_csv_and_npy_both_ways(endpoint: Endpoint) -> None:
    assert json.loads(endpoint.ask(json.dumps(ROWS), "application/json").body) == [0, 2]
    assert endpoint.ask(f"{ROW}\n{ROW}\n", "text/csv", "text/csv").body == b"0\n0\n"
    array = io.BytesIO()
    np.save(array, np.array(ROWS))
    # What the SageMaker SDK's SKLearnPredictor sends and wants.
    answer = endpoint.ask(array.getvalue(), "application/x-npy", "application/x-npy")
    assert answer.content_type == "application/x-npy"
    assert np.load(io.BytesIO(answer.body)).tolist() == [0, 2]


def test_a_lone_row_of_csv_needs_an_input_fn(models: Deployment, endpoint: Endpoint, estimator: Any) -> None:
    refused = endpoint.refusal(ROW, "text/csv")
    assert refused["OriginalStatusCode"] == 500
    assert "ValueError: Expected 2D array, got 1D array instead" in refused["OriginalMessage"]
    assert json.loads(endpoint.ask(f"[[{ROW}]]", "application/json").body) == [0]
    (remedy,) = re.findall("`(def input_fn[^`]+)`", pages.text("scikit-learn"))
    script = f"{SCRIPT}\nimport io, numpy\n{remedy}\n"
    mended = deploy(models, "iris-row", IMAGE, {"model.joblib": dumped(estimator), "code/inference.py": script})
    assert json.loads(mended.ask(ROW, "text/csv").body) == [0]
    assert json.loads(mended.ask(f"{ROW}\n{ROW}\n", "text/csv").body) == [0, 0]


def test_a_class_that_a_pickle_names_comes_with_the_code(models: Deployment, estimator: Any, features: Any) -> None:
    files: dict[str, str | bytes] = {
        "model.joblib": dumped(features.Wrapped(estimator)),
        "code/inference.py": SCRIPT,
    }
    reason, log = fail(models, "iris-class-left-out", IMAGE, files)
    assert "model_fn failed: ModuleNotFoundError: No module named 'features'" in reason
    assert "Traceback" in log
    brought = deploy(models, "iris-class-brought", IMAGE, {**files, "code/features.py": FEATURES})
    assert json.loads(brought.ask(json.dumps(ROWS), "application/json").body) == [0, 2]
