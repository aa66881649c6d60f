"""XGBoost: with a script, as the built-in algorithm, and after a fork (where a used OpenMP would hang)."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.model_server.conftest import Serve
from tests.model_server.serving import Replica

xgboost = pytest.importorskip("xgboost", reason="xgboost is not installed")

SCRIPT = """
import os, xgboost
def model_fn(model_dir):
    booster = xgboost.Booster()
    booster.load_model(os.path.join(model_dir, "model.json"))
    return booster
"""
ROWS = np.array([[0.0, 0.0, 1.0], [1.0, 1.0, 0.0], [0.2, 0.1, 1.0], [0.9, 0.8, 0.5]] * 10, "float32")
LINES = "\n".join(",".join(map(str, row)) for row in ROWS[:2].tolist())


def train(objective: str = "binary:logistic", **parameters: Any) -> Any:
    labels = np.array([0, 1, 0, 1] * 10)
    return xgboost.train({"objective": objective, "nthread": 1, **parameters}, xgboost.DMatrix(ROWS, labels), 3)


@pytest.fixture(scope="module")
def booster() -> Any:
    return train()


def expected(booster: Any) -> list[float]:
    scores: list[float] = booster.predict(xgboost.DMatrix(ROWS[:2])).tolist()
    return scores


def algorithm(
    serve: Serve, tmp_path: Path, files: dict[str, bytes], container_version: str | None = None, **environment: str
) -> Replica:
    model_dir = tmp_path / "model"
    model_dir.mkdir()
    for name, data in files.items():
        (model_dir / name).write_bytes(data)
    fields = {"environment": environment, "container_version": container_version}
    return serve(None, "xgboost", model_dir=str(model_dir), **fields)


def test_forked_script_predicts_with_all_threads(serve: Serve, booster: Any, tmp_path: Path) -> None:
    booster.save_model(tmp_path / "model.json")
    replicas = [serve(SCRIPT, "xgboost", model_dir=str(tmp_path)) for _ in range(2)]
    for replica in replicas:
        reply = replica.invoke(LINES, "text/csv", "application/json")
        assert (reply.status, reply.json) == (200, pytest.approx(expected(booster)))
    many = "\n".join([LINES] * 5000)
    assert len(replicas[0].invoke(many, "text/csv", "text/csv").body.splitlines()) == 10_000


def test_script_defaults_read_libsvm_and_refuse_the_rest(serve: Serve, booster: Any, tmp_path: Path) -> None:
    booster.save_model(tmp_path / "model.json")
    replica = serve(SCRIPT, "xgboost", model_dir=str(tmp_path))
    sparse = "0 0:0.0 1:0.0 2:1.0\n1 0:1.0 1:1.0 2:0.0 # a remark\n"
    assert replica.invoke(sparse, "text/libsvm", "text/csv").body.decode().split() == [
        str(np.float32(score)) for score in expected(booster)
    ]
    assert replica.invoke("x", "application/x-recordio-protobuf").status == 415
    assert replica.invoke(LINES, "text/csv", "image/png").status == 406
    assert replica.invoke("0 1:x", "text/libsvm").status == 500


def test_workers_predict_too(serve: Serve, booster: Any, tmp_path: Path) -> None:
    booster.save_model(tmp_path / "model.json")
    replica = serve(
        SCRIPT + "    booster.predict(xgboost.DMatrix([[1, 2, 3]]))\n", "xgboost", model_dir=str(tmp_path), workers=2
    )
    for _ in range(6):
        assert replica.invoke(LINES, "text/csv").json == pytest.approx(expected(booster))


@pytest.mark.parametrize("form", ["json", "ubj", "pickle"])
def test_algorithm_answers_in_each_format(serve: Serve, tmp_path: Path, booster: Any, form: str) -> None:
    data = pickle.dumps(booster) if form == "pickle" else bytes(booster.save_raw(form))
    replica = algorithm(serve, tmp_path, {"xgboost-model": data, ".hidden": b"no"})
    scores = expected(booster)
    plain = replica.invoke(LINES, "text/csv")
    assert plain.type == "text/csv; charset=utf-8"
    assert plain.body.endswith(b"\n")
    assert [float(line) for line in plain.body.splitlines()] == pytest.approx(scores)
    document = replica.invoke(LINES + "\n", "text/csv; label_size=1", "application/json")
    assert document.type == "application/json"
    assert [row["score"] for row in document.json["predictions"]] == pytest.approx(scores)
    lines = replica.invoke("1 0:1.0 1:1.0 2:0", "text/x-libsvm", "application/jsonlines").body.splitlines()
    assert [json.loads(line)["score"] for line in lines] == pytest.approx(scores[1:])
    assert replica.invoke("1 0:1.0 1:1.0 2:0").status == 200  # LIBSVM when nothing is said


@pytest.mark.parametrize("version", ["0.90-2", "1.0-1", "1.2-1"])
def test_algorithm_of_an_old_image_answers_with_one_line(
    serve: Serve, tmp_path: Path, booster: Any, version: str
) -> None:
    replica = algorithm(serve, tmp_path, {"xgboost-model": pickle.dumps(booster)}, version)
    reply = replica.invoke(LINES, "text/csv", "application/json")
    assert (reply.status, reply.type) == (200, "text/csv; charset=utf-8")
    assert reply.body.decode() == ",".join(map(str, expected(booster)))


@pytest.mark.parametrize("version", ["1.2-2", "1.10-1", "3.0-5", None])
def test_algorithm_of_a_newer_image_heeds_accept(
    serve: Serve, tmp_path: Path, booster: Any, version: str | None
) -> None:
    replica = algorithm(serve, tmp_path, {"xgboost-model": pickle.dumps(booster)}, version)
    reply = replica.invoke(LINES, "text/csv", "application/json")
    assert [row["score"] for row in reply.json["predictions"]] == pytest.approx(expected(booster))


def test_algorithm_refuses_as_the_container_does(serve: Serve, tmp_path: Path, booster: Any) -> None:
    replica = algorithm(
        serve, tmp_path, {"xgboost-model": bytes(booster.save_raw("ubj"))}, MAX_CONTENT_LENGTH="20971520"
    )
    empty = replica.invoke(b"", "text/csv")
    assert (empty.status, empty.body) == (204, b"")
    assert replica.invoke("{}", "application/json").status == 415
    assert replica.invoke("a,b,c", "text/csv").status == 415
    assert replica.invoke("1,2,3", "text/csv", "image/png").status == 406
    narrow = replica.invoke("1,2", "text/csv")
    assert narrow.status == 400
    assert narrow.body.startswith(b"Unable to evaluate payload provided: Feature size of text/csv inference data 2")
    assert replica.invoke("0 9:1", "text/libsvm").status == 400
    assert replica.ask("GET", "/execution-parameters").json == {
        "MaxConcurrentTransforms": 1,
        "BatchStrategy": "MULTI_RECORD",
        "MaxPayloadInMB": 20,
    }


def test_algorithm_writes_a_row_of_classes_on_one_line(serve: Serve, tmp_path: Path) -> None:
    model = train("multi:softprob", num_class=3)
    replica = algorithm(serve, tmp_path, {"xgboost-model": bytes(model.save_raw("ubj"))})
    rows = replica.invoke(LINES, "text/csv").body.decode().splitlines()
    assert [len(row.split(",")) for row in rows] == [3, 3]


def test_algorithm_averages_several_models(serve: Serve, tmp_path: Path, booster: Any) -> None:
    other = train(max_depth=1, base_score=0.9)
    files = {"a": bytes(booster.save_raw("ubj")), "b": bytes(other.save_raw("ubj"))}
    replica = algorithm(serve, tmp_path, files)
    scores = [float(line) for line in replica.invoke(LINES, "text/csv").body.splitlines()]
    assert scores == pytest.approx(np.mean([expected(booster), expected(other)], axis=0).tolist())


@pytest.mark.parametrize(
    ("files", "environment", "said"),
    [
        ({}, {}, "there is no model file in"),
        ({"xgboost-model": b"nonsense"}, {}, "xgboost-model is neither a model that xgboost"),
        ({"xgboost-model": pickle.dumps([1])}, {}, "xgboost-model is a pickled list and no booster"),
        (
            {"xgboost-model": b"x"},
            {"SAGEMAKER_INFERENCE_OUTPUT": "probability"},
            "SAGEMAKER_INFERENCE_OUTPUT is not supported",
        ),
    ],
)
def test_algorithm_that_cannot_load_says_why(
    serve: Serve, tmp_path: Path, files: dict[str, bytes], environment: dict[str, str], said: str
) -> None:
    failure = algorithm(serve, tmp_path, files, **environment).document("failure.json")
    assert failure["where"] == "model"
    assert said in failure["reason"]
