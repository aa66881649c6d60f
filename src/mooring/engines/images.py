"""From an image URI to what can serve it here.

Guarantees: an image that cannot run here is refused with a sentence that names the URI and the reason, before
anything is fetched. Repositories are matched by name, whatever the account and region, as people copy URIs between
both.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
import re
from dataclasses import dataclass
from functools import cache

from mooring.engines.prebuilt import table
from mooring.errors import StartFailure

_MODULES = {"sklearn": "sklearn", "xgboost": "xgboost", "pytorch": "torch", "huggingface": "transformers"}
_DISTRIBUTIONS = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "pytorch": ("torch",),
    "huggingface": ("transformers",),
}
_NOT_HERE = {"huggingface-tensorflow-inference", "sagemaker-pytorch"}  # another framework, or another contract


@dataclass(frozen=True, slots=True)
class Runtime:
    """What serves an image: one of the model server's frameworks."""

    framework: str
    """`sklearn`, `xgboost`, `pytorch` or `huggingface`."""
    requirements: tuple[str, ...]
    """The framework as installed here, pinned: what an environment of a model's own starts from."""


def runtime_of(image: str) -> Runtime:
    """What runs `image` on this machine. Raises `StartFailure` saying why nothing does."""
    repository = _repository(image)
    framework = _frameworks().get(repository)
    if framework is None:
        raise StartFailure(
            f'Image "{image}" cannot run here: containers are not supported yet, and its repository '
            f'"{repository}" is none of AWS\'s prebuilt images that run as processes '
            f"({', '.join(sorted(_MODULES))})."
        )
    if framework not in _MODULES or repository in _NOT_HERE:
        raise StartFailure(
            f'Image "{image}" cannot run here: its framework ({framework}) needs a container, and '
            f"containers are not supported yet."
        )
    if importlib.util.find_spec(_MODULES[framework]) is None:
        raise StartFailure(
            f'Image "{image}" cannot run here: {_DISTRIBUTIONS[framework][0]} is not installed beside '
            f"Mooring. Install it in the same environment and try again."
        )
    return Runtime(framework, _pins(framework))


def _repository(image: str) -> str:
    """The repository's name without registry, tag and digest."""
    name = image.split("@", 1)[0]
    name = name.rsplit("/", 1)[-1]
    return re.sub(r":[A-Za-z0-9._-]*$", "", name)


def _pins(framework: str) -> tuple[str, ...]:
    for name in _DISTRIBUTIONS[framework]:
        try:
            return (f"{name}=={importlib.metadata.version(name)}",)
        except importlib.metadata.PackageNotFoundError:
            continue
    return (_DISTRIBUTIONS[framework][0],)


@cache
def _frameworks() -> dict[str, str]:
    """Framework by repository, from the table of AWS's prebuilt images."""
    return {group["repository"]: group["framework"] for group in table()["images"]}
