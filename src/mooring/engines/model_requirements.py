"""Where a model says which packages it needs: beside its script, or, for MLflow, in the model's own directory.

MLflow writes `requirements.txt` and `python_env.yaml`; older versions only `conda.yaml`. Those YAML files are read by
line, in the form that MLflow writes, so that Mooring needs no parser for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mooring.engines.artifacts import Artifacts
from mooring.engines.pins import Pin, name_of
from mooring.engines.recipes import read_requirements
from mooring.processes.files import read_small, write_atomically

FILE = "requirements.txt"
FROM_CONDA = "requirements-of-conda.txt"
_EXACT = re.compile(r"==\s*(\d{1,4}(?:\.\d{1,4}){1,3})")
_PYTHON = re.compile(r"^\s*-?\s*python\s*(?:[:=]+)\s*['\"]?(3\.\d{1,2})\b")


@dataclass(frozen=True, slots=True)
class ModelRequirements:
    """What a model asks for itself."""

    file: Path | None = None
    python: str | None = None
    """`3.11`, where the model names one."""

    def pin_of(self, distribution: str, aliases: tuple[str, ...]) -> Pin | None:
        """What the file says of a distribution or one of its aliases; None where it does not name it.

        Raises `EnvironmentFailure` for what is no file of requirements.
        """
        lines = read_requirements(self.file) if self.file is not None else ""
        for line in lines.splitlines():
            if name_of(line) in (distribution, *aliases):
                exact = _EXACT.search(line)
                return Pin(distribution, exact[1] if exact else None)
        return None


def of_script(artifacts: Artifacts) -> ModelRequirements:
    """`requirements.txt` beside the script."""
    file = artifacts.code_dir / FILE if artifacts.code_dir is not None else None
    return ModelRequirements(file if file is not None and file.is_file() else None)


def of_command(artifacts: Artifacts) -> ModelRequirements:
    """Wherever the model has one: beside its script, or at its top."""
    found = of_script(artifacts)
    return found if found.file is not None else of_mlflow(artifacts.model_dir)


def of_mlflow(model_dir: Path) -> ModelRequirements:
    """What MLflow wrote into the model's directory."""
    python = next(_pythons(model_dir), None)
    if (model_dir / FILE).is_file():
        return ModelRequirements(model_dir / FILE, python)
    packages = list(_pip_of_conda(_lines(model_dir / "conda.yaml")))
    if not packages:
        return ModelRequirements(None, python)
    write_atomically(model_dir / FROM_CONDA, "".join(f"{package}\n" for package in packages).encode())
    return ModelRequirements(model_dir / FROM_CONDA, python)


def _pythons(model_dir: Path) -> Iterator[str]:
    for name in ("python_env.yaml", "conda.yaml"):
        for line in _lines(model_dir / name):
            if found := _PYTHON.match(line):
                yield found[1]


def _pip_of_conda(lines: list[str]) -> Iterator[str]:
    """The items of the list below `- pip:`."""
    depth: int | None = None
    for line in lines:
        indent = len(line) - len(line.lstrip())
        item = re.match(r"\s*-\s+(.*\S)", line)
        if re.match(r"\s*-\s*pip:\s*$", line):
            depth = indent
        elif depth is not None and item is not None and indent > depth:
            yield item[1].strip("'\"")
        elif depth is not None and line.strip():
            return


def _lines(path: Path) -> list[str]:
    try:
        return read_small(path).decode("utf-8", "replace").splitlines()
    except OSError:
        return []
