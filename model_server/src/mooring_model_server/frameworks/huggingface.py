"""Hugging Face's container: a transformers pipeline, its inputs as JSON, CSV, images or audio; every error is a 400."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
from pathlib import Path
from typing import Any

from mooring_model_server.contract import Answer, LoadFailure
from mooring_model_server.formats import as_bytes, as_text, encode, plain
from mooring_model_server.lineages import Defaults, ToolkitModel
from mooring_model_server.negotiation import CSV, JSON, NPY, media_type
from mooring_model_server.output import last_line
from mooring_model_server.scripts import Functions

TASK = "HF_TASK"
MODEL_ID = "HF_MODEL_ID"
CSV_HEADERS = frozenset({"inputs", "question", "context"})
TASK_OF_ARCHITECTURE = {
    "TapasForQuestionAnswering": "table-question-answering",
    "ForQuestionAnswering": "question-answering",
    "ForTokenClassification": "token-classification",
    "ForSequenceClassification": "text-classification",
    "ForMultipleChoice": "multiple-choice",
    "ForMaskedLM": "fill-mask",
    "ForCausalLM": "text-generation",
    "ForConditionalGeneration": "text2text-generation",
    "MTModel": "text2text-generation",
    "EncoderDecoderModel": "text2text-generation",
    "GPT2LMHeadModel": "text-generation",
    "T5WithLMHeadModel": "text2text-generation",
}
"""How an architecture's name ends, and what it is for; the first that fits counts."""

UNREACHABLE = (
    "HF_MODEL_ID={model}: the model is not in {cache}, and Hugging Face's hub cannot be reached ({why}). Put the "
    "model's files into the model data instead, or fill that directory where the hub can be reached and set "
    "HF_HUB_OFFLINE=1."
)  # fmt: skip
UNREACHABLE_TYPES = frozenset({"ConnectionError", "ConnectError", "ConnectTimeout", "OfflineModeIsEnabled",
                               "LocalEntryNotFoundError"})  # fmt: skip

NO_TASK = "You need to define one of the following {tasks} as env 'HF_TASK'."
BELOW = (
    "There is no config.json at the top of the model data, only {found}: pack the files themselves and not the "
    "directory that holds them."
)  # fmt: skip
NO_HEADER = (
    "You need to provide the correct CSV with Header columns to use it with the inference toolkit default handler."
)  # fmt: skip


def build(functions: Functions) -> ToolkitModel:
    """A model that is served by Hugging Face's rules; raises ImportError when a default needs transformers."""
    if functions.model_fn is None:
        import transformers  # noqa: F401
    return HuggingFaceModel(functions, Defaults(model_fn, input_fn, predict_fn, output_fn))


class HuggingFaceModel(ToolkitModel):
    """The toolkit's family, but JSON unless asked otherwise, and Multi Model Server's error document."""

    def negotiate(self, accept: str | None) -> str:
        return JSON if accept is None or accept.strip() in ("", "*/*") else accept

    def error(self, error: BaseException) -> Answer:
        document = {"code": 400, "type": "InternalServerException", "message": str(error)}
        return Answer(400, JSON, (json.dumps(document, indent=2) + "\n").encode("utf-8"))


def model_fn(model_dir: str) -> Any:
    """The pipeline for `HF_TASK`, or for the task that the model's files tell."""
    from transformers import pipeline

    hub = os.environ.get(MODEL_ID)
    here = any(Path(model_dir, name).exists() for name in ("config.json", "model_index.json"))
    if not hub and not here and (below := sorted(Path(model_dir).glob("*/config.json"))):
        raise ValueError(BELOW.format(found=below[0].relative_to(model_dir)))
    task = os.environ.get(TASK) or (None if hub and not here else infer_task(Path(model_dir)))
    if not hub or here:
        return pipeline(task=task, model=model_dir, device=_device())
    try:
        return pipeline(task=task, model=hub, device=_device())
    except Exception as error:
        if not _is_unreachable(error):
            raise
        cache = os.environ.get("HF_HOME", "~/.cache/huggingface")
        raise LoadFailure(
            "model_fn", UNREACHABLE.format(model=hub, why=last_line(error).splitlines()[0][:300], cache=cache)
        ) from error


def _is_unreachable(error: BaseException | None) -> bool:
    """Whether the hub could not be asked: its client, and transformers around it, say so in several ways."""
    while error is not None:
        if type(error).__name__ in UNREACHABLE_TYPES or "couldn't connect to" in str(error).lower():
            return True
        error = error.__cause__ or error.__context__
    return False


def infer_task(model_dir: Path) -> str:
    """The task of a model directory; raises ValueError when nothing tells it."""
    config = model_dir / "config.json"
    if config.exists():
        architectures = json.loads(config.read_text(encoding="utf-8")).get("architectures") or [""]
        for ending, task in TASK_OF_ARCHITECTURE.items():
            if architectures[0].endswith(ending):
                return task
        raise ValueError(
            f"Task couldn't be inferenced from {architectures[0]}. Inference Toolkit can only inference tasks from "
            f"architectures ending with {list(TASK_OF_ARCHITECTURE)}. Use env `HF_TASK` to define your task."
        )
    if (model_dir / "model_index.json").exists():
        return "text-to-image"
    raise ValueError(NO_TASK.format(tasks=sorted(set(TASK_OF_ARCHITECTURE.values()))))


def _device() -> int:
    try:
        import torch
    except ImportError:
        return -1
    return 0 if torch.cuda.is_available() else -1


def input_fn(body: bytes | str, content_type: str | None) -> Any:
    """The document that `predict_fn` takes apart."""
    kind = media_type(content_type) or JSON
    if kind == JSON:
        return json.loads(as_text(body))
    if kind == CSV:
        return _rows(as_text(body))
    if kind == NPY:
        import numpy as np

        return np.load(io.BytesIO(as_bytes(body)), allow_pickle=False)
    if kind.startswith("image/"):
        return {"inputs": _image(as_bytes(body))}
    if kind.startswith("audio/"):
        return {"inputs": as_bytes(body)}
    raise ValueError(f"Content type {content_type} is not supported by this framework.")


def _rows(text: str) -> dict[str, Any]:
    rows = list(csv.DictReader(io.StringIO(text)))
    if not rows or not CSV_HEADERS & set(rows[0]):
        raise ValueError(NO_HEADER)
    return {"inputs": [row["inputs"] for row in rows] if "inputs" in rows[0] else rows}


def _image(data: bytes) -> Any:
    from PIL import Image  # type: ignore[import-not-found,unused-ignore]

    return Image.open(io.BytesIO(data)).convert("RGB")


def predict_fn(data: Any, model: Any) -> Any:
    """The pipeline on `inputs` with `parameters`, or on the whole document."""
    if not isinstance(data, dict):
        return model(data)
    inputs = data.pop("inputs", data)
    parameters = data.pop("parameters", None)
    return model(inputs) if parameters is None else model(inputs, **parameters)


def output_fn(prediction: Any, accept: str) -> tuple[bytes, str]:
    """JSON without spaces, CSV, NPY or an image, whichever of `accept` comes first."""
    for part in accept.split(","):
        kind = media_type(part)
        if kind in (JSON, "*/*"):
            text = json.dumps(prediction, ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_plain)
            return text.encode("utf-8"), JSON
        if kind == CSV:
            return _table(prediction), CSV
        if kind == NPY:
            return encode(prediction, NPY), NPY
        if kind.startswith("image/"):
            return _picture(prediction, kind.partition("/")[2]), kind
    raise ValueError(f"Content type {accept} is not supported by this framework.")


def _plain(value: Any) -> Any:
    if hasattr(value, "save") and hasattr(value, "mode"):  # an image of Pillow's
        return base64.b64encode(_picture(value, "png")).decode("ascii")
    return plain(value)


def _picture(image: Any, name: str) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format="PNG" if name in ("*", "x-image") else name.upper())
    return stream.getvalue()


def _table(prediction: Any) -> bytes:
    if not isinstance(prediction, list) or not prediction or not isinstance(prediction[0], dict):
        return encode(prediction, CSV)
    stream = io.StringIO()
    writer = csv.DictWriter(stream, fieldnames=list(prediction[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(prediction)
    return stream.getvalue().encode("utf-8")
