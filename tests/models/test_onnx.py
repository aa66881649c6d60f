"""ONNX: a graph that ONNX Runtime runs, which comes as a requirement of the script."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest

from tests.models.deploying import FIRST_TIME_S, Endpoint

pytestmark = [pytest.mark.clients, pytest.mark.timeout(FIRST_TIME_S)]

ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]


def npy(kind: str) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array(ROWS, kind))
    return stream.getvalue()


def test_what_a_graph_takes(served_by_page: Callable[[str], Endpoint]) -> None:
    endpoint = served_by_page("onnx")
    assert json.loads(endpoint.ask(json.dumps(ROWS), "application/json").body) == [0, 2]
    assert json.loads(endpoint.ask(npy("float32"), "application/x-npy").body) == [0, 2]
    assert "Unexpected input data type" in endpoint.refusal(npy("float64"), "application/x-npy")["OriginalMessage"]
    assert "Invalid rank for input" in endpoint.refusal("5.1,3.5,1.4,0.2", "text/csv")["OriginalMessage"]
    assert "Traceback" in endpoint.log()
