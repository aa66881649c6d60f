"""MLflow's scoring server without its server: a directory that MLflow wrote, asked through MLflow's own functions.

Requests are read, and answers and errors written, by the MLflow in the model's environment, so they are those of that
version, to the letter: `dataframe_split`, `dataframe_records`, `instances`, `inputs`, text/csv. Up to 2.x its server is
a Flask application, which is called without a socket; since 3 there is a function.
"""

from __future__ import annotations

import json
import os
from typing import Any, Callable

from mooring_model_server.contract import JSON, TEXT, Answer, Invocation, LoadFailure, Model
from mooring_model_server.lineages import log
from mooring_model_server.output import last_line

MODEL_CONFIG = "SERVING_MODEL_CONFIG"
SERVING = "_MLFLOW_IS_IN_SERVING_ENVIRONMENT"

Score = Callable[[bytes, str], Answer]


def load(model_dir: str) -> Model:
    """The python_function of an MLflow model; raises LoadFailure."""
    os.environ.setdefault(SERVING, "true")  # as its own server says
    try:
        from mlflow.pyfunc import load_model, scoring_server  # type: ignore[import-not-found,unused-ignore]
    except ImportError as error:
        raise LoadFailure("framework", f"{last_line(error)} (its requirements.txt lacks what serves it)") from error
    config = os.environ.get(MODEL_CONFIG)
    try:
        model = load_model(model_dir, **({"model_config": json.loads(config)} if config else {}))
        return MLflowModel(_by_flask(scoring_server, model) or _by_function(scoring_server, model))
    except Exception as error:
        raise LoadFailure("model", last_line(error)) from error


def _by_flask(server: Any, model: Any) -> Score | None:
    if not hasattr(server, "flask"):
        return None
    client = server.init(model).test_client()

    def score(body: bytes, content_type: str) -> Answer:
        found = client.post("/invocations", data=body, content_type=content_type)
        return Answer(found.status_code, found.content_type, found.data)

    return score


def _by_function(server: Any, model: Any) -> Score:
    schema = model.metadata.get_input_schema()

    def score(body: bytes, content_type: str) -> Answer:
        try:
            found = server.invocations(body, content_type, model, schema)
        except server.MlflowException as error:
            log(error)
            return Answer(error.get_http_status_code(), JSON, error.serialize_as_json().encode("utf-8"))
        return Answer(found.status, found.mimetype, found.response.encode("utf-8"))

    return score


class MLflowModel(Model):
    """A loaded model and how to ask it."""

    def __init__(self, score: Score) -> None:
        self._score = score

    def invoke(self, invocation: Invocation) -> Answer:
        try:
            return self._score(invocation.body, invocation.content_type or JSON)
        except Exception as error:  # noqa: BLE001 (what MLflow does not turn into an answer itself)
            log(error)
            return Answer(500, TEXT, b"Internal Server Error\n")
