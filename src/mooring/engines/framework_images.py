"""Which of AWS's prebuilt images a framework is best deployed with: for people who name a framework and no image."""

from __future__ import annotations

import importlib.metadata
import re
from collections.abc import Iterator
from dataclasses import dataclass

from mooring.engines.prebuilt import table
from mooring.errors import NotFound

HOME_REGION = "us-east-1"
"""Where every image is; taken for a region that AWS does not have."""
_REPOSITORIES = {
    "sklearn": "sagemaker-scikit-learn",
    "xgboost": "sagemaker-xgboost",
    "pytorch": "pytorch-inference",
    "huggingface": "huggingface-pytorch-inference",
}
_DISTRIBUTIONS = {
    "sklearn": ("scikit-learn",),
    "xgboost": ("xgboost-cpu", "xgboost"),
    "pytorch": ("torch",),
    "huggingface": ("transformers",),
}


@dataclass(frozen=True, slots=True)
class PrebuiltImage:
    """One image of a framework."""

    image: str
    """Its URI."""
    version: str
    """Of the framework, as AWS counts it."""
    installed: str | None
    """The framework's version beside Mooring; None when it is not there."""


def image_of(framework: str, region: str, processor: str) -> PrebuiltImage:
    """The image with the version that is installed here, else the newest one. Raises `NotFound`."""
    repository = _REPOSITORIES.get(framework)
    if repository is None:
        raise NotFound(f'There is no prebuilt image for "{framework}", only for {", ".join(_REPOSITORIES)}.')
    installed = _installed(framework)
    found = list(_tags(repository, processor)) or list(_tags(repository, "cpu"))
    alike = [each for each in found if installed is not None and _release(each[0]) == _release(installed)]
    version, tag, registries = (alike or found)[-1]
    return PrebuiltImage(_uri(repository, tag, registries, region), version, installed)


def _tags(repository: str, processor: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Version, tag and registries by region, oldest first, of what runs on `processor`."""
    for group in table()["images"]:
        if group["repository"] != repository or group["scope"] != ["inference"]:
            continue
        for version in group["versions"]:
            for tag in version["tags"]:
                if processor in (version.get("processors") or ["cpu"]) and _fits(tag, processor):
                    yield version["version"], tag, group["registries"]


def _fits(tag: str, processor: str) -> bool:
    named = [each for each in ("cpu", "gpu") if each in tag.split("-")]
    return not named or processor in named


def _uri(repository: str, tag: str, registries: dict[str, str], region: str) -> str:
    region = region if region in registries else HOME_REGION
    suffixes = table()["dns_suffixes"]
    suffix = next((name for name, regions in suffixes.items() if region in regions), "amazonaws.com")
    template: str = table()["uri_template"]
    return template.format(account=registries[region], region=region, dns_suffix=suffix, repository=repository, tag=tag)


def _release(version: str) -> list[str]:
    """Major and minor, in which AWS's tags and a framework's own versions agree."""
    return re.findall(r"\d+", version)[:2]


def _installed(framework: str) -> str | None:
    for name in _DISTRIBUTIONS[framework]:
        try:
            return importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return None
