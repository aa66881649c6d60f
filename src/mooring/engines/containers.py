"""What a ContainerDefinition asks for, in the engine's own terms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from mooring.errors import StartFailure
from mooring.hosting.s3_uris import bucket_and_key

MODEL_CODE_DIRECTORY = "/opt/ml/model/code"


@dataclass(frozen=True, slots=True)
class ObjectSource:
    """Model data in S3. `prefix` copies every key below it; `archive` unpacks the one object."""

    uri: str
    """As the model named it, for messages."""
    bucket: str
    key: str
    archive: bool
    prefix: bool = False


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a model: image, environment, and where its files come from."""

    image: str
    environment: dict[str, str]
    model_data: ObjectSource | None
    submit_directory: ObjectSource | None
    """SAGEMAKER_SUBMIT_DIRECTORY when it is a tarball in S3."""

    @property
    def program(self) -> str | None:
        """SAGEMAKER_PROGRAM; an empty one is an absent one."""
        return self.environment.get("SAGEMAKER_PROGRAM") or None


@dataclass(frozen=True, slots=True)
class FetchJob:
    """What the fetching child is told, as JSON. `target` exists and is empty."""

    bucket: str
    key: str
    archive: bool
    prefix: bool
    target: str
    data_root: str
    framework: str | None = None
    """Look in what was fetched for the version of this framework that made it."""


def container_of(model: dict[str, Any]) -> Container:
    """The one container of a stored model. Raises `StartFailure` for what cannot run yet, naming the field."""
    containers = model.get("Containers") or ([model["PrimaryContainer"]] if model.get("PrimaryContainer") else [])
    if len(containers) != 1:
        raise StartFailure(
            f'Model "{model.get("ModelName")}" has {len(containers)} containers; '
            f"inference pipelines and direct invocation are not supported yet."
        )
    definition = containers[0]
    if definition.get("Mode") == "MultiModel":
        raise StartFailure(
            f'Model "{model.get("ModelName")}" is a multi-model one, which is not supported yet: make a model of each '
            "archive, and a variant or an endpoint of each model."
        )
    if "Image" not in definition:
        raise StartFailure(f'Model "{model.get("ModelName")}" names no Image; model packages are not supported yet.')
    if definition.get("AdditionalModelDataSources"):
        raise StartFailure("AdditionalModelDataSources are not supported yet.")
    environment = dict(definition.get("Environment") or {})
    return Container(
        image=definition["Image"],
        environment=environment,
        model_data=model_data_of(definition),
        submit_directory=_submit_directory(environment),
    )


def model_data_of(definition: dict[str, Any]) -> ObjectSource | None:
    """Where a ContainerDefinition's model data is, or None. Raises `StartFailure` for a URL that is not S3's."""
    if url := definition.get("ModelDataUrl"):
        return object_source(url, archive=True)
    source = (definition.get("ModelDataSource") or {}).get("S3DataSource")
    if source is None:
        return None
    return object_source(
        source["S3Uri"],
        archive=source["CompressionType"] == "Gzip",
        prefix=source["S3DataType"] == "S3Prefix",
    )


def _submit_directory(environment: dict[str, str]) -> ObjectSource | None:
    value = environment.get("SAGEMAKER_SUBMIT_DIRECTORY") or MODEL_CODE_DIRECTORY
    if value.startswith("s3://"):
        return object_source(value, archive=True)
    if PurePosixPath(value) == PurePosixPath(MODEL_CODE_DIRECTORY):
        return None
    raise StartFailure(
        f"SAGEMAKER_SUBMIT_DIRECTORY={value!r}: an s3:// URI of a sourcedir.tar.gz or {MODEL_CODE_DIRECTORY} is needed."
    )


def object_source(url: str, *, archive: bool, prefix: bool = False) -> ObjectSource:
    """Parse `s3://bucket/key`, or the https form of S3. Raises `StartFailure` for other URLs."""
    found = bucket_and_key(url)
    if found is None:
        raise StartFailure(
            f'"{url}" is no address of S3: upload the data, and name it as s3://bucket/key. From elsewhere nothing '
            "is fetched."
        )
    bucket, key = found
    if not bucket or (not key and not prefix):
        raise StartFailure(f'"{url}" names no object: s3://bucket/key is needed.')
    return ObjectSource(url, bucket, key, archive, prefix)
