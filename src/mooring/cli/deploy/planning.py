"""From what was asked and found to the requests of AWS's operations: those that are sent, and those that are shown.

Names of models and configs end in a digest of what they say, and keys in S3 hold the archive's. So a deployment that
changed never meets what an earlier one left, and one that did not change finds it.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mooring.cli.deploy.guessing import FRAMEWORKS
from mooring.cli.deploy.packing import Archive
from mooring.cli.deploy.sources import ARCHIVES, Source
from mooring.errors import BadInput

LONGEST_NAME = 63
LONE_VARIANT = "AllTraffic"
"""What the SageMaker SDK calls the variant of an endpoint that has one."""
SUBMIT_DIRECTORY = "/opt/ml/model/code"
_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*")
_DIGEST = 8
_KEY_DIGEST = 16
_VARIABLE = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")


@dataclass(frozen=True, slots=True)
class Wanted:
    """One model behind the endpoint, as it was asked for."""

    variant: str
    given: str
    weight: float | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What was asked for. `frameworks` and `images` are by variant; the name "" is for all of them."""

    wanted: tuple[Wanted, ...]
    name: str
    instance_type: str
    instances: int = 1
    frameworks: Mapping[str, str] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    role: str | None = None
    bucket: str | None = None


@dataclass(frozen=True, slots=True)
class Model:
    """One model of a plan, with everything that its requests need."""

    wanted: Wanted
    source: Source
    archive: Archive | None
    """None for what is in S3 already."""
    bucket: str
    key: str
    framework: str | None
    """None for an image that the caller named."""
    name: str
    container: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything that is to be made."""

    url: str
    region: str
    default_region: str
    """The server's own, of calls that name none."""
    role: str
    endpoint: str
    config: str
    bucket: str
    makes_bucket: bool
    models: tuple[Model, ...]
    variants: list[dict[str, Any]]

    def model_request(self, model: Model) -> dict[str, Any]:
        """CreateModel."""
        return {"ModelName": model.name, "ExecutionRoleArn": self.role, "PrimaryContainer": model.container}

    def config_request(self) -> dict[str, Any]:
        """CreateEndpointConfig."""
        return {"EndpointConfigName": self.config, "ProductionVariants": self.variants}

    def endpoint_request(self) -> dict[str, Any]:
        """CreateEndpoint."""
        return {"EndpointName": self.endpoint, "EndpointConfigName": self.config}


def wanted_of(source: str | None, variants: list[str]) -> tuple[Wanted, ...]:
    """One source, or several `NAME=SOURCE[:WEIGHT]`. Raises `BadInput`."""
    if (source is None) == (not variants):
        raise BadInput(
            "name what to deploy: a directory, file or s3:// URI, or several as --variant NAME=SOURCE:WEIGHT"
        )
    if source is not None:
        return (Wanted(LONE_VARIANT, _expanded(source)),)
    found = tuple(_variant(text) for text in variants)
    names = [each.variant.lower() for each in found]
    if len(set(names)) < len(names):
        raise BadInput("--variant: two of them have the same name")
    return found


def _variant(text: str) -> Wanted:
    name, equals, source = text.partition("=")
    if not equals or not source:
        raise BadInput(f"--variant {text!r}: NAME=SOURCE or NAME=SOURCE:WEIGHT is needed")
    given, colon, weight = source.rpartition(":")
    if not colon or not re.fullmatch(r"\d+(\.\d+)?", weight):
        given, weight = source, "1"
    return Wanted(checked_name(name, "--variant"), _expanded(given), float(weight))


def _expanded(given: str) -> str:
    """Within `NAME=~/models` no shell has put the home directory in."""
    return str(Path(given).expanduser()) if given.startswith("~") else given


def by_variant(flag: str, texts: list[str], wanted: tuple[Wanted, ...]) -> dict[str, str]:
    """`VALUE` for all variants and `VARIANT=VALUE` for one. Raises `BadInput`."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.rpartition("=")
        if equals and name not in [each.variant for each in wanted]:
            raise BadInput(f"{flag} {text!r}: there is no variant {name!r}")
        found[name] = value
    return found


def frameworks_of(texts: list[str], wanted: tuple[Wanted, ...]) -> dict[str, str]:
    """`--framework` by variant. Raises `BadInput`."""
    found = by_variant("--framework", texts, wanted)
    for framework in found.values():
        if framework not in FRAMEWORKS:
            raise BadInput(f"--framework {framework!r}: one of {', '.join(FRAMEWORKS)}, or an image with --image URI")
    return found


def variables_of(texts: list[str]) -> dict[str, str]:
    """`KEY=VALUE` pairs. Raises `BadInput`."""
    found: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not _VARIABLE.fullmatch(name):
            raise BadInput(f"--env {text!r}: KEY=VALUE is needed")
        found[name] = value
    return found


def checked_name(name: str, flag: str) -> str:
    """`name` when AWS would take it. Raises `BadInput`."""
    if len(name) > LONGEST_NAME or not _NAME.fullmatch(name):
        raise BadInput(f"{flag} {name!r}: letters, digits and hyphens are needed, {LONGEST_NAME} at the most")
    return name


def name_of(given: str) -> str:
    """The endpoint's name where none was given: that of the directory or file, made valid."""
    path = urlsplit(given).path if given.startswith("s3://") else str(Path(given).absolute())
    parts = [part for part in Path(path).parts if part != "/"] or ["model"]
    ending = next((each for each in ARCHIVES if parts[-1].endswith(each)), "")
    stem = parts[-1].removesuffix(ending)
    if ending:
        # `…/iris-job/output/model.tar.gz`, as training jobs write it, says more by a directory.
        telling = (part for part in (stem, *reversed(parts[:-1])) if part not in ("model", "output"))
        stem = next(telling, stem)
    elif not Path(given).is_dir():
        stem = Path(stem).stem
    name = re.sub(r"[^a-zA-Z0-9]+", "-", stem)[:LONGEST_NAME].strip("-")
    return name or "model"


def container_of(order: Order, source: Source, image: str, data_uri: str, *, program: str | None) -> dict[str, Any]:
    """PrimaryContainer."""
    script = {"SAGEMAKER_PROGRAM": program, "SAGEMAKER_SUBMIT_DIRECTORY": SUBMIT_DIRECTORY} if program else {}
    container: dict[str, Any] = {"Image": image}
    if source.kind == "s3 prefix":
        data = {"S3Uri": data_uri, "S3DataType": "S3Prefix", "CompressionType": "None"}
        container["ModelDataSource"] = {"S3DataSource": data}
    else:
        container["ModelDataUrl"] = data_uri
    environment = {**script, **order.environment}
    return {**container, "Environment": environment} if environment else container


def key_of(endpoint: str, archive: Archive) -> str:
    """Where an archive goes in the bucket."""
    return f"{endpoint}/{archive.digest[:_KEY_DIGEST]}/model.tar.gz"


def model_name(order: Order, wanted: Wanted, container: Mapping[str, Any], role: str) -> str:
    """The model's name, with a digest of all that it says."""
    parts = (order.name,) if len(order.wanted) == 1 else (order.name, wanted.variant)
    return _with_digest(parts, {"container": container, "role": role})


def variants_of(order: Order, names: list[str]) -> list[dict[str, Any]]:
    """ProductionVariants, for models of these names."""
    found: list[dict[str, Any]] = []
    for wanted, name in zip(order.wanted, names, strict=True):
        variant = {
            "VariantName": wanted.variant,
            "ModelName": name,
            "InitialInstanceCount": order.instances,
            "InstanceType": order.instance_type,
        }
        if wanted.weight is not None:
            variant["InitialVariantWeight"] = wanted.weight
        found.append(variant)
    return found


def config_name(order: Order, variants: list[dict[str, Any]]) -> str:
    """The config's name, with a digest of all that it says."""
    return _with_digest((order.name,), {"variants": variants})


def _with_digest(parts: tuple[str, ...], document: Mapping[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()[:_DIGEST]
    return f"{'-'.join(parts)[: LONGEST_NAME - _DIGEST - 1].rstrip('-')}-{digest}"
