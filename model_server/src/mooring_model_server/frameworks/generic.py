"""A script without a framework: JSON in and out; other text as text, the rest as bytes."""

from __future__ import annotations

import json
from typing import Any

from mooring_model_server.formats import as_text, parse_json, plain
from mooring_model_server.lineages import Defaults, ToolkitModel, no_model_fn
from mooring_model_server.negotiation import JSON, choose, media_type
from mooring_model_server.scripts import Functions


def build(functions: Functions) -> ToolkitModel:
    """A model that is served by the toolkit's rules and needs no numpy."""
    return ToolkitModel(functions, Defaults(no_model_fn(functions), input_fn, predict_fn, output_fn))


def input_fn(body: bytes | str, content_type: str | None) -> Any:
    """A JSON value, text, or bytes."""
    kind = media_type(content_type)
    if kind == JSON or kind.endswith("+json"):
        return parse_json(body)
    return as_text(body) if kind.startswith("text/") else body


def predict_fn(data: Any, model: Any) -> Any:
    """`model.predict(data)`, or `model(data)`."""
    if hasattr(model, "predict"):
        return model.predict(data)
    if callable(model):
        return model(data)
    raise NotImplementedError("Please provide a predict_fn implementation.")


def output_fn(prediction: Any, accept: str) -> Any:
    """Bytes and text as they are; anything else as JSON."""
    if isinstance(prediction, (bytes, bytearray, str)) and not accept.startswith(JSON):
        return prediction
    return json.dumps(prediction, default=plain).encode("utf-8"), choose(accept, (JSON,))
