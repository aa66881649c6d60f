"""From a spec to a loaded model: the framework decides the family, the defaults, and whether a script is needed."""

from __future__ import annotations

from importlib import import_module
from typing import Callable, cast

from mooring_model_server.contract import LoadFailure, Model
from mooring_model_server.lineages import ContainersModel, ToolkitModel
from mooring_model_server.output import last_line
from mooring_model_server.scripts import Functions, find_functions
from mooring_model_server.spec import ReplicaSpec


def load(spec: ReplicaSpec) -> Model:
    """The loaded model of a replica; raises LoadFailure whose cause is the original error."""
    if spec.framework == "xgboost" and not spec.program:
        return cast("Model", _framework("xgboost_algorithm", "load")(spec.model_dir, spec.container_version))
    if spec.framework == "mlflow":
        return cast("Model", _framework("mlflow", "load")(spec.model_dir))
    functions = find_functions(spec, default_program=spec.framework != "xgboost")
    build = cast("Callable[[Functions], ContainersModel | ToolkitModel]", _framework(MODULES[spec.framework], "build"))
    try:
        model = build(functions)
    except ImportError as error:
        raise LoadFailure("framework", f"{last_line(error)} ({spec.framework} is not installed here)") from error
    model.load(spec.model_dir)
    return model


MODULES = {
    "sklearn": "scikit_learn",
    "xgboost": "xgboost_script",
    "pytorch": "pytorch",
    "huggingface": "huggingface",
    "generic": "generic",
}


def _framework(module: str, name: str) -> Callable[..., object]:
    return cast("Callable[..., object]", getattr(import_module(f"mooring_model_server.frameworks.{module}"), name))
