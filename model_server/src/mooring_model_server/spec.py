"""What a replica is told about itself, checked field by field, since it may come from another version of Mooring.

A `ReplicaSpec` is JSON in a message to the zygote or in a file for `--spec`. Every path is absolute: a script may
change the working directory. Unknown fields are ignored, so that an older model server serves a newer Mooring.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Callable, Mapping, TypeVar

FRAMEWORKS = ("sklearn", "xgboost", "pytorch", "huggingface", "mlflow", "generic")
SLACK = 64 * 1024  # a gateway refuses first, with AWS's own words
DEFAULT_BODY_LIMIT = 6 * 1024 * 1024 + SLACK
LARGEST_BODY_LIMIT = 4 * 1024 * 1024 * 1024
MOST_WORKERS = 256
LARGEST_TIMEOUT_S = 86_400.0

T = TypeVar("T")


class SpecError(ValueError):
    """A ReplicaSpec that cannot be used; the text names the field."""


@dataclass(frozen=True)
class ReplicaSpec:
    """One replica: what to serve, from where, under which environment."""

    replica_id: str
    framework: str
    model_dir: str
    work_dir: str
    run_dir: str
    code_dir: str | None = None
    program: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    command: tuple[str, ...] | None = None
    workers: int = 1
    threads: int | None = None
    """How many threads libraries may have, all workers together; None for one on each processor."""
    timeout_s: float = 60.0
    body_limit: int = DEFAULT_BODY_LIMIT
    nofile: int | None = None
    container_version: str | None = None
    """Of the AWS container that this one stands for, such as `1.2-1`, where answers depend on it."""
    made_with: Mapping[str, str] = field(default_factory=dict)
    """Distributions and versions that made the model, as far as its files tell."""

    @staticmethod
    def from_document(document: object) -> ReplicaSpec:
        """The spec in a parsed JSON document; raises SpecError."""
        if not isinstance(document, dict):
            raise SpecError("the spec is not an object")
        framework = _get(document, "framework", _text)
        if framework not in FRAMEWORKS:
            raise SpecError(f"framework must be one of {', '.join(FRAMEWORKS)}")
        return ReplicaSpec(
            replica_id=_get(document, "replica_id", _text),
            framework=framework,
            model_dir=_get(document, "model_dir", _path),
            work_dir=_get(document, "work_dir", _path),
            run_dir=_get(document, "run_dir", _path),
            code_dir=_find(document, "code_dir", _path, None),
            program=_find(document, "program", _text, None) or None,
            environment=_find(document, "environment", _environment, {}),
            command=_find(document, "command", _command, None),
            workers=_find(document, "workers", _within(1, MOST_WORKERS), 1),
            threads=_find(document, "threads", _within(1, 2**20), None),
            timeout_s=_find(document, "timeout_s", _seconds, 60.0),
            body_limit=min(_find(document, "body_limit", _within(1, 2**62), DEFAULT_BODY_LIMIT), LARGEST_BODY_LIMIT),
            nofile=_find(document, "nofile", _within(64, 2**31), None),
            container_version=_find(document, "container_version", _text, None),
            made_with=_find(document, "made_with", _environment, {}),
        )

    @staticmethod
    def from_file(path: Path) -> ReplicaSpec:
        """The spec in a JSON file; raises SpecError."""
        try:
            return ReplicaSpec.from_document(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError) as error:
            raise SpecError(f"{path}: {error}") from error


def _get(document: Mapping[str, Any], name: str, parse: Callable[[object], T]) -> T:
    if document.get(name) is None:
        raise SpecError(f"{name} is missing")
    try:
        return parse(document[name])
    except (TypeError, ValueError) as error:
        raise SpecError(f"{name} {error}") from error


def _find(document: Mapping[str, Any], name: str, parse: Callable[[object], Any], default: object) -> Any:
    return default if document.get(name) is None else _get(document, name, parse)


def _text(value: object) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("must be a string without NUL")
    os.fsencode(value)  # a lone surrogate could not be passed to the kernel
    return value


def _path(value: object) -> str:
    text = _text(value)
    if not text.startswith("/"):
        raise ValueError("must be an absolute path")
    return text


def _command(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not value:
        raise ValueError("must be a list of strings, not empty")
    words = tuple(_text(word) for word in value)
    _path(words[0])
    return words


def _environment(value: object) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("must be an object of strings")
    for name, content in value.items():
        _text(content)
        if not _text(name) or "=" in name:
            raise ValueError("has a name that is empty or holds '='")
    return dict(value)


def _within(least: int, most: int) -> Callable[[object], int]:
    def parse(value: object) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise ValueError(f"must be a whole number from {least} to {most}")
        return value

    return parse


def _seconds(value: object) -> float:
    if not isinstance(value, (int, float)) or isinstance(value, bool) or not 0 < value <= LARGEST_TIMEOUT_S:
        raise ValueError(f"must be seconds above 0, up to {LARGEST_TIMEOUT_S:.0f}")
    return float(value)
