"""PyTorch: TorchScript that needs no script, and a script with a module of one's own."""

from __future__ import annotations

import io
import json
from collections.abc import Callable

import numpy as np
import pytest

from tests.acceptance.running import Deployment
from tests.models.deploying import FIRST_TIME_S, Endpoint, fail
from tests.models.installing import TORCH

pytestmark = [pytest.mark.clients, pytest.mark.timeout(FIRST_TIME_S)]

IMAGE = f"763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-inference:{TORCH}-cpu"


def npy(kind: str) -> bytes:
    stream = io.BytesIO()
    np.save(stream, np.array([[1, 2]], kind))
    return stream.getvalue()


def test_torchscript_takes_json_csv_and_npy(served_by_page: Callable[[str], Endpoint]) -> None:
    endpoint = served_by_page("pytorch-torchscript")
    assert json.loads(endpoint.ask("[[1, 2]]", "application/json").body) == [[6.0]]
    assert json.loads(endpoint.ask("1,2", "text/csv").body) == [6.0]
    assert endpoint.ask("1,2\n3,4\n", "text/csv", "text/csv").body == b"6.0\n14.0\n"
    answer = endpoint.ask(npy("float32"), "application/x-npy", "application/x-npy")
    assert np.load(io.BytesIO(answer.body)).tolist() == [[6.0]]


def test_a_failing_call_brings_its_traceback(served_by_page: Callable[[str], Endpoint]) -> None:
    endpoint = served_by_page("pytorch-torchscript")
    refused = endpoint.refusal(npy("float64"), "application/x-npy")
    assert refused["OriginalStatusCode"] == 500
    assert "must have the same dtype" in refused["OriginalMessage"]
    assert "Traceback" in refused["OriginalMessage"]
    assert "Traceback" in endpoint.log()


def test_a_script_answers_with_what_it_returns(served_by_page: Callable[[str], Endpoint]) -> None:
    endpoint = served_by_page("pytorch-script")
    assert json.loads(endpoint.ask("[[0.9, 0.1], [0.2, 0.8]]", "application/json").body) == [0, 1]
    assert endpoint.ask("0.2,0.8", "text/csv", "text/csv").body == b"1\n"


def test_weights_without_a_script(models: Deployment, torch: None) -> None:
    reason, log = fail(models, "net-weights", IMAGE, {"model.pt": b"no torchscript"})
    assert "model_fn failed: RuntimeError: Failed to load " in reason
    assert "Please ensure model is saved using torchscript." in reason
    assert "Traceback" in log
