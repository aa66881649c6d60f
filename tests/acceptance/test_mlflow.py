"""A model that MLflow packed for SageMaker, served from the environment that MLflow wrote down."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from tests.acceptance.making import interpreter, made_by
from tests.acceptance.running import Deployment, archive

IMAGE = "123456789012.dkr.ecr.us-east-1.amazonaws.com/mlflow-pyfunc:3.5.0"
PACKAGES = ("mlflow-skinny>=3,<4", "pandas")
PROGRAM = """
import json, mlflow, pandas
from importlib.metadata import version
from mlflow.models import ModelSignature
from mlflow.types.schema import ColSpec, Schema
class Weighted(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [float(each) for each in model_input["a"] * 2 + model_input["b"]]
rows = pandas.DataFrame({"a": [1.0, 2.0], "b": [0.5, 0.0]})
model = Weighted()
requirements = [f"{name}=={version(name)}" for name in ("mlflow-skinny", "pandas", "cloudpickle")]
signature = ModelSignature(inputs=Schema([ColSpec("double", "a"), ColSpec("double", "b")]))
mlflow.pyfunc.save_model(".", python_model=model, signature=signature, pip_requirements=requirements)
print(json.dumps(model.predict(None, rows)))
"""
ROWS = {"columns": ["a", "b"], "data": [[1.0, 0.5], [2.0, 0.0]]}
RECORDS = [{"a": 1.0, "b": 0.5}, {"a": 2.0, "b": 0.0}]


@pytest.mark.clients
@pytest.mark.timeout(400)
def test_an_mlflow_model_answers_in_all_documented_formats(shared: Deployment, tmp_path: Path) -> None:
    files, expected = made_by(interpreter(*PACKAGES), PROGRAM, tmp_path / "model")
    name = shared.model(f"{shared.prefix}-mlflow", data=archive(files), Image=IMAGE)
    shared.endpoint(name, shared.variant(name))
    shared.wait(name, timeout=300)

    def ask(body: object, content_type: str = "application/json") -> object:
        response = shared.runtime.invoke_endpoint(
            EndpointName=name, ContentType=content_type, Body=body if isinstance(body, str) else json.dumps(body)
        )
        return json.loads(response["Body"].read())

    wanted = {"predictions": expected}
    assert ask({"dataframe_split": ROWS}) == wanted
    assert ask({"dataframe_records": RECORDS}) == wanted
    assert ask({"instances": RECORDS}) == wanted
    assert ask({"inputs": {"a": [1.0, 2.0], "b": [0.5, 0.0]}}) == wanted
    assert ask("a,b\n1.0,0.5\n2.0,0.0\n", "text/csv") == wanted
    with pytest.raises(ClientError) as refused:
        ask({"data": RECORDS})
    assert refused.value.response["OriginalStatusCode"] == 400
    assert json.loads(refused.value.response["OriginalMessage"])["error_code"] == "BAD_REQUEST"
