"""XGBoost's container with a script: no default model_fn; CSV and LIBSVM become a DMatrix; `Booster.predict`."""

from __future__ import annotations

from typing import Any

from mooring_model_server.formats import ENCODABLE, encode
from mooring_model_server.frameworks.matrices import matrix
from mooring_model_server.lineages import ContainersModel, Defaults, no_model_fn
from mooring_model_server.negotiation import choose
from mooring_model_server.scripts import Functions


def build(functions: Functions) -> ContainersModel:
    """A model that is served by the rules of XGBoost's script mode."""
    return ContainersModel(functions, Defaults(no_model_fn(functions), matrix, predict_fn, output_fn))


def predict_fn(data: Any, model: Any) -> Any:
    """What the booster predicts, without a look at column names."""
    return model.predict(data, validate_features=False)


def output_fn(prediction: Any, accept: str) -> tuple[bytes, str]:
    """The prediction in the first type of `accept` that can be written."""
    kind = choose(accept, ENCODABLE)
    return encode(prediction, kind), kind
