"""Which of AWS's prebuilt containers serves a model, told from names, imports and plain text: nothing is loaded.

What says it outright comes first (MLflow's and transformers' own files, a framework's own format), then what a pickle
names first, then what the script imports. A guess says what it was made from, so that a wrong one is seen at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath

from mooring.cli.deploy.sources import CODE, SCRIPT, Source
from mooring.errors import BadInput

FRAMEWORKS = ("sklearn", "xgboost", "pytorch", "huggingface")
PICKLES = (".joblib", ".pkl", ".pickle")
_FLAVORS = {"transformers": "huggingface", "pytorch": "pytorch", "xgboost": "xgboost", "sklearn": "sklearn"}
_MODULES = {
    "transformers": "huggingface",
    "diffusers": "huggingface",
    "torch": "pytorch",
    "xgboost": "xgboost",
    "sklearn": "sklearn",
    "joblib": "sklearn",
}
"""What a script imports; the first of these that it does counts."""
_DISTRIBUTIONS = {"transformers": "huggingface", "torch": "pytorch", "xgboost": "xgboost", "scikit-learn": "sklearn"}
_CLASS = re.compile(rb"(?<![a-z_.])(sklearn|xgboost|torch)\.[a-z_.]{0,60}")
_IMPORT = re.compile(rb"^\s*(?:import|from)\s+([A-Za-z0-9_]+)", re.MULTILINE)
_CANNOT = {
    ".onnx": "no prebuilt image serves ONNX by itself, but a script that opens it with onnxruntime",
    ".pb": "TensorFlow's images need a container, and containers do not run here",
    ".h5": "TensorFlow's images need a container, and containers do not run here",
    ".keras": "TensorFlow's images need a container, and containers do not run here",
}


@dataclass(frozen=True, slots=True)
class Guess:
    """A framework, and what was seen."""

    framework: str
    why: str


def guess(source: Source) -> Guess:
    """What serves `source`. Raises `BadInput` saying what was looked for."""
    for evidence in EVIDENCE:
        if (found := evidence(source)) is not None:
            return found
    ends = {PurePosixPath(name).suffix for name in source.heads}
    reason = next((f" ({why})" for end, why in _CANNOT.items() if end in ends), "")
    raise BadInput(
        f"cannot tell what serves {source.given}{reason}: looked for {SCRIPT}, a pickle ({', '.join(PICKLES)}), "
        "XGBoost's xgboost-model, .ubj and .json, PyTorch's .pt and .pth, the config.json of transformers, and "
        f"MLmodel; say it with --framework {'|'.join(FRAMEWORKS)}, or --image URI"
    )


def pickles(source: Source) -> list[str]:
    """The pickled models at the top."""
    return [name for name in source.heads if "/" not in name and name.endswith(PICKLES)]


def _mlflow(source: Source) -> Guess | None:
    text = source.heads.get("MLmodel", b"")
    flavors = re.findall(rb"^\s+(\w+):", text, re.MULTILINE)
    for flavor, framework in _FLAVORS.items():
        if flavor.encode() in flavors:
            return Guess(framework, f"MLmodel names the flavor {flavor}")
    return None


def _transformers_files(source: Source) -> Guess | None:
    if any(word in source.heads.get("config.json", b"") for word in (b'"architectures"', b'"transformers_version"')):
        return Guess("huggingface", "config.json is one of transformers")
    return Guess("huggingface", "model_index.json is one of diffusers") if "model_index.json" in source.heads else None


def _torch_files(source: Source) -> Guess | None:
    return next((Guess("pytorch", name) for name in _at_top(source) if name.endswith((".pt", ".pth"))), None)


def _xgboost_files(source: Source) -> Guess | None:
    for name in _at_top(source):
        if name == "xgboost-model" or name.endswith((".ubj", ".bst")):
            return Guess("xgboost", name)
        if name.endswith(".json") and source.heads[name].lstrip()[:200].replace(b" ", b"").startswith(b'{"learner"'):
            return Guess("xgboost", f"{name} is a model of XGBoost")
    return None


def _pickled_class(source: Source) -> Guess | None:
    for name in pickles(source):
        found = _CLASS.search(source.heads[name])
        if found is not None:
            return Guess(_MODULES[found[1].decode()], f"{name} names {found[0].decode().rstrip('.')}")
    return None


def _imports(source: Source) -> Guess | None:
    imported = {module: name for name, module in _imported(source)}
    for module, framework in _MODULES.items():
        if module in imported:
            return Guess(framework, f"{imported[module]} imports {module}")
    return None


def _imported(source: Source) -> Iterator[tuple[str, str]]:
    for name, head in source.heads.items():
        if name.startswith(f"{CODE}/") and name.endswith(".py"):
            yield from ((name, module.decode()) for module in _IMPORT.findall(head))


def _requirements(source: Source) -> Guess | None:
    text = source.heads.get(f"{CODE}/requirements.txt", b"").decode("utf-8", "replace")
    for distribution, framework in _DISTRIBUTIONS.items():
        if re.search(rf"(?im)^\s*{distribution}(?![\w-])", text):
            return Guess(framework, f"code/requirements.txt names {distribution}")
    return None


def _pickle_suffix(source: Source) -> Guess | None:
    return next((Guess("sklearn", f"{name}, a pickle") for name in pickles(source)), None)


def _any_script(source: Source) -> Guess | None:
    if source.program is None:
        return None
    return Guess("sklearn", f"code/{source.program} imports no framework, and the smallest image runs it")


def _at_top(source: Source) -> list[str]:
    return [name for name in source.heads if "/" not in name]


EVIDENCE: tuple[Callable[[Source], Guess | None], ...] = (
    _mlflow,
    _transformers_files,
    _torch_files,
    _xgboost_files,
    _pickled_class,
    _imports,
    _requirements,
    _pickle_suffix,
    _any_script,
)
