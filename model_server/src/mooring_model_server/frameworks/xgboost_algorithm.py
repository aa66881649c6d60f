"""XGBoost's container without a script: the built-in algorithm serves `xgboost-model`.

The output has the shape of the image's version: up to 1.2-1 one line joined by commas, whatever was asked for; since
then CSV has a value a line and JSON is `{"predictions": [{"score": ...}]}`, also where the version is not known.
`SAGEMAKER_INFERENCE_OUTPUT` (selectable inference) is refused when the model is loaded, since ignoring it would answer
with something else than was asked.
"""

from __future__ import annotations

import json
import os
import pickle
import re
from pathlib import Path
from typing import Any, Mapping, Sequence

from mooring_model_server.contract import TEXT, Answer, Invocation, LoadFailure, Model
from mooring_model_server.frameworks.matrices import LIBSVM_TYPES, matrix
from mooring_model_server.lineages import log
from mooring_model_server.negotiation import (
    CSV,
    JSON,
    JSON_LINES,
    UnsupportedFormatError,
    choose,
    media_type,
    wanted,
    with_charset,
)
from mooring_model_server.output import last_line

ENSEMBLE = "SAGEMAKER_INFERENCE_ENSEMBLE"
SELECTABLE = "SAGEMAKER_INFERENCE_OUTPUT"
BATCH = "SAGEMAKER_BATCH"
MAX_CONTENT_LENGTH = "MAX_CONTENT_LENGTH"
VOTING = ("multi:softmax", "binary:hinge")
INPUTS = (CSV, *LIBSVM_TYPES)
OUTPUTS = (JSON, JSON_LINES, CSV)
LAST_OF_ONE_LINE = (1, 2, 1)


def load(model_dir: str, container_version: str | None) -> Model:
    """The boosters in a model directory; raises LoadFailure."""
    if os.environ.get(SELECTABLE):
        raise LoadFailure("model", f"ValueError: {SELECTABLE} is not supported; a script can select what it returns")
    try:
        one_line = container_version is not None and _numbers(container_version) <= LAST_OF_ONE_LINE
        return AlgorithmModel([_booster(path) for path in _files(Path(model_dir))], one_line=one_line)
    except LoadFailure:
        raise
    except ImportError as error:
        raise LoadFailure("framework", f"{last_line(error)} (xgboost is not installed here)") from error
    except Exception as error:
        raise LoadFailure("model", last_line(error)) from error


def _numbers(container_version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]{1,9}", container_version))


def _files(model_dir: Path) -> Sequence[Path]:
    files = sorted(path for path in model_dir.iterdir() if path.is_file() and not path.name.startswith("."))
    if not files:
        raise LoadFailure("model", f"FileNotFoundError: there is no model file in {model_dir}")
    return files if os.environ.get(ENSEMBLE, "true").lower() == "true" else files[:1]


def _booster(path: Path) -> Any:
    import xgboost

    data = path.read_bytes()
    try:
        model = pickle.loads(data)  # noqa: S301 (the model is the user's own, as its script would be)
    except Exception as no_pickle:  # noqa: BLE001 (not a pickle: any error may come of it)
        model = xgboost.Booster()
        try:
            model.load_model(bytearray(data))
        except Exception as no_model:
            raise ValueError(
                f"{path.name} is neither a model that xgboost {xgboost.__version__} reads ({_line(no_model)}) "
                f"nor a pickle that loads here ({_line(no_pickle)})"
            ) from no_model
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if not isinstance(booster, xgboost.Booster):
        raise TypeError(f"{path.name} is a pickled {type(model).__name__} and no booster: a script can serve it")
    booster.set_param({"nthread": 1})
    return booster


def _line(error: Exception) -> str:
    return last_line(error).partition("\n")[0]


class AlgorithmModel(Model):
    """One booster, or several whose predictions are averaged (or voted on, when they are classes)."""

    def __init__(self, boosters: Sequence[Any], *, one_line: bool) -> None:
        self._boosters = boosters
        self._one_line = one_line
        self._columns = _columns(boosters[0])
        self._votes = len(boosters) > 1 and _objective(boosters[0]) in VOTING

    def execution_parameters(self) -> Mapping[str, object]:
        limit = os.environ.get(MAX_CONTENT_LENGTH, "")
        megabytes = int(limit) // 1024**2 if limit.isdigit() else 6
        return {"MaxConcurrentTransforms": 1, "BatchStrategy": "MULTI_RECORD", "MaxPayloadInMB": megabytes}

    def invoke(self, invocation: Invocation) -> Answer:
        if not invocation.body:
            return Answer(204, None, b"")
        content_type = invocation.content_type or LIBSVM_TYPES[0]
        try:
            accept = CSV if self._one_line else choose(wanted(invocation.accept, CSV), OUTPUTS, CSV)
        except UnsupportedFormatError as error:
            text = f"Accept type {error.args[0].split()[2]} is not supported; these are: {', '.join(OUTPUTS)}"
            return _refusal(406, text, error)
        try:
            data = matrix(invocation.body, content_type, self._columns)
        except UnsupportedFormatError as error:
            text = f"Content-type {media_type(content_type)} is not supported; these are: {', '.join(INPUTS)}"
            return _refusal(415, text, error)
        except Exception as error:  # noqa: BLE001 (whatever a parser makes of a hostile body)
            return _refusal(415, f"Unable to parse the payload as {content_type}: {last_line(error)}", error)
        try:
            self._check_columns(data, media_type(content_type))
            predictions = self._predict(data)
            return _one_line(predictions) if self._one_line else _answer(predictions, accept)
        except Exception as error:  # noqa: BLE001
            return _refusal(400, f"Unable to evaluate payload provided: {error}", error)

    def _check_columns(self, data: Any, kind: str) -> None:
        if self._columns is None:
            return
        given = int(data.num_col())
        if kind in LIBSVM_TYPES and given > self._columns:
            raise ValueError(
                f"Feature size of {kind} inference data {given} is larger than "
                f"feature size of trained model {self._columns}."
            )
        if kind == CSV and given != self._columns:
            raise ValueError(
                f"Feature size of {kind} inference data {given} is not consistent with "
                f"feature size of trained model {self._columns}."
            )

    def _predict(self, data: Any) -> Any:
        import numpy as np

        every = [booster.predict(data, validate_features=False) for booster in self._boosters]
        if len(every) == 1:
            return every[0]
        stacked = np.stack(every)
        return np.apply_along_axis(_most_frequent, 0, stacked) if self._votes else stacked.mean(axis=0)


def _columns(booster: Any) -> int | None:
    """How many features the model has; versions before 1.5 know that of a pickle only, by their names."""
    if hasattr(booster, "num_features"):
        return int(booster.num_features())
    return None if booster.feature_names is None else len(booster.feature_names)


def _objective(booster: Any) -> str:
    config = json.loads(booster.save_config()) if hasattr(booster, "save_config") else {}
    return str(config.get("learner", {}).get("objective", {}).get("name"))


def _most_frequent(votes: Any) -> float:
    import numpy as np

    values, counts = np.unique(votes, return_counts=True)
    return float(values[counts.argmax()])


def _one_line(predictions: Any) -> Answer:
    scores = [str(score) for score in predictions.tolist()]
    text = "\n".join(scores) + "\n" if os.environ.get(BATCH) else ",".join(scores)
    return Answer(200, with_charset(CSV), text.encode("utf-8"))


def _answer(predictions: Any, accept: str) -> Answer:
    scores = predictions.tolist()
    if accept == JSON:
        text = json.dumps({"predictions": [{"score": score} for score in scores]})
    elif accept == JSON_LINES:
        text = "".join(json.dumps({"score": score}) + "\n" for score in scores)
    else:
        lines = [",".join(map(str, score)) if isinstance(score, list) else str(score) for score in scores]
        text = "\n".join(lines) + ("" if os.environ.get(BATCH) else "\n")
    return Answer(200, with_charset(accept), text.encode("utf-8"))


def _refusal(status: int, text: str, error: BaseException) -> Answer:
    log(error)
    return Answer(status, TEXT, text.encode("utf-8", "backslashreplace"))
