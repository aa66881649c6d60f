"""scikit-learn's container: no default model_fn; JSON and CSV become float32; the estimator's `predict`."""

from __future__ import annotations

from typing import Any

from mooring_model_server.formats import ENCODABLE, decode_array, encode
from mooring_model_server.lineages import ContainersModel, Defaults, no_model_fn
from mooring_model_server.negotiation import UTF8_TYPES, choose, media_type
from mooring_model_server.scripts import Functions

ONE_ROW = (
    "One row has one dimension here, as in AWS's container: send it as JSON with two pairs of brackets, [[1, 2]], or "
    "give the script an input_fn that reshapes it."
)


def build(functions: Functions) -> ContainersModel:
    """A model that is served by scikit-learn's rules."""
    return ContainersModel(functions, Defaults(no_model_fn(functions), input_fn, predict_fn, output_fn))


def input_fn(body: bytes | str, content_type: str) -> Any:
    """An array; one CSV row has one dimension, as on AWS."""
    array = decode_array(body, content_type)
    return array.astype("float32") if media_type(content_type) in UTF8_TYPES else array


def predict_fn(data: Any, model: Any) -> Any:
    """What the estimator predicts."""
    try:
        return model.predict(data)
    except ValueError as error:
        if getattr(data, "ndim", None) == 1:
            raise ValueError(f"{error}\n{ONE_ROW}") from error
        raise


def output_fn(prediction: Any, accept: str) -> tuple[bytes, str]:
    """The prediction in the first type of `accept` that can be written."""
    kind = choose(accept, ENCODABLE)
    return encode(prediction, kind), kind
