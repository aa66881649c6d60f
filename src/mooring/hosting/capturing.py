"""What of an endpoint's invocations is captured: DataCaptureConfig, as a gateway needs it in a route."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mooring.hosting.rules import Members
from mooring.hosting.s3_uris import bucket_and_key


@dataclass(frozen=True, slots=True)
class CaptureRoute:
    """Of one variant."""

    bucket: str
    prefix: str
    """Of the keys in the bucket, without a slash at its end; may be empty."""
    percentage: int
    """Of the invocations; never 0, which is no capture."""
    input: bool
    output: bool
    csv_types: tuple[str, ...] = ()
    """Media types in lower case whose bodies are kept as text and called CSV."""
    json_types: tuple[str, ...] = ()
    key_id: str = ""
    """KmsKeyId as it was given."""

    @staticmethod
    def from_document(document: dict[str, Any] | None) -> CaptureRoute | None:
        """The inverse of `dataclasses.asdict`, of JSON."""
        if document is None:
            return None
        texts = {name: tuple(document[name]) for name in ("csv_types", "json_types")}
        return CaptureRoute(**{**document, **texts})


def capture_of(config: Members) -> CaptureRoute | None:
    """What an endpoint config wants captured; None when that is nothing."""
    wanted = config.get("DataCaptureConfig")
    if wanted is None or not wanted.get("EnableCapture", True) or not wanted["InitialSamplingPercentage"]:
        return None
    bucket, prefix = bucket_and_key(wanted["DestinationS3Uri"]) or ("", "")
    modes = {option["CaptureMode"] for option in wanted["CaptureOptions"]}
    header = wanted.get("CaptureContentTypeHeader", {})
    return CaptureRoute(
        bucket=bucket,
        prefix=prefix.rstrip("/"),
        percentage=wanted["InitialSamplingPercentage"],
        input=bool(modes & {"Input", "InputAndOutput"}),
        output=bool(modes & {"Output", "InputAndOutput"}),
        csv_types=tuple(each.lower() for each in header.get("CsvContentTypes", ())),
        json_types=tuple(each.lower() for each in header.get("JsonContentTypes", ())),
        key_id=wanted.get("KmsKeyId", ""),
    )
