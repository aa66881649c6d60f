"""The script: imported from its directory, its functions found and checked."""

from __future__ import annotations

import importlib.util
import inspect
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Callable, Mapping

from mooring_model_server.contract import LoadFailure
from mooring_model_server.explaining import explained, listed
from mooring_model_server.spec import ReplicaSpec

DEFAULT_PROGRAM = "inference.py"
MIXED = (
    "Cannot use transform_fn implementation in conjunction with input_fn, predict_fn, "
    "and/or output_fn implementation"
)  # fmt: skip

Function = Callable[..., Any]


@dataclass(frozen=True)
class Functions:
    """What a script defines of the contract; None where the framework's default stands in."""

    model_fn: Function | None = None
    input_fn: Function | None = None
    predict_fn: Function | None = None
    output_fn: Function | None = None
    transform_fn: Function | None = None
    pre_model_fn: Function | None = None
    model_warmup_fn: Function | None = None
    absence: str = ""
    """Why there is no model_fn: where a script was looked for, or what the script defines instead."""


NAMES = ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn", "pre_model_fn", "model_warmup_fn")


def find_functions(spec: ReplicaSpec, *, default_program: bool) -> Functions:
    """The functions of the replica's script, none when it has no script; raises LoadFailure.

    `default_program` looks for `inference.py` when no program is named, as the toolkit containers do.
    """
    places = dict.fromkeys((spec.code_dir, str(Path(spec.model_dir, "code"))))  # often the same
    directories = [path for path in places if path and Path(path).is_dir()]
    sys.path[:0] = [path for path in directories if path not in sys.path]
    program = _locate(spec, directories, default_program=default_program)
    if program is None:
        return Functions(absence=_absence(spec))
    try:
        module = _import(program)
    except BaseException as error:
        raise LoadFailure("import", explained(error, spec.model_dir, spec.code_dir)) from error
    found: dict[str, Any] = {name: getattr(module, name, None) for name in NAMES}
    functions = Functions(**found, absence="" if found["model_fn"] else _lack(program, found))
    if functions.transform_fn and (functions.input_fn or functions.predict_fn or functions.output_fn):
        raise LoadFailure("import", f"ValueError: {MIXED}")
    return functions


def _locate(spec: ReplicaSpec, directories: list[str], *, default_program: bool) -> Path | None:
    name = spec.program or (DEFAULT_PROGRAM if default_program else None)
    if name is None:
        return None
    for directory in directories:
        for candidate in (Path(directory, name), Path(directory, name + ".py")):
            if candidate.is_file():
                return candidate
    if spec.program is None:
        return None
    places = " or ".join(directories) or "any code directory: there is none"
    there = "".join(f"; there {listed(Path(directory), '*.py')}" for directory in directories)
    raise LoadFailure(
        "import", f"FileNotFoundError: the program {name} is not in {places}{there} (SAGEMAKER_PROGRAM names it)"
    )


def _lack(program: Path, found: Mapping[str, Any]) -> str:
    defined = ", ".join(name for name, function in found.items() if function is not None)
    return f"{program.name} defines {defined or 'none of the functions'}: add def model_fn(model_dir) to it."


def _absence(spec: ReplicaSpec) -> str:
    directories = dict.fromkeys(path for path in (spec.code_dir, str(Path(spec.model_dir, "code"))) if path)
    places = " nor ".join(str(Path(directory, DEFAULT_PROGRAM)) for directory in directories)
    return (
        f"There is no script: SAGEMAKER_PROGRAM is not set and there is no {places}. "
        f"Put one into the archive as code/{DEFAULT_PROGRAM}, or name it in SAGEMAKER_PROGRAM."
    )


def _import(program: Path) -> ModuleType:
    name = re.sub(r"\W", "_", program.stem)
    module_spec = importlib.util.spec_from_file_location(name, program)
    if module_spec is None or module_spec.loader is None:
        raise ImportError(f"{program} is not a Python file")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[name] = module  # pickles made by the script name their classes by this module
    module_spec.loader.exec_module(module)
    return module


def takes_context(function: Function, arguments: int) -> bool:
    """Whether a function takes one argument more than the contract names: the context."""
    try:
        return len(inspect.signature(function).parameters) == arguments + 1
    except (TypeError, ValueError):  # a builtin without a signature
        return False
