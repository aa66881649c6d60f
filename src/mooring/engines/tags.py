"""What an image's tag says about its content: versions, Python, processor.

Tags are read leniently: `2.6`, `2.6.0` and `2.6.0-cpu-py312-ubuntu22.04-sagemaker` name the same PyTorch, and what a
tag does not say is None. Where it says `py3` only, or nothing, the Python comes from the table of AWS's prebuilt
images.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from mooring.engines.prebuilt import table

_VERSION = re.compile(r"(\d+(?:\.\d+)+)(?:-(\d+)(?=-|$))?(?=-|$)")
_TRANSFORMERS = re.compile(r"(?:^|-)transformers(\d+(?:\.\d+)+)(?=-|$)")
_PYTHON = re.compile(r"(?:^|-)py(?:3(\d+)|(2))(?=-|$|7)")
_PROCESSOR = re.compile(r"(?:^|-)(cpu|gpu|cu\d+|cuda)(?=-|$)")
_FIRST_XGBOOST = "xgboost"
"""Before there was sagemaker-xgboost; its tags `1` and `latest` are both of version 0.72."""
_LONGEST = 128  # as in the registry's own rule for tags


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag taken apart."""

    version: str | None = None
    """Of the framework that the repository is named after: `1.2`, `2.6.0`."""
    revision: int | None = None
    """Of the container: 1 in `1.2-1`."""
    transformers: str | None = None
    python: str | None = None
    """`3.9`"""
    gpu: bool = False


NO_TAG = Tag()


def parse(repository: str, tag: str) -> Tag:
    """What `tag` says of an image in `repository`."""
    if repository == _FIRST_XGBOOST:
        return Tag(version="0.72", revision=1)
    if len(tag) > _LONGEST:
        return NO_TAG
    named = _VERSION.match(tag)
    transformers = _TRANSFORMERS.search(tag)
    processor = _PROCESSOR.search(tag)
    return Tag(
        version=named[1] if named else None,
        revision=int(named[2]) if named and named[2] else None,
        transformers=transformers[1] if transformers else None,
        python=_python(tag) or _known_python(repository, tag),
        gpu=processor is not None and processor[1] != "cpu",
    )


def release(version: str) -> tuple[int, int]:
    """Major and minor, by which versions are compared: `1.2.2` and `1.2` are the same release."""
    found = re.match(r"(\d{1,6})(?:\.(\d{1,6}))?", version)
    return (int(found[1]), int(found[2] or 0)) if found else (0, 0)


def _python(tag: str) -> str | None:
    found = _PYTHON.search(tag)
    if found is None:
        return None
    return f"3.{found[1]}" if found[1] else "2.7"


def _known_python(repository: str, tag: str) -> str | None:
    """The Python of the version, or alias of one, that `tag` begins with."""
    found: dict[str, str] = {}
    for group in table()["images"]:
        if group["repository"] == repository:
            for version in group["versions"]:
                if version["python"] and version["python"] != "2.7":  # those tags say so themselves
                    found.update(dict.fromkeys((version["version"], *version.get("aliases", ())), version["python"]))
    names = [name for name in found if tag == name or tag.startswith(f"{name}-")]
    return found[max(names, key=len)] if names else None
