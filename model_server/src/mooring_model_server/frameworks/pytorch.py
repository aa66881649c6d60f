"""PyTorch's container: a TorchScript file, tensors in and out, on the GPU when there is one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mooring_model_server.formats import ENCODABLE, decode_toolkit, encode
from mooring_model_server.lineages import Defaults, ToolkitModel
from mooring_model_server.negotiation import UTF8_TYPES, choose, media_type
from mooring_model_server.scripts import Functions

DEFAULT_FILE = "model.pt"
SUFFIXES = (".pt", ".pth")


def build(functions: Functions) -> ToolkitModel:
    """A model that is served by PyTorch's rules; raises ImportError without torch, when a default needs it."""
    if not (functions.transform_fn or (functions.input_fn and functions.predict_fn and functions.output_fn)):
        import torch  # noqa: F401 (so that its absence fails the start and not an invocation)
    return ToolkitModel(functions, Defaults(model_fn, input_fn, predict_fn, output_fn))


def device() -> Any:
    """Where models run."""
    import torch

    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def model_fn(model_dir: str) -> Any:
    """The TorchScript in `model.pt`, else in the only .pt or .pth file."""
    import torch

    path = Path(model_dir, DEFAULT_FILE)
    if not path.exists():
        names = sorted(file.name for file in Path(model_dir).iterdir() if file.is_file() and file.suffix in SUFFIXES)
        if len(names) != 1:
            raise ValueError(f"Exactly one .pth or .pt file is required for PyTorch models: {names}")
        path = Path(model_dir, names[0])
    try:
        return torch.jit.load(str(path), map_location=device())
    except RuntimeError as error:
        raise RuntimeError(f"Failed to load {path}. Please ensure model is saved using torchscript. {error}") from error


def input_fn(body: bytes | str, content_type: str | None) -> Any:
    """A tensor on the device."""
    import torch

    array = decode_toolkit(body, content_type)
    tensor = torch.FloatTensor(array) if media_type(content_type) in UTF8_TYPES else torch.from_numpy(array)
    return tensor.to(device())


def predict_fn(data: Any, model: Any) -> Any:
    """What the module computes, in eval mode and without gradients."""
    import torch

    with torch.no_grad():
        where = device()
        model = model.to(where)
        model.eval()
        return model(data.to(where))


def output_fn(prediction: Any, accept: str) -> tuple[bytes, str]:
    """The prediction in the first type of `accept` that can be written."""
    import torch

    if isinstance(prediction, torch.Tensor):
        prediction = prediction.detach().cpu().numpy().tolist()
    kind = choose(accept, ENCODABLE)
    return encode(prediction, kind), kind
