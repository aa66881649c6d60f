"""PyTorch's and Hugging Face's defaults, with modules that stand in for frameworks which are not installed here."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from tests.model_server.conftest import Serve
from tests.model_server.serving import Replica

TORCH = """
import contextlib, numpy as np
class Tensor:
    def __init__(self, array): self.array = np.asarray(array)
    def to(self, device): assert device == "cpu"; return self
    def detach(self): return self
    def cpu(self): return self
    def numpy(self): return self.array
def FloatTensor(array): return Tensor(np.asarray(array, "float32"))
def from_numpy(array): return Tensor(array)
def device(name): return name
class cuda:
    @staticmethod
    def is_available(): return False
class Module:
    evaluated = False
    def __init__(self, path): self.path = path
    def to(self, device): return self
    def eval(self): self.evaluated = True
    def __call__(self, x):
        assert self.evaluated and grad == [False]
        return Tensor(x.array * 2)
grad = [True]
@contextlib.contextmanager
def no_grad():
    grad[0] = False
    yield
    grad[0] = True
class jit:
    @staticmethod
    def load(path, map_location):
        if open(path).read() != "script": raise RuntimeError("PytorchStreamReader failed")
        return Module(path)
"""
TRANSFORMERS = """
def pipeline(task, model, device):
    if model == "nobody/reaches": raise OSError("We couldn't connect to 'https://huggingface.co' to load the files")
    if model == "nobody/knows": raise OSError("nobody/knows is not a local folder and is not a valid model identifier")
    def run(inputs, **parameters):
        if inputs == "bad": raise IndexError("index out of range in self")
        return [{"label": task, "inputs": inputs, "parameters": parameters, "device": device}]
    return run
"""


def put(modules: str) -> str:
    """A script whose import makes a module of that name, as if it were installed."""
    return (
        f"import sys, types\nfor name, text in {modules}.items():\n"
        "    module = types.ModuleType(name); sys.modules[name] = module; exec(text, module.__dict__)\n"
    )


def with_torch(script: str = "") -> str:
    return put(repr({"torch": TORCH})) + script


def npy(array: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def test_pytorch_defaults(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "one.pth").write_text("script")
    replica = serve(with_torch(), "pytorch", model_dir=str(tmp_path))
    assert replica.invoke("[[1, 2]]", "application/json").json == [[2.0, 4.0]]
    table = replica.invoke("1,2\n3,4\n", "text/csv", "image/png, text/csv")
    assert (table.type, table.body) == ("text/csv", b"2.0,4.0\n6.0,8.0\n")
    array = replica.invoke(npy(np.array([[3]])), "application/x-npy", "application/x-npy")
    assert np.load(io.BytesIO(array.body)).tolist() == [[6]]
    unread = replica.invoke("x", "application/xml")
    assert (unread.status, unread.type) == (500, "text/plain; charset=utf-8")
    assert unread.body.startswith(b"Content type application/xml is not supported by this framework.")
    assert b"Traceback" in unread.body
    assert replica.invoke("[1]", "application/json", "image/png").status == 500


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "ValueError: Exactly one .pth or .pt file is required for PyTorch models: []"),
        (
            {"a.pt": "script", "b.pth": "script"},
            "ValueError: Exactly one .pth or .pt file is required for PyTorch models: ['a.pt', 'b.pth']",
        ),
        ({"model.pt": "state dict"}, "Please ensure model is saved using torchscript. PytorchStreamReader failed"),
    ],
)
def test_pytorch_says_what_it_cannot_load(serve: Serve, tmp_path: Path, files: dict[str, str], reason: str) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    failure = serve(with_torch(), "pytorch", model_dir=str(tmp_path)).document("failure.json")
    assert failure["where"] == "model_fn"
    assert reason in failure["reason"]


@pytest.mark.parametrize("framework", ["pytorch", "huggingface"])
def test_missing_framework_is_named(serve: Serve, framework: str) -> None:
    module = {"pytorch": "torch", "huggingface": "transformers"}[framework]
    replica = serve(f"import sys; sys.modules[{module!r}] = None", framework)
    failure = replica.document("failure.json")
    assert failure["where"] == "framework"
    assert f"{framework} is not installed here" in failure["reason"]


def huggingface(serve: Serve, tmp: Path, config: dict[str, object] | None = None, **environment: str) -> Replica:
    if config is not None:
        (tmp / "config.json").write_text(json.dumps(config))
    script = put(repr({"transformers": TRANSFORMERS}))
    return serve(script, "huggingface", model_dir=str(tmp), environment=environment)


def test_huggingface_defaults(serve: Serve, tmp_path: Path) -> None:
    replica = huggingface(serve, tmp_path, {"architectures": ["BertForSequenceClassification"]})
    reply = replica.invoke('{"inputs": "hé", "parameters": {"top_k": 1}}', "application/json", "*/*")
    assert (reply.status, reply.type) == (200, "application/json")
    assert reply.body.decode() == (
        '[{"label":"text-classification","inputs":"hé","parameters":{"top_k":1},"device":-1}]'
    )
    assert replica.invoke('{"a": 1}').json[0]["inputs"] == {"a": 1}
    assert replica.invoke("inputs\none\ntwo\n", "text/csv").json[0]["inputs"] == ["one", "two"]
    rows = replica.invoke("question,context\nwho,me\n", "text/csv").json[0]["inputs"]
    assert rows == [{"question": "who", "context": "me"}]
    table = replica.invoke('{"inputs": "x"}', "application/json", "text/csv")
    assert table.body.splitlines()[0] == b"label,inputs,parameters,device"


def test_huggingface_answers_every_error_with_400(serve: Serve, tmp_path: Path) -> None:
    replica = huggingface(serve, tmp_path, HF_TASK="fill-mask")
    failed = replica.invoke('{"inputs": "bad"}', "application/json")
    assert (failed.status, failed.type) == (400, "application/json")
    assert failed.json == {"code": 400, "type": "InternalServerException", "message": "index out of range in self"}
    assert b'\n  "code": 400' in failed.body
    assert replica.invoke("no header\n1\n", "text/csv").status == 400
    assert replica.invoke("x", "application/xml").status == 400


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "You need to define one of the following"),
        ({"architectures": ["Nothing"]}, "Task couldn't be inferenced from Nothing."),
    ],
)
def test_huggingface_task_that_cannot_be_told(
    serve: Serve, tmp_path: Path, config: dict[str, object] | None, said: str
) -> None:
    assert said in huggingface(serve, tmp_path, config).document("failure.json")["reason"]


def test_a_hub_that_cannot_be_reached_is_said_plainly(serve: Serve, tmp_path: Path) -> None:
    replica = huggingface(serve, tmp_path, HF_MODEL_ID="nobody/reaches", HF_TASK="fill-mask", HF_HOME="/the/hub")
    reason = replica.document("failure.json")["reason"]
    assert reason.startswith(
        "HF_MODEL_ID=nobody/reaches: the model is not in /the/hub, and Hugging Face's hub cannot be"
    )
    assert "HF_HUB_OFFLINE=1" in reason
    unknown = huggingface(serve, tmp_path, HF_MODEL_ID="nobody/knows", HF_TASK="fill-mask")
    assert "not a valid model identifier" in unknown.document("failure.json")["reason"]
