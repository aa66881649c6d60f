"""What a DataCaptureConfig comes to in a route."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import pytest

from mooring.hosting.capturing import CaptureRoute, capture_of
from mooring.hosting.s3_uris import bucket_and_key


def wanted(*modes: str, **members: Any) -> dict[str, Any]:
    capture = {
        "InitialSamplingPercentage": 20,
        "DestinationS3Uri": "s3://bucket/some/prefix/",
        "CaptureOptions": [{"CaptureMode": mode} for mode in modes],
        **members,
    }
    return {"DataCaptureConfig": capture}


def test_nothing_is_captured_without_a_wish() -> None:
    assert capture_of({}) is None
    assert capture_of(wanted("Input", EnableCapture=False)) is None
    assert capture_of(wanted("Input", InitialSamplingPercentage=0)) is None


@pytest.mark.parametrize(
    ("modes", "sides"),
    [
        (("Input",), (True, False)),
        (("Output",), (False, True)),
        (("Input", "Output"), (True, True)),
        (("InputAndOutput",), (True, True)),
        (("Input", "Input"), (True, False)),
    ],
)
def test_sides(modes: tuple[str, ...], sides: tuple[bool, bool]) -> None:
    found = capture_of(wanted(*modes))
    assert found is not None
    assert (found.input, found.output) == sides


def test_all_of_it_travels_as_json() -> None:
    header = {"CsvContentTypes": ["Text/CSV"], "JsonContentTypes": ["application/json", "application/x-b"]}
    found = capture_of(wanted("Input", CaptureContentTypeHeader=header, KmsKeyId="alias/k"))
    assert found == CaptureRoute(
        "bucket", "some/prefix", 20, True, False, ("text/csv",), ("application/json", "application/x-b"), "alias/k"
    )
    assert CaptureRoute.from_document(json.loads(json.dumps(asdict(found)))) == found
    assert CaptureRoute.from_document(None) is None


@pytest.mark.parametrize(
    ("uri", "found"),
    [
        ("s3://bucket", ("bucket", "")),
        ("s3://bucket/", ("bucket", "")),
        ("s3://bucket/a/b", ("bucket", "a/b")),
        ("s3:///a", ("", "a")),
        ("https://bucket.s3.eu-west-1.amazonaws.com/a%20b/c", ("bucket", "a b/c")),
        ("https://s3.amazonaws.com/bucket/a", ("bucket", "a")),
        ("https://example.com/bucket/a", None),
        ("ftp://s3.amazonaws.com/bucket/a", None),
        ("bucket/a", None),
        ("https://[", None),
    ],
)
def test_addresses_of_s3(uri: str, found: tuple[str, str] | None) -> None:
    assert bucket_and_key(uri) == found
