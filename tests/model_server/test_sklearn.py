"""scikit-learn's defaults, with a real model that a warm parent serves."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.model_server.conftest import Serve
from tests.model_server.serving import Replica, Zygote, executed, prepare

joblib = pytest.importorskip("joblib", reason="scikit-learn is not installed")
linear_model = pytest.importorskip("sklearn.linear_model", reason="scikit-learn is not installed")

SCRIPT = """
import os, joblib
def model_fn(model_dir): return joblib.load(os.path.join(model_dir, "model"))
"""
ROWS = np.array([[0.0, 0.0], [1.0, 1.0], [0.2, 0.1], [0.9, 0.8]], "float32")


@pytest.fixture(scope="module")
def model() -> bytes:
    stream = io.BytesIO()
    joblib.dump(linear_model.LogisticRegression().fit(ROWS, [0, 1, 0, 1]), stream)
    return stream.getvalue()


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_reads_and_writes_each_format(serve: Serve, model: bytes) -> None:
    replica = serve(SCRIPT, "sklearn", model=model)
    rows = json.dumps(ROWS.tolist())
    lines = "\n".join(",".join(map(str, row)) for row in ROWS.tolist())
    plain = replica.invoke(rows)
    assert (plain.status, plain.type, plain.json) == (200, "application/json", [0, 1, 0, 1])
    assert replica.invoke(rows, "application/json", "*/*").json == [0, 1, 0, 1]
    table = replica.invoke(lines, "text/csv", "text/csv")
    assert (table.type, table.body) == ("text/csv; charset=utf-8", b"0\n1\n0\n1\n")
    assert replica.invoke(lines, "text/csv; charset=utf-8", "text/html, text/csv;q=0.5").body == b"0\n1\n0\n1\n"
    array = replica.invoke(npy(ROWS), "application/x-npy", "application/x-npy")
    assert array.type == "application/x-npy"
    assert np.load(io.BytesIO(array.body)).tolist() == [0, 1, 0, 1]


def test_one_row_of_csv_has_one_dimension_as_on_aws(serve: Serve, model: bytes) -> None:
    replica = serve(SCRIPT, "sklearn", model=model)
    reply = replica.invoke("0.1,0.2", "text/csv")
    assert reply.status == 500
    assert "ValueError" in reply.body.decode()
    assert "Expected 2D array" in replica.log


def test_what_cannot_be_read_or_written(serve: Serve, model: bytes) -> None:
    replica = serve(SCRIPT, "sklearn", model=model)
    unread = replica.invoke("<x/>", "application/xml")
    assert (unread.status, unread.type) == (415, "application/json")
    assert unread.json["error"] == "UnsupportedFormatError"
    assert unread.json["error-message"].startswith(
        "Content type application/xml is not supported by this framework.\n\nPlease implement input_fn"
    )
    assert "Traceback" in unread.json["stack-trace"]
    unwritten = replica.invoke("[[1, 2]]", "application/json", "application/xml")
    assert (unwritten.status, unwritten.json["error"]) == (406, "UnsupportedFormatError")
    assert replica.invoke("[[1,", "application/json").status == 500
    pickled = replica.invoke(npy(np.array([{}], dtype=object)), "application/x-npy")
    assert pickled.status == 500
    assert "allow_pickle" in pickled.body.decode()


def test_text_reaches_a_script_only_for_the_exact_types(serve: Serve) -> None:
    replica = serve(
        "def model_fn(d): return 1\ndef input_fn(body, content_type): return [type(body).__name__, content_type]\n"
        "def predict_fn(data, model): return data\n",
        "sklearn",
    )
    assert replica.invoke("1", "text/csv").json == ["str", "text/csv"]
    assert replica.invoke("1", "text/csv; charset=utf-8").json == ["bytes", "text/csv; charset=utf-8"]
    assert replica.invoke("1").json == ["str", "application/json"]


def test_script_errors_are_readable(serve: Serve) -> None:
    replica = serve(
        "def model_fn(d): return 1\ndef input_fn(body, content_type): raise KeyError('column')\n", "sklearn"
    )
    reply = replica.invoke("1")
    assert (reply.status, reply.type) == (500, "text/plain; charset=utf-8")
    assert reply.body == b"Internal Server Error\n\nKeyError: 'column'\n"


def test_blas_has_its_processors_back(serve: Serve) -> None:
    replica = serve(
        """
import os
import numpy as np, threadpoolctl
def model_fn(d): return None
def predict_fn(data, model):
    a = np.ones((600, 600)); assert (a @ a)[0, 0] == 600
    pools = [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]
    return pools, len(os.sched_getaffinity(0)), dict(os.environ)
""",
        "sklearn",
        environment={"A": "b"},
    )
    pools, processors, environment = replica.invoke("1").json
    assert pools
    assert set(pools) == {processors}
    assert environment == {"A": "b"}


def test_random_state_of_numpy_differs(serve: Serve) -> None:
    script = (
        "import numpy as np\ndef model_fn(d): return float(np.random.rand())\n"
        "def predict_fn(data, model): return model\n"
    )
    assert serve(script, "sklearn").invoke("1").json != serve(script, "sklearn").invoke("1").json


def test_served_the_same_without_a_warm_parent(tmp_path: Path, model: bytes) -> None:
    replica = prepare(tmp_path / "r", SCRIPT, "sklearn")
    (replica.root / "model" / "model").write_bytes(model)
    with executed(replica) as running:
        assert running.invoke(json.dumps(ROWS.tolist())).json == [0, 1, 0, 1]


def test_needs_a_script(sklearn_zygote: Zygote, serve: Serve) -> None:
    replica: Replica = serve(None, "sklearn")
    failure = replica.document("failure.json")
    assert failure["where"] == "model_fn"
    assert failure["reason"].startswith("NotImplementedError: Please provide a model_fn implementation. There is no")
    for place in ("code", "model/code"):
        assert str(replica.root / place / "inference.py") in failure["reason"]
