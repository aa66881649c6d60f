"""MLflow's two ways of being asked, with modules that stand in for it; the real one serves in the acceptance tests."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from mooring_model_server.contract import Invocation, LoadFailure
from mooring_model_server.frameworks.mlflow import load


class MlflowError(Exception):
    def get_http_status_code(self) -> int:
        return 400

    def serialize_as_json(self) -> str:
        return json.dumps({"error_code": "BAD_REQUEST", "message": str(self)})


def answer(body: bytes, content_type: str) -> types.SimpleNamespace:
    if body == b"bad":
        raise MlflowError("no such input")
    if body == b"worse":
        raise RuntimeError("nobody expects this")
    return types.SimpleNamespace(response=f"{content_type} {body.decode()}", status=200, mimetype="application/json")


def function_server() -> types.SimpleNamespace:
    def invocations(body: bytes, content_type: str, model: Any, schema: str) -> types.SimpleNamespace:
        assert schema == "schema"
        return answer(body, content_type)

    return types.SimpleNamespace(invocations=invocations, MlflowException=MlflowError)


def flask_server() -> types.SimpleNamespace:
    class Client:
        def post(self, path: str, *, data: bytes, content_type: str) -> types.SimpleNamespace:
            assert path == "/invocations"
            try:
                found = answer(data, content_type)
            except MlflowError as error:
                return types.SimpleNamespace(
                    status_code=400, content_type="application/json", data=error.serialize_as_json().encode()
                )
            return types.SimpleNamespace(status_code=200, content_type=found.mimetype, data=found.response.encode())

    app = types.SimpleNamespace(test_client=Client)
    return types.SimpleNamespace(flask=object(), init=lambda model: app)


@pytest.fixture(params=[function_server, flask_server])
def server(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> types.SimpleNamespace:
    made: types.SimpleNamespace = request.param()
    metadata = types.SimpleNamespace(get_input_schema=lambda: "schema")

    def load_model(path: str, **options: Any) -> types.SimpleNamespace:
        if not Path(path, "MLmodel").exists():
            raise FileNotFoundError(f"no MLmodel in {path}")
        made.options = options
        return types.SimpleNamespace(metadata=metadata)

    pyfunc = types.ModuleType("mlflow.pyfunc")
    pyfunc.load_model, pyfunc.scoring_server = load_model, made  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "mlflow", types.ModuleType("mlflow"))
    monkeypatch.setitem(sys.modules, "mlflow.pyfunc", pyfunc)
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "")
    return made


def test_answers_and_errors_are_mlflows(server: types.SimpleNamespace, tmp_path: Path) -> None:
    (tmp_path / "MLmodel").touch()
    model = load(str(tmp_path))
    found = model.invoke(Invocation(b"x", {"content-type": "text/csv; charset=utf-8"}))
    assert (found.status, found.body) == (200, b"text/csv; charset=utf-8 x")
    assert model.invoke(Invocation(b"x", {})).body == b"application/json x"
    refused = model.invoke(Invocation(b"bad", {}))
    assert (refused.status, json.loads(refused.body)["error_code"]) == (400, "BAD_REQUEST")
    assert model.invoke(Invocation(b"worse", {})).status == 500


def test_its_configuration_reaches_the_model(
    server: types.SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "MLmodel").touch()
    monkeypatch.setenv("SERVING_MODEL_CONFIG", '{"temperature": 1}')
    load(str(tmp_path))
    assert server.options == {"model_config": {"temperature": 1}}


def test_what_is_no_mlflow_model_says_so(server: types.SimpleNamespace, tmp_path: Path) -> None:
    with pytest.raises(LoadFailure, match="no MLmodel in") as refused:
        load(str(tmp_path))
    assert refused.value.where == "model"


def test_an_environment_without_it_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    monkeypatch.setenv("_MLFLOW_IS_IN_SERVING_ENVIRONMENT", "")
    with pytest.raises(LoadFailure, match="requirements.txt lacks what serves it") as refused:
        load(str(tmp_path))
    assert refused.value.where == "framework"
