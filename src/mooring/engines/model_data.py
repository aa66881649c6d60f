"""Whether a model's data is where the model says: AWS asks that at CreateModel, so that it does not fail minutes later.

Only names and regions are looked at, nothing is fetched. Reads are bounded in time and in number; what cannot be told
because S3 does not answer is `Unavailable`, which clients repeat, and never a refusal.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from mooring.engines.containers import ObjectSource, model_data_of
from mooring.errors import Refused, StartFailure, Unavailable
from mooring.hosting.model_rules import containers_of
from mooring.objects.client import OWN_STORE, S3Source, SourceError, open_source
from mooring.paths import Paths
from mooring.settings import Settings

READ_TIMEOUT_S = 5.0
CHECKS_AT_ONCE = 4
_ABSENT = ("NoSuchKey", "NoSuchBucket")


class ModelDataCheck:
    """Looks at S3 from threads of its own: a slow one must not hold up those of others."""

    def __init__(self, settings: Settings, paths: Paths) -> None:
        self._source = open_source(settings, paths, READ_TIMEOUT_S)
        self._embedded = not settings.objects.endpoint_url
        self._threads = ThreadPoolExecutor(CHECKS_AT_ONCE, thread_name_prefix="model-data")

    async def require(self, model: dict[str, Any], region: str) -> None:
        """Raises `Refused` in AWS's words when data is missing, or not to be read from `region`; or `Unavailable`."""
        for definition in containers_of(model):
            source = _source(definition)
            if source is not None:
                multi = definition.get("Mode") == "MultiModel"
                await asyncio.get_running_loop().run_in_executor(
                    self._threads, self._look, source, multi, region, model.get("ExecutionRoleArn")
                )

    def close(self) -> None:
        """Begin no more checks."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _look(self, source: ObjectSource, multi: bool, region: str, role: str | None) -> None:
        advice = ""
        try:
            # Only the embedded store's regions are this server's own; elsewhere they may mean anything.
            if self._embedded:
                advice = f" There is no such bucket: {OWN_STORE}."
                if self._source.region_of(source.bucket) != region:
                    raise Refused(_no_access(source, region, role))
                advice = ""
            _find(self._source, source, multi)
        except SourceError as error:
            if error.code in _ABSENT:
                raise Refused(f"Could not find model data at s3://{source.bucket}/{source.key}.{advice}") from None
            if error.code == "Unreachable":
                raise Unavailable(f"The model data could not be looked at: {error}.") from None
            raise Refused(_no_access(source, region, role)) from None


def _source(definition: dict[str, Any]) -> ObjectSource | None:
    try:
        return model_data_of(definition)
    except StartFailure as error:
        raise Refused(str(error)) from None


def _find(s3: S3Source, source: ObjectSource, multi: bool) -> None:
    """Raises `SourceError`. A multi-model prefix may be empty: its models come later."""
    if not (source.prefix or multi):
        s3.head(source.bucket, source.key)
        return
    first = next(s3.list(source.bucket, source.key, most=1), None)
    if first is None and not multi:
        raise SourceError("NoSuchKey", source.uri)


def _no_access(source: ObjectSource, region: str, role: str | None) -> str:
    """AWS's text, as it is today."""
    return (
        f'Could not access model data at {source.uri}. Please ensure that the role "{role or ""}" exists and that its '
        'trust relationship policy allows the action "sts:AssumeRole" for the service principal '
        '"sagemaker.amazonaws.com". Also ensure that the role has "s3:GetObject" permissions and that the object is '
        f"located in {region}. If your Model uses multiple models or uncompressed models, please ensure that the role "
        'has "s3:ListBucket" permission.'
    )
