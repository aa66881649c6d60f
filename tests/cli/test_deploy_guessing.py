"""Which framework serves a model is told from names and text, never by loading anything."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from mooring.cli.deploy import guessing, sources
from mooring.errors import BadInput
from tests.cli.test_deploy_sources import MODEL_FN, tree


class Unpickled:
    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("it was unpickled",)


def test_no_pickle_is_loaded(tmp_path: Path) -> None:
    source = sources.of_path(tree(tmp_path / "iris", {"model.pkl": pickle.dumps(Unpickled())}))
    assert guessing.guess(source).framework == "sklearn"


SKLEARN = b"\x80\x04\x95\x00\x8c\x1esklearn.linear_model._logistic\x94"
XGBOOST = b"\x80\x04\x95\x00\x8c\x0fxgboost.sklearn\x94\x8c\x0csklearn.base"


@pytest.mark.parametrize(
    ("files", "framework", "why"),
    [
        ({"model.joblib": SKLEARN}, "sklearn", "model.joblib names sklearn.linear_model._logistic"),
        ({"model.pkl": XGBOOST}, "xgboost", "model.pkl names xgboost.sklearn"),
        ({"model.pkl": b"zlib"}, "sklearn", "model.pkl, a pickle"),
        ({"model.pkl": b"zlib", "inference.py": f"import xgboost\n{MODEL_FN}"}, "xgboost", "imports xgboost"),
        ({"xgboost-model": b"binf"}, "xgboost", "xgboost-model"),
        ({"m.ubj": b""}, "xgboost", "m.ubj"),
        ({"m.json": b'{ "learner":{"attributes"'}, "xgboost", "m.json is a model of XGBoost"),
        ({"model.pt": b"", "code/inference.py": "import sklearn"}, "pytorch", "model.pt"),
        ({"weights.pth": b""}, "pytorch", "weights.pth"),
        ({"config.json": b'{"architectures": ["X"]}', "model.safetensors": b""}, "huggingface", "config.json"),
        ({"model_index.json": b"{}"}, "huggingface", "model_index.json"),
        (
            {"code/inference.py": "from transformers import pipeline\nimport torch"},
            "huggingface",
            "imports transformers",
        ),
        ({"code/inference.py": "x = 1\nimport torch.nn"}, "pytorch", "code/inference.py imports torch"),
        ({"code/inference.py": MODEL_FN, "code/requirements.txt": "XGBoost>=2"}, "xgboost", "requirements.txt names"),
        ({"code/inference.py": MODEL_FN, "code/requirements.txt": "xgboost-extra"}, "sklearn", "no framework"),
        ({"MLmodel": "flavors:\n  python_function:\n    x: 1\n  sklearn:\n", "model.pkl": b""}, "sklearn", "MLmodel"),
        ({"inference.py": MODEL_FN, "m.onnx": b""}, "sklearn", "imports no framework"),
    ],
)
def test_the_framework_is_guessed_and_the_guess_explained(tmp_path, files, framework, why) -> None:
    found = guessing.guess(sources.of_path(tree(tmp_path / "m", files)))
    assert found.framework == framework
    assert why in found.why


@pytest.mark.parametrize(
    ("name", "hint"),
    [("m.onnx", "onnxruntime"), ("saved_model.pb", "TensorFlow"), ("m.keras", "TensorFlow"), ("x", "")],
)
def test_what_cannot_be_told_says_what_was_looked_for(tmp_path: Path, name: str, hint: str) -> None:
    with pytest.raises(
        BadInput, match=r"looked for inference\.py, a pickle .* --framework sklearn.* or --image"
    ) as error:
        guessing.guess(sources.of_path(tree(tmp_path / "m", {name: b""})))
    assert hint in str(error.value)
