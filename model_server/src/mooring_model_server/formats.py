"""JSON, CSV and NPY as AWS's containers read and write them.

There are two families: sagemaker-containers (scikit-learn, XGBoost) and sagemaker-inference, the toolkit (PyTorch and
others). They differ in CSV: the former squeezes what it read, so one row becomes one dimension and a plain
`model.predict` refuses it, exactly as on AWS. Pickled NPY arrays are refused in both, as AWS's newest images do:
whoever may invoke a model may not run code in it. numpy is imported when it is needed.
"""

from __future__ import annotations

import csv
import io
import json
import re
from typing import Any

from mooring_model_server.negotiation import CSV, JSON, NPY, NPZ, UnsupportedFormatError, media_type

_PLAIN_NUMBERS = re.compile(r"[0-9eE.,+\-\n]+")
SHOWN = 40
"""Characters of a body that cannot be read."""


def as_text(body: bytes | str) -> str:
    """A body as text; it is text already where AWS decodes it."""
    return body if isinstance(body, str) else body.decode("utf-8")


def as_bytes(body: bytes | str) -> bytes:
    """A body as bytes."""
    return body.encode("utf-8") if isinstance(body, str) else bytes(body)


def parse_json(body: bytes | str) -> Any:
    """A JSON value; what is none is shown where it begins, since clients often send what only looks like it."""
    text = as_text(body)
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValueError(f"{error}. The body is no JSON, it begins with {text[:SHOWN]!r}") from error


def decode_array(body: bytes | str, content_type: str | None) -> Any:
    """sagemaker-containers: an array, its CSV and JSON in numpy's own type; raises UnsupportedFormatError."""
    import numpy as np

    kind = media_type(content_type)
    if kind == JSON:
        return np.array(parse_json(body))
    if kind == CSV:
        text = as_text(body)
        numbers = _numbers(text)
        if numbers is not None:
            return numbers.squeeze()
        rows = csv.reader(io.StringIO(text), delimiter=",", quotechar='"', doublequote=True, strict=True)
        return np.array(list(rows)).squeeze().astype(None)
    if kind == NPY:
        return np.load(io.BytesIO(as_bytes(body)), allow_pickle=False)
    raise UnsupportedFormatError(content_type, ENCODABLE)


def _numbers(text: str) -> Any:
    """A table of plain numbers, in half the time that text takes to become numbers in numpy; None for anything else."""
    import numpy as np

    if not _PLAIN_NUMBERS.fullmatch(text):
        return None
    lines = text.removesuffix("\n").split("\n")
    commas = lines[0].count(",")
    if any(line.count(",") != commas for line in lines):
        return None
    try:
        return np.array(list(map(float, ",".join(lines).split(",")))).reshape(len(lines), commas + 1)
    except ValueError:
        return None


def decode_toolkit(body: bytes | str, content_type: str | None) -> Any:
    """sagemaker-inference: an array, or a sparse matrix from NPZ; raises UnsupportedFormatError."""
    import numpy as np

    kind = media_type(content_type)
    if kind == JSON:
        return np.array(parse_json(body))
    if kind == CSV:
        return np.genfromtxt(io.StringIO(as_text(body)), delimiter=",")
    if kind == NPY:
        return np.load(io.BytesIO(as_bytes(body)), allow_pickle=False)
    if kind == NPZ:
        import scipy.sparse

        return scipy.sparse.load_npz(io.BytesIO(as_bytes(body)))
    raise UnsupportedFormatError(content_type, (*ENCODABLE, NPZ))


def encode(prediction: Any, content_type: str) -> bytes:
    """A prediction as JSON, CSV (a value a line when it has one dimension) or NPY."""
    kind = media_type(content_type)
    if kind == JSON:
        return json.dumps(prediction, default=plain).encode("utf-8")
    if kind not in (CSV, NPY):
        raise UnsupportedFormatError(content_type, ENCODABLE)
    import numpy as np

    if kind == CSV:
        array = np.atleast_1d(prediction)
        if array.dtype == np.float64 and array.ndim == 1 and len(array):
            return ("\n".join(map(repr, array.tolist())) + "\n").encode("ascii")  # as savetxt does, four times as fast
        text = io.StringIO()
        np.savetxt(text, array, delimiter=",", fmt="%s")
        return text.getvalue().encode("utf-8")
    stream = io.BytesIO()
    np.save(stream, np.asarray(prediction), allow_pickle=False)
    return stream.getvalue()


def plain(value: Any) -> Any:
    """What `json` cannot write by itself: arrays, numpy's scalars, tensors, dates."""
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"Object of type {type(value).__name__} is not JSON serializable")


ENCODABLE = (JSON, CSV, NPY)
